"""The lines that say how runs grok: every number is recomputed here from the cube's values in plain NumPy."""

import numpy as np
import pytest

from progress_measures.analysis.story import story
from progress_measures.cube.open import open_cube
from support import ROOT
from support.processes import command


@pytest.fixture(scope="module")
def mainline():
    return open_cube("mainline", published=True)


def span(values, form="{:,.0f}"):
    return f"{form.format(min(values))} to {form.format(max(values))}"


def test_numbers_are_those_of_the_cube(mainline):
    history, epochs = mainline.history_epoch.values, mainline.epoch.values
    memorized, accuracy, restricted, test, grokked = [], [], [], [], []
    for run in range(mainline.sizes["run"]):
        values = mainline.isel(run=run)
        memorized.append(history[np.flatnonzero(values.history_train_accuracy.values >= 1)[0]])
        accuracy.append(100 * values.history_test_accuracy.values[history == memorized[-1]][0])
        restricted.append(epochs[np.flatnonzero(values.restricted_loss.values < 1)[0]])
        test.append(history[np.flatnonzero(values.history_test_loss.values < 1)[0]])
        grokked.append(history[np.flatnonzero(values.history_test_accuracy.values >= 0.99)[0]])
    ranges, *told = story(mainline)
    assert ranges.startswith("5 runs. Each range is over the runs: the earliest and the latest epoch")
    lines = dict(line.split("  ", 1) for line in told)
    assert list(lines) == ["Memorized", "Circuit formation begins", "Grokked", "Final algorithm"]
    memorization = (
        f"at epoch {span(memorized)}: all training pairs are right, and {span(accuracy, '{:.1f}')} % of the test pairs."
    )
    assert memorization in lines["Memorized"]
    assert (
        f"at epoch {span(mainline.memorization_end.values)}: the excluded loss begins to rise"
        in lines["Circuit formation begins"]
    )
    assert f"falls below 1 nat at epoch {span(restricted)}." in lines["Circuit formation begins"]
    assert f"at epoch {span(grokked)}: 99 % of the test pairs" in lines["Grokked"]
    assert f"falls below 1 nat at epoch {span(test)}." in lines["Grokked"]
    assert "seed0: 1 5 7 29;" in lines["Final algorithm"]


def test_one_run_has_no_ranges_and_runs_that_never_grok_are_named(mainline):
    single = story(mainline.isel(run=[0]))
    assert not any("seed1" in line for line in single)
    assert len(single) == 4
    assert not any(" to " in line.partition(":")[0] for line in single)
    cube = open_cube("prime_53", published=True)
    assert "(not in weight_decay1.0_seed2, weight_decay1.0_seed3)" in story(cube)[3]
    never = story(cube.sel(run=["weight_decay1.0_seed2"]))
    assert "epoch — (in no run): 99 % of the test pairs are right" in never[2]


def test_network_on_sequences_has_no_story():
    refused = command("describe", "five_digit_addition", "--story", folder=ROOT)
    assert refused.returncode == 2
    assert "five_digit_addition has no restricted_loss" in refused.stderr


def test_restricted_loss_is_dated_only_where_it_is_known():
    cube = open_cube("mainline", published=True)
    known = cube.epoch.isin([10_000, 40_000])
    text = "\n".join(story(cube.assign(restricted_loss=cube.restricted_loss.where(known))))
    assert "the restricted loss is first known to be below 1 nat at epoch — (in no run)" in text
    known = cube.epoch.isin([0, 1000, 10_000, 40_000])
    text = "\n".join(story(cube.assign(restricted_loss=cube.restricted_loss.where(known))))
    assert "the restricted loss is first known to be below 1 nat at epoch 10,000." in text
