"""Which frequency each neuron follows, how much of it that explains, and what the heads look at."""

import numpy as np

from progress_measures import fourier
from progress_measures.measures.keys import CLUSTER_FRACTION, best_frequency
from progress_measures.measures.registry import measure

SECTION = "Nanda et al. 2023, section 4.3, Fig. 5"
BLOG = "Modular addition blog, evolution over training"


@measure(
    dims=("run", "epoch", "neuron"), units="1", long_name="Frequency of each neuron", reference=SECTION, dtype="uint16"
)
def neuron_frequency(checkpoint):
    """The k whose {const, cos k, sin k}^2 block holds most of the neuron's centered energy; 0 if it never varies."""
    return best_frequency(checkpoint.neuron_shares)[0]


@measure(
    dims=("run", "epoch", "neuron"),
    units="1",
    long_name="Share of each neuron's variance in its best frequency",
    reference=SECTION,
    digits=10,
)
def neuron_fraction_explained(checkpoint):
    """The share of the neuron's variance over (a, b) in the block of its best frequency at this epoch."""
    return best_frequency(checkpoint.neuron_shares)[1]


@measure(
    dims=("run", "neuron", "frequency"),
    units="1",
    long_name="Share of each neuron's variance in each frequency",
    reference=SECTION,
    digits=10,
)
def neuron_frequency_share(checkpoint):
    """The share of each neuron's variance in each frequency's block; NaN for neurons that never vary."""
    return checkpoint.neuron_shares


@measure(
    dims=("run", "frequency"),
    units="1",
    long_name="Key frequency",
    reference="Nanda et al. 2023, section 4.1",
    dtype="bool",
)
def key_frequency(checkpoint):
    """Frequencies whose cluster, the neurons that they explain to 85 % or more, holds at least 1 % of all neurons."""
    return np.isin(fourier.frequencies(checkpoint.context.n), checkpoint.context.key_frequencies)


@measure(
    dims=("run", "frequency"),
    units="1",
    long_name="Neurons in each frequency's cluster",
    reference=SECTION,
    dtype="uint16",
)
def cluster_size(checkpoint):
    """Number of neurons of which a frequency explains at least 85 % of the variance."""
    return (np.nan_to_num(checkpoint.neuron_shares) >= CLUSTER_FRACTION).sum(0)


def _directions_share(checkpoint, spectrum):
    keys = checkpoint.context.key_frequencies
    return np.nanmean(spectrum.share("directions", checkpoint.context.sign)[keys - 1].sum(0)) if keys.size else np.nan


@measure(
    dims=("run", "epoch"),
    units="1",
    long_name="Pre-activations explained by key directions",
    reference="Modular addition blog, trigonometric ratio",
)
def neuron_pre_fraction_explained_directions(checkpoint):
    """Share of each neuron's variance before the ReLU along the key directions, averaged over neurons that vary."""
    return _directions_share(checkpoint, checkpoint.pre_spectrum)


@measure(
    dims=("run", "epoch"),
    units="1",
    long_name="Neurons explained by key directions",
    reference="Modular addition blog, trigonometric ratio",
)
def neuron_post_fraction_explained_directions(checkpoint):
    """Share of each neuron's variance after the ReLU along the key directions, averaged over neurons that vary."""
    return _directions_share(checkpoint, checkpoint.post_spectrum)


def _at_final_frequency(checkpoint, components):
    """Share of each neuron's variance, before and after the ReLU, at its final frequency: [activation, neuron]."""
    frequency, _ = checkpoint.context.neuron_frequency
    row = np.maximum(frequency - 1, 0)[None]
    spectra = (checkpoint.pre_spectrum, checkpoint.post_spectrum)
    share = [np.take_along_axis(one.share(components, checkpoint.context.sign), row, 0)[0] for one in spectra]
    return np.where(frequency > 0, np.stack(share), np.nan)


@measure(
    dims=("epoch", "activation", "neuron"),
    units="1",
    long_name="Share of each neuron's variance in its final frequency",
    reference=BLOG,
    digits=10,
)
def neuron_share_at_final_frequency(checkpoint):
    """The share of a neuron's variance in the block of the frequency that is its best at the last checkpoint."""
    return _at_final_frequency(checkpoint, "block")


@measure(
    dims=("epoch", "activation", "neuron"),
    units="1",
    long_name="Share of each neuron's variance in products of its final frequency",
    reference=BLOG,
    digits=10,
)
def neuron_quadratic_share(checkpoint):
    """The same share in that block's four products of cosines and sines of a and of b alone."""
    return _at_final_frequency(checkpoint, "products")


@measure(
    dims=("epoch", "neuron"),
    units="1",
    long_name="Share of pairs at which each neuron fires",
    reference=BLOG,
    digits=10,
    needs="pairs",
)
def neuron_fraction_active(checkpoint):
    """Share of all pairs at which the neuron's pre-activation is positive."""
    return (checkpoint.pre > 0).mean(0)


@measure(
    dims=("run", "epoch", "head", "position"),
    units="1",
    long_name="Mean attention from `=`",
    reference="Modular subtraction notebook, section 3.1",
    needs="pairs",
)
def mean_attention(checkpoint):
    """Attention of each head from `=` to a, b and `=`, averaged over all pairs."""
    return checkpoint.attention.mean(0)
