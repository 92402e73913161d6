"""When will a network grok? A forecast from what its measures show up to an epoch, and nothing later.

At epoch t of a run that has not generalized yet, the logarithm of T/t is predicted, T being the first epoch with a test
loss below 1: by ridge regression on a few measures at t, fitted to other runs at all their epochs before their own T.
The measures must not know the future, so none that leans on the final network's key frequencies is used: not the
restricted nor the excluded loss, but the largest excluded loss of any one frequency and what all cosines explain.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.cube.select import first_below

EXPERIMENTS = ("mainline", "subtraction", "data_fraction_high", "prime_53")
"""Whose runs are foretold: those of one layer on modular tasks that are published."""

RIDGE = 1e-2
FIRST = 100  # epochs, before which nothing is predicted

Array = NDArray[np.float64]


def _log(values: xr.DataArray) -> Array:
    return np.log10(np.maximum(values.values.astype(float), 1e-12))


PROGRESS: dict[str, Callable[[xr.Dataset], Array]] = {
    "largest excluded loss": lambda one: _log(one.maximal_excluded_loss),
    "logits explained by cosines": lambda one: _log(1 - one.cosine_residual_all**2),
    "Gini of W_E": lambda one: one.gini_W_E.values.astype(float),
    "Gini of W_L": lambda one: one.gini_W_L.values.astype(float),
    "train loss": lambda one: _log(one.train_loss),
    "sum of squared weights": lambda one: _log(one.sum_of_squared_weights),
}
"""What the forecast looks at, each [epoch]; beside them, the epoch itself."""

METHODS: dict[str, tuple[str, ...]] = {
    "other runs' mean": (),
    "train loss": ("train loss",),
    "weight norm": ("sum of squared weights",),
    "progress measures": tuple(PROGRESS),
}
"""What each way of guessing looks at. The first looks at nothing of the run, not even the epoch."""

VARIABLES = (
    "test_loss", "train_loss", "maximal_excluded_loss", "cosine_residual_all", "gini_W_E", "gini_W_L", "sum_of_squared_weights",
)  # fmt: skip


class Trajectory(NamedTuple):
    """A run until it groks.

    Attributes:
        experiment, run: whose it is.
        groks: T, the first epoch with a test loss below 1.
        epochs: before it, [epoch].
        seen: what the forecast looks at, [epoch] each.
    """

    experiment: str
    run: str
    groks: float
    epochs: Array
    seen: dict[str, Array]


def trajectories(cubes: Iterable[xr.Dataset]) -> tuple[list[Trajectory], list[str]]:
    """The runs that grok, and the names of those that do not, or before there is anything to tell."""
    told, others = [], []
    for cube in cubes:
        for run in map(str, cube.run.values):
            one = cube.sel(run=run)
            groks = float(first_below(one.test_loss, 1))
            before = (one.epoch.values >= FIRST) & (one.epoch.values < groks)
            if np.isfinite(groks) and before.sum() >= 3:
                seen = {name: look(one)[before] for name, look in PROGRESS.items()}
                told.append(
                    Trajectory(cube.attrs["experiment"], run, groks, one.epoch.values[before].astype(float), seen)
                )
            else:
                others.append(f"{cube.attrs['experiment']}/{run}")
    return told, others


def _columns(story: Trajectory, names: tuple[str, ...]) -> Array:
    return np.stack([np.log10(story.epochs), *(story.seen[name] for name in names)], -1)


def forecast(story: Trajectory, others: list[Trajectory], method: str) -> Array:
    """T as predicted at each of a run's epochs, from a fit to other runs: [epoch]."""
    if not METHODS[method]:
        return np.maximum(np.exp(np.mean([np.log(other.groks) for other in others])), story.epochs)
    x = np.concatenate([_columns(other, METHODS[method]) for other in others])
    y = np.concatenate([np.log10(other.groks / other.epochs) for other in others])
    weight = np.concatenate([np.full(len(other.epochs), 1 / len(other.epochs)) for other in others])  # a run is a run
    weight /= weight.sum()
    mean, of_y = weight @ x, weight @ y
    spread = np.sqrt(weight @ np.square(x - mean)) + 1e-9
    z = (x - mean) / spread
    slope = np.linalg.solve((z * weight[:, None]).T @ z + RIDGE * np.eye(z.shape[1]), z.T @ (weight * (y - of_y)))
    ahead = of_y + (_columns(story, METHODS[method]) - mean) / spread @ slope
    return story.epochs * 10 ** np.maximum(ahead, 0)


def leave_one_out(told: list[Trajectory], method: str, whole_experiment: bool = False) -> list[Array]:
    """Each run's forecast from all other runs, or from those of all other experiments."""
    return [
        forecast(
            one,
            [
                other
                for other in told
                if other.experiment != one.experiment or not (whole_experiment or other.run == one.run)
            ],
            method,
        )
        for one in told
    ]


def wrong_by(one: Trajectory, predicted: Array) -> Array:
    """The factor by which a forecast is off, either way: [epoch], 1 where it is right."""
    return 10 ** np.abs(np.log10(predicted / one.groks))


def at_share(one: Trajectory, values: Array, share: float) -> float:
    """A value at the last epoch up to a share of the way to grokking; NaN where that is before the first."""
    index = np.searchsorted(one.epochs, share * one.groks, side="right") - 1
    return float(values[index]) if index >= 0 else np.nan
