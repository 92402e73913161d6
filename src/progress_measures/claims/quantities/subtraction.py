"""Quantities that the subtraction notebook prints and plots.

A quantity returns values by which claims are judged. Values that depend on trained networks are lists with one entry
per run, unless a docstring says otherwise. "Run by run" says that a list has several entries per run: first all those
of the first run, then all those of the second. The first epoch of an event that does not occur is infinite. A value at
an epoch without a checkpoint is NaN. If a run has no key frequencies, sums over its key frequencies are 0, and its
restricted and excluded loss of projected neurons are NaN.

A key cosine is cos w(a - b - c) with w = 2 pi k / p at a key frequency k, as a function of the pair (a, b) and the
output c. For addition, a + b replaces a - b. The restricted loss of projected neurons is the test loss of the
projection of the neurons after the ReLU on cos and sin of w(a - b) at the key frequencies, with each logit's mean over
pairs kept. The excluded loss of projected neurons is the train loss with this projection removed from the neurons.
W_L = W_out W_U maps these neurons to logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from progress_measures import fourier
from progress_measures.analysis.crossings import at_epochs, count_rises, first_below, lead
from progress_measures.analysis.embedding import gaussian_matrix, operand_embedding
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES
from progress_measures.analysis.readout import at_key_frequencies, cosine_loss, gaussian_similarity
from progress_measures.analysis.runs import (
    after_intervention,
    by_run,
    key_frequencies_of,
    labeled_inputs,
    operand_count,
    split_pairs,
    split_sizes,
    task_of,
    uniform_loss,
)
from progress_measures.claims.registry import Values, quantity
from progress_measures.claims.schema import load_claims
from progress_measures.fourier import component_indices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# ---- the data


@quantity(variables=())
def first_pairs(cube: xr.Dataset) -> Values:
    """Return the first five inputs with labels, and the last five labels, of all pairs in lexicographic order."""
    inputs, labels = labeled_inputs(cube, np.arange(5))
    return {"rows": inputs, "first_labels": labels, "last_labels": labeled_inputs(cube, np.arange(-5, 0))[1]}


@quantity(variables=())
def first_pairs_of_split(cube: xr.Dataset) -> Values:
    """Return the first five inputs and labels of the training set and of the test set of the first run."""
    train, test = (labeled_inputs(cube, pairs[:5]) for pairs in split_pairs(cube.isel(run=0)))
    return {"train_rows": train[0], "train_labels": train[1], "test_rows": test[0], "test_labels": test[1]}


@quantity(variables=())
def logit_count(cube: xr.Dataset) -> Values:
    """Return the number of logits over all pairs, positions and outputs."""
    task_sizes = task_of(cube).sizes
    return {"count": task_sizes.operand_count**2 * task_sizes.context_length * task_sizes.outputs}


@quantity(variables=("W_L_fourier",))
def shapes(cube: xr.Dataset) -> Values:
    """Return the shapes that the notebook's arrays of weights, attention and neurons have for our network.

    W_neur = W_E W_V W_O W_in maps operand values to neurons through each head, and W_logit is W_L. W_E and W_neur have
    no row for the token `=`; `pattern_a` has the attention from `=` to a at every pair.
    """
    sizes = cube.sizes
    n = operand_count(cube)
    return {
        "W_E": [n, sizes["residual"]],
        "W_neur": [sizes["head"], n, sizes["neuron"]],
        "W_logit": [cube.W_L_fourier.sizes["neuron"], cube.W_L_fourier.sizes["fourier_component"]],
        "pattern_a": [n**2, sizes["head"]],
        "neuron_acts": [n**2, sizes["neuron"]],
    }


@quantity(variables=())
def cosine_shapes(cube: xr.Dataset) -> Values:
    """Return the shapes of the notebook's arrays of cos w(a - b - c), and of the array of their coefficients.

    Each frequency has one array of cosines, [a, b, c]. The coefficients have a row per checkpoint after epoch 0 and a
    column per frequency.
    """
    p, frequencies = operand_count(cube), cube.sizes["frequency"]
    return {"arrays": [frequencies, p, p, p], "cos_coeffs": [int((cube.epoch > 0).sum()), frequencies]}


@quantity(variables=())
def fourier_orthonormal(cube: xr.Dataset) -> Values:
    """Return the largest absolute difference between the Gram matrix of the Fourier basis and the identity."""
    basis = fourier.basis(operand_count(cube))
    return {"largest_difference": float(np.abs(basis @ basis.T - np.eye(len(basis))).max())}


# ---- training


@quantity(variables=("test_loss", "train_loss"))
def initial_losses(cube: xr.Dataset) -> Values:
    """Return train and test loss at epoch 0, and the loss of a uniform guess.

    Also return the absolute differences of the train loss and of the test loss from the loss of a uniform guess.
    """
    train, test = (cube[f"{split}_loss"].reindex(epoch=[0]).isel(epoch=0) for split in ("train", "test"))
    uniform = uniform_loss(cube)
    return {
        "train": train,
        "test": test,
        "uniform": uniform,
        "train_from_uniform": np.abs(train - uniform),
        "test_from_uniform": np.abs(test - uniform),
    }


def _printed_losses(
    cube: xr.Dataset, epochs: Sequence[int] | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    """Return the train and test losses of our runs that correspond to the losses that the notebook prints.

    The train loss that the notebook prints at epoch n is measured after n - 1 updates, the test loss after n. Between two
    evaluations of our run, the logarithm of the train loss is interpolated linearly.

    Args:
        cube: cube with `history_train_loss` and `test_loss`.
        epochs: epochs at which the notebook prints.

    Returns:
        Train and test loss, [run, epoch] each; NaN where the cube has no value.
    """
    train = [
        np.exp(np.interp(np.array(epochs) - 1, cube.history_epoch, np.log(curve), left=np.nan, right=np.nan))
        for curve in cube.history_train_loss.values
    ]
    return np.array(train), cube.test_loss.reindex(epoch=epochs).values


@quantity(variables=("history_train_loss", "test_loss", "train_loss"))
def early_losses(cube: xr.Dataset) -> Values:
    """Return train and test loss at the notebook's epoch 100 (see `_printed_losses`), and after 200 updates."""
    train, test = _printed_losses(cube, [100])
    at_200 = [cube[f"{split}_loss"].reindex(epoch=[200]).isel(epoch=0) for split in ("train", "test")]
    return {"train_100": train[:, 0], "test_100": test[:, 0], "train_200": at_200[0], "test_200": at_200[1]}


@quantity(variables=("history_train_loss", "test_loss"))
def loss_table(cube: xr.Dataset) -> Values:
    """Return the absolute relative differences of train and test loss from the losses in the notebook's table.

    Values are the difference at epoch 100, and the largest difference at epochs 200 to 1,000.
    """
    published = np.array(load_claims()["subtraction.loss_table"].published)
    published = published[published[:, 0] <= 1000]
    result: Values = {}
    for split, measured, column in zip(
        ("train", "test"), _printed_losses(cube, published[:, 0].astype(int)), published.T[1:], strict=True
    ):
        difference = np.abs(measured / column - 1)
        result |= {f"{split}_at_100": difference[:, 0], f"{split}_200_to_1000": difference[:, 1:].max(-1)}
    return result


@quantity(variables=("test_loss", "train_loss"))
def loss_landmarks(cube: xr.Dataset) -> Values:
    """Return the first checkpoints with train loss below 1e-6 and with test loss below 1, 1e-2 and 1e-6.

    `fall` is the number of epochs from test loss below 1 to test loss below 1e-6.
    """
    below_1, below_1e_2, below_1e_6 = (first_below(cube.test_loss, bound) for bound in (1, 1e-2, 1e-6))
    return {
        "train_below_1e-6": first_below(cube.train_loss, 1e-6),
        "test_below_1": below_1,
        "test_below_1e-2": below_1e_2,
        "test_below_1e-6": below_1e_6,
        "fall": lead(below_1e_6, below_1),
    }


@quantity(variables=("test_loss",))
def test_loss_peak(cube: xr.Dataset) -> Values:
    """Return the largest test loss and its epoch."""
    return {"value": cube.test_loss.max("epoch"), "epoch": cube.test_loss.idxmax("epoch")}


@quantity(variables=("circuit_formation_end", "train_loss"))
def train_loss_plateau(cube: xr.Dataset) -> Values:
    """Return maximum and minimum of the train loss from epoch 1,500 to the end of circuit formation.

    Without an end of circuit formation, the interval ends with training. In the notebook, the train loss is on a
    plateau from epoch 1,500. Also count the checkpoints at which the running mean of the train loss over 1,000 epochs
    is larger than at the checkpoint before; NaN if the interval is shorter than 1,000 epochs, or the checkpoints are
    not evenly spaced.
    """
    plateaus = [
        run_cube.train_loss.sel(epoch=slice(1500, float(run_cube.circuit_formation_end)))
        for run_cube in (cube.sel(run=run) for run in cube.run.values)
    ]
    return {
        "highest": [float(plateau.max()) if plateau.size else np.nan for plateau in plateaus],
        "lowest": [float(plateau.min()) if plateau.size else np.nan for plateau in plateaus],
        "rises": [count_rises(plateau) for plateau in plateaus],
    }


@quantity(variables=("grok_time", "test_loss"))
def test_loss_decline(cube: xr.Dataset) -> Values:
    """Count the checkpoints at which the running mean of the test loss over 1,000 epochs is larger than at the checkpoint before.

    The checkpoints are counted from the peak of the test loss to the grokking time. The count is NaN if the run has no
    grokking time, if the checkpoints from the peak to the grokking time span less than 1,000 epochs, or if they are not
    evenly spaced. Also return the test loss at epochs 5,000, 10,000, 15,000 and 20,000.
    """
    peak = cube.test_loss.idxmax("epoch")
    declines = [
        cube.test_loss.sel(run=run, epoch=slice(float(peak.sel(run=run)), float(cube.grok_time.sel(run=run))))
        for run in cube.run.values
    ]
    epochs = (5000, 10000, 15000, 20000)
    values = cube.test_loss.reindex(epoch=epochs).values.T
    ends = cube.grok_time.values
    return {
        "rises": [
            count_rises(decline) if np.isfinite(end) else np.nan for decline, end in zip(declines, ends, strict=True)
        ]
    } | {f"at_{epoch}": losses for epoch, losses in zip(epochs, values, strict=True)}


@quantity(variables=("test_loss", "train_loss"))
def final_losses(cube: xr.Dataset) -> Values:
    """Return train loss, test loss and their ratio at the last checkpoint."""
    train, test = cube.train_loss.isel(epoch=-1), cube.test_loss.isel(epoch=-1)
    return {"train": train, "test": test, "test_over_train": test / train}


@quantity(variables=("circuit_formation_end", "train_loss"))
def train_loss_drop(cube: xr.Dataset) -> Values:
    """Return the ratio of the train loss at the end of circuit formation to the final train loss.

    Also return the epoch at which circuit formation ends, and the ratio of the train loss at epoch 22,000, where the
    train loss's plateau in the notebook ends, to the final train loss.
    """
    final = cube.train_loss.isel(epoch=-1).values
    return {
        "from": cube.circuit_formation_end,
        "ratio": at_epochs(cube.train_loss, cube.circuit_formation_end) / final,
        "ratio_from_22000": cube.train_loss.reindex(epoch=[22000]).values[:, 0] / final,
    }


@quantity(variables=("intervention_loss", "test_loss", "train_loss"))
def loss_on_all_pairs(cube: xr.Dataset) -> Values:
    """Return the final loss over all pairs, and the mean of train and test loss weighted by their numbers of pairs.

    Also return the absolute relative difference of the two.
    """
    loss, size = after_intervention(cube, "none", split="all"), split_sizes(cube)
    last = cube.isel(epoch=-1)
    mean = ((size.train * last.train_loss + size.test * last.test_loss) / size.pairs).values
    return {"loss": loss, "from_splits": mean, "relative_difference": np.abs(loss / mean - 1)}


# ---- the embedding


@quantity(variables=("W_E", "key_frequency"))
def embedding_singular_values(cube: xr.Dataset) -> Values:
    """Return statistics of the singular values of W_E; n is the number of key frequencies.

    Values are the number of singular values above a tenth of the largest, minus 2n, and the fraction of the squared
    norm of W_E in the 2n largest singular values. Also return, for a Gaussian matrix of the shape of W_E, the ratio of
    its smallest to its largest singular value, and R² of a straight line fitted to its singular values as a function of
    rank.
    """

    def singular_values(run_cube: xr.Dataset) -> NDArray[np.floating]:
        return np.linalg.svd(operand_embedding(run_cube), compute_uv=False)

    excess_counts, fractions = [], []
    for values, keys in zip(by_run(cube, singular_values), by_run(cube, key_frequencies_of), strict=True):
        excess_counts.append(int((values > 0.1 * values[0]).sum()) - 2 * len(keys))
        fractions.append(float(np.square(values[: 2 * len(keys)]).sum() / np.square(values).sum()))
    gaussian_values = np.linalg.svd(gaussian_matrix(cube.isel(run=0)), compute_uv=False)
    return {
        "key_frequencies": by_run(cube, lambda run_cube: len(key_frequencies_of(run_cube))),
        "above_a_tenth_less_2n": excess_counts,
        "fraction_of_first_2n": fractions,
        "random_least_over_largest": float(gaussian_values[-1] / gaussian_values[0]),
        "random_explained_by_a_line": float(np.corrcoef(np.arange(len(gaussian_values)), gaussian_values)[0, 1] ** 2),
    }


@quantity(variables=("W_E", "key_frequency"))
def singular_vector_frequencies(cube: xr.Dataset) -> Values:
    """Return how far the first left singular vectors of W_E consist of one frequency, and of the key frequencies.

    For n key frequencies, the first 2n vectors are taken, which are functions of the operand value. Lists have one entry
    per vector, run by run: the fraction of the vector's Fourier energy at its strongest frequency, and the fraction at
    all key frequencies together.
    """
    dominant, in_keys = [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        vectors = np.linalg.svd(operand_embedding(run_cube), full_matrices=False)[0][
            :, : 2 * len(key_frequencies_of(run_cube))
        ]
        # the energies of a unit vector and the square of its constant component sum to 1
        energy = fourier.energies(vectors) * len(vectors)
        dominant += energy.max(0).tolist()
        in_keys += energy[key_frequencies_of(run_cube) - 1].sum(0).tolist()
    return {"in_one_frequency": dominant, "in_key_frequencies": in_keys}


@quantity(variables=("W_E_fourier_norm", "key_frequency"))
def embedding_keys(cube: xr.Dataset) -> Values:
    """Return the key frequencies and their number, and the indices of their cosines and sines in the Fourier basis (`places`).

    Also return the fraction of W_E's squared norm at these indices, and whether the cosine and sine of every frequency k
    have the indices 2k - 1 and 2k.
    """

    def key_fraction(run_cube: xr.Dataset) -> float:
        squares = np.square(run_cube.W_E_fourier_norm.values)
        return float(squares[component_indices(key_frequencies_of(run_cube))].sum() / squares.sum())

    p = operand_count(cube)
    names = fourier.component_names(p)
    named_as_expected = [
        {names[2 * k - 1], names[2 * k]} == {f"cos {k}", f"sin {k}"} for k in fourier.frequencies(p).tolist()
    ]
    return {
        "frequencies": by_run(cube, lambda run_cube: ", ".join(map(str, key_frequencies_of(run_cube)))),
        "count": by_run(cube, lambda run_cube: len(key_frequencies_of(run_cube))),
        "places": by_run(cube, lambda run_cube: ", ".join(map(str, component_indices(key_frequencies_of(run_cube))))),
        "waves_of_k_at_2k_less_1_and_2k": all(named_as_expected),
        "share": by_run(cube, key_fraction),
    }


@quantity(variables=("W_E", "key_frequency"))
def key_directions_orthogonal(cube: xr.Dataset) -> Values:
    """Return the largest absolute cosine similarity of two different Fourier components of W_E at key frequencies.

    NaN if the run has no key frequencies.
    """

    def largest_cosine(run_cube: xr.Dataset) -> float:
        key_rows = fourier.basis(operand_count(run_cube))[component_indices(key_frequencies_of(run_cube))]
        vectors = key_rows @ operand_embedding(run_cube)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return float(np.abs(vectors @ vectors.T - np.eye(len(vectors))).max(initial=0)) if len(vectors) else np.nan

    return {"largest_cosine": by_run(cube, largest_cosine)}


# ---- neurons and logits


@quantity(variables=("neuron_fraction_explained",))
def neuron_shares(cube: xr.Dataset) -> Values:
    """Return median and minimum, over neurons, of the fraction of a neuron's variance that its best frequency explains.

    For a neuron that is constant over all pairs, this fraction counts as 0.
    """
    fractions = np.nan_to_num(cube.neuron_fraction_explained.isel(epoch=-1).values)
    return {"median": np.median(fractions, -1), "least": fractions.min(-1)}


@quantity(variables=("neuron_fraction_explained",))
def block_loop(cube: xr.Dataset) -> Values:
    """Return the indices over which the notebook's loop adds up a neuron's variance at frequency k: 0 for every k.

    The sum needs the indices [0, 2k - 1, 2k] in the Fourier basis over a and over b, which are those of 1, cos w_k and
    sin w_k. The notebook writes `range(0, 2k - 1, 2k)`, which yields only 0. Also return the median over neurons of the
    fraction of variance that a neuron's best frequency explains, computed with all three indices.
    """
    ends = 2 * cube.frequency.values
    visited = {index for end in ends for index in range(0, end - 1, end)}
    return {"places_visited": sorted(visited), "median_share_of_blocks": neuron_shares(cube)["median"]}


def _sums_of_squares(cube: xr.Dataset) -> NDArray[np.float64]:
    """Add the squared cosine similarities of the final logits with all key cosines to the squared residual: [run].

    The residual is the norm of the logits without the key cosines, divided by the norm of the logits.
    """
    squares = by_run(
        cube,
        lambda run_cube: float(
            np.square(run_cube.cosine_similarity.sel(frequency=key_frequencies_of(run_cube)), dtype=float).sum()
        ),
    )
    return np.array(squares) + np.square(cube.cosine_residual.isel(epoch=-1).values, dtype=float)


@quantity(
    variables=(
        "cosine_coefficient",
        "cosine_residual",
        "cosine_residual_all",
        "cosine_similarity",
        "key_frequency",
        "logit_norm",
    )
)
def cosine_similarities(cube: xr.Dataset) -> Values:
    """Return the cosine similarity of the final logits with each key cosine, and the norms of the residuals.

    The lists `frequency`, `similarity` and `coefficient` have one entry per key frequency, run by run. `residual` is
    the norm of the logits without the key cosines, divided by the norm of the logits; `residual_norm` is not divided.
    `residual_of_all_frequencies` is the `residual` if the cosines of all frequencies are removed.
    `sum_of_squares` is the squared residual plus the squared similarities.
    """
    last = cube.isel(epoch=-1)
    return {
        "frequency": [int(k) for keys in by_run(cube, key_frequencies_of) for k in keys],
        "similarity": at_key_frequencies(cube, "cosine_similarity"),
        "coefficient": at_key_frequencies(cube, "cosine_coefficient"),
        "residual": last.cosine_residual,
        "residual_of_all_frequencies": last.cosine_residual_all,
        "residual_norm": last.cosine_residual * last.logit_norm,
        "logit_norm": last.logit_norm,
        "sum_of_squares": _sums_of_squares(cube),
    }


@quantity(variables=("cosine_residual", "cosine_similarity", "key_frequency"))
def cosine_pythagoras(cube: xr.Dataset) -> Values:
    """Return how far the squared cosine similarities and the squared residual are from adding up to 1.

    The similarities are those of the logits with each key cosine. The residual is the norm of the logits without the
    key cosines, divided by the norm of the logits. `printed` is the absolute difference from 1 for the numbers that the
    notebook prints, `measured` for our runs.
    """
    printed = load_claims()["subtraction.cos_sims"].published
    return {
        "printed": abs(sum(number**2 for number in printed.values()) - 1),
        "measured": np.abs(_sums_of_squares(cube) - 1),
    }


@quantity(variables=(*ACTIVATION_VARIABLES, "W_L_fourier", "W_L_fraction_explained"))
def random_array(cube: xr.Dataset) -> Values:
    """Return the absolute cosine similarity of the first run's logits with a Gaussian array [a, b, c].

    These logits are computed from the neurons by W_L alone. Also return the fraction of the variance of the network's
    full logits that the logits computed by W_L explain.
    """
    return {"size": gaussian_similarity(cube), "logits_explained_by_W_L": cube.W_L_fraction_explained.values[:1]}


@quantity(variables=("cosine_coefficient", "intervention_loss", "key_frequency"))
def cosine_approximation(cube: xr.Dataset) -> Values:
    """Return the loss over all pairs, the loss of logits that consist only of the fitted key cosines, and their ratio.

    `ratio` is the loss of the fitted key cosines divided by the loss over all pairs.
    """
    loss, approximated = after_intervention(cube, "none", split="all"), np.array(by_run(cube, cosine_loss))
    return {"loss": loss, "approximated": approximated, "ratio": approximated / loss}


@quantity(variables=("cosine_residual_all", "cosine_similarity", "grok_time", "key_frequency", "memorization_end"))
def similarity_growth(cube: xr.Dataset) -> Values:
    """Return by which factor the logits' largest cosine similarity with a key cosine grows.

    The factor is the similarity at half the grokking time, divided by the similarity at the end of memorization. It is
    NaN if the run has no end of memorization, no grokking time or no key frequencies. Also return the frequency with
    the largest similarity at half the grokking time, and the residual at epoch 100 and at the last checkpoint. The
    residual is the norm of the logits without the cosines of all frequencies, divided by the norm of the logits.
    """
    growth, leading_frequency = [], []
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        curves = run_cube.cosine_similarity.sel(frequency=key_frequencies_of(run_cube))
        times = xr.DataArray([float(run_cube.memorization_end), float(run_cube.grok_time) / 2], dims="time")
        if not curves.size or times.isnull().any():
            growth.append(np.nan)
            leading_frequency.append(np.nan)
            continue
        at_times = curves.sel(epoch=times, method="nearest")
        growth.append(float(at_times.max("frequency")[1] / at_times.max("frequency")[0]))
        leading_frequency.append(int(at_times.idxmax("frequency")[1]))
    residual = cube.cosine_residual_all
    return {
        "growth": growth,
        "leading_frequency_halfway": leading_frequency,
        "residual_at_100": residual.reindex(epoch=[100]).isel(epoch=0),
        "residual_at_end": residual.isel(epoch=-1),
    }


# ---- restricted and excluded loss of projected neurons


@quantity(variables=("excluded_loss_neurons", "restricted_loss_neurons", "test_loss"))
def neuron_losses(cube: xr.Dataset) -> Values:
    """Return the final restricted and excluded loss of projected neurons.

    Also return the ratio of restricted to test loss and its inverse, and the ratio of the excluded loss to the loss of a
    uniform guess.
    """
    last = cube.isel(epoch=-1)
    restricted, excluded = last.restricted_loss_neurons, last.excluded_loss_neurons
    return {
        "restricted": restricted,
        "test": last.test_loss,
        "restricted_over_test": restricted / last.test_loss,
        "test_over_restricted": last.test_loss / restricted,
        "excluded": excluded,
        "excluded_over_chance": excluded / uniform_loss(cube),
    }


@quantity(variables=("excluded_loss_neurons", "memorization_end", "restricted_loss_neurons"))
def neuron_losses_after_memorization(cube: xr.Dataset) -> Values:
    """Return restricted and excluded loss of projected neurons after memorization.

    Values are the ratio of the restricted loss at the end of memorization to the loss of a uniform guess, the final
    restricted loss, the minimum of the excluded loss from the end of memorization on, and the ratio of the final excluded
    loss to this minimum.
    """
    excluded = cube.excluded_loss_neurons
    minimum = excluded.where(cube.epoch >= cube.memorization_end).min("epoch")
    return {
        "restricted_when_memorized_over_chance": at_epochs(cube.restricted_loss_neurons, cube.memorization_end)
        / uniform_loss(cube),
        "restricted": cube.restricted_loss_neurons.isel(epoch=-1),
        "least_excluded": minimum,
        "excluded_over_least": excluded.isel(epoch=-1) / minimum,
    }


@quantity(variables=("grok_time", "restricted_loss_neurons", "test_loss"))
def restricted_to_test(cube: xr.Dataset) -> Values:
    """Return the ratio of the restricted loss of projected neurons to the test loss.

    Values are the minimum and maximum of the ratio before the grokking time, NaN if the run has no grokking time, and
    its final value.
    """
    ratio = cube.restricted_loss_neurons / cube.test_loss
    before_grokking = ratio.where(cube.epoch < cube.grok_time)
    return {
        "least_before_grokking": before_grokking.min("epoch"),
        "largest_before_grokking": before_grokking.max("epoch"),
        "final": ratio.isel(epoch=-1),
    }


@quantity(variables=("test_loss",))
def ratio_misaligned(cube: xr.Dataset) -> Values:
    """Return the largest factor by which the test loss falls between two successive checkpoints, and the epoch of the second.

    In its ratio of restricted to test loss, the notebook divides by the test loss of an epoch about one checkpoint
    away. The factor bounds the error of this ratio.
    """
    factor = cube.test_loss.shift(epoch=1) / cube.test_loss
    return {"largest_factor": factor.max("epoch"), "at_epoch": factor.idxmax("epoch")}
