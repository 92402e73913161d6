"""Quantities of the integer addition notebook, the values by which its claims are judged.

All values are of the first run; the experiment has no other.

PC 1 and PC 2 are the first two principal components of the embedding W_E of the operand values 0 to n - 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.analysis.crossings import first_reaching, lead
from progress_measures.analysis.embedding import operand_embedding
from progress_measures.analysis.integer_sums import (
    activations,
    correlations,
    embedding_components,
    failures,
    functions_of_pair,
    least_squares,
    neuron_fit,
    neurons_by_correlation,
    probe,
    r_squared,
)
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES
from progress_measures.analysis.runs import labeled_inputs, operand_count, split_pairs, split_sizes, task_of
from progress_measures.claims.registry import Values, quantity

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

STRONG_CORRELATION = 0.9  # the notebook's bound for a neuron that correlates strongly with a + b
TOP_NEURONS = 3  # number of neurons that are examined one by one

# ---- data and training


@quantity(variables=())
def sums_to_learn(cube: xr.Dataset) -> Values:
    """Return the numbers of training pairs, test pairs, tokens and outputs, and the first five training and test pairs.

    Also return the train fraction and the largest sum.
    """
    sizes, task_sizes = split_sizes(cube), task_of(cube).sizes
    train, test = (labeled_inputs(cube, pairs[:5])[0] for pairs in split_pairs(cube.isel(run=0)))
    return {
        "train": sizes.train,
        "test": sizes.test,
        "train_fraction": sizes.train_fraction,
        "inputs": task_sizes.vocabulary,
        "outputs": task_sizes.outputs,
        "largest_sum": 2 * task_sizes.operand_count - 2,
        "train_pairs": [row[:2] for row in train],
        "test_pairs": [row[:2] for row in test],
    }


@quantity(variables=("answer_by_embedding", "history_test_accuracy", "history_train_accuracy"))
def sums_learned(cube: xr.Dataset) -> Values:
    """Return the final accuracy over all pairs, and the first epochs with at least 99 % train and 99 % test accuracy.

    `delay` is the number of epochs from the train accuracy's epoch to the test accuracy's.
    """
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
    """Compute the lag-1 autocorrelation of each dimension of the embedding W_E as a function of the operand value.

    The autocorrelation is near 1 if a dimension varies slowly with the operand value, and near 0 for noise. Return its mean over
    dimensions, and the fraction of dimensions in which it is positive.
    """
    centered = operand_embedding(cube.isel(run=0))
    centered -= centered.mean(0)
    by_dimension = (centered[1:] * centered[:-1]).sum(0) / np.square(centered).sum(0)
    return {"autocorrelation": by_dimension.mean(), "fraction_of_dimensions_above_0": (by_dimension > 0).mean()}


def _polynomial(values: NDArray[np.floating], degree: int) -> tuple[NDArray[Any], float]:
    """Fit values [operand] by a polynomial in the operand value; return its coefficients, from degree 0 up, and R²."""
    operand_values = np.arange(len(values))
    polynomial = np.polynomial.Polynomial.fit(operand_values, values, degree)
    return polynomial.convert().coef, r_squared(values, polynomial(operand_values))


@quantity(variables=("W_E",))
def first_component_line(cube: xr.Dataset) -> Values:
    """Fit a straight line in the operand value to the PC 1 scores of the embedding; return R², slope and intercept.

    The sign of PC 1 is chosen so that the slope is negative. The scores are centered, so the ratio of the intercept to the
    slope is minus the mean operand value (`mean_number`).
    """
    scores = embedding_components(cube).scores[:, 0]
    (intercept, slope), r2 = _polynomial(scores, degree=1)
    return {
        "r2": r2,
        "slope": -abs(slope),
        "intercept": float(-np.sign(slope) * intercept),
        "intercept_over_slope": intercept / slope,
        "mean_number": (len(scores) - 1) / 2,
    }


@quantity(variables=("W_E",))
def component_shares(cube: xr.Dataset) -> Values:
    """Return the fractions of the embedding's variance in PC 1, in PC 2, in both together, and in all other components."""
    fractions = embedding_components(cube).fractions_explained
    return {"PC1": fractions[0], "PC2": fractions[1], "both": fractions[:2].sum(), "others": fractions[2:].sum()}


@quantity(variables=("W_E",))
def second_component_parabola(cube: xr.Dataset) -> Values:
    """Fit a parabola in the operand value to the PC 2 scores of the embedding; return R² and the operand value at its vertex."""
    (_, linear, quadratic), r2 = _polynomial(embedding_components(cube).scores[:, 1], degree=2)
    return {"r2": r2, "vertex": -linear / (2 * quadratic)}


@quantity(variables=("W_E",))
def numbers_in_order(cube: xr.Dataset) -> Values:
    """Return whether the embedding's PC 1 scores are strictly monotone in the operand value."""
    steps = np.diff(embedding_components(cube).scores[:, 0])
    return {"monotone": bool((steps > 0).all() or (steps < 0).all())}


# ---- neurons


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def sum_probe(cube: xr.Dataset) -> Values:
    """Predict a + b linearly from the neurons after the ReLU; return R² and mean squared error on held-out pairs.

    The baseline predicts the mean sum of the fitted pairs at every held-out pair. `baseline_size` is the absolute value
    of the baseline's R².
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
    """Count the neurons whose correlation with a + b is above 0.9 (`above`) or above 0.9 in absolute value (`in_size`).

    `fraction_positive` is `above` divided by `in_size`, NaN if `in_size` is 0; `of` is the number of all neurons.
    """
    correlation = correlations(cube)["a+b"]
    strong = int((np.abs(correlation) > STRONG_CORRELATION).sum())
    positive = int((correlation > STRONG_CORRELATION).sum())
    return {
        "above": positive,
        "in_size": strong,
        "fraction_positive": positive / strong if strong else np.nan,
        "of": correlation.size,
    }


def _mean_at_equal_sum(values: NDArray[np.floating], sums: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return, for each pair, the mean value over all pairs with the same sum: [pair]."""
    return (np.bincount(sums, values) / np.bincount(sums))[sums]


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def top_neurons_after_the_relu(cube: xr.Dataset) -> Values:
    """Return how the three neurons that correlate most strongly with a + b depend on this sum, after the ReLU.

    Lists have one entry per neuron: the fraction of its variance over pairs that lies within groups of equal sum,
    its threshold, and R² of a straight line in the sum, fitted at the pairs with a sum above the threshold. The
    threshold is the largest sum up to which the neuron is 0 at every pair, or -1 if the neuron is active at sum 0.
    """
    post, sums, neurons = (
        activations(cube),
        functions_of_pair(cube)["a+b"].astype(int),
        neurons_by_correlation(cube)[:TOP_NEURONS],
    )
    fractions_within_sum, thresholds, r2_above = [], [], []
    for values in post[:, neurons].T:
        fractions_within_sum.append(1 - r_squared(values, _mean_at_equal_sum(values, sums)))
        threshold = int(sums[values > 0].min()) - 1
        above_threshold = sums > threshold
        thresholds.append(threshold)
        r2_above.append(least_squares(sums[above_threshold, None].astype(float), values[above_threshold]).r2)
    return {"neurons": neurons, "within_sum": fractions_within_sum, "thresholds": thresholds, "r2_above": r2_above}


@quantity(variables=(*ACTIVATION_VARIABLES, "W_E"))
def top_neurons_before_the_relu(cube: xr.Dataset) -> Values:
    """Fit straight lines in a + b to the pre-activations of the three neurons that correlate most strongly with a + b.

    The correlation is that of the activation after the ReLU and may be negative. Lists have one entry per neuron: R²,
    slope and intercept (`offsets`), and the numbers of pairs at which the pre-activation is negative and at which it
    is 0. Also return the largest minus the smallest intercept.
    """
    pre, sums, neurons = (
        activations(cube, relu=False),
        functions_of_pair(cube)["a+b"],
        neurons_by_correlation(cube)[:TOP_NEURONS],
    )
    fits = [least_squares(sums[:, None], values) for values in pre[:, neurons].T]
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
    """Fit a neuron's pre-activation linearly by the PC 1 and PC 2 scores of a and b, at the pairs with a + b < n.

    The neuron is the one whose activation after the ReLU correlates most strongly with a + b. Also return the absolute
    difference of the PC 1 coefficients of a and b, divided by the absolute PC 1 coefficient of a; the ratio of the
    larger absolute PC 2 coefficient to the smaller absolute PC 1 coefficient; and the smaller absolute PC 2
    coefficient.
    """
    neuron = int(neurons_by_correlation(cube)[0])
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

    `before` is the accuracy with the unchanged embedding, `mean_and_PC1` with only its mean and PC 1, and `all_but_PC2`
    without PC 2. `drop` is `before` minus `mean_and_PC1`.
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

    A pair fails if its answer is wrong. Among the pairs with an operand 0, the notebook's network fails at (0, 1) to
    (0, n - 2) and at (1, 0) to (n - 2, 0), but not at (0, 0), (0, n - 1) and (n - 1, 0). `with_a_zero_as_stated` is the
    fraction of the pairs with an operand 0 at which our network fails or succeeds like the notebook's. `symmetric` is the
    fraction of pairs (a, b) at which our network fails or succeeds as at (b, a). `fraction_in_the_middle` is the
    fraction of failing pairs among the pairs with both operands from 2 to n - 3, `fraction_elsewhere` among all other
    pairs.
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
        "fraction_in_the_middle": middle.mean(),
        "fraction_elsewhere": (wrong.sum() - middle.sum()) / (wrong.size - middle.size),
    }


@quantity(variables=())
def even_fourier_basis(cube: xr.Dataset) -> Values:
    """Return the norm over x = 0 to n - 1 of sin(2 pi k x / n) at k = n/2; the notebook divides by this norm.

    The notebook's n is even. Then this sine is 0 at every x, and its norm is 0, up to rounding.
    """
    n = operand_count(cube)
    return {"norm": float(np.linalg.norm(np.sin(2 * np.pi * (n // 2) * np.arange(n) / n))), "operands": n}
