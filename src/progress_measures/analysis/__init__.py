"""Computations on cubes that figures, tables, claims, the explorer and notebooks share.

Functions take cubes, parts of cubes, or arrays; none reads files of weights.

runs          task, split, key frequencies of a run; its losses and accuracies after interventions
select        runs by their settings, sweeps as grids, and variables by name
crossings     epochs at which curves cross a level, curves at one epoch, counts of rises and slingshots (sudden rises)
phases        the phase of a run at an epoch
pair_maps     attention, neurons and logits over all pairs, and their 2D Fourier coefficients
embedding     the embedding of the operands, its singular vectors and Fourier spectrum
clusters      neuron clusters: the neurons whose variance the same frequency explains to at least 85 %
readout       rows of the paper's Tables 1 and 3, and the loss of logits that are cosines of the key frequencies only
paper_tables  rows of the paper's Tables 5 and 6
algorithm     whether networks add by the algorithm Clock or the algorithm Pizza (Zhong et al. 2023)
story         a summary of the runs of a cube, in a few lines
recipes       runs of a sweep whose grid has named recipes (groups of settings)
integer_sums  how a network that adds integers represents the sum
forecast      prediction of when a network generalizes
regions       regions of a phase diagram, such as grokking or memorization, and fits of power laws
"""

from progress_measures.analysis.crossings import at_epochs, first_below, first_reaching, lead
from progress_measures.analysis.pair_maps import attention_map, neuron_map, neuron_maps
from progress_measures.analysis.runs import key_frequencies_of, operand_count
from progress_measures.analysis.select import cut_to_run, first_runs_by_fraction, grid, runs_with
from progress_measures.cube.stops import last_checkpoint, until_stop

__all__ = [
    "at_epochs",
    "attention_map",
    "cut_to_run",
    "first_below",
    "first_reaching",
    "first_runs_by_fraction",
    "grid",
    "key_frequencies_of",
    "last_checkpoint",
    "lead",
    "neuron_map",
    "neuron_maps",
    "operand_count",
    "runs_with",
    "until_stop",
]
