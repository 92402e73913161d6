"""The forecast of grokking: it recovers a planted rule, never looks ahead, and never at the run itself."""

import numpy as np
import pytest
import xarray as xr

from progress_measures import forecast as f
from support.definitions import NEED_KEY_FREQUENCIES

EPOCHS = np.arange(0, 3001, 100)


def cube(*groks, experiment="made"):
    """Runs of which the Gini coefficient of W_E tells how far they are, and nothing else tells anything."""
    rng = np.random.default_rng(0)
    shape = (len(groks), len(EPOCHS))
    curves = {name: 1 + 0.1 * rng.random(shape) for name in f.VARIABLES}
    curves["cosine_residual_all"] = 0.5 + 0.01 * rng.random(shape)
    for i, when in enumerate(groks):
        curves["gini_W_E"][i] = 0.1 * np.log10(np.maximum(EPOCHS, 1) / when)
        curves["test_loss"][i] = np.where(when > EPOCHS, 20.0, 1e-3)
    names = [f"seed{i}" for i in range(len(groks))]
    variables = {name: (("run", "epoch"), values) for name, values in curves.items()}
    return xr.Dataset(variables, {"run": names, "epoch": EPOCHS}, {"experiment": experiment})


def test_nothing_it_reads_knows_the_final_network():
    assert not set(f.VARIABLES) & set(NEED_KEY_FREQUENCIES)


def test_a_planted_rule_is_recovered():
    told, others = f.trajectories([cube(900, 1400, 2000, 2800)])
    assert others == []
    for one, predicted in zip(told, f.leave_one_out(told, "progress measures"), strict=True):
        assert f.wrong_by(one, predicted).max() < 1.1


def test_who_looks_at_the_wrong_thing_does_not_find_it():
    told, _ = f.trajectories([cube(900, 1400, 2000, 2800)])
    wrong = [f.wrong_by(one, p).max() for one, p in zip(told, f.leave_one_out(told, "weight norm"), strict=True)]
    assert max(wrong) > 1.5


def test_what_comes_later_changes_no_forecast():
    told, _ = f.trajectories([cube(900, 1400, 2000, 2800)])
    one = told[-1]
    changed = {name: np.where(np.arange(len(values)) > 5, 7.0, values) for name, values in one.seen.items()}
    again = one._replace(seen=changed, groks=99999.0)
    before = f.forecast(one, told[:-1], "progress measures")
    np.testing.assert_array_equal(f.forecast(again, told[:-1], "progress measures")[:6], before[:6])


def test_a_run_is_not_fitted_to_itself():
    """Nor to its experiment, where that is left out whole."""
    told, _ = f.trajectories([cube(900, 1400), cube(2000, 2800, experiment="other")])
    alone = f.forecast(told[0], told[1:], "train loss")
    np.testing.assert_array_equal(f.leave_one_out(told, "train loss")[0], alone)
    foreign = f.forecast(told[0], told[2:], "train loss")
    np.testing.assert_array_equal(f.leave_one_out(told, "train loss", whole_experiment=True)[0], foreign)


def test_nobody_is_told_to_have_grokked_already():
    told, _ = f.trajectories([cube(900, 1400, 2000, 2800)])
    for method in f.METHODS:
        for one, predicted in zip(told, f.leave_one_out(told, method), strict=True):
            assert (predicted >= one.epochs).all()


def test_runs_that_never_grok_are_named():
    told, others = f.trajectories([cube(900, 5000)])
    assert [one.run for one in told] == ["seed0"]
    assert others == ["made/seed1"]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 4.0), (0.01, np.nan), (1.0, 8.0)])
def test_a_value_on_the_way(share, expected):
    told, _ = f.trajectories([cube(900)])
    np.testing.assert_equal(f.at_share(told[0], told[0].epochs / 100, share), expected)
