"""The forecast of the grokking time: it recovers a known rule, and uses neither later epochs nor the run itself."""

import re

import numpy as np
import pytest
import xarray as xr

from progress_measures.analysis import forecast as f
from progress_measures.cube.open import open_cube
from support import ROOT
from support.definitions import NEED_KEY_FREQUENCIES

EPOCHS = np.arange(0, 3001, 100)


def cube(*generalization_epoch, experiment="made"):
    """Return a cube in which only the Gini coefficient of W_E predicts the grokking time."""
    rng = np.random.default_rng(0)
    shape = (len(generalization_epoch), len(EPOCHS))
    curves = {name: 1 + 0.1 * rng.random(shape) for name in f.VARIABLES}
    curves["cosine_residual_all"] = 0.5 + 0.01 * rng.random(shape)
    for i, grok_time in enumerate(generalization_epoch):
        curves["gini_W_E"][i] = 0.1 * np.log10(np.maximum(EPOCHS, 1) / grok_time)
        curves["test_loss"][i] = np.where(grok_time > EPOCHS, 20.0, 1e-3)
    names = [f"seed{i}" for i in range(len(generalization_epoch))]
    variables = {name: (("run", "epoch"), values) for name, values in curves.items()}
    return xr.Dataset(variables, {"run": names, "epoch": EPOCHS}, {"experiment": experiment})


def test_forecast_reads_no_measure_that_needs_the_final_network():
    assert not set(f.VARIABLES) & set(NEED_KEY_FREQUENCIES)


def test_known_rule_is_recovered():
    trajectories, others = f.trajectories([cube(900, 1400, 2000, 2800)])
    assert others == []
    for trajectory, predicted in zip(trajectories, f.leave_one_out(trajectories, "progress measures"), strict=True):
        assert f.error_factor(trajectory, predicted).max() < 1.1


def test_forecast_from_an_unrelated_variable_fails():
    trajectories, _ = f.trajectories([cube(900, 1400, 2000, 2800)])
    wrong = [
        f.error_factor(trajectory, p).max()
        for trajectory, p in zip(trajectories, f.leave_one_out(trajectories, "weight norm"), strict=True)
    ]
    assert max(wrong) > 1.5


def test_later_epochs_do_not_change_a_forecast():
    trajectories, _ = f.trajectories([cube(900, 1400, 2000, 2800)])
    trajectory = trajectories[-1]
    changed = {
        name: np.where(np.arange(len(values)) > 5, 7.0, values) for name, values in trajectory.predictors.items()
    }
    again = trajectory._replace(predictors=changed, generalization_epoch=99999.0)
    before = f.forecast(trajectory, trajectories[:-1], "progress measures")
    np.testing.assert_array_equal(f.forecast(again, trajectories[:-1], "progress measures")[:6], before[:6])


def test_forecast_is_not_fitted_to_the_run_itself():
    """It is not fitted to the run's experiment either, if that is left out as a whole."""
    trajectories, _ = f.trajectories([cube(900, 1400), cube(2000, 2800, experiment="other")])
    alone = f.forecast(trajectories[0], trajectories[1:], "train loss")
    np.testing.assert_array_equal(f.leave_one_out(trajectories, "train loss")[0], alone)
    foreign = f.forecast(trajectories[0], trajectories[2:], "train loss")
    np.testing.assert_array_equal(f.leave_one_out(trajectories, "train loss", whole_experiment=True)[0], foreign)


def test_forecast_is_never_in_the_past():
    trajectories, _ = f.trajectories([cube(900, 1400, 2000, 2800)])
    for method in f.METHODS:
        for trajectory, predicted in zip(trajectories, f.leave_one_out(trajectories, method), strict=True):
            assert (predicted >= trajectory.epochs).all()


def test_runs_that_never_grok_are_named():
    trajectories, others = f.trajectories([cube(900, 5000)])
    assert [trajectory.run for trajectory in trajectories] == ["seed0"]
    assert others == ["made/seed1"]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 4.0), (0.01, np.nan), (1.0, 8.0)])
def test_value_at_a_share_of_the_grokking_time(share, expected):
    trajectories, _ = f.trajectories([cube(900)])
    np.testing.assert_equal(f.value_at_fraction(trajectories[0], trajectories[0].epochs / 100, share), expected)


# ---- the published runs

METHODS = ("progress measures", "train loss", "weight norm")


@pytest.fixture(scope="module")
def published():
    trajectories, _ = f.trajectories([open_cube(name, published=True) for name in f.EXPERIMENTS])
    return trajectories


def factors(trajectories, method, fraction, whole_experiment=False):
    """Return the factor of each run that has a checkpoint by this fraction of T."""
    predicted = f.leave_one_out(trajectories, method, whole_experiment)
    runs = zip(trajectories, predicted, strict=True)
    values = np.array([f.value_at_fraction(run, f.error_factor(run, epochs), fraction) for run, epochs in runs])
    return values[np.isfinite(values)]


def test_numbers_of_the_page_on_results_are_measured(published):
    page = (ROOT / "docs/results.md").read_text()
    rows = re.findall(r"^\| T/(\d+) \| (.*) \|$", page, re.M)
    assert [divisor for divisor, _ in rows] == ["10", "5", "2"]
    for divisor, cells in rows:
        measured = [factors(published, method, 1 / int(divisor)) for method in METHODS]
        assert cells.split(" | ") == [*(f"{np.median(values):.1f}" for values in measured), str(len(measured[0]))]
    progress, train, norm = (factors(published, method, 0.5, whole_experiment=True).max() for method in METHODS)
    sentence = (
        f"forecasts at T/2 from the train loss are off by up to a factor of {train:.0f}, "
        f"from the weight norm by up to {norm:.0f}, from progress measures by up to {progress:.0f}."
    )
    assert sentence in " ".join(page.split())
    assert len(published) == 18


def test_numbers_of_the_front_page_are_measured(published):
    progress, train, norm = (factors(published, method, 0.1) for method in METHODS)
    sentence = (
        f"At epoch T/10, a forecast of T that uses progress measures is wrong by a factor of {np.median(progress):.1f}, one that "
        f"uses the train loss by {np.median(train):.1f}, and one that uses the weight norm by {np.median(norm):.1f} (medians of "
        f"{len(progress)} runs)."
    )
    assert sentence in " ".join((ROOT / "README.md").read_text().split())
