"""How much of each measure float32 loses: stated here, held against float64 of the same weights."""

import functools

import numpy as np
import pytest

from progress_measures import open_run
from progress_measures.experiments import load_experiment
from progress_measures.measures import measures
from progress_measures.tasks.split import train_mask
from support.checkpoints import SMALL_NETWORKS, last_checkpoint, small_network

BOUND = 2e-6
"""Of the error, as a share of a measure's largest number, where the table below names no other."""

BOUNDS = {
    # read off the weights, or computed of them in float64
    **dict.fromkeys(("W_E", "W_U", "moment_W_E", "sum_of_squared_weights", "sum_of_squared_weights_by_parameter"), 0),
    **dict.fromkeys(("W_E_fourier_norm", "gini_W_E", "gini_W_E_without_constant", "gini_W_E_by_frequency"), 0),
    "mean_attention_by_query": 0,
    # one pair in the ten thousand of p = 113 may cross the threshold
    "neuron_fraction_active": 1e-4,
    # of variances of neurons that hardly vary beside their mean
    **dict.fromkeys(("neuron_frequency_share", "neuron_fraction_explained"), 2e-4),
    **dict.fromkeys(("neuron_share_at_final_frequency", "neuron_quadratic_share"), 2e-4),
    "neuron_post_fraction_explained_directions": 1e-5,
    # of attention that hardly varies beside its mean
    **dict.fromkeys(("attention_frequency_share", "attention_beta", "attention_fit_fraction_explained"), 2e-5),
    **dict.fromkeys(("sigmoid_linear_fraction_explained", "mean_attention"), 2e-5),
    # of networks that hold no such waves, nearly 0
    **dict.fromkeys(("cosine_coefficient", "cosine_similarity", "logit_fraction_explained_cosines"), 2e-5),
    "logit_fraction_explained_cosines_centered_over_outputs": 2e-5,
    "logit_fraction_explained_cosines_centered_over_pairs": 2e-5,
}

ABSOLUTE = {
    "sigmoid_deviation": 1e-7,  # what attention to `=` makes, itself float32
    "neuron_pre_fraction_explained_directions": 1e-6,  # before the ReLU nothing is along them
}
"""Bounds of measures that may be 0."""

REAL = "mainline"


@functools.cache
def in_both(network):
    """A network of float32 weights, and of the same weights in float64."""
    if network == REAL:
        run = load_experiment(REAL).runs(REAL)[0]
        given = last_checkpoint(run, open_run(REAL, run.name).weights(), train_mask(run, run.task.prime))
    else:
        given = small_network(network)
    single = given.altered(lambda weights: {name: tensor.astype(np.float32) for name, tensor in weights.items()})
    return single, single.altered(lambda weights: {name: tensor.astype(np.float64) for name, tensor in weights.items()})


def names(network):
    """The measures that are taken of a network."""
    return [m.name for m in small_network("addition" if network == REAL else network).measures]


CASES = [(network, name) for network in (*SMALL_NETWORKS, REAL) for name in names(network)]


@pytest.mark.parametrize(("network", "name"), CASES)
def test_float32_loses_no_more_than_is_stated(network, name):
    single, double = (np.asarray(measures()[name].function(one.checkpoint)) for one in in_both(network))
    if double.dtype.kind != "f" or BOUNDS.get(name) == 0:
        np.testing.assert_array_equal(single, double)
        return
    largest = np.abs(double[np.isfinite(double)]).max(initial=0)
    bound = BOUNDS.get(name, BOUND) * largest
    np.testing.assert_allclose(single, double, rtol=0, atol=ABSOLUTE.get(name, bound))


def test_bounds_are_of_measures_that_there_are():
    assert set(BOUNDS) | set(ABSOLUTE) <= set(measures())
    assert not set(BOUNDS) & set(ABSOLUTE)
