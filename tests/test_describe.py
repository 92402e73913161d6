"""Descriptions of a cube in words: the findings for a run follow from its curves."""

import numpy as np
import pytest

from progress_measures.claims.describe import summaries
from progress_measures.cube.open import open_cube
from support.processes import command


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
    assert "become sparse" not in words
    assert "nan" not in words


def test_findings_follow_from_the_curves(cube):
    """Each finding is listed as holding for curves that show it, and as not holding for curves that lack it."""
    first = cube.sel(run=["seed0"])
    epochs = first.epoch.values
    half, last = epochs[len(epochs) // 2], epochs[-1]

    def step(name, before, after, at):
        values = np.where(epochs < at, before, after)[None].astype(cube[name].dtype)
        return {name: first[name].copy(data=values)}

    def phases(memorized, formed, clean):
        ends = {"memorization_end": memorized, "circuit_formation_end": formed, "cleanup_end": clean}
        return {name: first[name].copy(data=[float(epoch)]) for name, epoch in ends.items()}

    keys = {"key_frequency": first.key_frequency.copy(data=first.frequency.values[None] < 3)}
    common = phases(epochs[2], half, last) | keys
    settings = {
        "the restricted loss falls below 1 before": (
            step("restricted_loss", 2, 0.1, half) | step("test_loss", 2, 0.1, last),
            step("restricted_loss", 2, 0.1, last) | step("test_loss", 2, 0.1, half),
        ),
        "the excluded loss more than doubles": (
            step("excluded_loss", 0.1, 5, half), step("excluded_loss", 5, 0.1, half),
        ),
        "the weights shrink during the cleanup": (
            step("sum_of_squared_weights", 9, 3, last), step("sum_of_squared_weights", 3, 9, last),
        ),
        "W_E and W_L become sparse": (
            step("gini_W_E", 0.1, 0.5, half) | step("gini_W_L", 0.1, 0.5, half), step("gini_W_E", 0.1, 0.15, half),
        ),
        "on test pairs, the restricted loss is lower": (
            step("restricted_loss_test", 1, 0.1, half) | step("test_loss", 1, 0.2, half),
            step("restricted_loss_test", 1, 0.3, half) | step("test_loss", 1, 0.2, half),
        ),
        "without the key frequencies, the loss is worse": (
            step("excluded_loss", 1, 1.01 * np.log(13), half), step("excluded_loss", 1, 0.99 * np.log(13), half),
        ),
        "the key cosines explain at least 95 %": (
            step("logit_fraction_explained_cosines", 0, 0.96, half),
            step("logit_fraction_explained_cosines", 0, 0.94, half),
        ),
    }  # fmt: skip
    for finding, (has, lacks) in settings.items():
        words = [summaries(first.assign(common | changed))["seed0"] for changed in (has, lacks)]
        assert finding in words[0].partition(" Does not hold: ")[0].partition(" Holds: ")[2], words[0]
        assert finding in words[1].partition(" Does not hold: ")[2], words[1]
    without = summaries(
        first.assign(common | {"key_frequency": first.key_frequency.copy(data=first.frequency.values[None] < 0)})
    )
    assert "the key cosines" not in without["seed0"]
