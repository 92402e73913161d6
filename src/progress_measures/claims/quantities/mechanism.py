"""Quantities of the algorithm at the last checkpoint (sections 1, 3, 4, A.1, C.1 and C.2.1).

Values are lists with one entry per run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.claims.quantities.curves import chance
from progress_measures.claims.registry import Values, quantity
from progress_measures.measures.keys import CLUSTER_FRACTION, KEY_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

ALWAYS_ON = 0.98  # least share of pairs with a positive activation of an always-on neuron


def by_run(cube: xr.Dataset, function: Callable[[xr.Dataset], Any]) -> list[Any]:
    """Apply a function to the last checkpoint of every run.

    Args:
        cube: the cube.
        function: takes the cube of one run at its last checkpoint.

    Returns:
        The results, one per run.
    """
    return [function(cube.sel(run=run).isel(epoch=-1)) for run in cube.run.values]


def keys_of(run_cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the key frequencies of one run, ascending: [key]."""
    return run_cube.frequency.values[run_cube.key_frequency.values]


def components(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the cosines and sines of frequencies in the Fourier basis, cosine first: [2 key]."""
    return np.array([index for k in keys for index in (2 * k - 1, 2 * k)], dtype=int)


def _frequency_norms(norms: NDArray[np.floating]) -> NDArray[np.floating]:
    """Combine the norms of cosine and sine of each frequency: [fourier_component] to [frequency]."""
    return np.hypot(norms[1::2], norms[2::2])


def _significant(run_cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the frequencies whose norm in W_E exceeds five times the median norm of non-key frequencies."""
    norms = _frequency_norms(run_cube.W_E_fourier_norm.values)
    return np.flatnonzero(norms > 5 * np.median(norms[~run_cube.key_frequency.values])) + 1


@quantity
def key_frequencies(cube: xr.Dataset) -> Values:
    """Return the key frequencies, found by rule, of each run."""
    keys_by_run = by_run(cube, lambda run_cube: keys_of(run_cube).tolist())
    sets = [f"{run}: {', '.join(map(str, keys))}" for run, keys in zip(cube.run.values, keys_by_run, strict=True)]
    return {
        "count": [len(keys) for keys in keys_by_run],
        "sets": sets,
        "different_sets": len(set(map(tuple, keys_by_run))),
    }


@quantity
def key_block_ablation(cube: xr.Dataset) -> Values:
    """Return the test loss without, and with only, the key frequencies' blocks of the logits."""
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
def dataset_size(cube: xr.Dataset) -> Values:
    """Return the number of all pairs, training pairs and test pairs."""
    n = int(cube["prime" if "prime" in cube.coords else "operands"][0])
    share = float(cube.train_fraction[0])
    return {"pairs": n**2, "train": int(share * n**2), "test": n**2 - int(share * n**2), "share": share}


def after_intervention(cube: xr.Dataset, name: str, measure: str = "loss", split: str = "test") -> NDArray[np.floating]:
    """Read loss or accuracy of every run after an intervention.

    Args:
        cube: the cube.
        name: the intervention, an entry of the coordinate `intervention`.
        measure: `loss` or `accuracy`.
        split: `test`, `train` or `all`.

    Returns:
        The values [run].
    """
    return cube[f"intervention_{measure}"].sel(intervention=name, split=split).values


def _intervention(cube: xr.Dataset, name: str) -> Values:
    """Return test loss and accuracy after an intervention, and their change."""
    before = after_intervention(cube, "none")
    return {
        "loss": after_intervention(cube, name),
        "ratio": after_intervention(cube, name) / before,
        "accuracy": after_intervention(cube, name, "accuracy"),
        "accuracy_change": after_intervention(cube, name, "accuracy") - after_intervention(cube, "none", "accuracy"),
    }


@quantity
def W_L_suffices(cube: xr.Dataset) -> Values:
    """Return the accuracy of logits computed by W_L alone, with the rest of the logits at its mean."""
    return {
        "accuracy": after_intervention(cube, "W_L alone", "accuracy"),
        "fraction_explained": cube.W_L_fraction_explained,
    }


@quantity
def W_L_rank(cube: xr.Dataset) -> Values:
    """Return the share of W_L's squared norm in its first 2 n singular values, for n key frequencies."""

    def share(run_cube: xr.Dataset) -> float:
        squares = np.square(run_cube.W_L_singular_value.values)
        return float(squares[: 2 * len(keys_of(run_cube))].sum() / squares.sum())

    return {"share": by_run(cube, share), "key_frequencies": by_run(cube, lambda run_cube: len(keys_of(run_cube)))}


@quantity
def W_E_frequencies(cube: xr.Dataset) -> Values:
    """Return the significant frequencies of W_E, and the number of key frequencies that are not among them."""
    significant = by_run(cube, _significant)
    missing = by_run(cube, lambda run_cube: len(set(keys_of(run_cube)) - set(_significant(run_cube))))
    return {
        "count": [len(frequencies) for frequencies in significant],
        "key_frequencies_missing": missing,
        "frequencies": [", ".join(map(str, frequencies)) for frequencies in significant],
    }


@quantity
def fourier_symmetry(cube: xr.Dataset) -> Values:
    """Compare the norms of the complex Fourier components of W_E at k and p - k."""
    p = int(cube.prime[0])
    difference = []
    for embedding in cube.W_E.values:
        norms = np.linalg.norm(np.fft.fft(embedding[:p], axis=0), axis=1)
        difference.append(float(np.abs(norms[1:] - norms[:0:-1]).max() / norms.max()))
    return {"largest_relative_difference": difference, "frequencies": (p - 1) // 2}


@quantity
def heads_periodic(cube: xr.Dataset) -> Values:
    """Return the frequency of each head's attention to a and its share of the variance, run by run."""
    known = [
        int(k) in set(keys_of(run_cube)) | set(_significant(run_cube))
        for run_cube in (cube.sel(run=run).isel(epoch=-1) for run in cube.run.values)
        for k in run_cube.attention_frequency.values
    ]
    return {
        "frequency": cube.attention_frequency.values.ravel(),
        "share": cube.attention_frequency_share.values.ravel(),
        "unknown_frequencies": known.count(False),
    }


def _neurons(cube: xr.Dataset, neurons: list[int]) -> Values:
    """Return frequency and fraction of variance explained of neurons, and the number without a key frequency."""
    last = cube.isel(epoch=-1)
    frequency = last.neuron_frequency.values[:, neurons]
    of_no_key = sum(
        int(k) not in keys_of(last.sel(run=run))
        for run, row in zip(cube.run.values, frequency, strict=True)
        for k in row
    )
    fraction = last.neuron_fraction_explained.values[:, neurons]
    return {"frequency": frequency.ravel(), "fraction": fraction.ravel(), "of_no_key_frequency": of_no_key}


@quantity
def neuron_0(cube: xr.Dataset) -> Values:
    """Return frequency and fraction of variance explained of neuron 0."""
    return _neurons(cube, [0])


@quantity
def neurons_1_to_4(cube: xr.Dataset) -> Values:
    """Return frequency and fraction of variance explained of neurons 1 to 4.

    The smallest fraction among neurons that are not always on is of the first run.
    """
    values = _neurons(cube, [1, 2, 3, 4])
    active = cube.neuron_fraction_active.isel(epoch=-1).values[1:5]
    not_always_on = [share for share, fires in zip(values["fraction"], active, strict=False) if fires < ALWAYS_ON]
    return values | {
        "least_of_usual_neurons": min(not_always_on, default=np.nan),
        "share_of_pairs_at_which_they_fire": active,
    }


@quantity
def logit_components(cube: xr.Dataset) -> Values:
    """Compare the 2D Fourier components of the logits above 5 % of the largest with the key frequencies' blocks."""
    outside, missing, share, count = [], [], [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        norms = run_cube.logit_fourier_norm_2d.values.copy()
        norms[0, 0] = 0
        expected = np.zeros(norms.shape, dtype=bool)
        for k in keys_of(run_cube):
            expected[2 * k - 1 : 2 * k + 1, 2 * k - 1 : 2 * k + 1] = True
        large = norms > 0.05 * norms.max()
        count.append(int(large.sum()))
        outside.append(int((large & ~expected).sum()))
        missing.append(int((expected & ~large).sum()))
        share.append(float(np.square(norms[expected]).sum() / np.square(norms).sum()))
    return {"count": count, "outside_blocks": outside, "missing_in_blocks": missing, "energy_in_blocks": share}


@quantity
def W_L_sparse(cube: xr.Dataset) -> Values:
    """Compare the norms of W_L's Fourier components at key frequencies with all others."""

    def ratio(run_cube: xr.Dataset) -> float:
        """Return the largest norm at other frequencies over the smallest norm at key frequencies."""
        norms, key = run_cube.W_L_fourier_norm.values, components(keys_of(run_cube))
        others = np.delete(norms, np.append(key, 0))
        return float(others.max() / norms[key].min(initial=np.inf))

    def energy(run_cube: xr.Dataset) -> float:
        """Return the share of the squared norm at key frequencies."""
        squares = np.square(run_cube.W_L_fourier_norm.values)
        return float(squares[components(keys_of(run_cube))].sum() / squares.sum())

    share = by_run(cube, energy)
    return {
        "largest_other_over_least_key": by_run(cube, ratio),
        "energy_in_key_frequencies": share,
        "residual_norm": [float(np.sqrt(1 - key_share)) for key_share in share],
    }


@quantity
def W_E_sparse(cube: xr.Dataset) -> Values:
    """Return the Gini coefficient of W_E's spectrum and the number of its significant frequencies."""
    return {
        "gini": cube.gini_W_E.isel(epoch=-1),
        "significant_frequencies": by_run(cube, lambda run_cube: len(_significant(run_cube))),
    }


def readout_rows(run_cube: xr.Dataset) -> list[tuple[Any, ...]]:
    """Compute the rows of Table 1 of one run.

    Returns:
        Rows of frequency, wave (`cos` or `sin`), the coefficients of the two products, the single coefficient and the
        fraction of variance explained.
    """
    rows = []
    for k in keys_of(run_cube):
        at_key = run_cube.sel(frequency=k)
        pairs = {"cos": ("cos a cos b", "sin a sin b"), "sin": ("sin a cos b", "cos a sin b")}
        for wave, names in pairs.items():
            products = [float(at_key.readout_product_coefficient.sel(wave=wave, product=name)) for name in names]
            single = float(at_key.readout_coefficient.sel(wave=wave))
            rows.append((int(k), wave, *products, single, float(at_key.readout_fraction_explained.sel(wave=wave))))
    return rows


@quantity
def readout_identities(cube: xr.Dataset) -> Values:
    """Test the angle-sum identities in the neuron activations projected on W_L (Tables 1 and 3), over all runs."""
    rows = [row for rows_of_run in by_run(cube, readout_rows) for row in rows_of_run]
    asymmetry = {
        wave: [
            abs(abs(first) - abs(second)) / max(abs(first), abs(second))
            for _, row_wave, first, second, *_ in rows
            if row_wave == wave
        ]
        for wave in ("cos", "sin")
    }
    signs = sum((first * second > 0) != (wave == "sin") for _, wave, first, second, *_ in rows)
    explained = [row[-1] for row in rows]
    identity = [
        abs(abs(single) - (abs(first) + abs(second)) / 2) / abs(single) for *_, first, second, single, _ in rows
    ]
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
def cosine_fit(cube: xr.Dataset) -> Values:
    """Return the fraction of variance of the logits that the key cosines explain, for each centering."""
    last = cube.isel(epoch=-1)
    name = "logit_fraction_explained_cosines"
    return {
        "centered_over_pairs": last[f"{name}_centered_over_pairs"],
        "uncentered": last[name],
        "centered_over_outputs": last[f"{name}_centered_over_outputs"],
    }


def cosine_loss(run_cube: xr.Dataset) -> float:
    """Compute the loss of logits that consist of the fitted key cosines only.

    The loss is equal at every pair, because the logits depend on a + b - c alone.
    """
    p, keys = int(run_cube.prime), keys_of(run_cube)
    heights = run_cube.cosine_coefficient.sel(frequency=keys).values.astype(float) / np.sqrt(p**3 / 2)
    logits = heights @ np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p)
    return float(np.log1p(np.exp(logits[1:] - logits[0]).sum()))


@quantity
def cosine_logits_loss(cube: xr.Dataset) -> Values:
    """Compare the loss of logits that consist of the fitted key cosines only with the test loss of the network."""
    approximated, original = by_run(cube, cosine_loss), cube.test_loss.isel(epoch=-1).values
    return {"test_loss": original, "approximated": approximated, "ratio": np.array(approximated) / original}


@quantity
def final_test_loss(cube: xr.Dataset) -> Values:
    """Return the test loss at the last checkpoint."""
    return {"test_loss": cube.test_loss.isel(epoch=-1)}


@quantity
def neurons_explained(cube: xr.Dataset) -> Values:
    """Count the neurons of which one frequency explains at least 85 % of the variance."""
    fraction = cube.neuron_fraction_explained.isel(epoch=-1).values
    above = (fraction >= CLUSTER_FRACTION).sum(-1)
    return {"count": above, "of": fraction.shape[-1], "share": above / fraction.shape[-1]}


@quantity
def clusters_local(cube: xr.Dataset) -> Values:
    """Return the share of each cluster's columns of W_L at its own frequency, for clusters of at least ten neurons."""
    shares = []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        for k in run_cube.frequency.values[run_cube.cluster_size.values >= 10]:
            squares = np.square(run_cube.cluster_W_L_fourier_norm.sel(frequency=k).values)
            shares.append(float(squares[2 * k - 1 : 2 * k + 1].sum() / squares.sum()))
    return {"share": shares}


@quantity
def cluster_sizes(cube: xr.Dataset) -> Values:
    """Return the number of neurons in each key frequency's cluster, run by run."""
    sizes_by_run = by_run(cube, lambda run_cube: run_cube.cluster_size.sel(frequency=keys_of(run_cube)).values)
    return {"sizes": [int(size) for sizes in sizes_by_run for size in sizes]}


@quantity
def single_frequency_ablation(cube: xr.Dataset) -> Values:
    """Return the test loss without one frequency's block over that of the network, for key and other frequencies."""
    key, other = [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run).isel(epoch=-1)
        ratio = (run_cube.ablated_loss_by_frequency / run_cube.test_loss).values
        key += ratio[run_cube.key_frequency.values].tolist()
        other.append(float(ratio[~run_cube.key_frequency.values].max()))
    return {"key_ratio": key, "largest_other_ratio": other}


@quantity
def neurons_replaced(cube: xr.Dataset) -> Values:
    """Replace the neurons of one frequency by their polynomial of degree 2."""
    return _intervention(cube, "neurons replaced by fits")


@quantity
def neurons_on_key_directions(cube: xr.Dataset) -> Values:
    """Restrict every neuron to its mean and to cos and sin of w(a + b) for the key frequencies."""
    return _intervention(cube, "neurons on key directions")


@quantity
def projected_on_readout(cube: xr.Dataset) -> Values:
    """Project the neurons on W_L's key directions.

    The logits are computed by W_L alone with the skip connection at its mean, and with the skip connection kept.
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


@quantity
def readout_removed(cube: xr.Dataset) -> Values:
    """Remove from the neurons their projection on W_L's key directions."""
    values = _intervention(cube, "W_L's key directions removed")
    return values | {"loss_over_chance": values["loss"] / chance(cube)}


@quantity
def self_attention(cube: xr.Dataset) -> Values:
    """Return the mean attention from `=` to itself of every head, run by run."""
    return {"mean": cube.mean_attention.isel(epoch=-1).sel(position="=").values.ravel()}


@quantity
def self_attention_removed(cube: xr.Dataset) -> Values:
    """Set the attention from `=` to itself to zero, with and without renormalization over a and b."""
    plain = _intervention(cube, "attention to = zeroed")
    return _intervention(cube, "attention to = shared out") | {"ratio_plain": plain["ratio"]}


@quantity
def skip_zeroed(cube: xr.Dataset) -> Values:
    """Set the skip connection around the MLP to zero."""
    return _intervention(cube, "MLP skip zeroed")


@quantity
def skip_at_mean(cube: xr.Dataset) -> Values:
    """Replace the skip connection around the MLP by its mean over pairs."""
    values = _intervention(cube, "MLP skip at its mean")
    return values | {"over_zero_ablation": values["loss"] / after_intervention(cube, "MLP skip zeroed")}


@quantity
def attention_zeroed(cube: xr.Dataset) -> Values:
    """Set the output of the heads to zero."""
    values = _intervention(cube, "attention zeroed")
    return values | {"loss_over_chance": values["loss"] / chance(cube)}


@quantity
def attention_skip_zeroed(cube: xr.Dataset) -> Values:
    """Set the skip connection around the heads to zero."""
    values = _intervention(cube, "attention skip zeroed")
    return values | {"loss_over_chance": values["loss"] / chance(cube)}


@quantity
def sigmoid_form(cube: xr.Dataset) -> Values:
    """Compute the deviation of attention to a from a sigmoid, and of attention to a plus b from 1, for each head.

    Both are means over pairs.
    """
    return {
        "distance_from_sigmoid": cube.sigmoid_deviation.values.ravel(),
        "distance_of_sum_from_1": cube.mean_attention.isel(epoch=-1).sel(position="=").values.ravel(),
    }


@quantity
def parameters(cube: xr.Dataset) -> Values:
    """Return the names of the trained biases, and whether embedding and unembedding are tied."""
    names = [str(name) for name in cube.parameter.values]
    return {"biases": sorted(name for name in names if name.startswith("b_")), "tied": "W_U" not in names}


@quantity
def attention_fits(cube: xr.Dataset) -> Values:
    """Return the fraction of variance that the fit of Table 2 explains for each head, run by run."""
    explained = cube.attention_fit_fraction_explained.values
    return {
        "frequency": cube.attention_frequency.values.ravel(),
        "fraction_explained": explained.ravel(),
        "mean": explained.mean(-1),
    }


@quantity
def score_fits(cube: xr.Dataset) -> Values:
    """Return the share of the variance of each head's lookup table C_j at its frequency."""
    return {"fraction_explained": cube.score_fraction_explained.values.ravel()}


@quantity
def opposite_heads(cube: xr.Dataset) -> Values:
    """Find the two heads whose attention to a sums most nearly to 1, and compare their scores."""
    pairs, deviations, cosines = [], [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        deviation = run_cube.head_complement_deviation.values + np.diag([np.inf] * run_cube.sizes["head"])
        i, j = np.unravel_index(deviation.argmin(), deviation.shape)
        scores = run_cube.score_fourier_coefficient.values[:, 1:]
        pairs.append(f"{i} and {j}")
        deviations.append(float(deviation.min()))
        cosines.append(float(scores[i] @ scores[j] / np.linalg.norm(scores[i]) / np.linalg.norm(scores[j])))
    return {"heads": pairs, "mean_deviation": deviations, "cosine_of_scores": cosines}


@quantity
def linear_sigmoid(cube: xr.Dataset) -> Values:
    """Return the fraction of variance of the sigmoid that a line explains, and the range of score differences."""
    return {
        "pooled": cube.sigmoid_linear_fraction_explained_pooled,
        "by_head": cube.sigmoid_linear_fraction_explained.values.ravel(),
        "largest_score_difference": cube.score_difference_range.values.ravel(),
    }


@quantity
def linear_attention(cube: xr.Dataset) -> Values:
    """Replace the sigmoid in the network by its linear fit."""
    return _intervention(cube, "attention linear in scores")


@quantity
def OV_structure(cube: xr.Dataset) -> Values:
    """Return the share of energy of OV circuits at key frequencies and at the strongest frequency, for each head."""
    in_keys, strongest, same = [], [], 0
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        for head in run_cube["head"].values:
            squares = np.square(run_cube.OV_fourier_norm.sel(head=head).values)[1:]
            energy = squares[0::2] + squares[1::2]
            in_keys.append(float(energy[keys_of(run_cube) - 1].sum() / energy.sum()))
            strongest.append(float(energy.max() / energy.sum()))
            same += int(energy.argmax() + 1 == int(run_cube.attention_frequency.sel(head=head)))
    return {"energy_in_key_frequencies": in_keys, "share_of_strongest": strongest, "strongest_is_attentions": same}


@quantity
def key_rules(cube: xr.Dataset) -> Values:
    """Return the key frequencies by each rule: the neurons' clusters, W_L's norm and W_E's norm."""

    def named(name: str) -> list[str]:
        """Return the frequencies that a rule selects, one string per run."""
        return by_run(cube, lambda run_cube: ", ".join(map(str, run_cube.frequency.values[run_cube[name].values])))

    return {
        f"clusters_of_{KEY_SHARE:.0%}": named("key_frequency"),
        "W_L_norm_of_15%": named("W_L_large_frequency"),
        "W_E_norm_of_15%": named("W_E_large_frequency"),
    }


@quantity
def share_of_frequencies_ablated(cube: xr.Dataset) -> Values:
    """Return the share outside the key frequencies, of all frequencies, directions and 2D components."""
    p = int(cube.prime[0])
    key_counts = by_run(cube, lambda run_cube: len(keys_of(run_cube)))
    return {
        "of_frequencies": [1 - n / ((p - 1) // 2) for n in key_counts],
        "of_directions": [1 - n / p for n in key_counts],
        "of_components": [1 - 8 * n / p**2 for n in key_counts],
    }


@quantity
def restricted_levels(cube: xr.Dataset) -> Values:
    """Return restricted and excluded loss by the definition of each source."""
    names = ["restricted_loss", "restricted_loss_test", "restricted_loss_neurons", "key_blocks_only_loss"]
    names += ["excluded_loss", "excluded_loss_neurons", "maximal_excluded_loss"]
    return {name: cube[name].isel(epoch=-1) for name in names}


@quantity
def gini_variants(cube: xr.Dataset) -> Values:
    """Return Gini coefficients over all directions, without the constant, and by frequency; and that of W_U."""
    names = [f"gini_{w}{kind}" for w in ("W_E", "W_L") for kind in ("", "_without_constant", "_by_frequency")]
    return {name: cube[name].isel(epoch=-1) for name in [*names, "gini_W_U"]}
