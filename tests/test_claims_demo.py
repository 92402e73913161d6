"""Quantities of the TransformerLens demo, on cubes with known results."""

import functools

import numpy as np
import pytest
import xarray as xr

from progress_measures import fourier
from progress_measures.claims.quantities import demo as of
from progress_measures.measures import measures
from progress_measures.tasks.split import train_order
from support.checkpoints import checkpoint_and_definitions
from support.definitions import cross_entropy

P = 17
ADDITION = "modular_addition"


def cube_of_one_run(**variables):
    """Return a cube of one run at p = 17."""
    coords = {"run": ["one"], "frequency": fourier.frequencies(P), "prime": ("run", [P]), "task": ("run", [ADDITION])}
    coords |= {"split_method": ("run", ["shuffle"]), "split_seed": ("run", [3]), "train_fraction": ("run", [0.3])}
    return xr.Dataset(variables, coords)


def keys(*chosen):
    """Return the variable `key_frequency` of the only run."""
    return ("run", "frequency"), np.isin(fourier.frequencies(P), chosen)[None]


def test_waves_add_up_at_0():
    x = 2 * np.pi * np.arange(1, P) / P
    expected = 3 / (np.cos(2 * x) + np.cos(5 * x) + np.cos(8 * x)).max()
    measured = of.key_interference(cube_of_one_run(key_frequency=keys(2, 5, 8)).expand_dims(epoch=[0]))
    assert measured["at_0_over_the_next"] == pytest.approx([expected])


def test_wave_is_one_component_and_noise_is_all_components(rng):
    a, b = np.indices((P, P)) * 2 * np.pi / P
    assert of._top_fraction(3 + np.cos(2 * a) * np.sin(5 * b), count=1) == pytest.approx(1)
    assert of._top_fraction(np.cos(2 * (a + b)), count=1) == pytest.approx(0.5)
    assert of._top_fraction(rng.standard_normal((P, P))) < 0.3
    assert np.isnan(of._top_fraction(np.ones((P, P))))


def test_peak_of_a_ratio():
    losses = {"test_loss": [5.0, 4.0, 1.0], "restricted_loss_neurons": [5.0, 0.1, 0.5]}
    cube = xr.Dataset({name: (("run", "epoch"), [values]) for name, values in losses.items()}, {"epoch": [0, 100, 200]})
    measured = of.restricted_ratio_peak(cube)
    assert float(measured["largest"][0]) == pytest.approx(40)
    assert int(measured["at_epoch"][0]) == 100
    assert float(measured["final"][0]) == pytest.approx(2)


def test_rise_is_measured_between_the_ends_of_two_phases():
    cube = xr.Dataset(
        {
            "excluded_loss_neurons": (("run", "epoch"), [[3.0, 0.1, 5.0]]),
            "test_loss": (("run", "epoch"), [[5.0, 8.0, 4.0]]),
            "memorization_end": ("run", [100.0]),
            "circuit_formation_end": ("run", [200.0]),
        },
        {"run": ["one"], "epoch": [0, 100, 200]},
    )
    measured = of.excluded_on_neurons_rises(cube)
    assert measured["rise"] == pytest.approx([50])
    assert measured["test_loss_factor"] == pytest.approx([0.5])


@functools.cache
def solving_cube():
    """Return the solving network as a cube, and its definitions."""
    checkpoint, network = checkpoint_and_definitions(ADDITION, "solving")
    named = ("W_L_fourier", "key_frequency", "cluster_W_L_fourier_norm", "cluster_size", "attention_score_token",
             "attention_score_position", "neuron_value_token", "neuron_value_position", "neuron_offset",
             "restricted_loss_neurons", "excluded_loss_neurons")  # fmt: skip
    variables = {}
    for name in named:
        dims, values = measures()[name].dims, np.asarray(measures()[name].function(checkpoint))
        variables[name] = dims, values.reshape([1] * sum(dim in ("run", "epoch") for dim in dims) + list(values.shape))
    cube = cube_of_one_run(**variables).assign_coords(epoch=[0], head=range(2), token=[*map(str, range(P)), "="])
    return cube, network


def test_cluster_writes_its_own_frequency():
    cube, network = solving_cube()
    measured = of.first_cluster(cube)
    assert measured["frequency"] == [2]
    assert measured["neurons"] == [network.cluster_sizes[1]]
    assert measured["share"][0] > 0.9


def test_losses_with_parts_of_the_definitions_left_out():
    """The expected losses are the definitions without the mean logits, and without the skip connection."""

    cube, network = solving_cube()
    measured = of.losses_on_neurons_both_ways(cube)
    order = train_order("shuffle", 3, P)
    train = np.zeros(P * P, dtype=bool)
    train[order[: int(0.3 * P * P)]] = True
    train = train.reshape(P, P)
    W_L = network.weights["W_out"][0] @ network.weights["W_U"]
    without_mean = cross_entropy((network.key_neurons + network.post.mean((0, 1))) @ W_L, network.labels)[~train].mean()
    without_skip = cross_entropy((network.post - network.key_neurons) @ W_L, network.labels)[train].mean()
    assert measured["restricted_without_mean_skip"] == pytest.approx(without_mean, rel=1e-9)
    assert measured["excluded_without_skip"] == pytest.approx(without_skip, rel=1e-9)


def test_basis_without_its_transpose_gives_another_direction():
    assert abs(of.transpose_left_out(solving_cube()[0])["cosine"]) < 0.99
