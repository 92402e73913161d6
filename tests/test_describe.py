"""Descriptions of a cube in words: which headline claims hold for a run follows from its measures."""

import numpy as np
import pytest

from progress_measures.claims import load_claims
from progress_measures.claims.describe import judge_headlines, summaries
from progress_measures.claims.registry import load_quantity
from progress_measures.claims.schema import headline_claims
from progress_measures.cube.open import open_cube
from support.processes import command

CLAIMS = load_claims()


@pytest.fixture
def cube(results):
    return open_cube(results / "results/small/cube.zarr").load()


def test_command_line_prints_one_paragraph_a_run(cube, results):
    done = command("describe", "small", folder=results)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip("\n").split("\n\n") == [f"{run}: {words}" for run, words in summaries(cube).items()]


def test_one_checkpoint_without_history_is_described(cube):
    """A network with its weights only."""
    alone = cube.isel(epoch=[-1]).drop_vars(["grok_time", "memorization_end", "circuit_formation_end", "cleanup_end"])
    words = summaries(alone)["seed0"]
    assert words.startswith("after 400 epochs")
    assert "Phases by rule" not in words
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


def test_headline_claims_are_found_outside_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(headline_claims()) == 7
