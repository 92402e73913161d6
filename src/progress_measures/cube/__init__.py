"""The cube: what was measured, labeled; extracted a run and family at a time, gathered once, opened by name."""

from progress_measures.cube.open import open_cube, open_run
from progress_measures.cube.pair_maps import attention_map, neuron_map

__all__ = ["attention_map", "neuron_map", "open_cube", "open_run"]
