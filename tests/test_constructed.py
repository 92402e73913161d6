"""A network whose algorithm is known to the last wave: every measure must find what was built in.

The embedding is cos and sin of three frequencies. Head 0 attends half to a, half to b and passes the waves on. Neuron
(k, phi) sees cos(w(a - b)/2) cos(w(a + b)/2 - phi); the ReLUs of 33 evenly spaced phi, weighted by cos and sin of
2 phi, add up to |cos(w(a - b)/2)| times cos and sin of w(a + b), but for waves of order 64 and above. So the logits are

    L[a, b, c] = sum over k of h_k |cos(w_k(a - b)/2)| cos(w_k(a + b - c))

and what each measure must say of them follows from this line alone. Head 1 attends by one frequency and passes on
nothing.
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
HEAD_1, STEEPNESS = 5, 3.0  # the frequency that head 1 attends by, and its score's height

ALIASED = 2e-3  # relative size of the waves of order 64 and above


def network():
    """The weights."""
    file = {"title": "constructed", "task": {"kind": "modular_addition", "prime": P}, "training": {"epochs": 100}}
    file["model"] = {"d_model": 16, "heads": 2, "d_head": 6, "d_mlp": 3 * PHASES}
    run = Experiment.model_validate(file).runs("constructed")[0]
    weights = {name: np.zeros(shape) for name, shape in Architecture.of(run).shapes().items()}
    number, flag, written = np.arange(P), 6, 7  # the residual stream: waves, a flag for `=`, what neurons write
    second_wave_of_relu = 2 / (3 * np.pi)
    for i, (k, height) in enumerate(HEIGHTS.items()):
        cos, sin, neurons = 2 * i, 2 * i + 1, np.arange(PHASES) + i * PHASES
        angle, phi = 2 * np.pi * k * number / P, 2 * np.pi * np.arange(PHASES) / PHASES
        weights["W_E"][:P, [cos, sin]] = np.stack([np.cos(angle), np.sin(angle)], -1)
        weights["W_in"][0, cos, neurons], weights["W_in"][0, sin, neurons] = np.cos(phi), np.sin(phi)
        weights["W_out"][0, neurons, written + cos] = np.cos(2 * phi) * 2 / PHASES / second_wave_of_relu
        weights["W_out"][0, neurons, written + sin] = np.sin(2 * phi) * 2 / PHASES / second_wave_of_relu
        weights["W_U"][written + cos], weights["W_U"][written + sin] = height * np.cos(angle), height * np.sin(angle)
        if k == HEAD_1:
            weights["W_K"][0, 1, cos, 0] = STEEPNESS * np.sqrt(6)
    weights["W_E"][P, flag] = 1
    weights["W_V"][0, 0], weights["W_O"][0, 0] = np.eye(16, 6), np.eye(6, 16)
    weights["W_Q"][0, :, flag, 0] = 1
    weights["W_K"][0, :, flag, 0] = -1e4  # nobody attends to `=`
    return run, weights


@functools.cache
def checkpoint():
    run, weights = network()
    return RunContext(run, weights, np.random.default_rng(1).random((P, P)) < 0.4).final


def value(name):
    return np.asarray(measures()[name].function(checkpoint()))


A, B, C = np.indices((P, P, P))


def wave(k):
    """cos(w_k(a + b - c)): [a, b, c]."""
    return np.cos(2 * np.pi * k * (A + B - C) / P)


def envelope(k):
    """|cos(w_k(a - b)/2)|: [a, b, c]."""
    return np.abs(np.cos(np.pi * k * (A - B) / P))


LOGITS = sum(h * envelope(k) * wave(k) for k, h in HEIGHTS.items())
MEAN = {k: envelope(k).mean() for k in HEIGHTS}
CLEAN = sum(h * MEAN[k] * wave(k) for k, h in HEIGHTS.items())
FRACTION = np.square(CLEAN).sum() / np.square(LOGITS).sum()  # near 8/pi^2


def nats(logits):
    """Of every pair: [pair]."""
    right = np.take_along_axis(log_softmax(logits, -1), ((A + B) % P)[..., :1], -1)
    return -right[..., 0].ravel()


def close(found, expected, rtol=ALIASED):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def at(frequencies):
    """Places of frequencies among 1 ... (P - 1)/2."""
    return np.array(list(frequencies)) - 1


def test_the_network_computes_the_formula():
    close(checkpoint().logits.reshape(P, P, P), LOGITS)


def test_the_frequencies_are_found():
    assert (np.flatnonzero(value("key_frequency")) + 1).tolist() == list(HEIGHTS)
    assert value("neuron_frequency").tolist() == np.repeat(list(HEIGHTS), PHASES).tolist()
    assert value("cluster_size")[at(HEIGHTS)].tolist() == [PHASES] * 3
    assert value("cluster_size").sum() == 3 * PHASES


def test_no_neuron_is_of_two_frequencies():
    share = value("neuron_frequency_share").reshape(3, PHASES, -1)
    others = np.delete(share, at(HEIGHTS), axis=-1)
    for i, k in enumerate(HEIGHTS):
        assert share[i, :, k - 1].min() > 0.85
        for other in set(HEIGHTS) - {k}:
            assert share[i, :, other - 1].max() < 0.01
    assert others.max() < 0.15  # overtones of its own


def test_heights_of_the_waves_are_found():
    heights = value("cosine_coefficient") / np.sqrt(P**3 / 2)
    close(heights[at(HEIGHTS)], [h * MEAN[k] for k, h in HEIGHTS.items()])
    assert np.abs(np.delete(heights, at(HEIGHTS))).max() < ALIASED


@pytest.mark.parametrize("by", ["cosines", "directions"])
@pytest.mark.parametrize("centered", ["", "_centered_over_pairs", "_centered_over_outputs"])
def test_fraction_of_the_logits_is_found(by, centered):
    assert pytest.approx(8 / np.pi**2, rel=0.01) == FRACTION
    close(value(f"logit_fraction_explained_{by}{centered}"), FRACTION)


def test_residual_is_what_the_fraction_leaves():
    close(value("cosine_residual"), np.sqrt(1 - FRACTION))


def test_losses_are_those_of_the_formula():
    context = checkpoint().context
    close(value("test_loss"), nats(LOGITS)[context.test].mean(), 0.02)
    close(value("restricted_loss"), nats(CLEAN).mean(), 0.02)
    close(value("excluded_loss"), nats(LOGITS - CLEAN)[context.train].mean(), 0.01)
    close(value("key_blocks_only_loss"), nats(CLEAN)[context.test].mean(), 0.02)
    close(value("key_blocks_removed_loss"), nats(LOGITS - CLEAN)[context.test].mean(), 0.01)
    assert value("restricted_loss") < value("test_loss") < 0.1 < value("excluded_loss")


def test_removing_one_frequency_is_seen_at_that_frequency():
    expected = [nats(LOGITS - h * MEAN[k] * wave(k))[checkpoint().context.train].mean() for k, h in HEIGHTS.items()]
    found = value("excluded_loss_by_frequency")
    close(found[at(HEIGHTS)], expected, 0.02)
    close(np.delete(found, at(HEIGHTS)), value("train_loss"), 0.02)
    close(value("maximal_excluded_loss"), max(expected), 0.02)


def test_embedding_and_readout_are_sparse():
    norms = np.zeros(P)
    norms[[place for k in HEIGHTS for place in (2 * k - 1, 2 * k)]] = np.sqrt(P / 2)
    close(value("W_E_fourier_norm"), norms, 1e-9)
    assert value("gini_W_E") == pytest.approx(1 - 6 / P)
    assert (value("W_L_singular_value") > 1e-9 * value("W_L_singular_value").max()).sum() == 6


def test_readout_is_the_waves_of_the_sum():
    coefficient = value("readout_coefficient")[at(HEIGHTS)]
    expected = [h * np.sqrt(P / 2) * MEAN[k] for k, h in HEIGHTS.items()]
    close(coefficient, np.stack([expected, expected], -1))
    close(value("readout_fraction_explained")[at(HEIGHTS)], np.full((3, 2), 8 / np.pi**2), 0.05)


def test_the_path_around_the_mlp_carries_nothing():
    assert value("W_L_fraction_explained") == pytest.approx(1)
    losses = dict(zip(INTERVENTIONS, value("intervention_loss"), strict=True))
    for name in (
        "MLP skip zeroed",
        "MLP skip at its mean",
        "W_L alone",
        "attention to = zeroed",
        "attention skip zeroed",
    ):
        close(losses[name], losses["none"], 1e-6)
    assert losses["attention zeroed"] == pytest.approx(np.log(P))
    assert losses["W_L's key directions removed"] == pytest.approx(np.log(P)), "nothing else reaches the logits"


def test_heads_are_as_built():
    assert value("attention_frequency")[1] == HEAD_1
    assert value("score_fraction_explained")[1] == pytest.approx(1)
    score = STEEPNESS * np.cos(2 * np.pi * HEAD_1 * np.arange(P) / P)
    attention = expit(score[:, None] - score).ravel()
    close(checkpoint().attention[:, 1, 0], attention, 1e-9)
    assert value("score_difference_range")[1] == pytest.approx(score.max() - score.min())
    assert value("sigmoid_deviation").max() < 1e-12
    assert value("mean_attention")[:, 2].max() < 1e-15
    close(value("mean_attention")[:, :2], np.full((2, 2), 0.5), 1e-9)
    close(value("OV_fourier_norm")[0], value("W_E_fourier_norm"), 1e-9)
    assert value("OV_fourier_norm")[1].max() == 0
