"""What the integer addition notebook says of its network. All is of the first run, at the last checkpoint."""

import numpy as np

from progress_measures.claims.quantities.curves import lead
from progress_measures.claims.quantities.mechanism import dataset_size
from progress_measures.claims.quantities.subtraction import first_pairs_of_split, task_of
from progress_measures.claims.registry import quantity
from progress_measures.cube.integer_sums import (
    activations,
    by_correlation,
    correlations,
    embedding,
    explained,
    failures,
    fit,
    neuron_fit,
    probe,
    targets,
)
from progress_measures.cube.select import first_reaching
from progress_measures.tasks import layout

STRONG = 0.9  # a correlation with the sum
TOP = 3  # neurons that are looked at one by one

# ---- data and training


@quantity
def sums_to_learn(cube):
    """Sizes of the task and of its split, and the first five pairs of both parts."""
    size, sizes, pairs = dataset_size(cube), layout(task_of(cube)), first_pairs_of_split(cube)
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
def sums_learned(cube):
    """Accuracy over all pairs at the end, and how long the test pairs come after the training pairs."""
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
def smooth_embedding(cube):
    """Correlation of the embeddings of neighboring numbers, mean over dimensions: 1 for slow waves, 0 for noise."""
    centered = cube.W_E.isel(run=0).values[:-1].astype(float)
    centered -= centered.mean(0)
    by_dimension = (centered[1:] * centered[:-1]).sum(0) / np.square(centered).sum(0)
    return {"autocorrelation": by_dimension.mean(), "share_of_dimensions_above_0": (by_dimension > 0).mean()}


def _polynomial(values, degree):
    """Coefficients, ascending, of the polynomial in the number that fits best, and R²."""
    number = np.arange(len(values))
    fitted = np.polynomial.Polynomial.fit(number, values, degree)
    return fitted.convert().coef, explained(values, fitted(number))


@quantity
def first_component_line(cube):
    """The straight line through the scores on PC 1, its sign chosen so that it falls."""
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
def component_shares(cube):
    """Shares of variance of the first two components, together, and of all others."""
    shares = embedding(cube).shares
    return {"PC1": shares[0], "PC2": shares[1], "both": shares[:2].sum(), "others": shares[2:].sum()}


@quantity
def second_component_parabola(cube):
    """The parabola through the scores on PC 2."""
    (_, slope, bend), r2 = _polynomial(embedding(cube).scores[:, 1], 2)
    return {"r2": r2, "vertex": -slope / (2 * bend)}


@quantity
def numbers_in_order(cube):
    """Whether the scores on PC 1 fall, or rise, from each number to the next."""
    steps = np.diff(embedding(cube).scores[:, 0])
    return {"monotone": bool((steps > 0).all() or (steps < 0).all())}


# ---- neurons


@quantity
def sum_probe(cube):
    """A linear probe of the sum on the neurons after the ReLU, on held-out pairs, and the mean as a guess."""
    found = probe(cube)
    error = float(np.square(found.sums - found.predicted).mean())
    baseline = found.baseline_r2
    return {"r2": found.r2, "mean_squared_error": error, "baseline_r2": baseline, "baseline_size": abs(baseline)}


@quantity
def sum_neurons(cube):
    """How many neurons correlate with the sum above 0.9, and in size above 0.9."""
    r = correlations(cube)["a+b"]
    either = int((np.abs(r) > STRONG).sum())
    positive = int((r > STRONG).sum())
    return {
        "above": positive,
        "in_size": either,
        "share_positive": positive / either if either else np.nan,
        "of": r.size,
    }


def _by_sum(values, sums):
    """The mean over pairs of equal sum, at each pair."""
    return (np.bincount(sums, values) / np.bincount(sums))[sums]


@quantity
def top_neurons_after_the_relu(cube):
    """The neurons that correlate most with the sum: how far they depend on it alone, where they begin, how straight they are.

    The threshold is the largest sum up to which a neuron is 0 at every pair, -1 if there is none.
    """
    post, sums, chosen = activations(cube), targets(cube)["a+b"].astype(int), by_correlation(cube)[:TOP]
    within, thresholds, straight = [], [], []
    for values in post[:, chosen].T:
        within.append(1 - explained(values, _by_sum(values, sums)))
        threshold = int(sums[values > 0].min()) - 1
        rows = sums > threshold
        thresholds.append(threshold)
        straight.append(fit(sums[rows, None].astype(float), values[rows]).r2)
    return {"neurons": chosen, "within_sum": within, "thresholds": thresholds, "r2_above": straight}


@quantity
def top_neurons_before_the_relu(cube):
    """Straight lines in the sum through the pre-activations of those neurons, and how often these are negative or 0."""
    pre, sums, chosen = activations(cube, relu=False), targets(cube)["a+b"], by_correlation(cube)[:TOP]
    fits = [fit(sums[:, None], values) for values in pre[:, chosen].T]
    offsets = [one.intercept for one in fits]
    return {
        "neurons": chosen,
        "r2": [one.r2 for one in fits],
        "slopes": [float(one.coefficients[0]) for one in fits],
        "offsets": offsets,
        "offsets_differ_by": max(offsets) - min(offsets),
        "negative": (pre[:, chosen] < 0).sum(0),
        "zero": (pre[:, chosen] == 0).sum(0),
    }


@quantity
def top_neuron_fit(cube):
    """Fit of the pre-activation of the neuron that correlates most with the sum on the PC scores of a and b."""
    neuron = int(by_correlation(cube)[0])
    found = neuron_fit(cube, neuron)
    pc1_a, pc2_a, pc1_b, pc2_b = np.abs(found.coefficients)
    return {
        "neuron": neuron,
        "r2": found.r2,
        "coefficients": found.coefficients,
        "intercept": found.intercept,
        "PC1_of_a_and_b_differ_by": abs(found.coefficients[0] - found.coefficients[2]) / pc1_a,
        "PC2_over_PC1": max(pc2_a, pc2_b) / min(pc1_a, pc1_b),
        "least_PC2": min(pc2_a, pc2_b),
    }


# ---- ablations


@quantity
def component_ablation(cube):
    """Accuracy over all pairs with the whole embedding, with the mean and PC 1 alone, and without PC 2 alone."""
    right = 1 - failures(cube).mean(("a", "b"))
    before, after, without = (float(right.sel(embedding=name)) for name in ("whole", "mean and PC 1", "all but PC 2"))
    return {"before": before, "mean_and_PC1": after, "drop": before - after, "all_but_PC2": without}


def _failing(cube):
    """Where the mean and PC 1 alone fail: [a, b]."""
    return failures(cube).sel(embedding="mean and PC 1").values


@quantity
def component_ablation_failures(cube):
    """Which pairs fail with the mean and PC 1 alone; how many of those with a 0 do as the notebook says.

    It says that (0, 1) to (0, n - 2) and their mirrors fail, and that (0, 0), (0, n - 1) and (n - 1, 0) do not.
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
def even_fourier_basis(cube):
    """Norm of sin(2 pi k x / n) at k = n/2, which the notebook divides by: 0 for the even n of its task."""
    n = layout(task_of(cube)).operands
    return {"norm": float(np.linalg.norm(np.sin(2 * np.pi * (n // 2) * np.arange(n) / n))), "operands": n}
