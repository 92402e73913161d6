"""The cube: what was measured, labeled; extracted a run and family at a time, gathered once, opened by name."""

from progress_measures.cube.maps import attention_map, neuron_map
from progress_measures.cube.open import open_cube, open_run

__all__ = ["attention_map", "neuron_map", "open_cube", "open_run"]
