"""Quantities that the blog prints and plots for one network. All are of the first run of a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.claims.ledger import load_claims
from progress_measures.claims.quantities.curves import lead
from progress_measures.claims.quantities.mechanism import ALWAYS_ON, after_intervention, components, keys_of
from progress_measures.claims.quantities.subtraction import task_of
from progress_measures.claims.registry import Values, quantity
from progress_measures.cube.select import first_below, first_reaching
from progress_measures.measures.keys import CLUSTER_FRACTION
from progress_measures.measures.spectra import TERMS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


def first_run(cube: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the first run over training and at its last checkpoint."""
    run_cube = cube.isel(run=0)
    return run_cube, run_cube.isel(epoch=-1)


def clustered(last: xr.Dataset) -> NDArray[np.bool_]:
    """Return which neurons belong to a cluster: [neuron]. One frequency explains at least 85 % of their variance."""
    return last.neuron_fraction_explained.values >= CLUSTER_FRACTION


def phase_end_epochs(run_cube: xr.Dataset) -> list[float]:
    """Return the epochs at which memorization, circuit formation and cleanup end; NaN if the rule finds no end."""
    return [float(run_cube[name]) for name in ("memorization_end", "circuit_formation_end", "cleanup_end")]


def nearest_checkpoint(run_cube: xr.Dataset, curve: xr.DataArray, epoch: float) -> xr.DataArray:
    """Read a curve at the checkpoint nearest to an epoch.

    Args:
        run_cube: the cube of one run.
        curve: a variable with the dimension `epoch`.
        epoch: an epoch, or NaN.

    Returns:
        The curve at that checkpoint, without the dimension `epoch`; NaN if the epoch is NaN.
    """
    if not np.isfinite(epoch):
        return curve.isel(epoch=0) * np.nan
    return curve.isel(epoch=int(np.abs(run_cube.epoch.values - epoch).argmin()))


# ---- the task, the run, its losses


@quantity
def example_sum(cube: xr.Dataset) -> Values:
    """Return the label of the pair (70, 50)."""
    labels = task_of(cube).label_table()
    return {"label": int(labels[70 % len(labels), 50 % len(labels)])}


@quantity
def run_layout(cube: xr.Dataset) -> Values:
    """Report that the published run file is missing, and the sizes of our own record."""
    return {
        "published_file": "missing: not part of this project",
        "evaluations": cube.sizes["history_epoch"],
        "checkpoints": cube.sizes["epoch"],
        "epochs": int(cube.epoch[-1]),
    }


@quantity
def grokking_landmarks(cube: xr.Dataset) -> Values:
    """Return the epochs at which both losses fall below 1e-6 and at which the fall of the test loss starts and ends."""
    train, test = (first_below(cube[f"history_{split}_loss"].isel(run=[0]), 1e-6)[0] for split in ("train", "test"))
    _, start, end = phase_end_epochs(first_run(cube)[0])
    return {
        "train_below_1e-6": float(train),
        "test_below_1e-6": float(test),
        "fall_starts": start,
        "fall_ends": end,
        "end_over_start": end / start,
    }


@quantity
def excluded_loss_landmarks(cube: xr.Dataset) -> Values:
    """Return the end of memorization and the epoch of the minimum of the excluded loss before the cleanup."""
    run_cube, _ = first_run(cube)
    memorized, formed, _ = phase_end_epochs(run_cube)
    before = run_cube.excluded_loss.sel(epoch=slice(0, formed))
    minimum_epoch = float(before.idxmin()) if np.isfinite(formed) and before.notnull().any() else np.nan
    return {"memorized": memorized, "excluded_loss_least": minimum_epoch}


@quantity
def excluded_rises_early(cube: xr.Dataset) -> Values:
    """Compare the excluded loss of each key frequency, halfway to grokking, with its minimum up to then.

    The change of the test loss since memorization is given too.
    """
    run_cube, last = first_run(cube)
    memorized, formed, _ = phase_end_epochs(run_cube)
    keys: NDArray[np.int64] | list[int] = keys_of(last) if np.isfinite(formed) else []
    curves = [run_cube.excluded_loss_by_frequency.sel(frequency=k, epoch=slice(0, formed / 2)).values for k in keys]
    ratios = [float(curve[-1] / curve.min()) for curve in curves]
    test_losses = [float(nearest_checkpoint(run_cube, run_cube.test_loss, epoch)) for epoch in (memorized, formed / 2)]
    return {
        "at_epoch": formed / 2,
        "over_least": ratios,
        "risen_threefold": sum(ratio >= 3 for ratio in ratios),
        "test_loss_change": abs(test_losses[1] / test_losses[0] - 1),
    }


@quantity
def loss_of_all_pairs(cube: xr.Dataset) -> Values:
    """Return the loss over all pairs."""
    return {"loss": float(after_intervention(cube, "none", split="all")[0])}


@quantity
def implied_train_loss(cube: xr.Dataset) -> Values:
    """Compute the train loss for which the blog's loss over all pairs agrees with the paper's test loss."""
    claims = load_claims()
    whole, test = claims["blog.original_loss"].published, claims["paper.s4_2.final_test_loss"].published["loss"]
    return {"implied_train_loss": (whole - 0.7 * test) / 0.3}


# ---- attention, neurons and embedding


@quantity
def final_attention_shapes(cube: xr.Dataset) -> Values:
    """Return the shapes of the attention from `=` and of its mean over pairs."""
    heads, pairs = cube.sizes["head"], (cube.sizes["token"] - 1) ** 2
    return {"attention": [pairs, heads, cube.sizes["position"]], "mean": [heads, cube.sizes["position"]]}


@quantity
def circuit_shapes(cube: xr.Dataset) -> Values:
    """Return the shapes of W_neur and W_attn, without the token `=`."""
    heads, numbers = cube.sizes["head"], cube.sizes["token"] - 1
    return {"W_neur": [heads, numbers, cube.sizes["neuron"]], "W_attn": [heads, numbers]}


@quantity
def mean_attention_by_head(cube: xr.Dataset) -> Values:
    """Return the mean attention of every head from `=` to a, b and itself."""
    last = first_run(cube)[1].mean_attention
    return {"to_a_and_b": last.sel(position=["a", "b"]).values.ravel(), "to_itself": last.sel(position="=").values}


@quantity
def first_neurons(cube: xr.Dataset) -> Values:
    """Count how many of the first three neurons are periodic, that is explained by one frequency, or always on."""
    last = first_run(cube)[1].isel(neuron=slice(3))
    share, active = last.neuron_fraction_explained.values, last.neuron_fraction_active.values
    return {"share": share, "fires": active, "periodic_or_on": int(((share >= 0.85) | (active >= ALWAYS_ON)).sum())}


@quantity
def W_neur_in_keys(cube: xr.Dataset) -> Values:
    """Return the share of each head's centered W_neur at the key frequencies, over all neurons together."""
    rows = cube.neuron_value_token.values[:, :-1]
    squares = np.square(np.einsum("cx,hxn->hcn", fourier.basis(rows.shape[1]), rows)).sum(-1)
    share = squares[:, components(keys_of(first_run(cube)[1]))].sum(-1) / squares[:, 1:].sum(-1)
    return {"share": share, "mean": float(share.mean())}


@quantity
def embedding_few_components(cube: xr.Dataset) -> Values:
    """Count the Fourier components that hold 90 % of W_E's energy.

    The energy share of the 2 (n + 1) largest components, for n key frequencies, is given too.
    """
    last = first_run(cube)[1]
    squares = np.sort(np.square(last.W_E_fourier_norm.values.astype(float)))[::-1]
    shares = squares.cumsum() / squares.sum()
    dimension_0 = last.W_E.values[:-1, 0]
    squares_of_0 = np.sort(np.square(fourier.basis(len(dimension_0)) @ dimension_0))[::-1]
    return {
        "components_for_90_percent": int((shares < 0.9).sum()) + 1,
        "share_of_largest": float(shares[2 * len(keys_of(last)) + 1]),
        "components_of_dimension_0": int((squares_of_0.cumsum() / squares_of_0.sum() < 0.9).sum()) + 1,
    }


# ---- the algorithm


@quantity
def neurons_best_frequencies(cube: xr.Dataset) -> Values:
    """Return the best frequencies of all neurons, their neuron counts, and the key frequencies by W_L's norm."""
    last = first_run(cube)[1]
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


@quantity
def clusters_explained(cube: xr.Dataset) -> Values:
    """Compute, for neurons in clusters, the energy share of their frequency's 3 x 3 block.

    The denominator is the energy of the 3 x 3 blocks of all frequencies.
    """
    last = first_run(cube)[1]
    shares = last.neuron_frequency_share.values[clustered(last)]
    share = shares.max(-1) / shares.sum(-1)
    quantiles = np.quantile(share, [0, 0.1, 0.5, 1]) if share.size else np.full(4, np.nan)
    return dict(zip(("least", "tenth_percentile", "median", "largest"), map(float, quantiles), strict=True))


@quantity
def cluster_counts(cube: xr.Dataset) -> Values:
    """Count the neurons in each cluster and those outside all clusters."""
    last = first_run(cube)[1]
    inside, frequency = clustered(last), last.neuron_frequency.values
    sizes = {str(k): int((inside & (frequency == k)).sum()) for k in np.unique(frequency[inside])}
    unclustered = int((~inside).sum())
    return {
        "sizes": sizes,
        "none": unclustered,
        "total": sum(sizes.values()) + unclustered,
        "share_of_none": unclustered / inside.size,
    }


@quantity
def published_cluster_sums(cube: xr.Dataset) -> Values:
    """Sum the sizes of the blog's clusters."""
    sizes = dict(load_claims()["blog.clusters"].published)
    always = sizes.pop("always_firing")
    return {"total": sum(sizes.values()) + always, "tuned": sum(sizes.values())}


@quantity
def unclustered_fire(cube: xr.Dataset) -> Values:
    """Return the share of all pairs at which neurons outside all clusters are active."""
    last = first_run(cube)[1]
    active = last.neuron_fraction_active.values[~clustered(last)]
    return {
        "median": float(np.median(active)) if active.size else np.nan,
        "neurons": int(active.size),
        "always_on": int((active >= ALWAYS_ON).sum()),
    }


@quantity
def clusters_in_own_frequency(cube: xr.Dataset) -> Values:
    """Return the mean variance share of the cluster's frequency, for clusters of at least ten neurons."""
    last = first_run(cube)[1]
    inside, frequency = clustered(last), last.neuron_frequency.values
    members = {int(k): inside & (frequency == k) for k in np.unique(frequency[inside])}
    shares = {k: float(last.neuron_frequency_share.values[in_cluster, k - 1].mean()) for k, in_cluster in members.items()
              if in_cluster.sum() >= 10}  # fmt: skip
    return {"frequency": list(shares), "share": list(shares.values())}


@quantity
def clusters_kept(cube: xr.Dataset) -> Values:
    """Return the loss over all pairs with each cluster's neurons restricted to their frequency.

    The other neurons are kept or removed. The rest of the logits is at its mean.
    """
    before = float(after_intervention(cube, "none", split="all")[0])
    kept, alone = (
        float(after_intervention(cube, f"clusters at their frequencies{variant}", split="all")[0])
        for variant in (", W_L alone", " alone")
    )
    return {"original": before, "kept": kept, "ratio": kept / before, "alone": alone, "alone_over_kept": alone / kept}


@quantity
def one_cluster_removed(cube: xr.Dataset) -> Values:
    """Return the loss over all pairs with one group of neurons removed.

    The group is one cluster or the neurons outside all clusters. All clusters are restricted to their frequencies.
    """
    _, last = first_run(cube)
    keys, before = keys_of(last), float(after_intervention(cube, "none", split="all")[0])
    others = float(after_intervention(cube, "clusters at their frequencies alone", split="all")[0])
    losses = [*last.cluster_removed_loss.sel(frequency=keys).values.tolist(), others]
    names = [*map(str, keys), "others"]
    return {
        "removed": ", ".join(names),
        "loss": losses,
        "over_original": [loss / before for loss in losses],
        "key_over_original": [loss / before for loss in losses[:-1]],
    }


@quantity
def signs_of_products(cube: xr.Dataset) -> Values:
    """Return the share of clustered neurons whose product coefficients have the signs of a wave of a + b.

    Coefficients below 20 % of the largest are ignored.
    """
    last = first_run(cube)[1]
    names = ("cos a cos b", "sin a sin b", "sin a cos b", "cos a sin b")
    products = last.neuron_fit_coefficient.values[clustered(last)][:, [TERMS.index(name) for name in names]]
    large = np.abs(products) > 0.2 * np.abs(products).max(-1, keepdims=True)
    coscos, sinsin, sincos, cossin = products.T
    opposite, equal = coscos * sinsin < 0, sincos * cossin > 0
    consistent = (opposite | ~large[:, :2].all(-1)) & (equal | ~large[:, 2:].all(-1))
    share = consistent.mean() if consistent.size else np.nan
    return {
        "share": float(share),
        "opposite": float(opposite[large[:, :2].all(-1)].mean()) if large[:, :2].all(-1).any() else np.nan,
        "alike": float(equal[large[:, 2:].all(-1)].mean()) if large[:, 2:].all(-1).any() else np.nan,
    }


@quantity
def waves_of_sum_alone(cube: xr.Dataset) -> Values:
    """Compare the loss over all pairs with that of logits restricted to the key frequencies' waves of a + b."""
    before, kept = float(after_intervention(cube, "none", split="all")[0]), float(first_run(cube)[1].restricted_loss)
    return {"original": before, "loss": kept, "factor": before / kept}


@quantity
def unembedding_in_keys(cube: xr.Dataset) -> Values:
    """Return the share of W_U's energy along its outputs at key frequencies, over all rows and for row 4."""
    last = first_run(cube)[1]
    squares = np.square(last.W_U.values @ fourier.basis(last.sizes["output"]).T)
    keys = components(keys_of(last))
    return {
        "share": float(squares[:, keys].sum() / squares.sum()),
        "share_of_row_4": float(squares[4, keys].sum() / squares[4].sum()),
    }


@quantity
def idealised_logits(cube: xr.Dataset) -> Values:
    """Count the pairs at which the sum of cos w(a + b - c) over key frequencies is largest at the correct c."""
    p, keys = int(cube.prime[0]), keys_of(first_run(cube)[1])
    total = np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p).sum(0)  # by a + b - c
    a, b, c = np.ix_(*[np.arange(p)] * 3)
    best = total[(a + b - c) % p].argmax(-1)
    return {"right": int((best == task_of(cube).label_table()).sum()), "pairs": p**2}


# ---- over training


def embedding_energies(run_cube: xr.Dataset) -> NDArray[np.floating]:
    """Compute the energy of each frequency in W_E, cosine plus sine: [epoch, frequency]."""
    squares = np.square(run_cube.W_E_fourier_norm.values.astype(float))
    return squares[:, 1::2] + squares[:, 2::2]


@quantity
def key_energies_early(cube: xr.Dataset) -> Values:
    """Return the ranks of the key frequencies' energies in W_E after 200 epochs."""
    run_cube, last = first_run(cube)
    index = int(np.abs(run_cube.epoch.values - 200).argmin())
    ranks = (-embedding_energies(run_cube)[index]).argsort().argsort() + 1
    key_ranks = ranks[keys_of(last) - 1].tolist()
    return {
        "at_epoch": int(run_cube.epoch[index]),
        "ranks": key_ranks,
        "among_first_8": sum(rank <= 8 for rank in key_ranks),
    }


@quantity
def key_energies_later(cube: xr.Dataset) -> Values:
    """Return the worst rank of the key components of W_E where the test loss starts to fall.

    The largest relative deviation of their energies from the final values, at 1.5 times the end of the fall, is given
    too.
    """
    run_cube, last = first_run(cube)
    keys, (_, start, end) = keys_of(last), phase_end_epochs(run_cube)
    if not (len(keys) and np.isfinite([start, end]).all()):
        return {"worst_rank": np.nan, "within": np.nan}
    norms = nearest_checkpoint(run_cube, run_cube.W_E_fourier_norm, start).values
    ranks = (-norms).argsort().argsort()[components(keys)] + 1
    index = int(np.abs(run_cube.epoch.values - 1.5 * end).argmin())
    change = embedding_energies(run_cube)[index] / embedding_energies(run_cube)[-1] - 1
    return {
        "worst_rank": int(ranks.max()),
        "at_epoch": int(run_cube.epoch[index]),
        "within": float(np.abs(change[keys - 1]).max()),
    }


RATIOS = {
    "logits": "logit_fraction_explained_directions_per_output",
    "pre": "neuron_pre_fraction_explained_directions",
    "post": "neuron_post_fraction_explained_directions",
}


@quantity
def trig_ratios(cube: xr.Dataset) -> Values:
    """Return the final variance shares along the key directions, and the epochs at which they reach half of that."""
    last = first_run(cube)[1]
    final = {name: float(last[variable]) for name, variable in RATIOS.items()}
    half = {
        name: float(first_reaching(cube[variable].isel(run=[0]) / final[name], 0.5)[0])
        for name, variable in RATIOS.items()
    }
    later = {f"{name}_lag": lead(half[name], half["logits"]) for name in ("pre", "post")}
    return final | {f"{name}_half": epoch for name, epoch in half.items()} | later


@quantity
def clusters_come_to_follow(cube: xr.Dataset) -> Values:
    """Return the median share of clustered neurons after the ReLU at their frequency.

    It is given after grokking and at the end. Its rank correlation with the epoch is that before the test loss falls.
    """
    from scipy.stats import spearmanr  # takes half a second; planning a workflow does not need it

    run_cube, last = first_run(cube)
    inside, (_, start, end) = clustered(last), phase_end_epochs(run_cube)
    if not (inside.any() and np.isfinite([start, end]).all()):
        return {"after_grokking": np.nan, "final": np.nan, "rank_correlation_before": np.nan}
    share = run_cube.neuron_share_at_final_frequency.sel(activation="post").isel(neuron=inside).median("neuron")
    before = share.sel(epoch=slice(0, start))
    return {
        "after_grokking": float(nearest_checkpoint(run_cube, share, end)),
        "final": float(share[-1]),
        "rank_correlation_before": float(spearmanr(before.epoch, before).statistic),
    }


@quantity
def quadratic_shares(cube: xr.Dataset) -> Values:
    """Return the mean share of clustered neurons in products of waves, before and after the ReLU, at the end."""
    last = first_run(cube)[1]
    share = last.neuron_quadratic_share.isel(neuron=clustered(last)).mean("neuron")
    pre, post = (float(share.sel(activation=name)) for name in ("pre", "post"))
    return {"pre": pre, "post": post, "post_over_pre": post / pre}


@quantity
def self_attention_early(cube: xr.Dataset) -> Values:
    """Return the largest head's mean attention from `=` to itself after 100 and 500 epochs."""
    run_cube = first_run(cube)[0]
    to_itself = run_cube.mean_attention.sel(position="=").max("head")
    return {f"at_{epoch}": float(nearest_checkpoint(run_cube, to_itself, epoch)) for epoch in (100, 500)}


@quantity
def attention_symmetry(cube: xr.Dataset) -> Values:
    """Return the largest difference, over heads, of the mean attention to a and to b.

    It is given at the end of memorization and after grokking, with the last epoch at which it exceeds 0.05.
    """
    run_cube = first_run(cube)[0]
    memorized, _, end = phase_end_epochs(run_cube)
    difference = np.abs(run_cube.mean_attention.sel(position="a") - run_cube.mean_attention.sel(position="b")).max(
        "head"
    )
    large = difference.epoch.values[difference.values > 0.05]
    return {
        "when_memorized": float(nearest_checkpoint(run_cube, difference, memorized)),
        "after_grokking": float(nearest_checkpoint(run_cube, difference, end)),
        "small_after": int(large[-1]) if large.size else 0,
    }


@quantity
def trig_losses(cube: xr.Dataset) -> Values:
    """Compare the restricted loss on training pairs and on all pairs, after memorization.

    The epochs at which restricted and test loss fall below 1 are given too.
    """
    run_cube = first_run(cube)[0]
    after_memorization = run_cube.sel(epoch=slice(phase_end_epochs(run_cube)[0], None))
    with np.errstate(invalid="ignore"):
        decades = np.abs(np.log10(after_memorization.restricted_loss_train / after_memorization.restricted_loss)).values
    restricted, test = (float(first_below(cube[name].isel(run=[0]), 1)[0]) for name in ("restricted_loss", "test_loss"))
    return {
        "share_alike": float((decades <= 0.1).mean()) if decades.size else np.nan,
        "restricted_below_1": restricted,
        "test_below_1": test,
        "lead": lead(test, restricted),
    }


@quantity
def test_over_trig_loss(cube: xr.Dataset) -> Values:
    """Return the ratio of test loss to restricted loss at its peak and at the last checkpoint."""
    run_cube = first_run(cube)[0]
    ratio = run_cube.test_loss / run_cube.restricted_loss
    defined = bool(ratio.notnull().any())
    return {
        "peak": float(ratio.max()),
        "log10_peak": float(np.log10(ratio.max())),
        "peak_at": int(ratio.idxmax()) if defined else np.nan,
        "final": float(ratio[-1]),
    }


@quantity
def weights_peak(cube: xr.Dataset) -> Values:
    """Return the sum of squared weights at its peak over that at the end.

    The share of this decrease that precedes the fall of the test loss is given too.
    """
    run_cube = first_run(cube)[0]
    squares, (_, start, _) = run_cube.sum_of_squared_weights, phase_end_epochs(run_cube)
    peak, final = float(squares.max()), float(squares[-1])
    return {
        "peak_at": int(squares.idxmax()),
        "peak_over_final": peak / final,
        "share_before_fall": (peak - float(nearest_checkpoint(run_cube, squares, start))) / (peak - final),
    }
