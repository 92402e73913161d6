"""The cube: all measures of an experiment in one labeled dataset.

`extract` computes one family of measures of one run at a time, `gather` joins all runs, and `open_cube` opens a cube by
name.
"""

from progress_measures.cube.open import open_cube, open_run
from progress_measures.cube.pair_maps import attention_map, neuron_map

__all__ = ["attention_map", "neuron_map", "open_cube", "open_run"]
