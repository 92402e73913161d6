"""What the blog prints and plots of one network: the first run of those given."""

import numpy as np

from progress_measures import fourier
from progress_measures.claims.ledger import load_claims
from progress_measures.claims.quantities.curves import lead
from progress_measures.claims.quantities.mechanism import ALWAYS_ON, after, components, keys_of
from progress_measures.claims.quantities.subtraction import task_of
from progress_measures.claims.registry import quantity
from progress_measures.cube.select import first_below, first_reaching
from progress_measures.measures.keys import CLUSTER_FRACTION
from progress_measures.measures.spectra import TERMS
from progress_measures.tasks import label_table


def first(cube):
    """The first run over training, and its last checkpoint."""
    one = cube.isel(run=0)
    return one, one.isel(epoch=-1)


def clustered(last):
    """Which neurons one frequency explains to 85 % or more."""
    return last.neuron_fraction_explained.values >= CLUSTER_FRACTION


def ends(one):
    """The epochs at which memorization, circuit formation and cleanup end; NaN where the rule finds none."""
    return [float(one[name]) for name in ("memorization_end", "circuit_formation_end", "cleanup_end")]


def near(one, curve, epoch):
    """A curve over epochs at the checkpoint next to an epoch; NaN where the epoch is."""
    if not np.isfinite(epoch):
        return curve.isel(epoch=0) * np.nan
    return curve.isel(epoch=int(np.abs(one.epoch.values - epoch).argmin()))


# ---- the task, the run, its losses


@quantity
def example_sum(cube):
    """The right answer of 70 and 50."""
    labels = label_table(task_of(cube))
    return {"label": int(labels[70 % len(labels), 50 % len(labels)])}


@quantity
def run_layout(cube):
    """The published run's file, and what ours keeps instead."""
    return {
        "published_file": "missing: not part of this project",
        "evaluations": cube.sizes["history_epoch"],
        "checkpoints": cube.sizes["epoch"],
        "epochs": int(cube.epoch[-1]),
    }


@quantity
def grokking_landmarks(cube):
    """Where train and test loss first pass below 1e-6, and where the test loss leaves its plateau and has settled."""
    train, test = (first_below(cube[f"history_{split}_loss"].isel(run=[0]), 1e-6)[0] for split in ("train", "test"))
    _, start, end = ends(first(cube)[0])
    return {
        "train_below_1e-6": float(train),
        "test_below_1e-6": float(test),
        "fall_starts": start,
        "fall_ends": end,
        "end_over_start": end / start,
    }


@quantity
def excluded_loss_landmarks(cube):
    """Where memorization ends, and where the excluded loss is least before the cleanup."""
    one, _ = first(cube)
    memorized, formed, _ = ends(one)
    before = one.excluded_loss.sel(epoch=slice(0, formed))
    least = float(before.idxmin()) if np.isfinite(formed) and before.notnull().any() else np.nan
    return {"memorized": memorized, "excluded_loss_least": least}


@quantity
def excluded_rises_early(cube):
    """Half way to grokking: excluded loss of each key frequency over its least until then; and how the test loss stands."""
    one, last = first(cube)
    memorized, formed, _ = ends(one)
    keys = keys_of(last) if np.isfinite(formed) else []
    curves = [one.excluded_loss_by_frequency.sel(frequency=k, epoch=slice(0, formed / 2)).values for k in keys]
    ratios = [float(curve[-1] / curve.min()) for curve in curves]
    test = [float(near(one, one.test_loss, epoch)) for epoch in (memorized, formed / 2)]
    return {
        "at_epoch": formed / 2,
        "over_least": ratios,
        "risen_threefold": sum(ratio >= 3 for ratio in ratios),
        "test_loss_change": abs(test[1] / test[0] - 1),
    }


@quantity
def loss_of_all_pairs(cube):
    """Loss over all pairs."""
    return {"loss": float(after(cube, "none", split="all")[0])}


@quantity
def implied_train_loss(cube):
    """The train loss that makes the blog's loss of all pairs and the paper's test loss agree."""
    claims = load_claims()
    whole, test = claims["blog.original_loss"].published, claims["paper.s4_2.final_test_loss"].published["loss"]
    return {"implied_train_loss": (whole - 0.7 * test) / 0.3}


# ---- looking around


@quantity
def final_attention_shapes(cube):
    """Shapes of the attention from `=`, and of its mean over pairs."""
    heads, pairs = cube.sizes["head"], (cube.sizes["token"] - 1) ** 2
    return {"attention": [pairs, heads, cube.sizes["position"]], "mean": [heads, cube.sizes["position"]]}


@quantity
def circuit_shapes(cube):
    """Shapes of W_neur and W_attn, `=` left out of the tokens."""
    heads, numbers = cube.sizes["head"], cube.sizes["token"] - 1
    return {"W_neur": [heads, numbers, cube.sizes["neuron"]], "W_attn": [heads, numbers]}


@quantity
def mean_attention_by_head(cube):
    """Mean attention of every head from `=` to a, b and itself."""
    last = first(cube)[1].mean_attention
    return {"to_a_and_b": last.sel(position=["a", "b"]).values.ravel(), "to_itself": last.sel(position="=").values}


@quantity
def first_neurons(cube):
    """The first three neurons: explained by one frequency, or always on."""
    last = first(cube)[1].isel(neuron=slice(3))
    share, fires = last.neuron_fraction_explained.values, last.neuron_fraction_active.values
    return {"share": share, "fires": fires, "periodic_or_on": int(((share >= 0.85) | (fires >= ALWAYS_ON)).sum())}


@quantity
def W_neur_in_keys(cube):
    """Share of each head's W_neur, less its mean over tokens, in the key frequencies, all neurons together."""
    rows = cube.neuron_value_token.values[:, :-1]
    squares = np.square(np.einsum("cx,hxn->hcn", fourier.basis(rows.shape[1]), rows)).sum(-1)
    share = squares[:, components(keys_of(first(cube)[1]))].sum(-1) / squares[:, 1:].sum(-1)
    return {"share": share, "mean": float(share.mean())}


@quantity
def embedding_few_components(cube):
    """Fourier components of W_E that hold 90 % of its energy, and the share of the largest 2 (n + 1), n key frequencies."""
    last = first(cube)[1]
    squares = np.sort(np.square(last.W_E_fourier_norm.values.astype(float)))[::-1]
    shares = squares.cumsum() / squares.sum()
    numbers = last.W_E.values[:-1, 0]
    one = np.sort(np.square(fourier.basis(len(numbers)) @ numbers))[::-1]
    return {
        "components_for_90_percent": int((shares < 0.9).sum()) + 1,
        "share_of_largest": float(shares[2 * len(keys_of(last)) + 1]),
        "components_of_dimension_0": int((one.cumsum() / one.sum() < 0.9).sum()) + 1,
    }


# ---- the algorithm


@quantity
def neurons_best_frequencies(cube):
    """Best frequencies of all neurons, how many have each, and the key frequencies by W_L's norm."""
    last = first(cube)[1]
    found, counts = np.unique(last.neuron_frequency.values, return_counts=True)
    often = [int(k) for k in found[counts >= 10] if k]
    by_norm = last.frequency.values[last.W_L_large_frequency.values].tolist()
    return {
        "unique": int((found > 0).sum()),
        "frequencies": ", ".join(map(str, found)),
        "neurons": ", ".join(map(str, counts)),
        "W_L_norm": ", ".join(map(str, by_norm)),
        "same_sets": often == by_norm,
    }


@quantity
def clusters_explained(cube):
    """Of neurons in clusters, the share of their frequency's 3 x 3 block among those of all frequencies."""
    last = first(cube)[1]
    shares = last.neuron_frequency_share.values[clustered(last)]
    share = shares.max(-1) / shares.sum(-1)
    quantiles = np.quantile(share, [0, 0.1, 0.5, 1]) if share.size else np.full(4, np.nan)
    return dict(zip(("least", "tenth_percentile", "median", "largest"), map(float, quantiles), strict=True))


@quantity
def cluster_counts(cube):
    """Neurons in each cluster, and in none."""
    last = first(cube)[1]
    inside, frequency = clustered(last), last.neuron_frequency.values
    sizes = {str(k): int((inside & (frequency == k)).sum()) for k in np.unique(frequency[inside])}
    none = int((~inside).sum())
    return {"sizes": sizes, "none": none, "total": sum(sizes.values()) + none, "share_of_none": none / inside.size}


@quantity
def published_cluster_sums(cube):
    """The blog's clusters added up."""
    sizes = dict(load_claims()["blog.clusters"].published)
    always = sizes.pop("always_firing")
    return {"total": sum(sizes.values()) + always, "tuned": sum(sizes.values())}


@quantity
def unclustered_fire(cube):
    """At how many of all pairs neurons of no cluster fire."""
    last = first(cube)[1]
    fires = last.neuron_fraction_active.values[~clustered(last)]
    return {
        "median": float(np.median(fires)) if fires.size else np.nan,
        "neurons": int(fires.size),
        "always_on": int((fires >= ALWAYS_ON).sum()),
    }


@quantity
def clusters_in_own_frequency(cube):
    """Mean share of the variance in its frequency's block, of each cluster of ten neurons or more."""
    last = first(cube)[1]
    inside, frequency = clustered(last), last.neuron_frequency.values
    members = {int(k): inside & (frequency == k) for k in np.unique(frequency[inside])}
    shares = {k: float(last.neuron_frequency_share.values[one, k - 1].mean()) for k, one in members.items()
              if one.sum() >= 10}  # fmt: skip
    return {"frequency": list(shares), "share": list(shares.values())}


@quantity
def clusters_kept(cube):
    """Loss over all pairs with clusters at their frequencies: the other neurons kept, or left out; rest at its mean."""
    before = float(after(cube, "none", split="all")[0])
    kept, alone = (
        float(after(cube, f"clusters at their frequencies{rest}", split="all")[0]) for rest in (", W_L alone", " alone")
    )
    return {"original": before, "kept": kept, "ratio": kept / before, "alone": alone, "alone_over_kept": alone / kept}


@quantity
def one_cluster_removed(cube):
    """Loss over all pairs with clusters at their frequencies and one of them, or the other neurons, left out."""
    _, last = first(cube)
    keys, before = keys_of(last), float(after(cube, "none", split="all")[0])
    others = float(after(cube, "clusters at their frequencies alone", split="all")[0])
    losses = [*last.cluster_removed_loss.sel(frequency=keys).values.tolist(), others]
    names = [*map(str, keys), "others"]
    return {
        "removed": ", ".join(names),
        "loss": losses,
        "over_original": [loss / before for loss in losses],
        "key_over_original": [loss / before for loss in losses[:-1]],
    }


@quantity
def signs_of_products(cube):
    """Neurons in clusters whose products of waves have the signs of a wave of a + b; products below 20 % aside."""
    last = first(cube)[1]
    names = ("cos a cos b", "sin a sin b", "sin a cos b", "cos a sin b")
    products = last.neuron_fit_coefficient.values[clustered(last)][:, [TERMS.index(name) for name in names]]
    large = np.abs(products) > 0.2 * np.abs(products).max(-1, keepdims=True)
    coscos, sinsin, sincos, cossin = products.T
    opposite, alike = coscos * sinsin < 0, sincos * cossin > 0
    right = (opposite | ~large[:, :2].all(-1)) & (alike | ~large[:, 2:].all(-1))
    share = right.mean() if right.size else np.nan
    return {
        "share": float(share),
        "opposite": float(opposite[large[:, :2].all(-1)].mean()) if large[:, :2].all(-1).any() else np.nan,
        "alike": float(alike[large[:, 2:].all(-1)].mean()) if large[:, 2:].all(-1).any() else np.nan,
    }


@quantity
def waves_of_sum_alone(cube):
    """Loss over all pairs, and with only the key frequencies' waves of a + b kept of the logits."""
    before, kept = float(after(cube, "none", split="all")[0]), float(first(cube)[1].restricted_loss)
    return {"original": before, "loss": kept, "factor": before / kept}


@quantity
def unembedding_in_keys(cube):
    """Share of W_U's energy along its outputs in key frequencies: of all rows, and of row 4."""
    last = first(cube)[1]
    squares = np.square(last.W_U.values @ fourier.basis(last.sizes["output"]).T)
    keys = components(keys_of(last))
    return {
        "share": float(squares[:, keys].sum() / squares.sum()),
        "share_of_row_4": float(squares[4, keys].sum() / squares[4].sum()),
    }


@quantity
def idealised_logits(cube):
    """Pairs at which the sum of cos w(a + b - c) over key frequencies is largest at the right c."""
    p, keys = int(cube.prime[0]), keys_of(first(cube)[1])
    total = np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p).sum(0)  # by a + b - c
    a, b, c = np.ix_(*[np.arange(p)] * 3)
    best = total[(a + b - c) % p].argmax(-1)
    return {"right": int((best == label_table(task_of(cube))).sum()), "pairs": p**2}


# ---- over training


def energies(one):
    """Energy of each frequency in W_E, cosine and sine together: [epoch, frequency]."""
    squares = np.square(one.W_E_fourier_norm.values.astype(float))
    return squares[:, 1::2] + squares[:, 2::2]


@quantity
def key_energies_early(cube):
    """Ranks of the key frequencies' energies in W_E after 200 epochs."""
    one, last = first(cube)
    place = int(np.abs(one.epoch.values - 200).argmin())
    ranks = (-energies(one)[place]).argsort().argsort() + 1
    found = ranks[keys_of(last) - 1].tolist()
    return {"at_epoch": int(one.epoch[place]), "ranks": found, "among_first_8": sum(rank <= 8 for rank in found)}


@quantity
def key_energies_later(cube):
    """Ranks of the key components of W_E where the test loss starts to fall; their energies after 1.5 times its fall."""
    one, last = first(cube)
    keys, (_, start, end) = keys_of(last), ends(one)
    if not (len(keys) and np.isfinite([start, end]).all()):
        return {"worst_rank": np.nan, "within": np.nan}
    norms = near(one, one.W_E_fourier_norm, start).values
    ranks = (-norms).argsort().argsort()[components(keys)] + 1
    place = int(np.abs(one.epoch.values - 1.5 * end).argmin())
    change = energies(one)[place] / energies(one)[-1] - 1
    return {
        "worst_rank": int(ranks.max()),
        "at_epoch": int(one.epoch[place]),
        "within": float(np.abs(change[keys - 1]).max()),
    }


RATIOS = {
    "logits": "logit_fraction_explained_directions_per_output",
    "pre": "neuron_pre_fraction_explained_directions",
    "post": "neuron_post_fraction_explained_directions",
}


@quantity
def trig_ratios(cube):
    """Shares of variance along the key directions at the end, and where each reaches half of that."""
    last = first(cube)[1]
    final = {name: float(last[variable]) for name, variable in RATIOS.items()}
    half = {
        name: float(first_reaching(cube[variable].isel(run=[0]) / final[name], 0.5)[0])
        for name, variable in RATIOS.items()
    }
    later = {f"{name}_lag": lead(half[name], half["logits"]) for name in ("pre", "post")}
    return final | {f"{name}_half": epoch for name, epoch in half.items()} | later


@quantity
def clusters_come_to_follow(cube):
    """Median share of clustered neurons, after the ReLU, at their frequency: after grokking, and its rise before."""
    from scipy.stats import spearmanr  # half a second that planning a workflow need not take

    one, last = first(cube)
    inside, (_, start, end) = clustered(last), ends(one)
    if not (inside.any() and np.isfinite([start, end]).all()):
        return {"after_grokking": np.nan, "final": np.nan, "rank_correlation_before": np.nan}
    share = one.neuron_share_at_final_frequency.sel(activation="post").isel(neuron=inside).median("neuron")
    before = share.sel(epoch=slice(0, start))
    return {
        "after_grokking": float(near(one, share, end)),
        "final": float(share[-1]),
        "rank_correlation_before": float(spearmanr(before.epoch, before).statistic),
    }


@quantity
def quadratic_shares(cube):
    """Mean share of clustered neurons in products of waves, before and after the ReLU, at the end."""
    last = first(cube)[1]
    share = last.neuron_quadratic_share.isel(neuron=clustered(last)).mean("neuron")
    pre, post = (float(share.sel(activation=name)) for name in ("pre", "post"))
    return {"pre": pre, "post": post, "post_over_pre": post / pre}


@quantity
def self_attention_early(cube):
    """The largest head's mean attention from `=` to itself after 100 and 500 epochs."""
    one = first(cube)[0]
    to_itself = one.mean_attention.sel(position="=").max("head")
    return {f"at_{epoch}": float(near(one, to_itself, epoch)) for epoch in (100, 500)}


@quantity
def attention_symmetry(cube):
    """The largest head's difference of mean attention to a and b: where memorization ends, after grokking, and when small."""
    one = first(cube)[0]
    memorized, _, end = ends(one)
    difference = np.abs(one.mean_attention.sel(position="a") - one.mean_attention.sel(position="b")).max("head")
    large = difference.epoch.values[difference.values > 0.05]
    return {
        "when_memorized": float(near(one, difference, memorized)),
        "after_grokking": float(near(one, difference, end)),
        "small_after": int(large[-1]) if large.size else 0,
    }


@quantity
def trig_losses(cube):
    """The restricted loss on training and on all pairs after memorization; when it and the test loss pass below 1."""
    one = first(cube)[0]
    later = one.sel(epoch=slice(ends(one)[0], None))
    with np.errstate(invalid="ignore"):
        decades = np.abs(np.log10(later.restricted_loss_train / later.restricted_loss)).values
    restricted, test = (float(first_below(cube[name].isel(run=[0]), 1)[0]) for name in ("restricted_loss", "test_loss"))
    return {
        "share_alike": float((decades <= 0.1).mean()) if decades.size else np.nan,
        "restricted_below_1": restricted,
        "test_below_1": test,
        "lead": lead(test, restricted),
    }


@quantity
def test_over_trig_loss(cube):
    """Test loss over restricted loss: at its peak, and at the end."""
    one = first(cube)[0]
    ratio = one.test_loss / one.restricted_loss
    found = bool(ratio.notnull().any())
    return {
        "peak": float(ratio.max()),
        "log10_peak": float(np.log10(ratio.max())),
        "peak_at": int(ratio.idxmax()) if found else np.nan,
        "final": float(ratio[-1]),
    }


@quantity
def weights_peak(cube):
    """Sum of squared weights at its peak over the end, and the share of that decrease before the test loss falls."""
    one = first(cube)[0]
    squares, (_, start, _) = one.sum_of_squared_weights, ends(one)
    peak, final = float(squares.max()), float(squares[-1])
    return {
        "peak_at": int(squares.idxmax()),
        "peak_over_final": peak / final,
        "share_before_fall": (peak - float(near(one, squares, start))) / (peak - final),
    }
