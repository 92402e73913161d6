"""Invariances of measures: every measure, under every symmetry, on every kind of network.

Measures also do not depend on the other runs of a cube or on torch's default device.
"""

import functools

import numpy as np
import pytest
import torch
import xarray as xr

from progress_measures.cube.extract import compute_measures, measures_for
from progress_measures.cube.gather import join, run_part
from progress_measures.measures import families_of, measures
from progress_measures.measures.maps import kept_neurons
from progress_measures.measures.registry import DERIVED_FAMILIES
from progress_measures.training.objectives import EVALUATED_QUANTITIES
from support.checkpoints import SMALL_NETWORKS, imported_network, small_network
from support.curves import grokking_curves
from support.experiments import small_runs
from support.networks import random_mask, random_weights
from support.symmetries import SYMMETRIES, UNIT

RELATIVE, ABSOLUTE = 1e-9, 1e-13
"""Tolerances for rounding in float64: relative to an array's largest number, and absolute."""

NOISY = {name: "is estimated with noise that is not transformed" for name in measures() if name.startswith("learning_")}
"""Measures that are not invariant, and the reason why, except under `TRANSLATION`."""

TRANSLATION = "a number added to all logits"
"""The symmetry that adds numbers to the weights, whatever they are, so that added noise stays the same."""

PHASES = {name for name, m in measures().items() if m.family in DERIVED_FAMILIES}


@functools.cache
def measure_names(network):
    """Return the names of the measures of a small network."""
    return {m.name for m in small_network(network).measures}


@functools.cache
def transformed(network, symmetry):
    """Return checkpoint, symmetry and transformed checkpoint of a small network; None if it lacks the symmetry."""
    before = small_network(network)
    change = SYMMETRIES[symmetry](before)
    return None if change is None else (before.checkpoint, change, change(before).checkpoint)


def networks_with(symmetry, name):
    """Return the small networks that have a measure and a symmetry."""
    return [network for network in SMALL_NETWORKS if name in measure_names(network) and transformed(network, symmetry)]


def value(name, checkpoint):
    """Return the value of a measure at a checkpoint."""
    return np.asarray(measures()[name].function(measures()[name].in_required_order(checkpoint)))


def expected(name, before, symmetry, after):
    """Return the value that a measure must have at the transformed checkpoint."""
    m = measures()[name]
    if "kept_neuron" in m.dims:  # the symmetry may change which neurons are kept, but not their values
        all_neurons = expected(name.removeprefix("moment_"), before, symmetry, after)
        return all_neurons[..., kept_neurons(after.context)]
    values = symmetry.along([dim for dim in m.dims if dim not in ("run", "epoch", "moment")], value(name, before))
    return symmetry.values[name](values, before) if name in symmetry.values else values


def assert_equal_up_to_rounding(actual, expected):
    """Assert that floats are equal up to rounding and NaN in the same places, and that other values are identical."""
    assert actual.shape == np.shape(expected)
    if actual.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=RELATIVE * largest + ABSOLUTE)


CASES = [(symmetry, name) for symmetry in SYMMETRIES for name in measures() if networks_with(symmetry, name)]


@pytest.mark.parametrize(("symmetry", "name"), CASES)
def test_measure_changes_as_the_symmetry_requires(symmetry, name):
    mismatches = {}
    for network in networks_with(symmetry, name):
        before, change, after = transformed(network, symmetry)
        try:
            assert_equal_up_to_rounding(value(name, after), expected(name, before, change, after))
        except AssertionError as error:
            mismatches[network] = error
    differing = change.differing | ({} if symmetry == TRANSLATION else NOISY)
    if name in differing:
        assert mismatches, f"{name} is invariant, although it {differing[name]}"
    else:
        assert not mismatches, "\n".join(f"{network}: {error}" for network, error in mismatches.items())


def test_every_measure_and_symmetry_is_tested():
    assert {name for _, name in CASES} == set(measures()) - PHASES
    assert {symmetry for symmetry, _ in CASES} == set(SYMMETRIES)


def test_exceptions_name_existing_measures():
    for network in SMALL_NETWORKS:
        for symmetry in SYMMETRIES:
            if case := transformed(network, symmetry):
                assert set(case[1].values) | set(case[1].differing) <= set(measures())


class RecordedCurves:
    """The curves of a run; `read` records which variables a measure reads."""

    def __init__(self):
        self.cube, self.read = grokking_curves(), set()

    def __getitem__(self, name):
        self.read.add(name)
        return self.cube[name]

    def __getattr__(self, name):
        return self[name]


@pytest.mark.parametrize("name", sorted(PHASES))
def test_phases_depend_on_invariant_curves_only(name):
    curves = RecordedCurves()
    measures()[name].function(curves)
    read = {curve.removeprefix("history_") for curve in curves.read} - {"epoch"}
    assert read
    for curve in read:
        assert measures()[curve].dims == ("run", "epoch")
        for network in SMALL_NETWORKS:
            for symmetry in SYMMETRIES:
                if case := transformed(network, symmetry):
                    assert curve not in {**case[1].values, **case[1].differing}


def test_neuron_active_at_one_pair_has_the_lowest_frequency_in_every_labeling():
    """All frequencies explain such a neuron equally, and too little for a cluster. Only its frequency depends on labels."""
    before = imported_network(1, layer_norm=False, seed=2)
    after = SYMMETRIES["tokens relabeled by a unit"](before)(before)
    active_once = (before.checkpoint.pre > 0).sum(0) == 1
    assert active_once.any()
    p = before.run.task.prime
    for checkpoint in (before.checkpoint, after.checkpoint):
        assert (value("neuron_frequency", checkpoint)[active_once] == 1).all()
        np.testing.assert_allclose(value("neuron_frequency_share", checkpoint)[active_once], 8 / (p**2 - 1))
    other_frequencies = value("neuron_frequency", before.checkpoint)[~active_once].astype(int)
    divided = other_frequencies * pow(UNIT, -1, p) % p
    np.testing.assert_array_equal(
        value("neuron_frequency", after.checkpoint)[~active_once], np.minimum(divided, p - divided)
    )


# ---- cubes of several runs


class RandomCheckpoints:
    """Random checkpoints of a run."""

    def __init__(self, run):
        self.epochs, self._run = np.array([0, 20, 40]), run

    def __getitem__(self, index):
        weights = random_weights(self._run, np.random.default_rng([self._run.seed, index]))
        return {name: tensor.astype(np.float32) for name, tensor in weights.items()}


def cube_of(*runs, first):
    """Return a cube of runs with random checkpoints."""
    parts = []
    for run in runs:
        run_measures = [m for family in families_of(run) for m in measures_for(family, run, run is first)]
        history = np.random.default_rng(run.seed).random((len(EVALUATED_QUANTITIES), 3))
        curves = {
            f"history_{name}": ("history_epoch", curve)
            for name, curve in zip(EVALUATED_QUANTITIES, history, strict=True)
        }
        measured = compute_measures(run, run_measures, RandomCheckpoints(run), random_mask(run.task.prime))
        parts.append(run_part(run, measured.assign(curves).assign_coords(history_epoch=[0, 20, 40]), run is first))
    return join(parts, list(runs), [first])


def test_run_in_a_cube_of_several_equals_the_run_alone():
    first, second = small_runs()
    cube_of_two = cube_of(first, second, first=first)
    for run in (first, second):
        alone = cube_of(run, first=first)
        in_cube_of_two = cube_of_two if run is first else cube_of_two[list(alone.data_vars)]
        xr.testing.assert_identical(in_cube_of_two.sel(run=[run.name]).drop_attrs(), alone.drop_attrs())
    assert not cube_of_two.sel(run=first.name).test_loss.equals(cube_of_two.sel(run=second.name).test_loss)


# ---- devices


DEVICE = "cuda"

ON_PAIRS = [
    network for network in SMALL_NETWORKS if not small_network(network).run.on_sequences
]  # torch draws the examples of tasks on sequences


@pytest.mark.parametrize("network", ON_PAIRS)
def test_measures_are_computed_on_the_cpu_with_any_default_device(network):
    fresh = SMALL_NETWORKS[network]()
    with torch.device("meta"):  # tensors on this device have no values
        actual = {m.name: value(m.name, fresh.checkpoint) for m in fresh.measures}
    for name, values in actual.items():
        np.testing.assert_array_equal(values, value(name, small_network(network).checkpoint), err_msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
@pytest.mark.parametrize("network", SMALL_NETWORKS)
def test_measures_are_equal_when_a_gpu_computes_the_network(network, monkeypatch):
    from_numpy, tensor, numpy = torch.from_numpy, torch.tensor, torch.Tensor.numpy
    fresh = SMALL_NETWORKS[network]()
    monkeypatch.setattr(torch, "from_numpy", lambda array: from_numpy(array).to(DEVICE))
    monkeypatch.setattr(torch, "tensor", lambda values: tensor(values).to(DEVICE))
    monkeypatch.setattr(torch.Tensor, "numpy", lambda values: numpy(values.cpu()))
    actual = {m.name: value(m.name, fresh.checkpoint) for m in fresh.measures}
    monkeypatch.undo()
    for name, values in actual.items():
        assert_equal_up_to_rounding(values, value(name, small_network(network).checkpoint))
