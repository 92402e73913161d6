"""What the last checkpoint shows of the algorithm (sections 1, 3, 4, A.1, C.1 and C.2.1). Values are lists of one a run."""

import numpy as np

from progress_measures.claims.quantities.curves import chance
from progress_measures.claims.registry import quantity
from progress_measures.measures.keys import CLUSTER_FRACTION, KEY_SHARE

ALWAYS_ON = 0.98  # share of pairs at which a neuron that is always on fires


def by_run(cube, function):
    """A function of every run's last checkpoint, as a list."""
    return [function(cube.sel(run=run).isel(epoch=-1)) for run in cube.run.values]


def keys_of(one):
    """Key frequencies of one run."""
    return one.frequency.values[one.key_frequency.values]


def components(keys):
    """Places of the key frequencies' cosines and sines in the Fourier basis."""
    return np.array([place for k in keys for place in (2 * k - 1, 2 * k)], dtype=int)


def _frequency_norms(norms):
    return np.hypot(norms[1::2], norms[2::2])


def _significant(one):
    """Frequencies of W_E above five times the median norm of those that are not key."""
    norms = _frequency_norms(one.W_E_fourier_norm.values)
    return np.flatnonzero(norms > 5 * np.median(norms[~one.key_frequency.values])) + 1


@quantity
def key_frequencies(cube):
    """The key frequencies by rule."""
    found = by_run(cube, lambda one: keys_of(one).tolist())
    names = [f"{run}: {', '.join(map(str, keys))}" for run, keys in zip(cube.run.values, found, strict=True)]
    return {"count": [len(keys) for keys in found], "sets": names, "different_sets": len(set(map(tuple, found)))}


@quantity
def key_block_ablation(cube):
    """Test loss without and with only the key frequencies' blocks of the logits."""
    last = cube.isel(epoch=-1)
    removed, kept = last.key_blocks_removed_loss, last.key_blocks_only_loss
    return {
        "test_loss": last.test_loss,
        "key_removed": removed,
        "others_removed": kept,
        "removed_over_chance": removed / chance(cube),
        "kept_over_original": kept / last.test_loss,
    }


@quantity
def dataset_size(cube):
    """Pairs in all, for training and for testing."""
    n = int(cube["prime" if "prime" in cube.coords else "operands"][0])
    share = float(cube.train_fraction[0])
    return {"pairs": n**2, "train": int(share * n**2), "test": n**2 - int(share * n**2), "share": share}


def after(cube, name, what="loss", split="test"):
    """Loss or accuracy of every run after an intervention."""
    return cube[f"intervention_{what}"].sel(intervention=name, split=split).values


def _intervention(cube, name):
    before = after(cube, "none")
    return {
        "loss": after(cube, name),
        "ratio": after(cube, name) / before,
        "accuracy": after(cube, name, "accuracy"),
        "accuracy_change": after(cube, name, "accuracy") - after(cube, "none", "accuracy"),
    }


@quantity
def W_L_suffices(cube):
    """Logits read off the neurons by W_L alone, the rest at its mean."""
    return {"accuracy": after(cube, "W_L alone", "accuracy"), "fraction_explained": cube.W_L_fraction_explained}


@quantity
def W_L_rank(cube):
    """Share of W_L's squared norm in its first 2 n singular values, n the number of key frequencies."""

    def share(one):
        squares = np.square(one.W_L_singular_value.values)
        return float(squares[: 2 * len(keys_of(one))].sum() / squares.sum())

    return {"share": by_run(cube, share), "key_frequencies": by_run(cube, lambda one: len(keys_of(one)))}


@quantity
def W_E_frequencies(cube):
    """Frequencies that stand out in W_E, and whether all key frequencies are among them."""
    significant = by_run(cube, _significant)
    missing = by_run(cube, lambda one: len(set(keys_of(one)) - set(_significant(one))))
    return {
        "count": [len(found) for found in significant],
        "key_frequencies_missing": missing,
        "frequencies": [", ".join(map(str, found)) for found in significant],
    }


@quantity
def fourier_symmetry(cube):
    """Whether the complex Fourier components of W_E at k and p - k have the same norm."""
    p = int(cube.prime[0])
    difference = []
    for embedding in cube.W_E.values:
        norms = np.linalg.norm(np.fft.fft(embedding[:p], axis=0), axis=1)
        difference.append(float(np.abs(norms[1:] - norms[:0:-1]).max() / norms.max()))
    return {"largest_relative_difference": difference, "frequencies": (p - 1) // 2}


@quantity
def heads_periodic(cube):
    """The frequency of each head's attention to a, and its share of the variance; of run after run."""
    known = [
        int(k) in set(keys_of(one)) | set(_significant(one))
        for one in (cube.sel(run=run).isel(epoch=-1) for run in cube.run.values)
        for k in one.attention_frequency.values
    ]
    return {
        "frequency": cube.attention_frequency.values.ravel(),
        "share": cube.attention_frequency_share.values.ravel(),
        "unknown_frequencies": known.count(False),
    }


def _neurons(cube, which):
    """Frequency and fraction explained of some neurons, and how many follow no key frequency."""
    last = cube.isel(epoch=-1)
    frequency = last.neuron_frequency.values[:, which]
    strange = sum(
        int(k) not in keys_of(last.sel(run=run))
        for run, row in zip(cube.run.values, frequency, strict=True)
        for k in row
    )
    fraction = last.neuron_fraction_explained.values[:, which]
    return {"frequency": frequency.ravel(), "fraction": fraction.ravel(), "of_no_key_frequency": strange}


@quantity
def neuron_0(cube):
    """Frequency and fraction explained of neuron 0."""
    return _neurons(cube, [0])


@quantity
def neurons_1_to_4(cube):
    """Frequency and fraction explained of neurons 1 to 4; the least fraction of those not always on (first run)."""
    found = _neurons(cube, [1, 2, 3, 4])
    active = cube.neuron_fraction_active.isel(epoch=-1).values[1:5]
    usual = [share for share, fires in zip(found["fraction"], active, strict=False) if fires < ALWAYS_ON]
    return found | {"least_of_usual_neurons": min(usual, default=np.nan), "share_of_pairs_at_which_they_fire": active}


@quantity
def logit_components(cube):
    """2D Fourier components of the logits above 5 % of the largest, beside the key frequencies' 2 x 2 blocks."""
    outside, missing, share, count = [], [], [], []
    for run in cube.run.values:
        one = cube.sel(run=run)
        norms = one.logit_fourier_norm_2d.values.copy()
        norms[0, 0] = 0
        expected = np.zeros(norms.shape, dtype=bool)
        for k in keys_of(one):
            expected[2 * k - 1 : 2 * k + 1, 2 * k - 1 : 2 * k + 1] = True
        large = norms > 0.05 * norms.max()
        count.append(int(large.sum()))
        outside.append(int((large & ~expected).sum()))
        missing.append(int((expected & ~large).sum()))
        share.append(float(np.square(norms[expected]).sum() / np.square(norms).sum()))
    return {"count": count, "outside_blocks": outside, "missing_in_blocks": missing, "energy_in_blocks": share}


@quantity
def W_L_sparse(cube):
    """Norms of W_L's Fourier components: key frequencies against all others."""

    def ratio(one):
        norms, key = one.W_L_fourier_norm.values, components(keys_of(one))
        others = np.delete(norms, np.append(key, 0))
        return float(others.max() / norms[key].min(initial=np.inf))

    def energy(one):
        squares = np.square(one.W_L_fourier_norm.values)
        return float(squares[components(keys_of(one))].sum() / squares.sum())

    share = by_run(cube, energy)
    return {
        "largest_other_over_least_key": by_run(cube, ratio),
        "energy_in_key_frequencies": share,
        "residual_norm": [float(np.sqrt(1 - one)) for one in share],
    }


@quantity
def W_E_sparse(cube):
    """Sparsity of W_E's spectrum."""
    return {
        "gini": cube.gini_W_E.isel(epoch=-1),
        "significant_frequencies": by_run(cube, lambda one: len(_significant(one))),
    }


def readout_rows(one):
    """Table 1's rows of one run: frequency, wave, the two coefficients, the single one, the fraction explained."""
    rows = []
    for k in keys_of(one):
        at = one.sel(frequency=k)
        pairs = {"cos": ("cos a cos b", "sin a sin b"), "sin": ("sin a cos b", "cos a sin b")}
        for wave, names in pairs.items():
            two = [float(at.readout_product_coefficient.sel(wave=wave, product=name)) for name in names]
            single = float(at.readout_coefficient.sel(wave=wave))
            rows.append((int(k), wave, *two, single, float(at.readout_fraction_explained.sel(wave=wave))))
    return rows


@quantity
def readout_identities(cube):
    """The angle-sum identities in what W_L reads off the neurons (Tables 1 and 3), over all runs given."""
    rows = [row for one in by_run(cube, readout_rows) for row in one]
    asymmetry = {
        wave: [
            abs(abs(first) - abs(second)) / max(abs(first), abs(second))
            for _, w, first, second, *_ in rows
            if w == wave
        ]
        for wave in ("cos", "sin")
    }
    signs = sum((first * second > 0) != (wave == "sin") for _, wave, first, second, *_ in rows)
    explained = [row[-1] for row in rows]
    identity = [abs(abs(one) - (abs(first) + abs(second)) / 2) / abs(one) for *_, first, second, one, _ in rows]
    return {
        "fraction_explained": explained,
        "least": min(explained, default=np.nan),
        "median": float(np.median(explained)) if explained else np.nan,
        "largest": max(explained, default=np.nan),
        "cos_asymmetry": asymmetry["cos"],
        "sin_asymmetry": asymmetry["sin"],
        "wrong_signs": signs,
        "single_term_identity": max(identity, default=np.nan),
    }


@quantity
def cosine_fit(cube):
    """How much of the logits the key cosines explain, by each centering."""
    last = cube.isel(epoch=-1)
    name = "logit_fraction_explained_cosines"
    return {
        "centered_over_pairs": last[f"{name}_centered_over_pairs"],
        "uncentered": last[name],
        "centered_over_outputs": last[f"{name}_centered_over_outputs"],
    }


def cosine_loss(one):
    """Loss of logits that are one run's fitted key cosines and nothing else: the same at every pair."""
    p, keys = int(one.prime), keys_of(one)
    heights = one.cosine_coefficient.sel(frequency=keys).values.astype(float) / np.sqrt(p**3 / 2)
    logits = heights @ np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p)
    return float(np.log1p(np.exp(logits[1:] - logits[0]).sum()))


@quantity
def cosine_logits_loss(cube):
    """Loss of logits that are the fitted key cosines and nothing else."""
    approximated, original = by_run(cube, cosine_loss), cube.test_loss.isel(epoch=-1).values
    return {"test_loss": original, "approximated": approximated, "ratio": np.array(approximated) / original}


@quantity
def final_test_loss(cube):
    """Test loss at the end."""
    return {"test_loss": cube.test_loss.isel(epoch=-1)}


@quantity
def neurons_explained(cube):
    """Neurons of which one frequency explains 85 % or more."""
    fraction = cube.neuron_fraction_explained.isel(epoch=-1).values
    above = (fraction >= CLUSTER_FRACTION).sum(-1)
    return {"count": above, "of": fraction.shape[-1], "share": above / fraction.shape[-1]}


@quantity
def clusters_local(cube):
    """Share of each cluster's part of W_L in its own frequency; clusters of ten neurons or more."""
    shares = []
    for run in cube.run.values:
        one = cube.sel(run=run)
        for k in one.frequency.values[one.cluster_size.values >= 10]:
            squares = np.square(one.cluster_W_L_fourier_norm.sel(frequency=k).values)
            shares.append(float(squares[2 * k - 1 : 2 * k + 1].sum() / squares.sum()))
    return {"share": shares}


@quantity
def cluster_sizes(cube):
    """Neurons in each key frequency's cluster, run after run."""
    sizes = [
        int(n) for one in by_run(cube, lambda one: one.cluster_size.sel(frequency=keys_of(one)).values) for n in one
    ]
    return {"sizes": sizes}


@quantity
def single_frequency_ablation(cube):
    """Test loss without one frequency's block: key frequencies, and all others, over the loss of the network."""
    key, other = [], []
    for run in cube.run.values:
        one = cube.sel(run=run).isel(epoch=-1)
        ratio = (one.ablated_loss_by_frequency / one.test_loss).values
        key += ratio[one.key_frequency.values].tolist()
        other.append(float(ratio[~one.key_frequency.values].max()))
    return {"key_ratio": key, "largest_other_ratio": other}


@quantity
def neurons_replaced(cube):
    """Neurons of one frequency replaced by their polynomial of degree 2."""
    return _intervention(cube, "neurons replaced by fits")


@quantity
def neurons_on_key_directions(cube):
    """Every neuron restricted to cos and sin of w(a + b) for key frequencies, and its mean."""
    return _intervention(cube, "neurons on key directions")


@quantity
def projected_on_readout(cube):
    """Neurons projected on W_L's key directions: W_L's part alone with mean logits, and with the rest of the network."""
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


@quantity
def readout_removed(cube):
    """Neurons less their projection on W_L's key directions."""
    found = _intervention(cube, "W_L's key directions removed")
    return found | {"loss_over_chance": found["loss"] / chance(cube)}


@quantity
def self_attention(cube):
    """Mean attention from `=` to itself, of every head, run after run."""
    return {"mean": cube.mean_attention.isel(epoch=-1).sel(position="=").values.ravel()}


@quantity
def self_attention_removed(cube):
    """Attention from `=` to itself set to zero: shared out over a and b, or plainly."""
    plain = _intervention(cube, "attention to = zeroed")
    return _intervention(cube, "attention to = shared out") | {"ratio_plain": plain["ratio"]}


@quantity
def skip_zeroed(cube):
    """The skip connection around the MLP set to zero."""
    return _intervention(cube, "MLP skip zeroed")


@quantity
def skip_at_mean(cube):
    """The skip connection around the MLP at its mean over pairs."""
    found = _intervention(cube, "MLP skip at its mean")
    return found | {"over_zero_ablation": found["loss"] / after(cube, "MLP skip zeroed")}


@quantity
def attention_zeroed(cube):
    """The heads' output set to zero."""
    found = _intervention(cube, "attention zeroed")
    return found | {"loss_over_chance": found["loss"] / chance(cube)}


@quantity
def attention_skip_zeroed(cube):
    """The skip connection around the heads set to zero."""
    found = _intervention(cube, "attention skip zeroed")
    return found | {"loss_over_chance": found["loss"] / chance(cube)}


@quantity
def sigmoid_form(cube):
    """How far attention to a is from a sigmoid, and attention to a and b from 1; means over pairs, by head."""
    return {
        "distance_from_sigmoid": cube.sigmoid_deviation.values.ravel(),
        "distance_of_sum_from_1": cube.mean_attention.isel(epoch=-1).sel(position="=").values.ravel(),
    }


@quantity
def parameters(cube):
    """The trained tensors."""
    names = [str(name) for name in cube.parameter.values]
    return {"biases": sorted(name for name in names if name.startswith("b_")), "tied": "W_U" not in names}


@quantity
def attention_fits(cube):
    """Table 2's fit: fraction explained of each head, run after run."""
    explained = cube.attention_fit_fraction_explained.values
    return {
        "frequency": cube.attention_frequency.values.ravel(),
        "fraction_explained": explained.ravel(),
        "mean": explained.mean(-1),
    }


@quantity
def score_fits(cube):
    """Share of the variance of each head's lookup table C_j in its frequency."""
    return {"fraction_explained": cube.score_fraction_explained.values.ravel()}


@quantity
def opposite_heads(cube):
    """The two heads whose attention to a comes nearest to adding up to 1."""
    pairs, deviations, cosines = [], [], []
    for run in cube.run.values:
        one = cube.sel(run=run)
        deviation = one.head_complement_deviation.values + np.diag([np.inf] * one.sizes["head"])
        i, j = np.unravel_index(deviation.argmin(), deviation.shape)
        scores = one.score_fourier_coefficient.values[:, 1:]
        pairs.append(f"{i} and {j}")
        deviations.append(float(deviation.min()))
        cosines.append(float(scores[i] @ scores[j] / np.linalg.norm(scores[i]) / np.linalg.norm(scores[j])))
    return {"heads": pairs, "mean_deviation": deviations, "cosine_of_scores": cosines}


@quantity
def linear_sigmoid(cube):
    """A straight line in place of the sigmoid: fraction explained, and the range of score differences."""
    return {
        "pooled": cube.sigmoid_linear_fraction_explained_pooled,
        "by_head": cube.sigmoid_linear_fraction_explained.values.ravel(),
        "largest_score_difference": cube.score_difference_range.values.ravel(),
    }


@quantity
def linear_attention(cube):
    """That line put into the network."""
    return _intervention(cube, "attention linear in scores")


@quantity
def OV_structure(cube):
    """What the OV circuits pass on: energy in key frequencies, and in the strongest, by head."""
    in_keys, strongest, same = [], [], 0
    for run in cube.run.values:
        one = cube.sel(run=run)
        for head in one["head"].values:
            squares = np.square(one.OV_fourier_norm.sel(head=head).values)[1:]
            energy = squares[0::2] + squares[1::2]
            in_keys.append(float(energy[keys_of(one) - 1].sum() / energy.sum()))
            strongest.append(float(energy.max() / energy.sum()))
            same += int(energy.argmax() + 1 == int(one.attention_frequency.sel(head=head)))
    return {"energy_in_key_frequencies": in_keys, "share_of_strongest": strongest, "strongest_is_attentions": same}


@quantity
def key_rules(cube):
    """The key frequencies by each rule: neurons' clusters, W_L's norm, W_E's norm."""

    def named(name):
        return by_run(cube, lambda one: ", ".join(map(str, one.frequency.values[one[name].values])))

    return {
        f"clusters_of_{KEY_SHARE:.0%}": named("key_frequency"),
        "W_L_norm_of_15%": named("W_L_large_frequency"),
        "W_E_norm_of_15%": named("W_E_large_frequency"),
    }


@quantity
def share_of_frequencies_ablated(cube):
    """What is not a key frequency, counted three ways."""
    p = int(cube.prime[0])
    n = by_run(cube, lambda one: len(keys_of(one)))
    return {
        "of_frequencies": [1 - x / ((p - 1) // 2) for x in n],
        "of_directions": [1 - x / p for x in n],
        "of_components": [1 - 8 * x / p**2 for x in n],
    }


@quantity
def restricted_levels(cube):
    """Restricted and excluded loss by each source's definition."""
    names = ["restricted_loss", "restricted_loss_test", "restricted_loss_neurons", "key_blocks_only_loss"]
    names += ["excluded_loss", "excluded_loss_neurons", "maximal_excluded_loss"]
    return {name: cube[name].isel(epoch=-1) for name in names}


@quantity
def gini_variants(cube):
    """Gini coefficients over all directions, without the constant, and by frequency; and of W_U."""
    names = [f"gini_{w}{kind}" for w in ("W_E", "W_L") for kind in ("", "_without_constant", "_by_frequency")]
    return {name: cube[name].isel(epoch=-1) for name in [*names, "gini_W_U"]}
