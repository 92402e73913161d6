"""Descriptions of a cube in words: which headline claims hold for a run follows from its measures."""

import numpy as np
import pytest
import xarray as xr

from progress_measures.claims import load_claims
from progress_measures.claims.describe import describe, judge_headlines, summaries
from progress_measures.claims.registry import load_quantity
from progress_measures.claims.schema import headline_claims
from progress_measures.cube.open import open_cube
from progress_measures.paths import published_cube
from support import ROOT
from support.processes import command

CLAIMS = load_claims()


@pytest.fixture(scope="module")
def cube(results):
    return open_cube(results / "results/small/cube.zarr").load()


def test_command_line_prints_a_table_and_one_sentence_a_run(cube, results):
    done = command("describe", "small", folder=results)
    assert done.returncode == 0, done.stderr
    table, sentences = done.stdout.rstrip("\n").split("\n\n")
    rows = [line.split() for line in table.splitlines()[-2:]]
    for row, run in zip(rows, cube.run.values, strict=True):
        last = cube.sel(run=run).isel(epoch=-1)
        numbers = [f"{float(last[name]):.3g}" for name in ("train_loss", "test_loss")]
        assert row[:4] == [run, "400", *numbers]
        assert f"{100 * float(last.test_accuracy):.2f}" in row
    assert [line.partition(":")[0] for line in sentences.splitlines()] == cube.run.values.tolist()
    assert all(line.endswith(".") and ". " not in line for line in sentences.splitlines())


def test_table_has_the_numbers_of_each_run():
    """Numbers that a rule does not find are dashes, and the sentence gives the reason."""
    cube = open_cube("prime_53", published=True)
    table, sentences = describe(cube).split("\n\n")
    rows = {line.split()[0]: line.split() for line in table.splitlines()}
    assert rows["weight_decay1.0_seed0"][-7:] == ["1,100", "12,300", "18,200", "15,000", "9", "12", "17"]
    assert rows["weight_decay1.0_seed2"][-7:] == ["—"] * 7
    sentence = next(line for line in sentences.splitlines() if line.startswith("weight_decay1.0_seed2: "))
    assert "It does not generalize (test loss below 1e-2: " in sentence
    assert "no key frequencies (" in sentence
    assert "no end of memorization or circuit formation or cleanup (" in sentence
    failing = next(line for line in sentences.splitlines() if line.startswith("weight_decay1.0_seed0: "))
    assert "6 of 7 headline claims hold, but not: Total squared weight falls" in failing


def test_one_checkpoint_without_history_is_described(cube):
    """A network with its weights only."""
    alone = cube.isel(epoch=[-1]).drop_vars(["grok_time", "memorization_end", "circuit_formation_end", "cleanup_end"])
    words = summaries(alone)["seed0"]
    assert words.startswith("after 400 epochs")
    assert "Ends of the phases" not in words
    assert CLAIMS["paper.fig7.gini"].statement.rstrip(".") not in words
    assert "nan" not in words


def test_claims_are_judged_on_each_run(cube):
    """A claim is listed as holding for a run whose measures fulfill its rule, and as not holding for another run."""
    losses = {"key_blocks_removed_loss": [5, 5], "key_blocks_only_loss": [0.1, 0.3], "test_loss": [0.2, 0.2]}
    values = {
        name: np.broadcast_to(np.array(of_runs)[:, None], (2, cube.sizes["epoch"])) for name, of_runs in losses.items()
    }
    described = cube.assign({name: (("run", "epoch"), of_runs) for name, of_runs in values.items()})
    statement = CLAIMS["paper.s4_4.keep_only_key"].statement.rstrip(".")
    first, second = summaries(described.assign_attrs(runs_missing=["seed2"], manifest="[{}, {}]")).values()
    assert statement in first.partition(" Does not hold: ")[0].partition(" Holds: ")[2]
    assert statement in second.partition(" Does not hold: ")[2]


def test_claim_about_several_runs_is_judged_on_one(cube):
    claim = CLAIMS["paper.fig7.restricted_leads"]
    epochs, run = 100 * np.arange(cube.sizes["epoch"]), cube.sel(run=["seed0"])
    early, late = (np.where(epochs < fall, 4.0, 0.1)[None] for fall in (500, 1000))
    leads = {"restricted_loss": (("run", "epoch"), early), "test_loss": (("run", "epoch"), late)}
    made = run.assign(leads | {"memorization_end": ("run", [100.0])}).assign_coords(epoch=epochs)
    assert judge_headlines(made)[claim.statement.rstrip(".")]
    follows = made.assign(restricted_loss=made.test_loss, test_loss=made.restricted_loss)
    assert not judge_headlines(follows)[claim.statement.rstrip(".")]


def test_claims_without_values_are_left_out(cube):
    run = cube.sel(run=["seed0"])
    unknown = run.assign(
        {name: run[name] * np.nan for name in ("memorization_end", "circuit_formation_end", "cleanup_end")}
    )
    for claim in headline_claims():
        if "memorization_end" in load_quantity(claim.quantity).variables:
            assert claim.statement.rstrip(".") not in judge_headlines(unknown)
    needed = {name for claim in headline_claims() for name in load_quantity(claim.quantity).variables}
    without = run.drop_vars(needed & set(run.data_vars) | {"key_frequency", "train_loss"})
    words = summaries(without)["seed0"]
    assert words.endswith("None of the headline claims can be judged on this run.")


def test_restricted_loss_far_above_the_loss_is_compared_with_harmonics(cube):
    last = cube.isel(epoch=[-1]).assign(key_frequency=cube.key_frequency | True)
    losses = {"loss": 2e-7, "restricted_loss": 4e-5, "restricted_loss_with_harmonics": 3e-7}
    described = last.assign({name: xr.full_like(last[name], value) for name, value in losses.items()})
    words = summaries(described)["seed0"]
    assert "The restricted loss is 200 times the loss over all pairs." in words
    assert "harmonics 2k and 3k of the key frequencies k, the restricted loss is 3e-07." in words
    for other in (described.assign(restricted_loss=5 * described.loss), described.drop_vars("loss")):
        assert "harmonics" not in summaries(other)["seed0"]


def test_published_subtraction_needs_harmonics():
    words = summaries(open_cube(ROOT / published_cube("subtraction")))["seed999"]
    assert "The restricted loss is 225 times the loss over all pairs." in words
    assert "harmonics 2k and 3k of the key frequencies k, the restricted loss is 2.03e-07." in words


def test_frequency_without_neurons_is_named(cube):
    """Frequency 5 is named. Frequency 4 = 2 · 2 is a harmonic, 3 has a cluster, and 1 hardly changes the test loss."""
    last = cube.sel(run=["seed0"]).isel(epoch=[-1])
    factors = xr.DataArray([1.9, 50.0, 8.0, 8.0, 7.0, 1.0], dims="frequency")
    described = last.assign(
        key_frequency=last.frequency.isin([2]).expand_dims(run=last.run),
        cluster_size=xr.zeros_like(last.cluster_size) + xr.DataArray([0, 9, 1, 0, 0, 0], dims="frequency"),
        ablated_loss_by_frequency=last.test_loss * factors,
    )
    words = summaries(described)["seed0"]
    assert "Frequency 5 has no neuron cluster, and the test loss is 7 times as large without this frequency." in words
    assert words.count("has no neuron cluster") == 1


def test_published_network_has_a_frequency_without_neurons():
    name = "weight_decay5.0_seed1"
    words = summaries(open_cube(ROOT / published_cube("prime_53")).sel(run=[name]))[name]
    assert (
        "Frequency 19 has no neuron cluster, and the test loss is 7.26 times as large without this frequency." in words
    )


def test_headline_claims_are_found_outside_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(headline_claims()) == 7
