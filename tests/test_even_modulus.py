"""Measures of networks with an even number n of operand values, and of networks with more outputs than answers.

If n is even, frequency n/2 (the Nyquist frequency) has a cosine, (-1)^x, whose square has the mean 1 and not 1/2, and no sine.
Every measure is compared with its slow definition in `support.definitions`. Those that remove or fit frequencies are also
compared with least-squares fits of cosines and sines as they are, without any normalization.
"""

import functools
import itertools

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure as Canvas

from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.experiments.schema import Experiment
from progress_measures.figures import load_figure
from progress_measures.measures import measures
from progress_measures.measures.checkpoint import RunContext
from support.comparing import assert_close
from support.definitions import REFERENCES, Network, cross_entropy
from support.networks import random_mask, random_weights, solving_weights

NETWORKS = {
    "n = 12": ("a + b", 12, 12),
    "n = 12, difference": ("a - b", 12, 12),
    "n = 12, 15 outputs": ("a + b", 12, 15),
    "n = 15": ("a + b", 15, 15),  # shares factors with two key frequencies
    "n = 13": ("a + b", 13, 13),
    "n = 13, difference, 15 outputs": ("a - b", 13, 15),
}
STATES = ("solving", "earlier", "random")
SEED = 58
"""With this seed no neuron is active at exactly one pair; all frequencies would explain such a neuron equally well."""

KEYS = (2, 5, 6)
"""Key frequencies of the networks that solve their task; 6 is the Nyquist frequency for n = 12."""


def run_of(expression, n, outputs, biases=True):
    task = {"kind": "operation", "expression": expression, "modulus": n, "outputs": outputs}
    model = {"d_model": 16, "heads": 2, "d_head": 6, "d_mlp": 54, "mlp_biases": biases}
    return Experiment.model_validate(
        {"title": "small", "task": task, "model": model, "training": {"epochs": 100}}
    ).runs("small")[0]


@functools.cache
def checkpoint_and_definitions(name, state):
    """Return a checkpoint of a network at one state, and the `Network` that computes its measures by definition."""
    expression, n, outputs = NETWORKS[name]
    run, train = run_of(expression, n, outputs, biases=state != "random"), random_mask(n)
    if state == "random":
        weights = random_weights(run, np.random.default_rng(SEED))
        return RunContext(run, weights, train).final, Network(run, weights, train)
    final = solving_weights(run, np.random.default_rng(5), keys=KEYS)
    context, network = RunContext(run, final, train), Network(run, final, train)
    if state == "solving":
        return context.final, network
    noise = random_weights(run, np.random.default_rng(SEED), 0.1)
    weights = {tensor: 0.7 * final[tensor] + noise[tensor] for tensor in final}
    weights["b_in"] += 0.5
    return context.checkpoint(weights, 20), Network(run, weights, train, network)


def value(name, checkpoint):
    return measures()[name].function(measures()[name].in_required_order(checkpoint))


OF_SUMS = [name for name in REFERENCES if not {"integer_sums", "sampling"} & measures()[name].requires]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("network", NETWORKS)
def test_key_frequencies_are_those_of_the_construction(network, state):
    checkpoint, definitions = checkpoint_and_definitions(network, state)
    expected = () if state == "random" else KEYS
    assert tuple(checkpoint.context.key_frequencies) == tuple(definitions.key_frequencies) == expected


@pytest.mark.parametrize("name", OF_SUMS)
def test_measure_equals_its_definition(name):
    for case in itertools.product(NETWORKS, STATES):
        checkpoint, definitions = checkpoint_and_definitions(*case)
        assert_close(value(name, checkpoint), REFERENCES[name](definitions), atol=1e-12, case=case)


# ---- least-squares fits of the waves as they are


def fitted(values, waves):
    """Return the least-squares fit of functions [a, b, …] by waves [a, b] each; a wave that is 0 has no effect."""
    X = np.stack([wave.ravel() for wave in waves], -1)
    solution = np.linalg.lstsq(X, values.reshape(len(X), -1), rcond=1e-9)[0]
    return (X @ solution).reshape(values.shape)


def angles(n, k):
    a, b = np.indices((n, n))
    return 2 * np.pi * k / n * a, 2 * np.pi * k / n * b


def direction(n, k, sign):
    a, b = angles(n, k)
    return [np.cos(a + sign * b), np.sin(a + sign * b)]


def block(n, k):
    a, b = angles(n, k)
    of_a, of_b = ([np.ones((n, n)), np.cos(x), np.sin(x)] for x in (a, b))
    return [x * y for x in of_a for y in of_b][1:]


@pytest.fixture(params=[(network, state) for network in NETWORKS for state in ("solving", "earlier")], ids=str)
def pair(request):
    return checkpoint_and_definitions(*request.param)


def test_excluded_loss_removes_the_fit_by_cosine_and_sine(pair):
    checkpoint, net = pair
    removed = [net.logits - fitted(net.logits, direction(net.n, k, net.sign)) for k in range(1, net.n // 2 + 1)]
    expected = [cross_entropy(logits, net.labels)[net.train].mean() for logits in removed]
    assert_close(value("excluded_loss_by_frequency", checkpoint), expected)
    all_keys = [wave for k in KEYS for wave in direction(net.n, k, net.sign)]
    without = net.logits - fitted(net.logits, all_keys)
    assert_close(value("excluded_loss", checkpoint), cross_entropy(without, net.labels)[net.train].mean())


def test_restricted_loss_keeps_the_fit_by_a_constant_cosines_and_sines(pair):
    checkpoint, net = pair
    waves = [np.ones((net.n, net.n))] + [wave for k in KEYS for wave in direction(net.n, k, net.sign)]
    expected = cross_entropy(fitted(net.logits, waves), net.labels).mean()
    assert_close(value("restricted_loss", checkpoint), expected)


def test_ablated_loss_removes_the_fit_by_the_block(pair):
    checkpoint, net = pair
    removed = [net.logits - fitted(net.logits, block(net.n, k)) for k in range(1, net.n // 2 + 1)]
    expected = [cross_entropy(logits, net.labels).mean() for logits in removed]
    assert_close(value("ablated_loss_by_frequency_all", checkpoint), expected)
    only = fitted(net.logits, [np.ones((net.n, net.n))] + [wave for k in KEYS for wave in block(net.n, k)])
    assert_close(value("key_blocks_only_loss", checkpoint), cross_entropy(only, net.labels)[net.test].mean())


def test_neurons_and_heads_are_explained_as_by_the_fit_of_the_block(pair):
    checkpoint, net = pair
    constant = np.ones((net.n, net.n))

    def explained(values, k):
        centered = values - values.mean((0, 1))
        fit = fitted(centered, [constant, *block(net.n, k)])
        variance = np.square(centered).sum((0, 1))
        return 1 - np.square(centered - fit).sum((0, 1)) / np.where(variance > 1e-20, variance, np.nan)

    of_neurons = np.stack([explained(net.post, k) for k in range(1, net.n // 2 + 1)], -1)
    assert_close(value("neuron_frequency_share", checkpoint), of_neurons, atol=1e-10)
    of_heads = np.stack([explained(net.attention[..., 0], k) for k in range(1, net.n // 2 + 1)])
    assert_close(value("attention_frequency_share", checkpoint), of_heads.max(0), atol=1e-10)


def test_cosine_residual_is_that_of_the_fit_by_cosines_of_a_b_and_c(pair):
    checkpoint, net = pair
    a, b, c = np.indices(net.logits.shape)
    waves = [
        np.where(c < net.n, np.cos(2 * np.pi * k / net.n * (a + net.sign * b - c)), 0).ravel()
        for k in range(1, net.n // 2 + 1)
    ]
    X, L = np.stack(waves, -1), net.logits.ravel()
    solution = np.linalg.lstsq(X, L, rcond=1e-9)[0]
    assert_close(value("cosine_residual_all", checkpoint), np.linalg.norm(L - X @ solution) / np.linalg.norm(L))
    lengths = np.linalg.norm(X, axis=0)
    assert_close(value("cosine_coefficient", checkpoint), solution * lengths)


def test_readout_coefficients_are_those_of_fits(pair):
    checkpoint, net = pair
    W_L, x = net.weights["W_out"][0] @ net.weights["W_U"][:, : net.n], np.arange(net.n)
    for k in range(1, net.n // 2 + 1):
        cos = np.cos(2 * np.pi * k * x / net.n)
        along = net.post @ (W_L @ cos) / np.linalg.norm(cos)
        wave = np.cos(sum(angle * s for angle, s in zip(angles(net.n, k), (1, net.sign), strict=True)))
        coefficient = np.polyfit(wave.ravel(), along.ravel(), 1)[0]
        assert_close(value("readout_coefficient", checkpoint)[k - 1, 0], coefficient, atol=1e-12)
        correlation = np.corrcoef(wave.ravel(), along.ravel())[0, 1]
        assert_close(value("readout_fraction_explained", checkpoint)[k - 1, 0], correlation**2, atol=1e-12)


def test_the_sine_of_the_nyquist_frequency_has_no_readout():
    checkpoint, _ = checkpoint_and_definitions("n = 12", "solving")
    assert (value("readout_product_coefficient", checkpoint)[-1, 1] == 0).all()
    assert (value("readout_product_coefficient", checkpoint)[-1, 0, 1:] == 0).all()
    assert value("readout_product_coefficient", checkpoint)[-1, 0, 0] != 0
    assert value("readout_coefficient", checkpoint)[-1, 1] == 0
    assert np.isnan(value("readout_fraction_explained", checkpoint)[-1, 1])


def test_gini_coefficients_do_not_count_the_sine_of_the_nyquist_frequency():
    checkpoint, net = checkpoint_and_definitions("n = 12", "random")
    norms = np.abs(np.fft.rfft(net.weights["W_E"][:12], axis=0))  # norms of frequencies, up to the factor of each
    by_frequency = np.linalg.norm(norms[1:], axis=1) * np.sqrt([2, 2, 2, 2, 2, 1])
    differences = np.abs(by_frequency[:, None] - by_frequency).mean()
    assert_close(value("gini_W_E_by_frequency", checkpoint), differences / 2 / by_frequency.mean())


def test_curves_of_an_even_modulus_are_scaled_by_its_number_of_operand_values():
    """In a network mod 12 with the logits 3 cos(2 pi k (a + b - c) / 12), the figure shows 3 for each frequency k."""
    keys, n = (2, 6), 12
    coefficients = np.zeros((1, 2, 6))
    for k in keys:
        a, b, c = np.indices((n, n, n))
        wave = np.cos(2 * np.pi * k * (a + b - c) / n)
        coefficients[..., k - 1] = 3 * (wave**2).sum() / np.linalg.norm(wave)
    cube = xr.Dataset(
        {
            "cosine_coefficient": (("run", "epoch", "frequency"), coefficients),
            "key_frequency": (("run", "frequency"), np.isin(np.arange(1, 7), keys)[None]),
            **{name: ("run", [np.nan]) for name in PHASE_ENDS},
        },
        {"run": ["seed0"], "epoch": [0, 100], "frequency": np.arange(1, 7), "prime": ("run", [n])},
    )
    fig = Canvas()
    load_figure("paper/fig14").draw(fig, cube)
    curves = {line.get_label(): line.get_ydata() for line in fig.axes[0].lines}
    for k in keys:
        np.testing.assert_allclose(curves[f"k = {k}"], 3)


def test_interference_has_the_period_of_the_group():
    """Products mod 13 have a group of 12: the cosines of frequency 6 are 1 and -1 in turn."""
    coordinates = {"run": ["seed0"], "frequency": np.arange(1, 7), "task": ("run", ["operation"])}
    coordinates |= {"expression": ("run", ["a*b"]), "modulus": ("run", [13])}
    cube = xr.Dataset({"key_frequency": (("run", "frequency"), [np.arange(1, 7) == 6])}, coordinates)
    fig = Canvas()
    load_figure("paper/fig08").draw(fig, cube)
    np.testing.assert_allclose(fig.axes[1].lines[0].get_ydata(), [1, -1] * 6)
