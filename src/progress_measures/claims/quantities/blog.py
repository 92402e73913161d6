"""Quantities for the claims of the blog post on a published run (a companion of the paper), from a cube's first run.

W_neur is a head's contribution to each neuron per unit of attention, and W_attn is a head's attention score, as
functions of the attended token. W_L = W_out W_U maps neurons to logits. For frequency k, w_k = 2 pi k/p; the directions
of the frequency are cos w_k(a + b) and sin w_k(a + b). A neuron is clustered if one frequency explains at least 85 % of
its variance, and always on if it is active at 98 % of the pairs or more. A value that is taken at the end of a phase is
NaN if the rule for phases does not find this end. The first epoch of an event that does not occur is infinite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.clusters import ALWAYS_ON, cluster_masks, clustered
from progress_measures.analysis.crossings import (
    first_below,
    first_reaching,
    lead,
    lead_where_known,
    nearest_checkpoint,
)
from progress_measures.analysis.embedding import frequency_energies, operand_embedding
from progress_measures.analysis.phases import PHASE_ENDS, phase_end_epochs
from progress_measures.analysis.runs import after_intervention, key_frequencies_of, operand_count, task_of
from progress_measures.claims.registry import Values, quantity
from progress_measures.claims.schema import load_claims
from progress_measures.fourier import component_indices
from progress_measures.measures.keys import CLUSTER_FRACTION
from progress_measures.measures.spectra import TERMS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


def _first_run(cube: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the cube of the first run, and this cube at its last epoch (runs of the mainline do not stop early)."""
    run_cube = cube.isel(run=0)
    return run_cube, run_cube.isel(epoch=-1)


# ---- the task, the run, its losses


@quantity(variables=())
def example_sum(cube: xr.Dataset) -> Values:
    """Return the label of the pair (70, 50)."""
    labels = task_of(cube).label_table()  # the remainders keep the pair inside the table of a small task
    return {"label": int(labels[70 % len(labels), 50 % len(labels)])}


@quantity(variables=())
def run_layout(cube: xr.Dataset) -> Values:
    """Return the numbers of evaluations, checkpoints and epochs of our run; we do not have the file of the blog's run."""
    return {
        "published_file": "missing: not part of this project",
        "evaluations": cube.sizes["history_epoch"],
        "checkpoints": cube.sizes["epoch"],
        "epochs": int(cube.epoch[-1]),
    }


@quantity(variables=(*PHASE_ENDS, "history_test_loss", "history_train_loss"))
def grokking_landmarks(cube: xr.Dataset) -> Values:
    """Return the first epochs at which train and test loss are below 1e-6, and the start and end of the fall of the test loss.

    The fall starts at the end of circuit formation and ends at the end of cleanup. Also return the ratio of the epoch
    at which the fall ends to the epoch at which it starts.
    """
    train, test = (first_below(cube[f"history_{split}_loss"].isel(run=[0]), 1e-6)[0] for split in ("train", "test"))
    _, fall_start, fall_end = phase_end_epochs(_first_run(cube)[0])
    return {
        "train_below_1e-6": float(train),
        "test_below_1e-6": float(test),
        "fall_starts": fall_start,
        "fall_ends": fall_end,
        "end_over_start": fall_end / fall_start,
    }


@quantity(variables=(*PHASE_ENDS, "excluded_loss"))
def excluded_loss_landmarks(cube: xr.Dataset) -> Values:
    """Return the end of memorization, and the epoch of the minimum of the excluded loss before cleanup."""
    run_cube, _ = _first_run(cube)
    memorization_end, formation_end, _ = phase_end_epochs(run_cube)
    before_cleanup = run_cube.excluded_loss.sel(epoch=slice(0, formation_end))
    has_minimum = np.isfinite(formation_end) and before_cleanup.notnull().any()
    minimum_epoch = float(before_cleanup.idxmin()) if has_minimum else np.nan
    return {"memorized": memorization_end, "excluded_loss_least": minimum_epoch}


@quantity(variables=(*PHASE_ENDS, "excluded_loss_by_frequency", "key_frequency", "test_loss"))
def excluded_rises_early(cube: xr.Dataset) -> Values:
    """Return how far the excluded loss of each key frequency has risen halfway to the end of circuit formation.

    The excluded loss of a key frequency is the train loss if the directions of this frequency alone are removed from
    the logits. Halfway is half the epoch at which circuit formation ends. The rise is the excluded loss halfway,
    divided by its smallest value until then; the list of rises is empty if the rule finds no end of circuit formation.
    Also return the number of key frequencies with a rise of 3 or more. For each key frequency, return the epoch at
    which its excluded loss is smallest before the end of circuit formation, divided by the epoch at which memorization
    ends. Also return the absolute relative change of the test loss from the end of memorization to halfway.
    """
    run_cube, last = _first_run(cube)
    memorization_end, formation_end, _ = phase_end_epochs(run_cube)
    halfway = formation_end / 2
    keys: NDArray[np.int64] | list[int] = key_frequencies_of(last) if np.isfinite(formation_end) else []
    curves = [run_cube.excluded_loss_by_frequency.sel(frequency=k, epoch=slice(0, halfway)).values for k in keys]
    rises = [float(curve[-1] / curve.min()) for curve in curves]
    before_cleanup = run_cube.excluded_loss_by_frequency.sel(epoch=slice(0, formation_end))
    minimum_epochs = [float(before_cleanup.epoch[before_cleanup.sel(frequency=k).values.argmin()]) for k in keys]
    test_losses = [float(nearest_checkpoint(run_cube.test_loss, epoch)) for epoch in (memorization_end, halfway)]
    return {
        "at_epoch": halfway,
        "over_least": rises,
        "risen_threefold": sum(rise >= 3 for rise in rises),
        "least_over_memorization_end": [epoch / memorization_end for epoch in minimum_epochs],
        "test_loss_change": abs(test_losses[1] / test_losses[0] - 1),
    }


@quantity(variables=("intervention_loss",))
def loss_of_all_pairs(cube: xr.Dataset) -> Values:
    """Return the final loss over all pairs."""
    return {"loss": float(after_intervention(cube, "none", split="all")[0])}


@quantity(variables=())
def implied_train_loss(cube: xr.Dataset) -> Values:
    """Compute the train loss that follows from the blog's loss over all pairs and the paper's test loss.

    70 % of the pairs are test pairs, so the loss over all pairs is 0.3 times the train loss plus 0.7 times the test loss.
    """
    claims = load_claims()
    all_pairs_loss, test_loss = (
        claims["blog.original_loss"].published,
        claims["paper.s4_2.final_test_loss"].published["loss"],
    )
    return {"implied_train_loss": (all_pairs_loss - 0.7 * test_loss) / 0.3}


# ---- attention, neurons and embedding


@quantity(variables=())
def final_attention_shapes(cube: xr.Dataset) -> Values:
    """Return the shapes of the attention from `=` at all pairs, and of its mean over pairs."""
    heads, pairs = cube.sizes["head"], operand_count(cube) ** 2
    return {"attention": [pairs, heads, cube.sizes["position"]], "mean": [heads, cube.sizes["position"]]}


@quantity(variables=())
def circuit_shapes(cube: xr.Dataset) -> Values:
    """Return the shapes of W_neur and W_attn, without the token `=`."""
    heads, n = cube.sizes["head"], operand_count(cube)
    return {"W_neur": [heads, n, cube.sizes["neuron"]], "W_attn": [heads, n]}


@quantity(variables=("mean_attention",))
def mean_attention_by_head(cube: xr.Dataset) -> Values:
    """Return the mean over pairs of the attention from `=` to a, to b and to `=`, for every head."""
    attention = _first_run(cube)[1].mean_attention
    return {
        "to_a_and_b": attention.sel(position=["a", "b"]).values.ravel(),
        "to_itself": attention.sel(position="=").values,
    }


@quantity(variables=("neuron_fraction_active", "neuron_fraction_explained"))
def first_neurons(cube: xr.Dataset) -> Values:
    """Count how many of the first three neurons are clustered or always on (`periodic_or_on`).

    Also return, for each neuron, the fraction of variance that its best frequency explains, and the fraction of pairs at which
    it is active.
    """
    last = _first_run(cube)[1].isel(neuron=slice(3))
    explained, active = last.neuron_fraction_explained.values, last.neuron_fraction_active.values
    periodic_or_on = (explained >= CLUSTER_FRACTION) | (active >= ALWAYS_ON)
    return {"share": explained, "fires": active, "periodic_or_on": int(periodic_or_on.sum())}


@quantity(variables=("key_frequency", "neuron_value_token"))
def W_neur_in_keys(cube: xr.Dataset) -> Values:
    """Return, for each head, the fraction of the variance of W_neur over operand tokens that lies at the key frequencies.

    Sums of squares are over all neurons. Also return the mean over heads.
    """
    W_neur = cube.neuron_value_token.values[:, :-1]  # without the token `=`
    squares = np.square(np.einsum("cx,hxn->hcn", fourier.basis(W_neur.shape[1]), W_neur)).sum(-1)
    fraction = squares[:, component_indices(key_frequencies_of(_first_run(cube)[1]))].sum(-1) / squares[:, 1:].sum(-1)
    return {"share": fraction, "mean": float(fraction.mean())}


@quantity(variables=("W_E", "W_E_fourier_norm", "key_frequency"))
def embedding_few_components(cube: xr.Dataset) -> Values:
    """Count how many of the largest Fourier components are needed to hold 90 % of W_E's squared norm.

    Also return the fraction of the squared norm in the 2 (m + 1) largest components, for m key frequencies (as many
    components as m + 1 frequencies have). For dimension 0 of the residual stream alone, return the number of components
    that hold 90 %.
    """
    last = _first_run(cube)[1]
    squares = np.sort(np.square(last.W_E_fourier_norm.values.astype(float)))[::-1]
    cumulative = squares.cumsum() / squares.sum()
    dimension_0 = operand_embedding(last)[:, 0]
    squares_of_0 = np.sort(np.square(fourier.basis(len(dimension_0)) @ dimension_0))[::-1]
    return {
        "components_for_90_percent": int((cumulative < 0.9).sum()) + 1,
        "fraction_of_largest": float(cumulative[2 * len(key_frequencies_of(last)) + 1]),
        "components_of_dimension_0": int((squares_of_0.cumsum() / squares_of_0.sum() < 0.9).sum()) + 1,
    }


@quantity(variables=("W_E", "key_frequency"))
def embedding_dimensions(cube: xr.Dataset) -> Values:
    """Summarize which fraction of each residual-stream dimension of W_E a single cosine or sine of the operand explains.

    The fraction is of the dimension's variance over operand values, for its strongest cosine or sine. Return the median over
    dimensions, the number of dimensions with a fraction of at least 80 %, for how many of these dimensions the strongest cosine
    or sine has a key frequency, and the number of all dimensions (`of`).
    """
    last = _first_run(cube)[1]
    embedding = operand_embedding(last)
    squares = np.square(fourier.basis(len(embedding)) @ embedding)[1:]  # without the constant
    fraction = squares.max(0) / squares.sum(0)
    single = fraction >= 0.8
    frequencies = squares.argmax(0) // 2 + 1
    return {
        "median": float(np.median(fraction)),
        "of_one_term": int(single.sum()),
        "of_one_key_term": int(np.isin(frequencies[single], key_frequencies_of(last)).sum()),
        "of": fraction.size,
    }


# ---- the algorithm


@quantity(variables=("W_L_large_frequency", "neuron_frequency"))
def neurons_best_frequencies(cube: xr.Dataset) -> Values:
    """Return the neurons' best frequencies, the number of neurons with each, and the large frequencies of W_L.

    A neuron's best frequency explains the largest fraction of the neuron's variance. For a constant neuron it is 0, and
    `unique`, the number of different best frequencies, does not count it. A frequency is large if its norm in W_L is at
    least 15 % of the largest norm of a frequency. `same_sets` is true if the large frequencies are exactly those that
    are best for at least ten neurons each.
    """
    last = _first_run(cube)[1]
    frequencies, counts = np.unique(last.neuron_frequency.values, return_counts=True)
    frequent = [int(k) for k in frequencies[counts >= 10] if k]
    by_norm = last.frequency.values[last.W_L_large_frequency.values].tolist()
    return {
        "unique": int((frequencies > 0).sum()),
        "frequencies": ", ".join(map(str, frequencies)),
        "neurons": ", ".join(map(str, counts)),
        "W_L_norm": ", ".join(map(str, by_norm)),
        "same_sets": frequent == by_norm,
    }


@quantity(variables=("neuron_fraction_explained", "neuron_frequency_share"))
def clusters_explained(cube: xr.Dataset) -> Values:
    """Return quantiles, over clustered neurons, of the fraction of a neuron's Fourier energy at its frequency.

    The energy at frequency k is that in the products of 1, cos and sin of w_k a with 1, cos and sin of w_k b, except
    the constant. The denominator is the sum of these energies over all frequencies. Without clusters, the values are NaN.
    """
    last = _first_run(cube)[1]
    by_frequency = last.neuron_frequency_share.values[clustered(last)]
    fraction = by_frequency.max(-1) / by_frequency.sum(-1)
    quantiles = np.quantile(fraction, [0, 0.1, 0.5, 1]) if fraction.size else np.full(4, np.nan)
    return dict(zip(("least", "tenth_percentile", "median", "largest"), map(float, quantiles), strict=True))


@quantity(variables=("neuron_fraction_explained", "neuron_frequency"))
def cluster_counts(cube: xr.Dataset) -> Values:
    """Return the number of neurons in each cluster, and the number and fraction of neurons outside all clusters."""
    last = _first_run(cube)[1]
    sizes = {str(k): int(mask.sum()) for k, mask in cluster_masks(last).items()}
    unclustered = last.sizes["neuron"] - sum(sizes.values())
    return {
        "sizes": sizes,
        "none": unclustered,
        "total": sum(sizes.values()) + unclustered,
        "fraction_of_none": unclustered / last.sizes["neuron"],
    }


@quantity(variables=())
def published_cluster_sums(cube: xr.Dataset) -> Values:
    """Return the sum of the blog's cluster sizes, with and without the neurons that the blog calls always firing."""
    sizes = dict(load_claims()["blog.clusters"].published)
    always_firing = sizes.pop("always_firing")
    return {"total": sum(sizes.values()) + always_firing, "tuned": sum(sizes.values())}


@quantity(variables=("neuron_fraction_active", "neuron_fraction_explained"))
def unclustered_fire(cube: xr.Dataset) -> Values:
    """Return the median, over neurons outside all clusters, of the fraction of pairs at which a neuron is active.

    Also return the number of neurons outside all clusters, and how many of them are always on. If every neuron is in a
    cluster, the median is NaN.
    """
    last = _first_run(cube)[1]
    active = last.neuron_fraction_active.values[~clustered(last)]
    return {
        "median": float(np.median(active)) if active.size else np.nan,
        "neurons": int(active.size),
        "always_on": int((active >= ALWAYS_ON).sum()),
    }


@quantity(variables=("neuron_fraction_explained", "neuron_frequency", "neuron_frequency_share"))
def clusters_in_own_frequency(cube: xr.Dataset) -> Values:
    """Return the mean, over a cluster's neurons, of the fraction of variance that the cluster's frequency explains.

    There is one value per cluster. Clusters of fewer than ten neurons are left out.
    """
    last = _first_run(cube)[1]
    fractions = {
        k: float(last.neuron_frequency_share.values[mask, k - 1].mean())
        for k, mask in cluster_masks(last).items()
        if mask.sum() >= 10
    }
    return {"frequency": list(fractions), "share": list(fractions.values())}


@quantity(variables=("intervention_loss", "neuron_fraction_explained"))
def clusters_kept(cube: xr.Dataset) -> Values:
    """Return the loss over all pairs if each neuron in a cluster is replaced by its fit at the cluster's frequency.

    The fit is by 1, cos and sin of w_k a and of w_k b, and their products. For `kept`, the neurons outside all clusters
    are unchanged; for `alone`, they are replaced by their mean over pairs. Both are NaN if no neuron is in a cluster.
    W_L maps the neurons to logits; the contribution of other paths to the logits is replaced by its mean over pairs.
    Also return the original loss, the ratio of `kept` to the original loss, and the ratio of `alone` to `kept`.
    """
    original_loss = float(after_intervention(cube, "none", split="all")[0])
    # In the label of the first intervention, "alone" refers to W_L, the only path that is not replaced by its mean; this
    # holds for both interventions. In the label of the second, "alone" refers to the clusters: all other neurons are
    # replaced by their means.
    kept, alone = (
        float(after_intervention(cube, f"clusters at their frequencies{variant}", split="all")[0])
        if clustered(_first_run(cube)[1]).any()
        else np.nan
        for variant in (", W_L alone", " alone")
    )
    return {
        "original": original_loss,
        "kept": kept,
        "ratio": kept / original_loss,
        "alone": alone,
        "alone_over_kept": alone / kept,
    }


@quantity(variables=("cluster_removed_loss", "intervention_loss", "key_frequency"))
def one_cluster_removed(cube: xr.Dataset) -> Values:
    """Return the loss over all pairs if one set of neurons is removed, and all other neurons in clusters are replaced by fits.

    The removed set is the cluster of one key frequency, or the neurons outside all clusters (`others`); each removed
    neuron is replaced by its mean over pairs. If a cluster is removed, the neurons outside all clusters are unchanged.
    The fits are those of `clusters_kept`, at the frequency of the neuron's cluster. W_L maps the neurons to logits; the
    contribution of other paths to the logits is replaced by its mean over pairs. Also return the ratios of these losses
    to the original loss, and for how many key frequencies the loss without the frequency's cluster is above 1e-2.
    """
    _, last = _first_run(cube)
    keys, original_loss = key_frequencies_of(last), float(after_intervention(cube, "none", split="all")[0])
    without_others = float(after_intervention(cube, "clusters at their frequencies alone", split="all")[0])
    losses = [*last.cluster_removed_loss.sel(frequency=keys).values.tolist(), without_others]
    names = [*map(str, keys), "others"]
    return {
        "removed": ", ".join(names),
        "loss": losses,
        "over_original": [loss / original_loss for loss in losses],
        "key_over_original": [loss / original_loss for loss in losses[:-1]],
        "keys_above_1e-2": sum(loss > 1e-2 for loss in losses[:-1]),
    }


@quantity(variables=("neuron_fit_coefficient", "neuron_fraction_explained"))
def signs_of_products(cube: xr.Dataset) -> Values:
    """Return the fraction of clustered neurons whose coefficients on products have the signs of a function of a + b.

    Each neuron is fitted at its frequency k; cos a stands for cos w_k a, and likewise sin a, cos b and sin b. A
    function of a + b with one frequency fulfills two conditions: its coefficients on cos a cos b and sin a sin b have
    opposite signs, those on sin a cos b and cos a sin b have equal signs. A coefficient is small if its absolute value
    is at most 20 % of the largest of the neuron's four absolute values; a condition on a small coefficient counts as
    fulfilled. Return the fraction of clustered neurons that fulfill both conditions (`share`), and whether the first
    clustered neuron does. Also return, for each condition, the fraction that fulfills it (`opposite`, `alike`) among
    the clustered neurons for which neither coefficient of the condition is small. A fraction of no neurons is NaN;
    without a clustered neuron, the value for the first one is False.
    """
    last = _first_run(cube)[1]
    names = ("cos a cos b", "sin a sin b", "sin a cos b", "cos a sin b")
    products = last.neuron_fit_coefficient.values[clustered(last)][:, [TERMS.index(name) for name in names]]
    large = np.abs(products) > 0.2 * np.abs(products).max(-1, keepdims=True)
    coscos, sinsin, sincos, cossin = products.T
    opposite, equal = coscos * sinsin < 0, sincos * cossin > 0
    consistent = (opposite | ~large[:, :2].all(-1)) & (equal | ~large[:, 2:].all(-1))
    return {
        "share": float(consistent.mean()) if consistent.size else np.nan,
        "of_first_neuron": bool(consistent[0]) if consistent.size else False,
        "opposite": float(opposite[large[:, :2].all(-1)].mean()) if large[:, :2].all(-1).any() else np.nan,
        "alike": float(equal[large[:, 2:].all(-1)].mean()) if large[:, 2:].all(-1).any() else np.nan,
    }


@quantity(variables=("intervention_loss", "restricted_loss"))
def waves_of_sum_alone(cube: xr.Dataset) -> Values:
    """Return the final loss over all pairs, the final restricted loss, and the ratio of the first to the second."""
    original_loss = float(after_intervention(cube, "none", split="all")[0])
    restricted_loss = float(_first_run(cube)[1].restricted_loss)
    return {"original": original_loss, "loss": restricted_loss, "factor": original_loss / restricted_loss}


@quantity(variables=("W_U", "key_frequency"))
def unembedding_in_keys(cube: xr.Dataset) -> Values:
    """Return the fraction of W_U's Fourier energy over outputs that is at the key frequencies.

    One value is for all rows of W_U together, which are the dimensions of the residual stream; the other is for row 4.
    """
    last = _first_run(cube)[1]
    squares = np.square(last.W_U.values @ fourier.basis(last.sizes["output"]).T)
    keys = component_indices(key_frequencies_of(last))
    return {
        "share": float(squares[:, keys].sum() / squares.sum()),
        "fraction_of_row_4": float(squares[4, keys].sum() / squares[4].sum()),
    }


@quantity(variables=("key_frequency",))
def idealized_logits(cube: xr.Dataset) -> Values:
    """Count the pairs at which the sum of cos w(a + b - c) over the key frequencies is largest at the right answer c."""
    p, keys = operand_count(cube), key_frequencies_of(_first_run(cube)[1])
    cosine_sum = np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p).sum(0)  # by a + b - c
    a, b, c = np.ix_(*[np.arange(p)] * 3)
    answers = cosine_sum[(a + b - c) % p].argmax(-1)
    return {"right": int((answers == task_of(cube).label_table()).sum()), "pairs": p**2}


# ---- over training


@quantity(variables=("W_E_fourier_norm", "key_frequency"))
def key_energies_early(cube: xr.Dataset) -> Values:
    """Rank all frequencies by squared norm in W_E at the checkpoint nearest to epoch 200; return the key frequencies' ranks.

    Rank 1 is the largest norm. Also return how many key frequencies have rank 8 or less.
    """
    run_cube, last = _first_run(cube)
    norms = nearest_checkpoint(run_cube.W_E_fourier_norm, 200)
    ranks = (-frequency_energies(norms.values.astype(float))).argsort().argsort() + 1
    key_ranks = ranks[key_frequencies_of(last) - 1].tolist()
    return {
        "at_epoch": int(norms.epoch),
        "ranks": key_ranks,
        "among_first_8": sum(rank <= 8 for rank in key_ranks),
    }


@quantity(variables=(*PHASE_ENDS, "W_E_fourier_norm", "key_frequency"))
def key_energies_later(cube: xr.Dataset) -> Values:
    """Rank all Fourier components by norm in W_E at the end of circuit formation; rank 1 is the largest norm.

    Return the largest rank of a cosine or sine of a key frequency. Also return the largest absolute relative deviation of a key
    frequency's squared norm from its final value, at the checkpoint nearest to 1.5 times the end of cleanup. Both are NaN
    without key frequencies.
    """
    run_cube, last = _first_run(cube)
    keys, (_, formation_end, cleanup_end) = key_frequencies_of(last), phase_end_epochs(run_cube)
    if not (len(keys) and np.isfinite([formation_end, cleanup_end]).all()):
        return {"worst_rank": np.nan, "within": np.nan}
    norms = nearest_checkpoint(run_cube.W_E_fourier_norm, formation_end).values
    ranks = (-norms).argsort().argsort()[component_indices(keys)] + 1
    late = nearest_checkpoint(run_cube.W_E_fourier_norm, 1.5 * cleanup_end)
    late_energies, final_energies = (
        frequency_energies(norm.values.astype(float)) for norm in (late, last.W_E_fourier_norm)
    )
    deviation = late_energies / final_energies - 1
    return {
        "worst_rank": int(ranks.max()),
        "at_epoch": int(late.epoch),
        "within": float(np.abs(deviation[keys - 1]).max()),
    }


@quantity(variables=(*PHASE_ENDS, "W_E_fourier_norm"))
def embedding_changes(cube: xr.Dataset) -> Values:
    """Return how much the norms of W_E's Fourier components change in each phase.

    The change in a phase is the sum, over its checkpoints, of the Euclidean distance between the norms at a checkpoint and
    at the checkpoint before. Also return the ratio of the change in circuit formation to the larger of the changes in
    memorization and in cleanup.
    """
    run_cube = _first_run(cube)[0]
    ends = phase_end_epochs(run_cube)
    if not np.isfinite(ends).all():
        return {
            "memorization": np.nan,
            "circuit_formation": np.nan,
            "cleanup": np.nan,
            "formation_over_larger_other": np.nan,
        }
    distances = np.linalg.norm(np.diff(run_cube.W_E_fourier_norm.values.astype(float), axis=0), axis=1)
    epochs = run_cube.epoch.values[1:]
    changes = [
        float(distances[(epochs > start) & (epochs <= end)].sum())
        for start, end in zip((0, *ends[:2]), ends, strict=True)
    ]
    return {
        "memorization": changes[0],
        "circuit_formation": changes[1],
        "cleanup": changes[2],
        "formation_over_larger_other": changes[1] / max(changes[0], changes[2]),
    }


EXPLAINED_BY_DIRECTIONS = {
    "logits": "logit_fraction_explained_directions_per_output",
    "pre": "neuron_pre_fraction_explained_directions",
    "post": "neuron_post_fraction_explained_directions",
}
"""Variables with the fraction of variance that the directions of the key frequencies explain."""


@quantity(
    variables=(
        "logit_fraction_explained_directions_per_output",
        "neuron_post_fraction_explained_directions",
        "neuron_pre_fraction_explained_directions",
    )
)
def trig_ratios(cube: xr.Dataset) -> Values:
    """Return which fractions of the variance of the logits and of the neurons the key frequencies' directions explain.

    Values are at the last checkpoint. The neurons are taken before and after the ReLU (`pre`, `post`). Also return the
    first epoch at which each fraction reaches half of its final value (`…_half`), and by how many epochs the logits'
    fraction reaches this half earlier than the neurons' fraction (`lead_over_…`).
    """
    last = _first_run(cube)[1]
    final = {name: float(last[variable]) for name, variable in EXPLAINED_BY_DIRECTIONS.items()}
    half_epoch = {
        name: float(first_reaching(cube[variable].isel(run=[0]) / final[name], 0.5)[0])
        for name, variable in EXPLAINED_BY_DIRECTIONS.items()
    }
    leads = {f"lead_over_{name}": lead(half_epoch[name], half_epoch["logits"]) for name in ("pre", "post")}
    return final | {f"{name}_half": epoch for name, epoch in half_epoch.items()} | leads


@quantity(variables=(*PHASE_ENDS, "neuron_fraction_explained", "neuron_share_at_final_frequency"))
def clusters_come_to_follow(cube: xr.Dataset) -> Values:
    """Return the median, over clustered neurons, of the fraction of variance that the neuron's final frequency explains.

    The final frequency is the neuron's best frequency at the last checkpoint, and the clusters are those of the last
    checkpoint. Neurons are taken after the ReLU. The median is returned at the end of cleanup and at the last
    checkpoint. Also return the rank correlation of the median with the epoch, over checkpoints up to the end of circuit
    formation. All values are NaN if there are no clusters, or if the rule for phases does not find the end of circuit
    formation or of cleanup.
    """
    from scipy.stats import spearmanr  # takes half a second; planning a workflow does not need it

    run_cube, last = _first_run(cube)
    in_cluster, (_, formation_end, cleanup_end) = clustered(last), phase_end_epochs(run_cube)
    if not (in_cluster.any() and np.isfinite([formation_end, cleanup_end]).all()):
        return {"after_grokking": np.nan, "final": np.nan, "rank_correlation_before": np.nan}
    fractions = run_cube.neuron_share_at_final_frequency.sel(activation="post").isel(neuron=in_cluster)
    median = fractions.median("neuron")
    before_cleanup = median.sel(epoch=slice(0, formation_end))
    return {
        "after_grokking": float(nearest_checkpoint(median, cleanup_end)),
        "final": float(median[-1]),
        "rank_correlation_before": float(spearmanr(before_cleanup.epoch, before_cleanup).statistic),
    }


@quantity(variables=("neuron_fraction_explained", "neuron_quadratic_share"))
def quadratic_shares(cube: xr.Dataset) -> Values:
    """Return the mean, over clustered neurons, of the fraction of variance that quadratic terms explain.

    The quadratic terms are the products of cos w_k a or sin w_k a with cos w_k b or sin w_k b, where k is the neuron's
    frequency. Neurons are taken before and after the ReLU, at the last checkpoint. Also return the ratio of the mean
    after the ReLU to the mean before it.
    """
    last = _first_run(cube)[1]
    fraction = last.neuron_quadratic_share.isel(neuron=clustered(last)).mean("neuron")
    pre, post = (float(fraction.sel(activation=name)) for name in ("pre", "post"))
    return {"pre": pre, "post": post, "post_over_pre": post / pre}


@quantity(variables=("mean_attention",))
def self_attention_early(cube: xr.Dataset) -> Values:
    """Return the maximum over heads of the mean attention from `=` to itself, at the checkpoints nearest epochs 100 and 500."""
    run_cube = _first_run(cube)[0]
    to_itself = run_cube.mean_attention.sel(position="=").max("head")
    return {f"at_{epoch}": float(nearest_checkpoint(to_itself, epoch)) for epoch in (100, 500)}


@quantity(variables=(*PHASE_ENDS, "mean_attention"))
def attention_symmetry(cube: xr.Dataset) -> Values:
    """Return the maximum over heads of the absolute difference between the mean attention to a and the mean attention to b.

    Values are at the end of memorization and at the end of cleanup. `small_after` is the last epoch at which the
    difference exceeds 0.05; 0 if it never does.
    """
    run_cube = _first_run(cube)[0]
    memorization_end, _, cleanup_end = phase_end_epochs(run_cube)
    difference = np.abs(run_cube.mean_attention.sel(position="a") - run_cube.mean_attention.sel(position="b")).max(
        "head"
    )
    above_0_05 = difference.epoch.values[difference.values > 0.05]
    return {
        "when_memorized": float(nearest_checkpoint(difference, memorization_end)),
        "after_grokking": float(nearest_checkpoint(difference, cleanup_end)),
        "small_after": int(above_0_05[-1]) if above_0_05.size else 0,
    }


@quantity(variables=(*PHASE_ENDS, "restricted_loss", "restricted_loss_train", "test_loss"))
def trig_losses(cube: xr.Dataset) -> Values:
    """Return the fraction of checkpoints after memorization at which the restricted losses over training and all pairs agree.

    The two losses agree if they differ by at most a tenth of a decade (a factor of 1.26). Also return the epochs of the
    first checkpoints with restricted loss and with test loss below 1, and by how many epochs the restricted loss is
    below 1 earlier.
    """
    run_cube = _first_run(cube)[0]
    after_memorization = run_cube.sel(epoch=slice(phase_end_epochs(run_cube)[0], None))
    with np.errstate(invalid="ignore"):
        decades = np.abs(np.log10(after_memorization.restricted_loss_train / after_memorization.restricted_loss)).values
    decades = decades[np.isfinite(decades)]
    test, restricted, leads = lead_where_known(
        late=cube.test_loss.isel(run=[0]),
        early=cube.restricted_loss.isel(run=[0]),
        crossing=lambda curve: first_below(curve, 1),
    )
    return {
        "fraction_alike": float((decades <= 0.1).mean()) if decades.size else np.nan,
        "restricted_below_1": float(restricted[0]),
        "test_below_1": float(test[0]),
        "lead": float(leads[0]),
    }


@quantity(variables=("restricted_loss", "test_loss"))
def test_over_trig_loss(cube: xr.Dataset) -> Values:
    """Return the largest and the final ratio of test loss to restricted loss, and the epoch of the largest."""
    run_cube = _first_run(cube)[0]
    ratio = run_cube.test_loss / run_cube.restricted_loss
    defined = bool(ratio.notnull().any())
    return {
        "peak": float(ratio.max()),
        "log10_peak": float(np.log10(ratio.max())),
        "peak_at": int(ratio.idxmax()) if defined else np.nan,
        "final": float(ratio[-1]),
    }


@quantity(variables=(*PHASE_ENDS, "sum_of_squared_weights"))
def weights_peak(cube: xr.Dataset) -> Values:
    """Return the epoch of the largest sum of squared weights, and the ratio of this sum to the final one.

    Also return which fraction of the decrease from the largest sum to the final one happens before the end of circuit
    formation; NaN if there is no decrease.
    """
    run_cube = _first_run(cube)[0]
    squares, (_, formation_end, _) = run_cube.sum_of_squared_weights, phase_end_epochs(run_cube)
    peak, final = float(squares.max()), float(squares[-1])
    at_formation_end = float(nearest_checkpoint(squares, formation_end))
    return {
        "peak_at": int(squares.idxmax()),
        "peak_over_final": peak / final,
        "fraction_before_fall": (peak - at_formation_end) / (peak - final) if peak > final else np.nan,
    }
