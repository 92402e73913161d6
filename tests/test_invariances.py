"""What is measured of a network does not depend on how it is written: every measure, every symmetry, every kind of network.

And not on what stands beside it, or on the device that torch prefers.
"""

import functools

import numpy as np
import pytest
import torch
import xarray as xr

from progress_measures.cube.extract import compute_measures, measures_taken
from progress_measures.cube.gather import HISTORY, join, one_run
from progress_measures.measures import families_of, measures
from progress_measures.measures.maps import kept_neurons
from progress_measures.measures.registry import DERIVED
from support.checkpoints import SMALL_NETWORKS, imported_network, small_network
from support.curves import grokking_curves
from support.experiments import small_runs
from support.networks import random_mask, random_weights
from support.symmetries import SYMMETRIES, UNIT

RELATIVE, ABSOLUTE = 1e-9, 1e-13
"""How much rounding in float64 may change: a share of an array's largest number, and what stands for 0."""

PHASES = {name for name, m in measures().items() if m.family in DERIVED}


@functools.cache
def names(network):
    """The measures that are taken of a small_network."""
    return {m.name for m in small_network(network).measures}


@functools.cache
def rewritten(network, symmetry):
    """A specimen's view, a symmetry of it, and its view in other words; None where it is no symmetry of that network."""
    before = small_network(network)
    found = SYMMETRIES[symmetry](before)
    return None if found is None else (before.checkpoint, found, found(before).checkpoint)


def having(symmetry, name):
    """The specimens of which a measure is taken and which have a symmetry."""
    return [network for network in SMALL_NETWORKS if name in names(network) and rewritten(network, symmetry)]


def value(name, checkpoint):
    """What a measure says of a checkpoint."""
    return np.asarray(measures()[name].function(checkpoint))


def expected(name, before, symmetry, after):
    """What must be said of a network in other words."""
    m = measures()[name]
    if "kept_neuron" in m.dims:  # which neurons are kept may change, what is said of them may not
        whole = expected(name.removeprefix("moment_"), before, symmetry, after)
        return whole[..., kept_neurons(after.context)]
    values = symmetry.along([dim for dim in m.dims if dim not in ("run", "epoch", "moment")], value(name, before))
    return symmetry.values[name](values, before) if name in symmetry.values else values


def assert_alike(found, wanted):
    """Equal but for rounding; NaN where NaN is wanted; what is counted or compared, to the last bit."""
    assert found.shape == np.shape(wanted)
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
        return
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=RELATIVE * largest + ABSOLUTE)


BATTERY = [(symmetry, name) for symmetry in SYMMETRIES for name in measures() if having(symmetry, name)]


@pytest.mark.parametrize(("symmetry", "name"), BATTERY)
def test_measure_of_a_network_in_other_words(symmetry, name):
    differs = {}
    for network in having(symmetry, name):
        before, found, after = rewritten(network, symmetry)
        try:
            assert_alike(value(name, after), expected(name, before, found, after))
        except AssertionError as error:
            differs[network] = error
    if name in found.differing:
        assert differs, f"does not see what it is said to see: it {found.differing[name]}"
    else:
        assert not differs, "\n".join(f"{network}: {error}" for network, error in differs.items())


def test_every_measure_is_in_the_battery():
    assert {name for _, name in BATTERY} == set(measures()) - PHASES
    assert {symmetry for symmetry, _ in BATTERY} == set(SYMMETRIES)


def test_exceptions_are_of_measures_that_there_are():
    for network in SMALL_NETWORKS:
        for symmetry in SYMMETRIES:
            if found := rewritten(network, symmetry):
                assert set(found[1].values) | set(found[1].differing) <= set(measures())


class Curves:
    """A run's part of the cube that remembers what is read of it."""

    def __init__(self):
        self.cube, self.read = grokking_curves(), set()

    def __getitem__(self, name):
        self.read.add(name)
        return self.cube[name]

    def __getattr__(self, name):
        return self[name]


@pytest.mark.parametrize("name", sorted(PHASES))
def test_phases_are_of_curves_that_no_symmetry_changes(name):
    curves = Curves()
    measures()[name].function(curves)
    read = {curve.removeprefix("history_") for curve in curves.read} - {"epoch"}
    assert read
    for curve in read:
        assert measures()[curve].dims == ("run", "epoch")
        for network in SMALL_NETWORKS:
            for symmetry in SYMMETRIES:
                if found := rewritten(network, symmetry):
                    assert curve not in {**found[1].values, **found[1].differing}


def test_a_neuron_that_fires_at_one_pair_alone_is_of_the_lowest_frequency_whatever_numbers_are_called():
    """It follows all alike, and each too little for a cluster: the one thing said that the names of numbers decide."""
    before = imported_network(1, layer_norm=False, seed=2)
    after = SYMMETRIES["tokens relabeled by a unit"](before)(before)
    once = (before.checkpoint.pre > 0).sum(0) == 1
    assert once.any()
    p = before.run.task.prime
    for checkpoint in (before.checkpoint, after.checkpoint):
        assert (value("neuron_frequency", checkpoint)[once] == 1).all()
        np.testing.assert_allclose(value("neuron_frequency_share", checkpoint)[once], 8 / (p**2 - 1))
    others = value("neuron_frequency", before.checkpoint)[~once].astype(int)
    divided = others * pow(UNIT, -1, p) % p
    np.testing.assert_array_equal(value("neuron_frequency", after.checkpoint)[~once], np.minimum(divided, p - divided))


# ---- beside others


class Stored:
    """Checkpoints of a run that was never trained."""

    def __init__(self, run):
        self.epochs, self._run = np.array([0, 20, 40]), run

    def __getitem__(self, index):
        weights = random_weights(self._run, np.random.default_rng([self._run.seed, index]))
        return {name: tensor.astype(np.float32) for name, tensor in weights.items()}


def cube_of(*some, first):
    """The cube of some runs."""
    parts = []
    for run in some:
        chosen = [m for family in families_of(run) for m in measures_taken(family, run, run is first)]
        history = np.random.default_rng(run.seed).random((len(HISTORY), 3))
        curves = {f"history_{name}": ("history_epoch", curve) for name, curve in zip(HISTORY, history, strict=True)}
        measured = compute_measures(run, chosen, Stored(run), random_mask(run.task.prime))
        parts.append(one_run(run, measured.assign(curves).assign_coords(history_epoch=[0, 20, 40]), run is first))
    return join(parts, list(some), first)


def test_a_cube_of_several_runs_has_of_each_what_a_cube_of_it_alone_has():
    first, second = small_runs()
    both = cube_of(first, second, first=first)
    for run in (first, second):
        alone = cube_of(run, first=first)
        shared = both if run is first else both[list(alone.data_vars)]
        xr.testing.assert_identical(shared.sel(run=[run.name]).drop_attrs(), alone.drop_attrs())
    assert not both.sel(run=first.name).test_loss.equals(both.sel(run=second.name).test_loss)


# ---- devices


DEVICE = "cuda"

ON_PAIRS = [
    network for network in SMALL_NETWORKS if not small_network(network).run.on_sequences
]  # others are drawn by torch


@pytest.mark.parametrize("network", ON_PAIRS)
def test_measures_are_taken_on_the_cpu_whatever_device_torch_prefers(network):
    preferred = SMALL_NETWORKS[network]()
    with torch.device("meta"):  # on which there are no numbers
        found = {m.name: value(m.name, preferred.checkpoint) for m in preferred.measures}
    for name, values in found.items():
        np.testing.assert_array_equal(values, value(name, small_network(network).checkpoint), err_msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
@pytest.mark.parametrize("network", SMALL_NETWORKS)
def test_measures_are_the_same_when_a_gpu_computes_the_network(network, monkeypatch):
    from_numpy, tensor, numpy = torch.from_numpy, torch.tensor, torch.Tensor.numpy
    there = SMALL_NETWORKS[network]()
    monkeypatch.setattr(torch, "from_numpy", lambda array: from_numpy(array).to(DEVICE))
    monkeypatch.setattr(torch, "tensor", lambda values: tensor(values).to(DEVICE))
    monkeypatch.setattr(torch.Tensor, "numpy", lambda values: numpy(values.cpu()))
    found = {m.name: value(m.name, there.checkpoint) for m in there.measures}
    monkeypatch.undo()
    for name, values in found.items():
        assert_alike(values, value(name, small_network(network).checkpoint))
