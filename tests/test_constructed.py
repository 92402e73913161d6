"""Measures of a network whose algorithm is known exactly, because it is constructed.

The embedding is cos and sin of three frequencies. Head 0 attends half to a and half to b, and copies the waves. Neuron
(k, phi) receives cos(w(a - b)/2) cos(w(a + b)/2 - phi). The ReLUs of 33 evenly spaced phi, weighted by cos and sin of
2 phi, add up to |cos(w(a - b)/2)| times cos and sin of w(a + b), except for waves of order 64 and above. The logits are

    L[a, b, c] = sum over k of h_k |cos(w_k(a - b)/2)| cos(w_k(a + b - c))

and the expected value of each measure follows from this formula. Head 1 attends by one frequency and copies nothing.
"""

import functools

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from progress_measures.experiments.schema import Experiment
from progress_measures.measures import measures
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.interventions import INTERVENTIONS
from progress_measures.models.architecture import Architecture

P = 29
HEIGHTS = {2: 9.0, 5: 7.0, 11: 8.0}
PHASES = 33
HEAD_1_FREQUENCY, STEEPNESS = 5, 3.0  # the frequency that head 1 attends by, and the amplitude of its score

ALIASED = 2e-3  # relative size of the waves of order 64 and above


def network():
    """Return a run and the constructed weights of its network."""
    file = {"title": "constructed", "task": {"kind": "modular_addition", "prime": P}, "training": {"epochs": 100}}
    file["model"] = {"d_model": 16, "heads": 2, "d_head": 6, "d_mlp": 3 * PHASES}
    run = Experiment.model_validate(file).runs("constructed")[0]
    weights = {name: np.zeros(shape) for name, shape in Architecture.of(run).shapes().items()}
    number, flag, written = np.arange(P), 6, 7  # the residual stream: waves, a flag for `=`, output of the neurons
    second_wave_of_relu = 2 / (3 * np.pi)
    for i, (k, height) in enumerate(HEIGHTS.items()):
        cos, sin, neurons = 2 * i, 2 * i + 1, np.arange(PHASES) + i * PHASES
        angle, phi = 2 * np.pi * k * number / P, 2 * np.pi * np.arange(PHASES) / PHASES
        weights["W_E"][:P, [cos, sin]] = np.stack([np.cos(angle), np.sin(angle)], -1)
        weights["W_in"][0, cos, neurons], weights["W_in"][0, sin, neurons] = np.cos(phi), np.sin(phi)
        weights["W_out"][0, neurons, written + cos] = np.cos(2 * phi) * 2 / PHASES / second_wave_of_relu
        weights["W_out"][0, neurons, written + sin] = np.sin(2 * phi) * 2 / PHASES / second_wave_of_relu
        weights["W_U"][written + cos], weights["W_U"][written + sin] = height * np.cos(angle), height * np.sin(angle)
        if k == HEAD_1_FREQUENCY:
            weights["W_K"][0, 1, cos, 0] = STEEPNESS * np.sqrt(6)
    weights["W_E"][P, flag] = 1
    weights["W_V"][0, 0], weights["W_O"][0, 0] = np.eye(16, 6), np.eye(6, 16)
    weights["W_Q"][0, :, flag, 0] = 1
    weights["W_K"][0, :, flag, 0] = -1e4  # no head attends to `=`
    return run, weights


@functools.cache
def checkpoint():
    run, weights = network()
    return RunContext(run, weights, np.random.default_rng(1).random((P, P)) < 0.4).final


def value(name):
    return np.asarray(measures()[name].function(checkpoint()))


A, B, C = np.indices((P, P, P))


def wave(k):
    """Return cos(w_k(a + b - c)): [a, b, c]."""
    return np.cos(2 * np.pi * k * (A + B - C) / P)


def envelope(k):
    """Return |cos(w_k(a - b)/2)|: [a, b, c]."""
    return np.abs(np.cos(np.pi * k * (A - B) / P))


LOGITS = sum(h * envelope(k) * wave(k) for k, h in HEIGHTS.items())
MEAN_ENVELOPE = {k: envelope(k).mean() for k in HEIGHTS}
# the projection of the logits on the key frequencies' directions
PROJECTION = sum(h * MEAN_ENVELOPE[k] * wave(k) for k, h in HEIGHTS.items())
FRACTION = np.square(PROJECTION).sum() / np.square(LOGITS).sum()  # near 8/pi^2


def cross_entropy(logits):
    """Return the cross-entropy of every pair: [pair]."""
    log_probability = np.take_along_axis(log_softmax(logits, -1), ((A + B) % P)[..., :1], -1)
    return -log_probability[..., 0].ravel()


def assert_close_to_formula(actual, expected, rtol=ALIASED):
    """Assert that an array equals its formula, up to waves of order 64 and above."""
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def index_of(frequencies):
    """Return the indices of frequencies among 1 ... (P - 1)/2."""
    return np.array(list(frequencies)) - 1


def test_the_network_computes_the_formula():
    assert_close_to_formula(checkpoint().logits.reshape(P, P, P), LOGITS)


def test_the_frequencies_are_found():
    assert (np.flatnonzero(value("key_frequency")) + 1).tolist() == list(HEIGHTS)
    assert value("neuron_frequency").tolist() == np.repeat(list(HEIGHTS), PHASES).tolist()
    assert value("cluster_size")[index_of(HEIGHTS)].tolist() == [PHASES] * 3
    assert value("cluster_size").sum() == 3 * PHASES


def test_no_neuron_follows_two_frequencies():
    fractions = value("neuron_frequency_share").reshape(3, PHASES, -1)
    other_fractions = np.delete(fractions, index_of(HEIGHTS), axis=-1)
    for i, k in enumerate(HEIGHTS):
        assert fractions[i, :, k - 1].min() > 0.85
        for other in set(HEIGHTS) - {k}:
            assert fractions[i, :, other - 1].max() < 0.01
    assert other_fractions.max() < 0.15  # overtones of the neuron's frequency


def test_amplitudes_of_the_waves_are_found():
    heights = value("cosine_coefficient") / np.sqrt(P**3 / 2)
    assert_close_to_formula(heights[index_of(HEIGHTS)], [h * MEAN_ENVELOPE[k] for k, h in HEIGHTS.items()])
    assert np.abs(np.delete(heights, index_of(HEIGHTS))).max() < ALIASED


@pytest.mark.parametrize("by", ["cosines", "directions"])
@pytest.mark.parametrize("centered", ["", "_centered_over_pairs", "_centered_over_outputs"])
def test_fraction_explained_of_the_logits_is_found(by, centered):
    assert pytest.approx(8 / np.pi**2, rel=0.01) == FRACTION
    assert_close_to_formula(value(f"logit_fraction_explained_{by}{centered}"), FRACTION)


def test_residual_is_the_unexplained_fraction():
    assert_close_to_formula(value("cosine_residual"), np.sqrt(1 - FRACTION))


def test_losses_match_the_formula():
    context = checkpoint().context
    assert_close_to_formula(value("test_loss"), cross_entropy(LOGITS)[context.test].mean(), 0.02)
    assert_close_to_formula(value("restricted_loss"), cross_entropy(PROJECTION).mean(), 0.02)
    assert_close_to_formula(value("excluded_loss"), cross_entropy(LOGITS - PROJECTION)[context.train].mean(), 0.01)
    assert_close_to_formula(value("key_blocks_only_loss"), cross_entropy(PROJECTION)[context.test].mean(), 0.02)
    assert_close_to_formula(
        value("key_blocks_removed_loss"), cross_entropy(LOGITS - PROJECTION)[context.test].mean(), 0.01
    )
    assert value("restricted_loss") < value("test_loss") < 0.1 < value("excluded_loss")


def test_removing_a_frequency_changes_the_loss_of_that_frequency():
    expected = [
        cross_entropy(LOGITS - h * MEAN_ENVELOPE[k] * wave(k))[checkpoint().context.train].mean()
        for k, h in HEIGHTS.items()
    ]
    losses = value("excluded_loss_by_frequency")
    assert_close_to_formula(losses[index_of(HEIGHTS)], expected, 0.02)
    assert_close_to_formula(np.delete(losses, index_of(HEIGHTS)), value("train_loss"), 0.02)
    assert_close_to_formula(value("maximal_excluded_loss"), max(expected), 0.02)


def test_embedding_and_readout_are_sparse():
    norms = np.zeros(P)
    norms[[component for k in HEIGHTS for component in (2 * k - 1, 2 * k)]] = np.sqrt(P / 2)
    assert_close_to_formula(value("W_E_fourier_norm"), norms, 1e-9)
    assert value("gini_W_E") == pytest.approx(1 - 6 / P)
    assert (value("W_L_singular_value") > 1e-9 * value("W_L_singular_value").max()).sum() == 6


def test_readout_is_waves_of_the_sum():
    coefficient = value("readout_coefficient")[index_of(HEIGHTS)]
    expected = [h * np.sqrt(P / 2) * MEAN_ENVELOPE[k] for k, h in HEIGHTS.items()]
    assert_close_to_formula(coefficient, np.stack([expected, expected], -1))
    assert_close_to_formula(value("readout_fraction_explained")[index_of(HEIGHTS)], np.full((3, 2), 8 / np.pi**2), 0.05)


def test_skip_connection_around_the_mlp_contributes_nothing():
    assert value("W_L_fraction_explained") == pytest.approx(1)
    losses = dict(zip(INTERVENTIONS, value("intervention_loss"), strict=True))
    for name in (
        "MLP skip zeroed",
        "MLP skip at its mean",
        "W_L alone",
        "attention to = zeroed",
        "attention skip zeroed",
    ):
        assert_close_to_formula(losses[name], losses["none"], 1e-6)
    assert losses["attention zeroed"] == pytest.approx(np.log(P))
    assert losses["W_L's key directions removed"] == pytest.approx(np.log(P)), "no other path reaches the logits"


def test_heads_match_the_construction():
    assert value("attention_frequency")[1] == HEAD_1_FREQUENCY
    assert value("score_fraction_explained")[1] == pytest.approx(1)
    score = STEEPNESS * np.cos(2 * np.pi * HEAD_1_FREQUENCY * np.arange(P) / P)
    attention = expit(score[:, None] - score).ravel()
    assert_close_to_formula(checkpoint().attention[:, 1, 0], attention, 1e-9)
    assert value("score_difference_range")[1] == pytest.approx(score.max() - score.min())
    assert value("sigmoid_deviation").max() < 1e-12
    assert value("mean_attention")[:, 2].max() < 1e-15
    assert_close_to_formula(value("mean_attention")[:, :2], np.full((2, 2), 0.5), 1e-9)
    assert_close_to_formula(value("OV_fourier_norm")[0], value("W_E_fourier_norm"), 1e-9)
    assert value("OV_fourier_norm")[1].max() == 0
