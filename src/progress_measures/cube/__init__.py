"""The cube: all measures of an experiment in one labeled dataset.

`extract` computes one family of measures of one run at a time, `gather` joins all runs, and `open_cube` opens a cube by
name.
"""

from progress_measures.analysis.pair_maps import attention_map, neuron_map
from progress_measures.cube.open import open_cube, open_run

__all__ = ["attention_map", "neuron_map", "open_cube", "open_run"]
