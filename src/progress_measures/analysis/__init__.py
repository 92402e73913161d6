"""What is computed from a cube: one package for figures, tables, claims, the explorer and notebooks.

Functions take cubes, or the part of a cube that belongs to one run, and never read weights.

runs          facts of a run: task, split, key frequencies, outcomes of interventions
select        runs by their settings, and variables by name
crossings     epochs at which curves cross a level, values at epochs, counts of rises
phases        the phase of a run at an epoch
pair_maps     attention, neurons and logits over all pairs, and their 2D Fourier coefficients
embedding     the number embedding, its singular vectors and Fourier spectrum
clusters      neuron clusters
readout       how the logits are read from the neurons
paper_tables  rows of the paper's tables of several experiments
integer_sums  how a network that adds integers represents the sum
forecast      prediction of when a network generalizes
"""

from progress_measures.analysis.crossings import at_epochs, first_below, first_reaching, lead
from progress_measures.analysis.pair_maps import attention_map, neuron_map, neuron_maps
from progress_measures.analysis.runs import key_frequencies_of, operands
from progress_measures.analysis.select import by_fraction, cut_to_run, runs_with

__all__ = [
    "at_epochs",
    "attention_map",
    "by_fraction",
    "cut_to_run",
    "first_below",
    "first_reaching",
    "key_frequencies_of",
    "lead",
    "neuron_map",
    "neuron_maps",
    "operands",
    "runs_with",
]
