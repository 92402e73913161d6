"""Prediction of when a network generalizes, from its measures at an earlier epoch.

T is the first epoch with a test loss below 1 nat. At an epoch t < T of a run, a ridge regression on log10 t and a few
measures at t predicts log10(T/t). The regression is fitted to other runs: to all checkpoints of each other run from
epoch 100 on and before the T of that run.

The predictors must not depend on epochs after t. This rules out the restricted and excluded losses, which use the final
network's key frequencies. Two substitutes take their place. One is the maximal excluded loss: the largest train loss
that results if a single frequency is removed from the logits. The other is the fraction of the logits' sum of squares
that the cosines cos w(a + b - c) of all frequencies k explain, with w = 2πk/p and output c (for subtraction,
cos w(a - b - c)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.crossings import first_below

EXPERIMENTS = ("mainline", "subtraction", "data_fraction_high", "prime_53")
"""Experiments for whose runs T is predicted: one-layer networks on modular tasks, with published cubes."""

RIDGE = 1e-2
"""Penalty on the squared coefficients of standardized predictors."""

FIRST_EPOCH = 100
"""First epoch at which a forecast is made."""

Array = NDArray[np.float64]


def _log10(values: xr.DataArray) -> Array:
    """Compute log10. Values below 1e-12 count as 1e-12, because a loss can underflow to 0."""
    return np.log10(np.maximum(values.values.astype(float), 1e-12))


PREDICTORS: dict[str, Callable[[xr.Dataset], Array]] = {
    "maximal excluded loss": lambda cube: _log10(cube.maximal_excluded_loss),
    "logits explained by cosines": lambda cube: _log10(1 - cube.cosine_residual_all**2),
    "Gini of W_E": lambda cube: cube.gini_W_E.values.astype(float),
    "Gini of W_L": lambda cube: cube.gini_W_L.values.astype(float),
    "train loss": lambda cube: _log10(cube.train_loss),
    "sum of squared weights": lambda cube: _log10(cube.sum_of_squared_weights),
}
"""Functions of the cube of one run that compute the predictors [epoch], by name.

`cosine_residual_all` is the norm of the logits without the cosines of all frequencies, divided by the norm of the logits. So 1
minus the square of this ratio is the fraction of the logits' sum of squares that the cosines explain.
"""

METHODS: dict[str, tuple[str, ...]] = {
    "other runs' mean": (),
    "train loss": ("train loss",),
    "weight norm": ("sum of squared weights",),
    "progress measures": tuple(PREDICTORS),
}
"""The predictors of each method, as names in `PREDICTORS`.

The first method predicts the geometric mean of the other runs' T. The other methods are regressions, with log10 of the epoch as
a further predictor.
"""

VARIABLES = (
    "test_loss", "train_loss", "maximal_excluded_loss", "cosine_residual_all", "gini_W_E", "gini_W_L", "sum_of_squared_weights",
)  # fmt: skip
"""Variables of a cube from which T and the predictors are computed."""


class Trajectory(NamedTuple):
    """The predictors of a run before it generalizes.

    Attributes:
        experiment: Name of the experiment.
        run: Name of the run.
        generalization_epoch: T, the first epoch with a test loss below 1 nat.
        epochs: Epochs before T at which a forecast is made: [epoch].
        predictors: Values of the predictors, by name: [epoch] each.
    """

    experiment: str
    run: str
    generalization_epoch: float
    epochs: Array
    predictors: dict[str, Array]


def trajectories(cubes: Iterable[xr.Dataset]) -> tuple[list[Trajectory], list[str]]:
    """Extract the trajectories of runs that generalize late enough for a prediction.

    Returns:
        The trajectories, and the names `experiment/run` of all other runs: they never generalize, or have fewer than three
        checkpoints at epochs from `FIRST_EPOCH` on that are before T.
    """
    predictable, left_out = [], []
    for cube in cubes:
        for name in map(str, cube.run.values):
            run_cube = cube.sel(run=name)
            generalization_epoch = float(first_below(run_cube.test_loss, 1))
            is_early = (run_cube.epoch.values >= FIRST_EPOCH) & (run_cube.epoch.values < generalization_epoch)
            if np.isfinite(generalization_epoch) and is_early.sum() >= 3:
                predictors = {predictor: function(run_cube)[is_early] for predictor, function in PREDICTORS.items()}
                predictable.append(
                    Trajectory(
                        experiment=cube.attrs["experiment"],
                        run=name,
                        generalization_epoch=generalization_epoch,
                        epochs=run_cube.epoch.values[is_early].astype(float),
                        predictors=predictors,
                    )
                )
            else:
                left_out.append(f"{cube.attrs['experiment']}/{name}")
    return predictable, left_out


def _design_matrix(trajectory: Trajectory, predictors: tuple[str, ...]) -> Array:
    """Return the predictors of a regression [epoch, predictor]; the first is log10 of the epoch."""
    return np.stack([np.log10(trajectory.epochs), *(trajectory.predictors[name] for name in predictors)], -1)


def forecast(trajectory: Trajectory, others: list[Trajectory], method: str) -> Array:
    """Predict T at each epoch of a trajectory, from a fit to other trajectories.

    Args:
        trajectory: The trajectory to predict.
        others: The trajectories to which the regression is fitted. Each has the same total weight, however many epochs it has.
        method: A key of `METHODS`.

    Returns:
        The predicted T at each epoch: [epoch]. A prediction below its epoch is replaced by the epoch, because T is later.
    """
    if not METHODS[method]:
        return np.maximum(np.exp(np.mean([np.log(other.generalization_epoch) for other in others])), trajectory.epochs)
    x = np.concatenate([_design_matrix(other, METHODS[method]) for other in others])
    y = np.concatenate([np.log10(other.generalization_epoch / other.epochs) for other in others])
    weight = np.concatenate([np.full(len(other.epochs), 1 / len(other.epochs)) for other in others])
    weight /= weight.sum()
    x_mean, y_mean = weight @ x, weight @ y
    scale = np.sqrt(weight @ np.square(x - x_mean)) + 1e-9  # not 0 for a constant predictor
    z = (x - x_mean) / scale
    slope = np.linalg.solve((z * weight[:, None]).T @ z + RIDGE * np.eye(z.shape[1]), z.T @ (weight * (y - y_mean)))
    prediction = y_mean + (_design_matrix(trajectory, METHODS[method]) - x_mean) / scale @ slope
    return trajectory.epochs * 10 ** np.maximum(prediction, 0)


def leave_one_out(all_trajectories: list[Trajectory], method: str, whole_experiment: bool = False) -> list[Array]:
    """Predict T of each trajectory from a fit to the other trajectories, or only to those of other experiments.

    Args:
        all_trajectories: The trajectories to predict.
        method: A key of `METHODS`.
        whole_experiment: Whether the fit leaves out all runs of the predicted run's experiment, not only the predicted run.

    Returns:
        The predicted T of each trajectory: [epoch] each.
    """
    return [
        forecast(
            trajectory,
            [
                other
                for other in all_trajectories
                if other.experiment != trajectory.experiment or not (whole_experiment or other.run == trajectory.run)
            ],
            method,
        )
        for trajectory in all_trajectories
    ]


def error_factor(trajectory: Trajectory, predicted: Array) -> Array:
    """Compute the factor by which predictions of T are wrong: predicted / T or T / predicted, whichever is larger.

    Args:
        trajectory: The trajectory with the true T.
        predicted: Predicted T: [epoch].

    Returns:
        The factor, which is 1 for a correct prediction: [epoch].
    """
    return 10 ** np.abs(np.log10(predicted / trajectory.generalization_epoch))


def value_at_fraction(trajectory: Trajectory, values: Array, fraction: float) -> float:
    """Return the value at the last epoch of a trajectory that is at most `fraction` times T.

    Args:
        trajectory: The trajectory with the true T.
        values: One value per epoch of the trajectory: [epoch].
        fraction: Fraction of T, 0 to 1.

    Returns:
        The value, or NaN if the trajectory has no epoch that early.
    """
    index = np.searchsorted(trajectory.epochs, fraction * trajectory.generalization_epoch, side="right") - 1
    return float(values[index]) if index >= 0 else np.nan
