"""What is computed from a cube: one package for figures, tables, claims, the explorer and notebooks.

Functions take cubes, or the part of a cube that belongs to one run, and never read weights. `crossings` finds epochs on
curves, `runs` reads facts of a run, `select` chooses runs and variables, `pair_maps` computes attention and neurons over
all pairs.
"""

from progress_measures.analysis.crossings import first_below, first_reaching, lead
from progress_measures.analysis.pair_maps import attention_map, neuron_map, neuron_maps
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.analysis.select import by_fraction, cut_to_run, runs_with

__all__ = [
    "attention_map",
    "by_fraction",
    "cut_to_run",
    "first_below",
    "first_reaching",
    "key_frequencies_of",
    "lead",
    "neuron_map",
    "neuron_maps",
    "runs_with",
]
