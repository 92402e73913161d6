"""Quantities of the algorithm at the last checkpoint (paper, sections 1, 3, 4, A.1, C.1 and C.2.1).

A quantity returns values by which claims are judged. Values are lists with one entry per run, unless a docstring says
otherwise. A list "run by run" has several entries for each run, beginning with those of the first run. For a run
without key frequencies, a fraction at key frequencies is 0, a ratio of norms at key frequencies and a loss after an
intervention on key frequencies are NaN, and a list over key frequencies is empty. The change of a test loss
by an intervention is its ratio to the original test loss; the change of an accuracy is the difference from the original
accuracy.

Frequency k stands for w_k = 2 pi k / p with p operand values; w is the w_k of the frequency in question. W_L = W_out
W_U maps neurons to logits. The readout vectors are the vectors W_L cos_k and W_L sin_k over neurons, for key
frequencies k, where cos_k and sin_k have the entries cos w_k c and sin w_k c; names of interventions call these vectors
"W_L's key directions". A key cosine is cos w_k(a + b - c) for a key frequency k, as a function of the pair (a, b) and
the output c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.clusters import ALWAYS_ON
from progress_measures.analysis.embedding import frequency_energies, significant_frequencies
from progress_measures.analysis.readout import READOUT_VARIABLES, cosine_loss, readout_rows, single_term_deviation
from progress_measures.analysis.runs import (
    after_intervention,
    by_run,
    key_frequencies_of,
    operand_count,
    split_sizes,
    uniform_loss,
)
from progress_measures.claims.registry import Values, quantity
from progress_measures.fourier import component_indices
from progress_measures.measures.keys import CLUSTER_FRACTION, KEY_NEURON_FRACTION

if TYPE_CHECKING:
    import xarray as xr


@quantity(variables=("key_frequency",))
def key_frequencies(cube: xr.Dataset) -> Values:
    """Return the number and a list of the key frequencies of each run, and how many different lists the runs have."""
    keys_by_run = by_run(cube, lambda run_cube: key_frequencies_of(run_cube).tolist())
    sets = [f"{run}: {', '.join(map(str, keys))}" for run, keys in zip(cube.run.values, keys_by_run, strict=True)]
    return {
        "count": [len(keys) for keys in keys_by_run],
        "sets": sets,
        "different_sets": len(set(map(tuple, keys_by_run))),
    }


@quantity(variables=("key_blocks_only_loss", "key_blocks_removed_loss", "test_loss"))
def key_block_ablation(cube: xr.Dataset) -> Values:
    """Return the test loss without the key frequencies in the logits, and with only the key frequencies and the mean.

    The components of frequency k are the products of 1, cos and sin of w_k a with 1, cos and sin of w_k b, except the
    constant. The mean of the logits over pairs always stays. Also return the ratio of the loss without the key
    frequencies to the loss of a uniform guess, and the ratio of the loss with the key frequencies alone to the original
    test loss.
    """
    last = cube.isel(epoch=-1)
    removed, kept = last.key_blocks_removed_loss, last.key_blocks_only_loss
    return {
        "test_loss": last.test_loss,
        "key_removed": removed,
        "others_removed": kept,
        "removed_over_chance": removed / uniform_loss(cube),
        "kept_over_original": kept / last.test_loss,
    }


@quantity(variables=())
def dataset_size(cube: xr.Dataset) -> Values:
    """Return the numbers of all pairs, training pairs and test pairs, and the train fraction."""
    return split_sizes(cube)._asdict()


def _intervention(cube: xr.Dataset, name: str) -> Values:
    """Return test loss and accuracy after an intervention, and their changes: ratio of losses, difference of accuracies."""
    original_loss = after_intervention(cube, "none")
    return {
        "loss": after_intervention(cube, name),
        "ratio": after_intervention(cube, name) / original_loss,
        "accuracy": after_intervention(cube, name, "accuracy"),
        "accuracy_change": after_intervention(cube, name, "accuracy") - after_intervention(cube, "none", "accuracy"),
    }


@quantity(variables=("W_L_fraction_explained", "intervention_accuracy"))
def W_L_suffices(cube: xr.Dataset) -> Values:
    """Return the test accuracy if only the neurons' part of the logits, the neurons times W_L, depends on the pair.

    The rest of the logits is replaced by its mean over pairs. Also return the fraction of the logits' variance over pairs
    that the neurons' part explains.
    """
    return {
        "accuracy": after_intervention(cube, "W_L alone", "accuracy"),
        "fraction_explained": cube.W_L_fraction_explained,
    }


@quantity(variables=("W_L_singular_value", "key_frequency"))
def W_L_rank(cube: xr.Dataset) -> Values:
    """Return the fraction of W_L's squared norm in its 2n largest singular values, where n is the number of key frequencies.

    Also return n.
    """

    def fraction(run_cube: xr.Dataset) -> float:
        squares = np.square(run_cube.W_L_singular_value.values)
        return float(squares[: 2 * len(key_frequencies_of(run_cube))].sum() / squares.sum())

    return {
        "share": by_run(cube, fraction),
        "key_frequencies": by_run(cube, lambda run_cube: len(key_frequencies_of(run_cube))),
    }


@quantity(variables=("W_E_fourier_norm", "key_frequency"))
def W_E_frequencies(cube: xr.Dataset) -> Values:
    """Return W_E's significant frequencies and their number, and how many key frequencies are not significant.

    The norm of a frequency is that of its cosine and sine component in W_E together. A frequency is significant if its
    norm exceeds five times the median norm of the non-key frequencies.
    """
    significant = by_run(cube, significant_frequencies)
    missing = by_run(
        cube, lambda run_cube: len(set(key_frequencies_of(run_cube)) - set(significant_frequencies(run_cube)))
    )
    return {
        "count": [len(frequencies) for frequencies in significant],
        "key_frequencies_missing": missing,
        "frequencies": [", ".join(map(str, frequencies)) for frequencies in significant],
    }


@quantity(variables=("W_E",))
def fourier_symmetry(cube: xr.Dataset) -> Values:
    """Compare the norms of W_E's complex Fourier components at k and p - k.

    Return the largest absolute difference over k between the two norms, divided by the largest norm of all, and the
    number of frequencies, (p - 1) / 2.
    """
    p = operand_count(cube)
    differences = []
    for embedding in cube.W_E.values:
        norms = np.linalg.norm(np.fft.fft(embedding[:p], axis=0), axis=1)
        differences.append(float(np.abs(norms[1:] - norms[:0:-1]).max() / norms.max()))
    return {"largest_relative_difference": differences, "frequencies": (p - 1) // 2}


@quantity(variables=("W_E_fourier_norm", "attention_frequency", "attention_frequency_share", "key_frequency"))
def heads_periodic(cube: xr.Dataset) -> Values:
    """Return the frequency that best explains each head's attention to a, and the fraction explained, run by run.

    The fraction is of the variance over pairs. Also return the number of heads, of all runs, whose frequency is neither a key
    frequency nor significant in W_E (see `W_E_frequencies`), and the fraction explained for head 0 of each run.
    """
    is_key_or_significant = [
        int(k) in set(key_frequencies_of(run_cube)) | set(significant_frequencies(run_cube))
        for run_cube in (cube.sel(run=run).isel(epoch=-1) for run in cube.run.values)
        for k in run_cube.attention_frequency.values
    ]
    return {
        "frequency": cube.attention_frequency.values.ravel(),
        "share": cube.attention_frequency_share.values.ravel(),
        "fraction_of_head_0": cube.attention_frequency_share.values[:, 0],
        "unknown_frequencies": is_key_or_significant.count(False),
    }


def _neurons(cube: xr.Dataset, neurons: list[int]) -> Values:
    """Return each given neuron's best frequency and the fraction of the neuron's variance that it explains, run by run.

    The best frequency explains the largest fraction of a neuron's variance over pairs. Also return the number of these
    neurons, of all runs, whose best frequency is not a key frequency.

    Args:
        cube: the cube.
        neurons: indices of the neurons.
    """
    last = cube.isel(epoch=-1)
    frequency = last.neuron_frequency.values[:, neurons]
    non_key_count = sum(
        int(k) not in key_frequencies_of(last.sel(run=run))
        for run, frequencies_of_run in zip(cube.run.values, frequency, strict=True)
        for k in frequencies_of_run
    )
    fraction = last.neuron_fraction_explained.values[:, neurons]
    return {"frequency": frequency.ravel(), "fraction": fraction.ravel(), "of_no_key_frequency": non_key_count}


@quantity(variables=("key_frequency", "neuron_fraction_explained", "neuron_frequency"))
def neuron_0(cube: xr.Dataset) -> Values:
    """Return the best frequency of neuron 0 and the fraction of variance that it explains, run by run; see `_neurons`."""
    return _neurons(cube, neurons=[0])


@quantity(variables=("key_frequency", "neuron_fraction_active", "neuron_fraction_explained", "neuron_frequency"))
def neurons_1_to_4(cube: xr.Dataset) -> Values:
    """Return the best frequency of neurons 1 to 4 and the fraction of variance that it explains, run by run; see `_neurons`.

    Also return, for the first run, the fraction of pairs at which each of the four neurons is active, and the smallest
    fraction of variance explained among the neurons that are active at fewer than 98 % of pairs.
    """
    values = _neurons(cube, neurons=[1, 2, 3, 4])  # run by run, so the first four entries are of the first run
    active = cube.neuron_fraction_active.isel(epoch=-1).values[1:5]  # the variable is of the first run only
    not_always_on = [
        explained
        for explained, fraction_active in zip(values["fraction"], active, strict=False)
        if fraction_active < ALWAYS_ON
    ]
    return values | {
        "least_of_usual_neurons": min(not_always_on, default=np.nan),
        "fraction_of_pairs_at_which_they_fire": active,
    }


@quantity(variables=("key_frequency", "logit_fourier_norm_2d"))
def logit_components(cube: xr.Dataset) -> Values:
    """Compare the large 2D Fourier components of the logits with the components of the key frequencies.

    A component is large if its norm over outputs exceeds 5 % of the largest norm. The components of key frequency k are
    the four products of cos or sin of w_k a with cos or sin of w_k b. Count the large components, the large components
    that belong to no key frequency, and the components of key frequencies that are not large. Also return the fraction
    of the squared norm in the components of key frequencies, and the ratio of the smallest norm of these components to
    the largest of all others. The constant is left out.
    """
    outside, missing, energy, count, norm_ratio = [], [], [], [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        norms = run_cube.logit_fourier_norm_2d.values.copy()
        norms[0, 0] = 0
        expected = np.zeros(norms.shape, dtype=bool)
        for k in key_frequencies_of(run_cube):
            waves = component_indices(np.array([k]))
            expected[np.ix_(waves, waves)] = True
        large = norms > 0.05 * norms.max()
        count.append(int(large.sum()))
        outside.append(int((large & ~expected).sum()))
        missing.append(int((expected & ~large).sum()))
        energy.append(float(np.square(norms[expected]).sum() / np.square(norms).sum()))
        norm_ratio.append(float(norms[expected].min() / norms[~expected].max()) if expected.any() else np.nan)
    return {
        "count": count,
        "outside_blocks": outside,
        "missing_in_blocks": missing,
        "energy_in_blocks": energy,
        "least_inside_over_largest_outside": norm_ratio,
    }


@quantity(variables=("W_L_fourier_norm", "key_frequency"))
def W_L_sparse(cube: xr.Dataset) -> Values:
    """Return how sparse W_L is in the Fourier basis over outputs.

    Values are the ratio of the largest norm of a component at a non-key frequency to the smallest norm at a key
    frequency, the fraction of the squared norm at key frequencies, and the norm of all components that are not at key
    frequencies, including the constant, divided by the norm of W_L.
    """

    def norm_ratio(run_cube: xr.Dataset) -> float:
        """Return the ratio of the largest norm at a non-key frequency to the smallest at a key frequency."""
        norms, key_indices = run_cube.W_L_fourier_norm.values, component_indices(key_frequencies_of(run_cube))
        non_key_norms = np.delete(norms, np.append(key_indices, 0))
        return float(non_key_norms.max() / norms[key_indices].min()) if key_indices.size else np.nan

    def key_fraction(run_cube: xr.Dataset) -> float:
        """Return the fraction of the squared norm of W_L at key frequencies."""
        squares = np.square(run_cube.W_L_fourier_norm.values)
        return float(squares[component_indices(key_frequencies_of(run_cube))].sum() / squares.sum())

    energy_in_keys = by_run(cube, key_fraction)
    return {
        "largest_other_over_least_key": by_run(cube, norm_ratio),
        "energy_in_key_frequencies": energy_in_keys,
        "residual_norm": [float(np.sqrt(1 - fraction)) for fraction in energy_in_keys],
    }


@quantity(variables=("W_E_fourier_norm", "gini_W_E", "key_frequency"))
def W_E_sparse(cube: xr.Dataset) -> Values:
    """Return the Gini coefficient of the norms of W_E's Fourier components, and the number of W_E's significant frequencies.

    `W_E_frequencies` defines significant frequencies.
    """
    return {
        "gini": cube.gini_W_E.isel(epoch=-1),
        "significant_frequencies": by_run(cube, lambda run_cube: len(significant_frequencies(run_cube))),
    }


@quantity(variables=READOUT_VARIABLES)
def readout_identities(cube: xr.Dataset) -> Values:
    """Return how well the neurons' projections on the readout vectors obey the angle-sum identities (Tables 1 and 3).

    Each readout vector of each run gives one row, as in these tables. The neurons' projection on W_L cos_k is fitted in
    two ways: by cos w(a + b), and by cos w a cos w b and sin w a sin w b. The projection on W_L sin_k is fitted by sin
    w(a + b), and by sin w a cos w b and cos w a sin w b. By the identities, the coefficients on the two products have
    the same absolute value as the coefficient on cos or sin of w(a + b); their signs are opposite for the cosine and
    equal for the sine.

    Values are the fractions of variance over pairs that cos or sin of w(a + b) explains, with their minimum, median and
    maximum; the relative differences of the absolute coefficients on the two products; the number of rows with wrong
    signs; and the largest relative difference between the absolute coefficient on cos or sin of w(a + b) and the mean
    absolute coefficient on the products.
    """
    rows = [row for rows_of_run in by_run(cube, readout_rows) for row in rows_of_run]
    asymmetry = {
        wave: [
            abs(abs(first) - abs(second)) / max(abs(first), abs(second))
            for _, row_wave, first, second, *_ in rows
            if row_wave == wave
        ]
        for wave in ("cos", "sin")
    }
    wrong_signs = sum((first * second > 0) != (wave == "sin") for _, wave, first, second, *_ in rows)
    explained = [row[-1] for row in rows]
    return {
        "fraction_explained": explained,
        "least": min(explained, default=np.nan),
        "median": float(np.median(explained)) if explained else np.nan,
        "largest": max(explained, default=np.nan),
        "cos_asymmetry": asymmetry["cos"],
        "sin_asymmetry": asymmetry["sin"],
        "wrong_signs": wrong_signs,
        "single_term_identity": single_term_deviation(rows),
    }


@quantity(
    variables=(
        "logit_fraction_explained_cosines",
        "logit_fraction_explained_cosines_centered_over_outputs",
        "logit_fraction_explained_cosines_centered_over_pairs",
    )
)
def cosine_fit(cube: xr.Dataset) -> Values:
    """Return the fraction of the sum of squares of centered and uncentered logits that the key cosines explain.

    Centered logits have mean 0 over pairs for each output, or mean 0 over outputs for each pair.
    """
    last = cube.isel(epoch=-1)
    name = "logit_fraction_explained_cosines"
    return {
        "centered_over_pairs": last[f"{name}_centered_over_pairs"],
        "uncentered": last[name],
        "centered_over_outputs": last[f"{name}_centered_over_outputs"],
    }


@quantity(variables=("cosine_coefficient", "key_frequency", "test_loss"))
def cosine_logits_loss(cube: xr.Dataset) -> Values:
    """Return the test loss, the loss of the fitted key cosines alone, and the ratio of this loss to the test loss.

    For a run without key frequencies, the logits of the second loss are 0, so this loss is log p.
    """
    approximated, test_loss = by_run(cube, cosine_loss), cube.test_loss.isel(epoch=-1).values
    return {"test_loss": test_loss, "approximated": approximated, "ratio": np.array(approximated) / test_loss}


@quantity(variables=("test_loss",))
def final_test_loss(cube: xr.Dataset) -> Values:
    """Return the test loss at the last checkpoint."""
    return {"test_loss": cube.test_loss.isel(epoch=-1)}


@quantity(variables=("neuron_fraction_explained",))
def neurons_explained(cube: xr.Dataset) -> Values:
    """Return the number and fraction of neurons of whose variance over pairs one frequency explains at least 85 %."""
    fraction = cube.neuron_fraction_explained.isel(epoch=-1).values
    count = (fraction >= CLUSTER_FRACTION).sum(-1)
    return {"count": count, "of": fraction.shape[-1], "share": count / fraction.shape[-1]}


@quantity(variables=("cluster_W_L_fourier_norm", "cluster_size"))
def clusters_local(cube: xr.Dataset) -> Values:
    """Return, for each neuron cluster, the fraction of the squared norm of its rows of W_L at the cluster's frequency.

    A cluster is the neurons whose variance the same frequency explains to at least 85 %; W_L has one row per neuron.
    The list has one entry per cluster, run by run. Clusters of fewer than ten neurons are left out.
    """
    fractions = []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        for k in run_cube.frequency.values[run_cube.cluster_size.values >= 10]:
            squares = np.square(run_cube.cluster_W_L_fourier_norm.sel(frequency=k).values)
            fractions.append(float(squares[component_indices(np.array([k]))].sum() / squares.sum()))
    return {"share": fractions}


@quantity(variables=("cluster_size", "key_frequency"))
def cluster_sizes(cube: xr.Dataset) -> Values:
    """Return the number of neurons in each key frequency's cluster, run by run."""
    sizes_by_run = by_run(
        cube, lambda run_cube: run_cube.cluster_size.sel(frequency=key_frequencies_of(run_cube)).values
    )
    return {"sizes": [int(size) for sizes in sizes_by_run for size in sizes]}


@quantity(variables=("ablated_loss_by_frequency", "key_frequency", "test_loss"))
def single_frequency_ablation(cube: xr.Dataset) -> Values:
    """Return the ratio of the test loss with one frequency removed from the logits to the original test loss.

    Removing frequency k removes the logits' components along the products of 1, cos and sin of w_k a with 1, cos and
    sin of w_k b, except the constant. Values are the ratio for each key frequency, run by run, and the largest ratio
    among the non-key frequencies of each run.
    """
    key_ratios, largest_other_ratios = [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run).isel(epoch=-1)
        ratio = (run_cube.ablated_loss_by_frequency / run_cube.test_loss).values
        key_ratios += ratio[run_cube.key_frequency.values].tolist()
        largest_other_ratios.append(float(ratio[~run_cube.key_frequency.values].max()))
    return {"key_ratio": key_ratios, "largest_other_ratio": largest_other_ratios}


@quantity(variables=("intervention_accuracy", "intervention_loss", "key_frequency"))
def neurons_replaced(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with the neurons in clusters replaced by fits.

    Each of these neurons is fitted by the products of 1, cos and sin of w a with 1, cos and sin of w b, at the frequency of its
    cluster. Values of a run without key frequencies, and so without clusters, are NaN.
    """
    has_clusters = np.array(by_run(cube, lambda run_cube: bool(key_frequencies_of(run_cube).size)))
    values = _intervention(cube, "neurons replaced by fits")
    return {name: np.where(has_clusters, by_name, np.nan) for name, by_name in values.items()}


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def neurons_on_key_directions(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with the neurons projected on the key frequencies' directions.

    Of every neuron, only its mean over pairs and its projection on cos and sin of w(a + b) at the key frequencies are left.
    """
    return _intervention(cube, "neurons on key directions")


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def projected_on_readout(cube: xr.Dataset) -> Values:
    """Return the test loss, and its ratio to the original test loss, with the neurons projected on the readout vectors.

    For values with `skip_kept` in their name, the skip connection around the MLP is unchanged; for the others, the
    skip connection is replaced by its mean over pairs.
    """
    alone, kept = (
        _intervention(cube, name)
        for name in ("W_L's key directions alone, skip at its mean", "W_L's key directions alone")
    )
    return {
        "loss": alone["loss"],
        "ratio": alone["ratio"],
        "loss_skip_kept": kept["loss"],
        "ratio_skip_kept": kept["ratio"],
    }


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def readout_removed(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with the readout vectors removed from the neurons by projection.

    Also return the ratio of the loss to the loss of a uniform guess.
    """
    values = _intervention(cube, "W_L's key directions removed")
    return values | {"loss_over_chance": values["loss"] / uniform_loss(cube)}


@quantity(variables=("mean_attention",))
def self_attention(cube: xr.Dataset) -> Values:
    """Return each head's attention from `=` to itself, averaged over pairs, run by run."""
    return {"mean": cube.mean_attention.isel(epoch=-1).sel(position="=").values.ravel()}


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def self_attention_removed(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, without the attention from `=` to itself.

    The attention to a and b is renormalized to sum 1, except for `ratio_plain`, where it is unchanged.
    """
    zeroed = _intervention(cube, "attention to = zeroed")
    return _intervention(cube, "attention to = shared out") | {"ratio_plain": zeroed["ratio"]}


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def skip_zeroed(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with the skip connection around the MLP set to zero."""
    return _intervention(cube, "MLP skip zeroed")


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def skip_at_mean(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with the skip connection around the MLP replaced by its mean over pairs.

    `over_zero_ablation` is the ratio of this loss to the loss with the connection set to zero.
    """
    values = _intervention(cube, "MLP skip at its mean")
    return values | {"over_zero_ablation": values["loss"] / after_intervention(cube, "MLP skip zeroed")}


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def attention_zeroed(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with the output of the heads set to zero.

    Also return the ratio of the loss to the loss of a uniform guess.
    """
    values = _intervention(cube, "attention zeroed")
    return values | {"loss_over_chance": values["loss"] / uniform_loss(cube)}


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def attention_skip_zeroed(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with the skip connection around the heads set to zero.

    Also return the ratio of the loss to the loss of a uniform guess.
    """
    values = _intervention(cube, "attention skip zeroed")
    return values | {"loss_over_chance": values["loss"] / uniform_loss(cube)}


@quantity(variables=("mean_attention", "sigmoid_deviation"))
def sigmoid_form(cube: xr.Dataset) -> Values:
    """Compare each head's attention to a with the sigmoid of the attention score of a minus that of b.

    Return, for each head, run by run, the mean over pairs of the absolute difference between attention and sigmoid, and
    the mean over pairs of 1 minus the attention to a and b together.
    """
    return {
        "distance_from_sigmoid": cube.sigmoid_deviation.values.ravel(),
        "distance_of_sum_from_1": cube.mean_attention.isel(epoch=-1).sel(position="=").values.ravel(),
    }


@quantity(variables=())
def parameters(cube: xr.Dataset) -> Values:
    """Return the names of the trained biases, and whether embedding and unembedding are tied."""
    names = [str(name) for name in cube.parameter.values]
    return {"biases": sorted(name for name in names if name.startswith("b_")), "tied": "W_U" not in names}


@quantity(variables=("attention_fit_fraction_explained", "attention_frequency"))
def attention_fits(cube: xr.Dataset) -> Values:
    """Return the fraction of the variance of each head's attention to a that a fit at one frequency explains, run by run.

    The fit of Table 2 is 0.5 + alpha (cos w a - cos w b) + beta (sin w a - sin w b), with fitted alpha and beta; the
    variance is over pairs. Also return the frequency of each fit, and the mean fraction over the heads of each run.
    """
    explained = cube.attention_fit_fraction_explained.values
    return {
        "frequency": cube.attention_frequency.values.ravel(),
        "fraction_explained": explained.ravel(),
        "mean": explained.mean(-1),
    }


@quantity(variables=("score_fraction_explained",))
def score_fits(cube: xr.Dataset) -> Values:
    """Return the fraction of each head's score variance that the frequency of its attention explains, run by run.

    The score is the part of the attention score that depends on the operand; its variance is over operand values. The
    frequency is the one that best explains the head's attention to a.
    """
    return {"fraction_explained": cube.score_fraction_explained.values.ravel()}


@quantity(variables=("head_complement_deviation", "score_fourier_coefficient"))
def opposite_heads(cube: xr.Dataset) -> Values:
    """Return the two heads whose attention to a adds up most nearly to 1, one text such as `0 and 2` per run.

    Also return the mean over pairs of the absolute deviation of this sum from 1, and the cosine similarity of the two
    heads' scores as functions of the operand value, each without its mean.
    """
    head_pairs, deviations, cosines = [], [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        deviation = run_cube.head_complement_deviation.values + np.diag([np.inf] * run_cube.sizes["head"])
        i, j = np.unravel_index(deviation.argmin(), deviation.shape)
        scores = run_cube.score_fourier_coefficient.values[:, 1:]
        head_pairs.append(f"{i} and {j}")
        deviations.append(float(deviation.min()))
        cosines.append(float(scores[i] @ scores[j] / np.linalg.norm(scores[i]) / np.linalg.norm(scores[j])))
    return {"heads": head_pairs, "mean_deviation": deviations, "cosine_of_scores": cosines}


@quantity(
    variables=(
        "score_difference_range",
        "sigmoid_linear_fraction_explained",
        "sigmoid_linear_fraction_explained_pooled",
    )
)
def linear_sigmoid(cube: xr.Dataset) -> Values:
    """Return the fraction of the variance of attention to a that a straight line in the score difference explains.

    The score of an operand is the part of the attention score that depends on it; the score difference is the score of
    a minus the score of b. The variance is over pairs, of all heads together (`pooled`) and of each head. Also return
    the largest absolute score difference of each head.
    """
    return {
        "pooled": cube.sigmoid_linear_fraction_explained_pooled,
        "by_head": cube.sigmoid_linear_fraction_explained.values.ravel(),
        "largest_score_difference": cube.score_difference_range.values.ravel(),
    }


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def linear_attention(cube: xr.Dataset) -> Values:
    """Return test loss and accuracy, and their change, with attention to a replaced by a straight line in the score difference.

    The score of an operand is the part of the attention score that depends on it; the score difference is the score of
    a minus the score of b. Attention to b becomes 1 minus attention to a.
    """
    return _intervention(cube, "attention linear in scores")


@quantity(variables=("OV_fourier_norm", "attention_frequency", "key_frequency"))
def OV_structure(cube: xr.Dataset) -> Values:
    """Return which fraction of each head's OV circuit is at key frequencies, and which at its strongest frequency, run by run.

    The fractions are of the OV circuit's Fourier energy (sum of squared norms of the components) without the constant.
    Also return the number of heads, of all runs, whose OV circuit is strongest at the frequency that best explains the
    head's attention to a.
    """
    in_keys, at_strongest, match_count = [], [], 0
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        for head in run_cube["head"].values:
            energy = frequency_energies(run_cube.OV_fourier_norm.sel(head=head).values)
            in_keys.append(float(energy[key_frequencies_of(run_cube) - 1].sum() / energy.sum()))
            at_strongest.append(float(energy.max() / energy.sum()))
            match_count += int(energy.argmax() + 1 == int(run_cube.attention_frequency.sel(head=head)))
    return {
        "energy_in_key_frequencies": in_keys,
        "fraction_of_strongest": at_strongest,
        "strongest_is_attentions": match_count,
    }


@quantity(variables=("W_E_large_frequency", "W_L_large_frequency", "key_frequency"))
def key_rules(cube: xr.Dataset) -> Values:
    """Return the frequencies that three rules find: by the size of neuron clusters, by norm in W_L, and by norm in W_E.

    By norm, a frequency is found if its norm is at least 15 % of the largest. Each value has one text per run.
    """

    def selected(name: str) -> list[str]:
        """Return the frequencies at which a variable is true, one string per run."""
        return by_run(cube, lambda run_cube: ", ".join(map(str, run_cube.frequency.values[run_cube[name].values])))

    return {
        f"clusters_of_{KEY_NEURON_FRACTION:.0%}": selected("key_frequency"),
        "W_L_norm_of_15%": selected("W_L_large_frequency"),
        "W_E_norm_of_15%": selected("W_E_large_frequency"),
    }


@quantity(variables=("key_frequency",))
def fraction_of_frequencies_ablated(cube: xr.Dataset) -> Values:
    """Return the fraction of frequencies, directions and 2D components that are outside the key frequencies.

    n key frequencies are n of (p - 1) / 2 frequencies and 8n of p² 2D Fourier components. Each key frequency has 8: the
    products of 1, cos and sin of w a with 1, cos and sin of w b, without the constant. The paper does not say how it
    counts directions; `of_directions` counts n of p.
    """
    p = operand_count(cube)
    key_counts = by_run(cube, lambda run_cube: len(key_frequencies_of(run_cube)))
    return {
        "of_frequencies": [1 - n / ((p - 1) // 2) for n in key_counts],
        "of_directions": [1 - n / p for n in key_counts],
        "of_components": [1 - 8 * n / p**2 for n in key_counts],
    }


@quantity(
    variables=(
        "excluded_loss",
        "excluded_loss_neurons",
        "key_blocks_only_loss",
        "maximal_excluded_loss",
        "restricted_loss",
        "restricted_loss_neurons",
        "restricted_loss_test",
    )
)
def restricted_levels(cube: xr.Dataset) -> Values:
    """Return the final restricted and excluded losses, by each definition that a source uses."""
    names = ["restricted_loss", "restricted_loss_test", "restricted_loss_neurons", "key_blocks_only_loss"]
    names += ["excluded_loss", "excluded_loss_neurons", "maximal_excluded_loss"]
    return {name: cube[name].isel(epoch=-1) for name in names}


@quantity(
    variables=(
        "gini_W_E",
        "gini_W_E_by_frequency",
        "gini_W_E_without_constant",
        "gini_W_L",
        "gini_W_L_by_frequency",
        "gini_W_L_without_constant",
        "gini_W_U",
    )
)
def gini_variants(cube: xr.Dataset) -> Values:
    """Return the final Gini coefficients of the norms of Fourier components of W_E, W_L and W_U.

    W_E and W_L have three coefficients each: over all components, over all components but the constant, and over
    frequencies.
    """
    names = [f"gini_{w}{kind}" for w in ("W_E", "W_L") for kind in ("", "_without_constant", "_by_frequency")]
    return {name: cube[name].isel(epoch=-1) for name in [*names, "gini_W_U"]}
