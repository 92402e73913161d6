"""The error of each measure in float32, compared with float64 on equal weights, within stated bounds."""

import functools

import numpy as np
import pytest

from progress_measures import open_run
from progress_measures.experiments import load_experiment
from progress_measures.experiments.derived import train_mask
from progress_measures.measures import measures
from progress_measures.measures.registry import DERIVED_FAMILIES
from support.checkpoints import SMALL_NETWORKS, last_checkpoint, small_network

BOUND = 2e-6
"""Bound on the error relative to a measure's largest number, for measures that `BOUNDS` does not list."""

BOUNDS = {
    # the weights themselves, or computed from them in float64
    **dict.fromkeys(("W_E", "W_U", "moment_W_E", "sum_of_squared_weights", "sum_of_squared_weights_by_parameter"), 0),
    **dict.fromkeys(("W_E_fourier_norm", "gini_W_E", "gini_W_E_without_constant", "gini_W_E_by_frequency"), 0),
    **dict.fromkeys(("gradient_symmetricity", "gradient_symmetricity_error", "circularity"), 0),
    "mean_attention_by_query": 0,
    # losses that hardly differ
    **dict.fromkeys(("learning_coefficient", "learning_coefficient_error", "learning_coefficient_rhat"), 1e-3),
    # one pair in the ten thousand of p = 113 may cross the threshold
    "neuron_fraction_active": 1e-4,
    # variances of neurons that hardly vary compared with their mean
    **dict.fromkeys(("neuron_frequency_share", "neuron_fraction_explained"), 2e-4),
    **dict.fromkeys(("neuron_share_at_final_frequency", "neuron_quadratic_share"), 2e-4),
    "neuron_post_fraction_explained_directions": 1e-5,
    # attention that hardly varies compared with its mean
    **dict.fromkeys(("attention_frequency_share", "attention_beta", "attention_fit_fraction_explained"), 2e-5),
    **dict.fromkeys(("sigmoid_linear_fraction_explained", "mean_attention"), 2e-5),
    # nearly 0 for networks without waves of a + b
    **dict.fromkeys(("cosine_coefficient", "cosine_similarity", "logit_fraction_explained_cosines"), 2e-5),
    "logit_fraction_explained_cosines_centered_over_outputs": 2e-5,
    "logit_fraction_explained_cosines_centered_over_pairs": 2e-5,
}

ABSOLUTE = {
    "sigmoid_deviation": 1e-7,  # attention to `=` is itself computed in float32
    "neuron_pre_fraction_explained_directions": 1e-6,  # nearly 0 before the ReLU
}
"""Absolute bounds for measures that may be 0."""

MAINLINE = "mainline"


@functools.cache
def in_both_precisions(network):
    """Return a network with float32 weights, and with the same weights in float64."""
    if network == MAINLINE:
        run = load_experiment(MAINLINE).runs(MAINLINE)[0]
        original = last_checkpoint(run, open_run(MAINLINE, run.name).weights(), train_mask(run))
    else:
        original = small_network(network)
    single = original.altered(lambda weights: {name: tensor.astype(np.float32) for name, tensor in weights.items()})
    return single, single.altered(lambda weights: {name: tensor.astype(np.float64) for name, tensor in weights.items()})


@functools.cache
def names(network):
    """Return the names of the measures of a network."""
    if network != MAINLINE:
        return {m.name for m in small_network(network).measures}
    run = load_experiment(MAINLINE).runs(MAINLINE)[0]
    return {m.name for m in small_network("addition").measures if m.applies_to(run)}


@pytest.mark.parametrize("name", [name for name, m in measures().items() if m.family not in DERIVED_FAMILIES])
def test_error_in_float32_is_within_its_bound(name):
    networks = [network for network in (*SMALL_NETWORKS, MAINLINE) if name in names(network)]
    assert networks
    for network in networks:
        single, double = (
            np.asarray(measures()[name].function(each.checkpoint)) for each in in_both_precisions(network)
        )
        if double.dtype.kind != "f" or BOUNDS.get(name) == 0:
            np.testing.assert_array_equal(single, double, err_msg=network)
            continue
        largest = np.abs(double[np.isfinite(double)]).max(initial=0)
        bound = BOUNDS.get(name, BOUND) * largest
        np.testing.assert_allclose(single, double, rtol=0, atol=ABSOLUTE.get(name, bound), err_msg=network)


def test_bounds_name_existing_measures():
    assert set(BOUNDS) | set(ABSOLUTE) <= set(measures())
    assert not set(BOUNDS) & set(ABSOLUTE)
