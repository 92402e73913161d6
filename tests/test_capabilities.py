"""Capabilities: what a run provides, what a measure requires, and which measures therefore apply."""

import numpy as np
import pytest
import xarray as xr

from progress_measures import open_cube
from progress_measures.analysis.select import select
from progress_measures.capabilities import CAPABILITIES
from progress_measures.errors import UserError
from progress_measures.files import write_store
from progress_measures.measures import families_of, measures
from progress_measures.measures.checkpoint import RunContext, SplitUnknown
from progress_measures.measures.registry import DERIVED_FAMILIES, Measure
from progress_measures.measures.registry import measure as declare
from support.checkpoints import SMALL_NETWORKS, small_network
from support.definitions import NEED_KEY_FREQUENCIES
from support.experiments import P, pair_run, sequence_run
from support.networks import random_mask, random_weights, solving_weights

ON_CHECKPOINTS = [m for m in measures().values() if m.family not in DERIVED_FAMILIES]


def imported(run, **facts):
    """Return the run as if its network had been imported; `facts` say what is known about the network."""
    origin = {"file": "f", "sha256": "0", "format": "f", "recognized": [], "assumed": [], "ignored": []} | facts
    return type(run).model_validate(run.model_dump() | {"imported": origin})


def test_every_capability_is_required_by_some_measure_and_provided_by_some_network():
    required = set().union(*(m.requires for m in measures().values()))
    provided = set().union(*(small_network(name).run.provides for name in SMALL_NETWORKS))
    assert required <= set(CAPABILITIES)
    assert provided <= set(CAPABILITIES)
    assert set(CAPABILITIES) - required == {"sequences"}, "decides how a run is trained and read"
    assert set(CAPABILITIES) - provided <= {"trigrams", "repeats"}


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_absence_of_a_capability_leaves_out_exactly_the_measures_that_require_it(capability):
    run = pair_run("modular_addition")
    with_all = run.model_copy()
    object.__setattr__(with_all, "__dict__", run.__dict__ | {"provides": frozenset(CAPABILITIES)})
    without = run.model_copy()
    object.__setattr__(without, "__dict__", run.__dict__ | {"provides": frozenset(CAPABILITIES) - {capability}})
    left_out = {m.name for m in measures().values() if m.applies_to(with_all) and not m.applies_to(without)}
    assert left_out == {m.name for m in measures().values() if capability in m.requires}


def test_measures_require_the_split_exactly_if_they_use_it():
    run, rng = pair_run("modular_addition"), np.random.default_rng(5)
    for weights in (solving_weights(run, rng), random_weights(run, rng)):
        context = RunContext(run, weights, None)
        for m in ON_CHECKPOINTS:
            if m.requires - {"split"} <= run.provides:
                if "split" in m.requires:
                    with pytest.raises(SplitUnknown):
                        m.function(context.final)
                else:
                    m.function(context.final)


def test_measures_of_logits_are_computed_from_logits_alone():
    run, rng = pair_run("modular_addition"), np.random.default_rng(5)
    network = RunContext(run, solving_weights(run, rng), random_mask(P)).final
    logits_only = imported(run, logits_only=True)
    assert logits_only.provides == {"pairs", "cyclic_group", "split"}
    from_logits = RunContext(logits_only, {"logits": network.logits}, random_mask(P)).final
    applicable = [m for m in ON_CHECKPOINTS if m.applies_to(logits_only)]
    assert {"test_loss", "excluded_loss_by_frequency", "cosine_coefficient"} <= {m.name for m in applicable}
    for m in applicable:
        np.testing.assert_array_equal(m.function(from_logits), m.function(network), err_msg=m.name)


@pytest.mark.parametrize("layers", [1, 2])
def test_attention_only_networks_on_pairs_have_the_measures_of_logits_and_embedding(layers):
    run = pair_run("modular_addition", attention_only=True, layers=layers)
    context = RunContext(run, random_weights(run, np.random.default_rng(5)), random_mask(P))
    applicable = [m for m in ON_CHECKPOINTS if m.applies_to(run)]
    names = {m.name for m in applicable}
    assert {"test_loss", "cosine_similarity", "W_E_fourier_norm", "gini_W_U"} <= names
    assert not {"neuron_frequency", "cluster_size", "W_L_fourier_norm", "attention_frequency"} & names
    assert context.key_frequencies.size == 0
    for m in applicable:
        values = m.function(context.final)
        assert np.isnan(values).all() if m.name in NEED_KEY_FREQUENCIES else np.isfinite(values).all(), m.name


def test_a_measure_in_another_file_applies_to_the_same_runs():
    runs = [pair_run("modular_addition"), pair_run("modular_addition", layers=2), sequence_run("skip_trigram")]
    for m in measures().values():
        moved = Measure(**{field: getattr(m, field) for field in m.__dataclass_fields__} | {"family": "elsewhere"})
        assert [moved.applies_to(run) for run in runs] == [m.applies_to(run) for run in runs]


def test_a_figure_that_a_network_lacks_variables_of_says_what_it_requires():
    cube = xr.Dataset(
        {"test_loss": (("run", "epoch"), [[1.0]])},
        {"run": ["seed0"], "epoch": [0]},
        {"experiment": "mine", "provides": ["split"]},
    )
    expected = (
        "Figure x reads restricted_loss, which the cube of 'mine' does not have: this requires a task whose answers follow a "
        "cyclic group, as a + b mod n and a · b mod p do, which its networks do not have."
    )
    with pytest.raises(UserError) as error:
        select(cube, ["test_loss", "restricted_loss"], "Figure x")
    assert str(error.value) == expected


def test_a_cube_with_the_earlier_name_of_a_capability_opens_with_the_new_name(tmp_path):
    cube = xr.Dataset({"test_loss": (("run", "epoch"), [[1.0]])}, {"run": ["seed0"], "epoch": [0]})
    write_store(cube.assign_attrs(provides=["mlp", "modular_sum", "pairs"]), tmp_path / "cube.zarr")
    assert open_cube(tmp_path / "cube.zarr").attrs["provides"] == ["cyclic_group", "mlp", "pairs"]


def test_families_of_a_run_follow_from_its_measures():
    for name in SMALL_NETWORKS:
        run = small_network(name).run
        expected = {m.family for m in ON_CHECKPOINTS if m.requires <= run.provides}
        assert set(families_of(run)) == expected


def test_unknown_capability_of_a_measure_is_an_error():
    with pytest.raises(ValueError, match="unknown capabilities \\['modulra'\\]"):
        declare(dims=("run",), units="1", long_name="", requires={"modulra"}, reference="")
