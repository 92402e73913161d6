"""Quantities of the network in the TransformerLens grokking demo.

A quantity returns values by which claims are judged. Quantities that the subtraction notebook also shows are in the
module `subtraction`.

A key cosine is cos w(a + b - c) with w = 2 pi k / p at a key frequency k, as a function of the pair (a, b) and the
output c; p is the modulus. W_L = W_out W_U maps the neurons after the ReLU to logits. N is the projection of these
neurons, as functions of the pair, on cos and sin of w(a + b) at the key frequencies. The restricted loss of projected neurons is
the test loss if the logits are N W_L plus each logit's mean over pairs. The excluded loss of projected neurons is the
train loss if N W_L is subtracted from the logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.crossings import at_epochs
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES, W_L_of, neuron_map, neuron_maps
from progress_measures.analysis.readout import at_key_frequencies, gaussian_similarity
from progress_measures.analysis.runs import by_run, key_frequencies_of, operand_count, split_pairs, task_of
from progress_measures.claims.registry import Values, quantity
from progress_measures.fourier import component_indices
from progress_measures.measures.numerics import cross_entropy

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


@quantity(variables=("cluster_W_L_fourier_norm", "cluster_size", "key_frequency"))
def first_cluster(cube: xr.Dataset) -> Values:
    """Return each run's lowest key frequency and the number of neurons in the cluster of this frequency.

    Also return which fraction of the squared norm of the cluster's rows of W_L is at this frequency. Values of a run
    without key frequencies are 0, 0 and NaN.
    """

    def cluster_of_run(run_cube: xr.Dataset) -> tuple[int, int, float]:
        keys = key_frequencies_of(run_cube)
        if not keys.size:
            return 0, 0, np.nan
        at_key = run_cube.sel(frequency=keys[0])
        squares = np.square(at_key.cluster_W_L_fourier_norm.values)
        return int(keys[0]), int(at_key.cluster_size), float(squares[component_indices(keys[:1])].sum() / squares.sum())

    clusters = by_run(cube, cluster_of_run)
    return dict(zip(("frequency", "neurons", "share"), map(list, zip(*clusters, strict=True)), strict=True))


@quantity(variables=("key_frequency",))
def key_interference(cube: xr.Dataset) -> Values:
    """Average cos(w x) over the key frequencies; return the average at x = 0, divided by the largest at x = 1, …, p - 1.

    The list has one entry per run: NaN for a run without key frequencies.
    """

    def ratio_of_peak_to_next(run_cube: xr.Dataset) -> float:
        keys = key_frequencies_of(run_cube)
        if not keys.size:
            return np.nan
        mean_cosine = fourier.basis(operand_count(run_cube))[component_indices(keys)[::2]].mean(0)  # [::2]: cosines
        return float(mean_cosine[0] / mean_cosine[1:].max())

    return {"at_0_over_the_next": by_run(cube, ratio_of_peak_to_next)}


def _top_fraction(values: NDArray[np.floating], count: int = 8) -> float:
    """Return the fraction of the variance of a map [a, b] in its `count` largest 2D Fourier components.

    NaN for a constant map.
    """
    F = fourier.basis(len(values))
    energy = np.sort(np.square(F @ (values - values.mean()) @ F.T), axis=None)[::-1]
    return float(energy[:count].sum() / energy.sum()) if energy.sum() else np.nan


@quantity(variables=ACTIVATION_VARIABLES)
def neurons_in_2d(cube: xr.Dataset) -> Values:
    """Return the fraction of a neuron's variance over pairs that its eight largest 2D Fourier components hold.

    The neurons are 0 and 5 of the first run, as in the demo. For comparison, also return this fraction for Gaussian noise [a, b].
    """
    p = operand_count(cube)
    gaussian = np.random.default_rng(0).standard_normal((p, p))
    return {
        "neurons": [_top_fraction(neuron_map(cube, neuron).values) for neuron in (0, 5)],
        "random": _top_fraction(gaussian),
    }


@quantity(variables=(*ACTIVATION_VARIABLES, "W_L_fourier", "cosine_residual", "cosine_similarity", "key_frequency"))
def cosines_and_noise(cube: xr.Dataset) -> Values:
    """Return, for each run, the norm of the logits without the key cosines, divided by the norm of the logits.

    Both norms are at the last checkpoint. Also return the cosine similarity of the logits with each key cosine and, for
    comparison, the absolute cosine similarity of the first run's logits with Gaussian noise [a, b, c]. In this
    comparison, the logits are the neurons' part only, computed by W_L.
    """
    return {
        "residual": cube.cosine_residual.isel(epoch=-1),
        "similarity": at_key_frequencies(cube, "cosine_similarity"),
        "random_similarity": gaussian_similarity(cube),
    }


@quantity(variables=("restricted_loss_neurons", "test_loss"))
def restricted_ratio_peak(cube: xr.Dataset) -> Values:
    """Return the largest and final ratio of test loss to restricted loss of projected neurons, and the epoch of the largest.

    A ratio that is NaN counts as 0.
    """
    ratio = (cube.test_loss / cube.restricted_loss_neurons).fillna(0)
    return {"largest": ratio.max("epoch"), "at_epoch": ratio.idxmax("epoch"), "final": ratio.isel(epoch=-1)}


@quantity(variables=("circuit_formation_end", "excluded_loss_neurons", "memorization_end", "test_loss"))
def excluded_on_neurons_rises(cube: xr.Dataset) -> Values:
    """Return the excluded loss of projected neurons at the ends of memorization and of circuit formation.

    Also return the ratio of the loss at the end of circuit formation to the loss at the end of memorization (`rise`),
    and this ratio for the test loss (`test_loss_factor`). Values are NaN for a run in which the rule for phases does
    not find these ends.
    """
    at_memorization_end, at_formation_end = (
        at_epochs(cube.excluded_loss_neurons, cube[f"{phase}_end"]) for phase in ("memorization", "circuit_formation")
    )
    test_losses = [at_epochs(cube.test_loss, cube[f"{phase}_end"]) for phase in ("memorization", "circuit_formation")]
    return {
        "memorized": at_memorization_end,
        "formed": at_formation_end,
        "rise": at_formation_end / at_memorization_end,
        "test_loss_factor": test_losses[1] / test_losses[0],
    }


@quantity(variables=("W_L_fourier", "key_frequency"))
def transpose_left_out(cube: xr.Dataset) -> Values:
    """Return the cosine similarity of W_L F^T and W_L F in the column of one sine; F is the Fourier basis over outputs.

    The transpose is correct; the demo leaves it out. The sine is that of the first run's lowest key frequency. The
    value is NaN without key frequencies.
    """
    F, keys = fourier.basis(operand_count(cube)), key_frequencies_of(cube.isel(run=0))
    if not keys.size:
        return {"cosine": np.nan}
    W_L, index = W_L_of(cube), component_indices(keys)[1]  # 0 is the cosine, 1 the sine
    with_transpose, without_transpose = W_L @ F[index], W_L @ F[:, index]  # F: [component, c]
    return {
        "cosine": float(
            with_transpose @ without_transpose / np.linalg.norm(with_transpose) / np.linalg.norm(without_transpose)
        )
    }


@quantity(
    variables=(
        *ACTIVATION_VARIABLES,
        "W_L_fourier",
        "excluded_loss_neurons",
        "key_frequency",
        "restricted_loss_neurons",
    )
)
def losses_on_neurons_both_ways(cube: xr.Dataset) -> Values:
    """Return restricted and excluded loss of projected neurons by two definitions each, at the first run's last checkpoint.

    `restricted` and `excluded` are measures of the cube. The other two losses are computed from the neurons and W_L:
    `restricted_without_mean_skip` omits the mean over pairs of the skip logits, which bypass the MLP, and
    `excluded_without_skip` omits the skip logits altogether.
    """
    p, run_cube = operand_count(cube), cube.isel(run=0)
    keys = key_frequencies_of(run_cube)
    last = run_cube.isel(epoch=-1)
    result = {"restricted": last.restricted_loss_neurons, "excluded": last.excluded_loss_neurons}
    if not keys.size:
        return result | {"restricted_without_mean_skip": np.nan, "excluded_without_skip": np.nan}
    neurons = neuron_maps(cube).values
    key_marginals = fourier.project(fourier.marginals(neurons), keys)
    a, b = np.indices((p, p))
    on_key_directions = key_marginals.plus[(a + b) % p]
    W_L = W_L_of(cube)
    train, test = split_pairs(run_cube)
    labels = task_of(cube).label_table().ravel()

    def loss(activations: NDArray[np.floating], pairs: NDArray[np.int64]) -> float:
        return float(cross_entropy(activations.reshape(p * p, -1)[pairs] @ W_L, labels[pairs]).mean())

    return result | {
        "restricted_without_mean_skip": loss(on_key_directions + neurons.mean((0, 1)), test),
        "excluded_without_skip": loss(neurons - on_key_directions, train),
    }
