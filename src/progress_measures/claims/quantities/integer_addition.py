"""Quantities of the integer addition notebook. All are of the first run at the last checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.claims.quantities.curves import lead
from progress_measures.claims.quantities.mechanism import dataset_size
from progress_measures.claims.quantities.subtraction import first_pairs_of_split, task_of
from progress_measures.claims.registry import Values, quantity
from progress_measures.cube.integer_sums import (
    activations,
    by_correlation,
    correlations,
    embedding,
    failures,
    fit,
    neuron_fit,
    probe,
    r_squared,
    targets,
)
from progress_measures.cube.select import first_reaching

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

STRONG = 0.9  # a correlation with the sum above this is strong
TOP = 3  # number of neurons that are examined individually

# ---- data and training


@quantity
def sums_to_learn(cube: xr.Dataset) -> Values:
    """Return the sizes of the task and of its split, and the first five pairs of both parts."""
    size, sizes, pairs = dataset_size(cube), task_of(cube).layout, first_pairs_of_split(cube)
    return {
        "train": size["train"],
        "test": size["test"],
        "train_fraction": size["share"],
        "inputs": sizes.vocabulary,
        "outputs": sizes.outputs,
        "largest_sum": 2 * sizes.operands - 2,
        "train_pairs": [row[:2] for row in pairs["train_rows"]],
        "test_pairs": [row[:2] for row in pairs["test_rows"]],
    }


@quantity
def sums_learned(cube: xr.Dataset) -> Values:
    """Return the final accuracy over all pairs and the delay from 99 % train to 99 % test accuracy."""
    accuracy = 1 - failures(cube).sel(embedding="whole").mean()
    train, test = (first_reaching(cube[f"history_{split}_accuracy"], 0.99) for split in ("train", "test"))
    return {
        "accuracy": accuracy,
        "train_accuracy_epoch": train,
        "test_accuracy_epoch": test,
        "delay": lead(test, train),
    }


# ---- the embedding


@quantity
def smooth_embedding(cube: xr.Dataset) -> Values:
    """Return the correlation of the embeddings of neighboring numbers, averaged over dimensions.

    It is 1 for slow waves and 0 for noise.
    """
    centered = cube.W_E.isel(run=0).values[:-1].astype(float)
    centered -= centered.mean(0)
    by_dimension = (centered[1:] * centered[:-1]).sum(0) / np.square(centered).sum(0)
    return {"autocorrelation": by_dimension.mean(), "share_of_dimensions_above_0": (by_dimension > 0).mean()}


def _polynomial(values: NDArray[np.floating], degree: int) -> tuple[NDArray[Any], float]:
    """Return the ascending coefficients and R² of the polynomial in the number that fits best."""
    number = np.arange(len(values))
    fitted = np.polynomial.Polynomial.fit(number, values, degree)
    return fitted.convert().coef, r_squared(values, fitted(number))


@quantity
def first_component_line(cube: xr.Dataset) -> Values:
    """Fit a straight line to the scores on PC 1; the sign of PC 1 is set so that the line falls."""
    values = embedding(cube).scores[:, 0]
    (intercept, slope), r2 = _polynomial(values, 1)
    return {
        "r2": r2,
        "slope": -abs(slope),
        "intercept": float(-np.sign(slope) * intercept),
        "intercept_over_slope": intercept / slope,
        "mean_number": (len(values) - 1) / 2,
    }


@quantity
def component_shares(cube: xr.Dataset) -> Values:
    """Return the variance shares of PC 1, of PC 2, of both and of all other components."""
    shares = embedding(cube).shares
    return {"PC1": shares[0], "PC2": shares[1], "both": shares[:2].sum(), "others": shares[2:].sum()}


@quantity
def second_component_parabola(cube: xr.Dataset) -> Values:
    """Fit a parabola to the scores on PC 2."""
    (_, slope, bend), r2 = _polynomial(embedding(cube).scores[:, 1], 2)
    return {"r2": r2, "vertex": -slope / (2 * bend)}


@quantity
def numbers_in_order(cube: xr.Dataset) -> Values:
    """Test whether the scores on PC 1 are strictly monotone in the number."""
    steps = np.diff(embedding(cube).scores[:, 0])
    return {"monotone": bool((steps > 0).all() or (steps < 0).all())}


# ---- neurons


@quantity
def sum_probe(cube: xr.Dataset) -> Values:
    """Return the fit of a linear probe of the sum on the neurons after the ReLU, on held-out pairs.

    The baseline is the mean as a constant prediction.
    """
    result = probe(cube)
    error = float(np.square(result.sums - result.predicted).mean())
    baseline = result.baseline_r2
    return {"r2": result.r2, "mean_squared_error": error, "baseline_r2": baseline, "baseline_size": abs(baseline)}


@quantity
def sum_neurons(cube: xr.Dataset) -> Values:
    """Count the neurons whose correlation with the sum exceeds 0.9, and those where its absolute value does."""
    r = correlations(cube)["a+b"]
    strong = int((np.abs(r) > STRONG).sum())
    positive = int((r > STRONG).sum())
    return {
        "above": positive,
        "in_size": strong,
        "share_positive": positive / strong if strong else np.nan,
        "of": r.size,
    }


def _by_sum(values: NDArray[np.floating], sums: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return, at each pair, the mean over all pairs of equal sum."""
    return (np.bincount(sums, values) / np.bincount(sums))[sums]


@quantity
def top_neurons_after_the_relu(cube: xr.Dataset) -> Values:
    """Return how the neurons with the strongest correlation with the sum depend on it, after the ReLU.

    Values are the share of variance within equal sums, the threshold and R² of a straight line above it. The threshold
    is the largest sum up to which a neuron is 0 at every pair, or -1 if there is none.
    """
    post, sums, neurons = activations(cube), targets(cube)["a+b"].astype(int), by_correlation(cube)[:TOP]
    within, thresholds, r2_above = [], [], []
    for values in post[:, neurons].T:
        within.append(1 - r_squared(values, _by_sum(values, sums)))
        threshold = int(sums[values > 0].min()) - 1
        rows = sums > threshold
        thresholds.append(threshold)
        r2_above.append(fit(sums[rows, None].astype(float), values[rows]).r2)
    return {"neurons": neurons, "within_sum": within, "thresholds": thresholds, "r2_above": r2_above}


@quantity
def top_neurons_before_the_relu(cube: xr.Dataset) -> Values:
    """Fit straight lines in the sum to the pre-activations of the neurons with the strongest correlation.

    The numbers of pairs with negative and with zero pre-activations are given too.
    """
    pre, sums, neurons = activations(cube, relu=False), targets(cube)["a+b"], by_correlation(cube)[:TOP]
    fits = [fit(sums[:, None], values) for values in pre[:, neurons].T]
    offsets = [line.intercept for line in fits]
    return {
        "neurons": neurons,
        "r2": [line.r2 for line in fits],
        "slopes": [float(line.coefficients[0]) for line in fits],
        "offsets": offsets,
        "offsets_differ_by": max(offsets) - min(offsets),
        "negative": (pre[:, neurons] < 0).sum(0),
        "zero": (pre[:, neurons] == 0).sum(0),
    }


@quantity
def top_neuron_fit(cube: xr.Dataset) -> Values:
    """Fit the pre-activation of the neuron with the strongest correlation to the PC scores of a and b."""
    neuron = int(by_correlation(cube)[0])
    result = neuron_fit(cube, neuron)
    pc1_a, pc2_a, pc1_b, pc2_b = np.abs(result.coefficients)
    return {
        "neuron": neuron,
        "r2": result.r2,
        "coefficients": result.coefficients,
        "intercept": result.intercept,
        "PC1_of_a_and_b_differ_by": abs(result.coefficients[0] - result.coefficients[2]) / pc1_a,
        "PC2_over_PC1": max(pc2_a, pc2_b) / min(pc1_a, pc1_b),
        "least_PC2": min(pc2_a, pc2_b),
    }


# ---- ablations


@quantity
def component_ablation(cube: xr.Dataset) -> Values:
    """Return the accuracy over all pairs with parts of the embedding removed.

    The embedding is whole, reduced to the mean and PC 1, or without PC 2.
    """
    accuracy = 1 - failures(cube).mean(("a", "b"))
    before, after, without = (
        float(accuracy.sel(embedding=name)) for name in ("whole", "mean and PC 1", "all but PC 2")
    )
    return {"before": before, "mean_and_PC1": after, "drop": before - after, "all_but_PC2": without}


def _failing(cube: xr.Dataset) -> NDArray[np.bool_]:
    """Return the pairs whose answer is wrong if the embedding keeps only the mean and PC 1: [a, b]."""
    return failures(cube).sel(embedding="mean and PC 1").values


@quantity
def component_ablation_failures(cube: xr.Dataset) -> Values:
    """Return which pairs fail if the embedding keeps only the mean and PC 1.

    Pairs with a 0 are compared with the notebook: (0, 1) to (0, n - 2) and their mirrors fail; (0, 0), (0, n - 1) and
    (n - 1, 0) do not.
    """
    wrong = _failing(cube)
    n = len(wrong)
    stated = np.array([False] + [True] * (n - 2) + [False])
    with_zero = np.concatenate([wrong[0] == stated, wrong[1:, 0] == stated[1:]])
    middle = wrong[2 : n - 2, 2 : n - 2]
    return {
        "count": int(wrong.sum()),
        "with_a_zero_as_stated": with_zero.mean(),
        "fails_at_0_0": bool(wrong[0, 0]),
        "symmetric": (wrong == wrong.T).mean(),
        "share_in_the_middle": middle.mean(),
        "share_elsewhere": (wrong.sum() - middle.sum()) / (wrong.size - middle.size),
    }


@quantity
def even_fourier_basis(cube: xr.Dataset) -> Values:
    """Return the norm of sin(2 pi k x / n) at k = n/2, by which the notebook divides.

    The norm is 0 for the even n of its task.
    """
    n = task_of(cube).layout.operands
    return {"norm": float(np.linalg.norm(np.sin(2 * np.pi * (n // 2) * np.arange(n) / n))), "operands": n}
