"""Quantities of the integer addition notebook. All values are of the first run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.analysis.crossings import first_reaching, lead
from progress_measures.analysis.embedding import number_embedding
from progress_measures.analysis.integer_sums import (
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
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES
from progress_measures.analysis.runs import labeled_inputs, operands, split_pairs, split_sizes, task_of
from progress_measures.claims.registry import Values, quantity

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

STRONG_CORRELATION = 0.9
TOP_NEURONS = 3  # number of neurons that are examined one by one

# ---- data and training


@quantity(variables=())
def sums_to_learn(cube: xr.Dataset) -> Values:
    """Return the sizes of the task and of its split, and the first five training and test pairs."""
    sizes, task_layout = split_sizes(cube), task_of(cube).layout
    train, test = (labeled_inputs(cube, pairs[:5])[0] for pairs in split_pairs(cube.isel(run=0)))
    return {
        "train": sizes.train,
        "test": sizes.test,
        "train_fraction": sizes.share,
        "inputs": task_layout.vocabulary,
        "outputs": task_layout.outputs,
        "largest_sum": 2 * task_layout.operands - 2,
        "train_pairs": [row[:2] for row in train],
        "test_pairs": [row[:2] for row in test],
    }


@quantity(variables=("answer_by_embedding", "history_test_accuracy", "history_train_accuracy"))
def sums_learned(cube: xr.Dataset) -> Values:
    """Return the final accuracy over all pairs, the first epochs with 99 % train and test accuracy, and the delay."""
    accuracy = 1 - failures(cube).sel(embedding="whole").mean()
    train, test = (first_reaching(cube[f"history_{split}_accuracy"], 0.99) for split in ("train", "test"))
    return {
        "accuracy": accuracy,
        "train_accuracy_epoch": train,
        "test_accuracy_epoch": test,
        "delay": lead(test, train),
    }


# ---- the embedding


@quantity(variables=("W_E",))
def smooth_embedding(cube: xr.Dataset) -> Values:
    """Return the lag-1 autocorrelation of W_E over numbers: mean over dimensions, and fraction of positive ones.

    The autocorrelation of a dimension of the residual stream is near 1 for slow waves and near 0 for noise.
    """
    centered = number_embedding(cube.isel(run=0))
    centered -= centered.mean(0)
    by_dimension = (centered[1:] * centered[:-1]).sum(0) / np.square(centered).sum(0)
    return {"autocorrelation": by_dimension.mean(), "share_of_dimensions_above_0": (by_dimension > 0).mean()}


def _polynomial(values: NDArray[np.floating], degree: int) -> tuple[NDArray[Any], float]:
    """Return the ascending coefficients and R² of the least-squares polynomial in the number."""
    numbers = np.arange(len(values))
    polynomial = np.polynomial.Polynomial.fit(numbers, values, degree)
    return polynomial.convert().coef, r_squared(values, polynomial(numbers))


@quantity(variables=("W_E",))
def first_component_line(cube: xr.Dataset) -> Values:
    """Return R², slope and intercept of the least-squares line in the number through the embedding's PC 1 scores.

    The sign of PC 1 is chosen so that the slope is negative. Intercept over slope is minus the mean number, because the
    scores are centered.
    """
    values = embedding(cube).scores[:, 0]
    (intercept, slope), r2 = _polynomial(values, 1)
    return {
        "r2": r2,
        "slope": -abs(slope),
        "intercept": float(-np.sign(slope) * intercept),
        "intercept_over_slope": intercept / slope,
        "mean_number": (len(values) - 1) / 2,
    }


@quantity(variables=("W_E",))
def component_shares(cube: xr.Dataset) -> Values:
    """Return the fractions of the embedding's variance in PC 1, in PC 2, in both, and in all other components."""
    fractions = embedding(cube).fractions_explained
    return {"PC1": fractions[0], "PC2": fractions[1], "both": fractions[:2].sum(), "others": fractions[2:].sum()}


@quantity(variables=("W_E",))
def second_component_parabola(cube: xr.Dataset) -> Values:
    """Return R² and vertex of the least-squares parabola in the number through the embedding's PC 2 scores."""
    (_, linear, quadratic), r2 = _polynomial(embedding(cube).scores[:, 1], 2)
    return {"r2": r2, "vertex": -linear / (2 * quadratic)}


@quantity(variables=("W_E",))
def numbers_in_order(cube: xr.Dataset) -> Values:
    """Return whether the embedding's PC 1 scores are strictly monotone in the number."""
    steps = np.diff(embedding(cube).scores[:, 0])
    return {"monotone": bool((steps > 0).all() or (steps < 0).all())}


# ---- neurons


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def sum_probe(cube: xr.Dataset) -> Values:
    """Return R² and mean squared error, on held-out pairs, of a linear probe of a + b on the neurons after the ReLU.

    The baseline predicts the mean sum of the fitted pairs at every held-out pair.
    """
    result = probe(cube)
    mean_squared_error = float(np.square(result.sums - result.predicted).mean())
    baseline = result.baseline_r2
    return {
        "r2": result.r2,
        "mean_squared_error": mean_squared_error,
        "baseline_r2": baseline,
        "baseline_size": abs(baseline),
    }


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def sum_neurons(cube: xr.Dataset) -> Values:
    """Count the neurons whose correlation with a + b is above 0.9, and those whose absolute correlation is above 0.9."""
    correlation = correlations(cube)["a+b"]
    strong = int((np.abs(correlation) > STRONG_CORRELATION).sum())
    positive = int((correlation > STRONG_CORRELATION).sum())
    return {
        "above": positive,
        "in_size": strong,
        "share_positive": positive / strong if strong else np.nan,
        "of": correlation.size,
    }


def _mean_at_equal_sum(values: NDArray[np.floating], sums: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return, for each pair, the mean value over all pairs with the same sum: [pair]."""
    return (np.bincount(sums, values) / np.bincount(sums))[sums]


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def top_neurons_after_the_relu(cube: xr.Dataset) -> Values:
    """Return how the three neurons most correlated with a + b depend on the sum after the ReLU.

    Lists have one entry per neuron: the fraction of its variance among pairs of equal sum, its threshold, and R² of a
    straight line in the sum above the threshold. The threshold is the largest sum up to which the neuron is 0 at every
    pair, or -1 if there is none.
    """
    post, sums, neurons = activations(cube), targets(cube)["a+b"].astype(int), by_correlation(cube)[:TOP_NEURONS]
    fractions_within_sum, thresholds, r2_above = [], [], []
    for values in post[:, neurons].T:
        fractions_within_sum.append(1 - r_squared(values, _mean_at_equal_sum(values, sums)))
        threshold = int(sums[values > 0].min()) - 1
        above_threshold = sums > threshold
        thresholds.append(threshold)
        r2_above.append(fit(sums[above_threshold, None].astype(float), values[above_threshold]).r2)
    return {"neurons": neurons, "within_sum": fractions_within_sum, "thresholds": thresholds, "r2_above": r2_above}


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def top_neurons_before_the_relu(cube: xr.Dataset) -> Values:
    """Return straight-line fits in a + b to the pre-activations of the three neurons most correlated with a + b.

    Lists have one entry per neuron: R², slope and offset of the fit, and the numbers of pairs at which the
    pre-activation is negative and zero. Also return the range of the offsets.
    """
    pre, sums, neurons = activations(cube, relu=False), targets(cube)["a+b"], by_correlation(cube)[:TOP_NEURONS]
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


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def top_neuron_fit(cube: xr.Dataset) -> Values:
    """Return the linear fit of a pre-activation on the PC 1 and PC 2 scores of a and b.

    The neuron is the one most correlated with a + b. Also return the relative difference of the PC 1 coefficients of a
    and b, the largest absolute PC 2 coefficient over the smallest absolute PC 1 coefficient, and the smaller size of a
    PC 2 coefficient.
    """
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


@quantity(variables=("answer_by_embedding",))
def component_ablation(cube: xr.Dataset) -> Values:
    """Return the accuracy over all pairs with parts of the embedding removed.

    Keys: `before` is with the unchanged embedding, `mean_and_PC1` with only its mean and PC 1, `drop` is the difference
    of these two, and `all_but_PC2` is without PC 2.
    """
    accuracy = 1 - failures(cube).mean(("a", "b"))
    original, mean_and_pc1, all_but_pc2 = (
        float(accuracy.sel(embedding=name)) for name in ("whole", "mean and PC 1", "all but PC 2")
    )
    return {
        "before": original,
        "mean_and_PC1": mean_and_pc1,
        "drop": original - mean_and_pc1,
        "all_but_PC2": all_but_pc2,
    }


def _failing(cube: xr.Dataset) -> NDArray[np.bool_]:
    """Return at which pairs the answer is wrong if the embedding keeps only its mean and PC 1: [a, b]."""
    return failures(cube).sel(embedding="mean and PC 1").values


@quantity(variables=("answer_by_embedding",))
def component_ablation_failures(cube: xr.Dataset) -> Values:
    """Return statistics of the pairs that fail if the embedding keeps only its mean and PC 1.

    Values are the number of failing pairs, the fraction of pairs with a 0 that fail or succeed as in the notebook,
    whether (0, 0) fails, the fraction of pairs (a, b) that fail or succeed as (b, a) does, and the fractions of failing
    pairs among those with both operands from 2 to n - 3 and among all others. In the notebook, (0, 1) to (0, n - 2) and
    their mirrors fail, and (0, 0), (0, n - 1) and (n - 1, 0) do not.
    """
    wrong = _failing(cube)
    n = len(wrong)
    stated_failures = np.array([False] + [True] * (n - 2) + [False])
    as_stated = np.concatenate([wrong[0] == stated_failures, wrong[1:, 0] == stated_failures[1:]])
    middle = wrong[2 : n - 2, 2 : n - 2]
    return {
        "count": int(wrong.sum()),
        "with_a_zero_as_stated": as_stated.mean(),
        "fails_at_0_0": bool(wrong[0, 0]),
        "symmetric": (wrong == wrong.T).mean(),
        "share_in_the_middle": middle.mean(),
        "share_elsewhere": (wrong.sum() - middle.sum()) / (wrong.size - middle.size),
    }


@quantity(variables=())
def even_fourier_basis(cube: xr.Dataset) -> Values:
    """Return the norm over x of sin(2 pi k x / n) at k = n/2, by which the notebook divides.

    For even n, as in the notebook, this sine is 0 at every number x, and so is its norm.
    """
    n = operands(cube)
    return {"norm": float(np.linalg.norm(np.sin(2 * np.pi * (n // 2) * np.arange(n) / n))), "operands": n}
