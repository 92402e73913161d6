"""What the TransformerLens demo shows of its network, where the subtraction notebook does not show the same."""

import numpy as np

from progress_measures import fourier
from progress_measures.claims.quantities.curves import at
from progress_measures.claims.quantities.mechanism import by_run, components, keys_of
from progress_measures.claims.quantities.subtraction import cosine_similarities, random_cube, task_of
from progress_measures.claims.registry import quantity
from progress_measures.cube.pair_maps import neuron_map, neuron_maps
from progress_measures.measures.numerics import cross_entropy
from progress_measures.tasks import label_table
from progress_measures.tasks.split import train_order


@quantity
def first_cluster(cube):
    """The cluster of each run's lowest key frequency: its neurons, and how much of what they write is at it."""

    def of(one):
        keys = keys_of(one)
        if not keys.size:
            return 0, 0, np.nan
        at_key = one.sel(frequency=keys[0])
        squares = np.square(at_key.cluster_W_L_fourier_norm.values)
        return int(keys[0]), int(at_key.cluster_size), float(squares[components(keys[:1])].sum() / squares.sum())

    found = by_run(cube, of)
    return dict(zip(("frequency", "neurons", "share"), map(list, zip(*found, strict=True)), strict=True))


@quantity
def key_interference(cube):
    """The mean of each run's key cosines at 0, over the next largest value."""

    def of(one):
        keys = keys_of(one)
        if not keys.size:
            return np.nan
        waves = fourier.basis(int(one.prime))[2 * keys - 1].mean(0)
        return float(waves[0] / waves[1:].max())

    return {"at_0_over_the_next": by_run(cube, of)}


def _top_share(values, count=8):
    """Share of the variance over (a, b) in a function's largest 2D Fourier components."""
    F = fourier.basis(len(values))
    energy = np.sort(np.square(F @ (values - values.mean()) @ F.T), axis=None)[::-1]
    return float(energy[:count].sum() / energy.sum()) if energy.sum() else np.nan


@quantity
def neurons_in_2d(cube):
    """Share of the eight largest 2D Fourier components: neurons 0 and 5 of the first run, and a Gaussian map."""
    p = task_of(cube).prime
    gaussian = np.random.default_rng(0).standard_normal((p, p))
    return {
        "neurons": [_top_share(neuron_map(cube, neuron).values) for neuron in (0, 5)],
        "random": _top_share(gaussian),
    }


@quantity
def cosines_and_control(cube):
    """What the key cosines leave over of the logits, and the similarity of the first run's logits with a random cube."""
    return {
        "residual": cosine_similarities(cube)["residual"],
        "similarity": cosine_similarities(cube)["similarity"],
        "random_similarity": random_cube(cube)["size"],
    }


@quantity
def restricted_ratio_peak(cube):
    """The largest test loss over restricted loss on neurons, both at the same epoch, and when."""
    ratio = (cube.test_loss / cube.restricted_loss_neurons).fillna(0)
    return {"largest": ratio.max("epoch"), "at_epoch": ratio.idxmax("epoch"), "final": ratio.isel(epoch=-1)}


@quantity
def excluded_on_neurons_rises(cube):
    """The excluded loss on neurons where circuit formation ends, over that where memorization ends; test loss beside it."""
    early, late = (
        at(cube.excluded_loss_neurons, cube[f"{phase}_end"]) for phase in ("memorization", "circuit_formation")
    )
    test = [at(cube.test_loss, cube[f"{phase}_end"]) for phase in ("memorization", "circuit_formation")]
    return {"memorized": early, "formed": late, "rise": late / early, "test_loss_factor": test[1] / test[0]}


@quantity
def transpose_left_out(cube):
    """Cosine between the first run's neuron weights of the sine of its lowest key frequency, with a transpose and without."""
    F, keys = fourier.basis(task_of(cube).prime), keys_of(cube.isel(run=0))
    if not keys.size:
        return {"cosine": np.nan}
    W_L, place = cube.W_L_fourier.values @ F, 2 * keys[0]
    named, taken = W_L @ F[place], W_L @ F[:, place]
    return {"cosine": float(named @ taken / np.linalg.norm(named) / np.linalg.norm(taken))}


@quantity
def losses_on_neurons_both_ways(cube):
    """The restricted loss without the logits' mean, the excluded loss without the path around the MLP; and as defined.

    Of the first run at the end. Neurons and W_L are rebuilt from the cube.
    """
    task, one = task_of(cube), cube.isel(run=0)
    p, keys = task.prime, keys_of(one)
    defined = one.isel(epoch=-1)
    result = {"restricted": defined.restricted_loss_neurons, "excluded": defined.excluded_loss_neurons}
    if not keys.size:
        return result | {"restricted_without_mean_logits": np.nan, "excluded_without_skip": np.nan}
    neurons = neuron_maps(cube).values
    along = fourier.project(fourier.marginals(neurons), keys)
    a, b = np.indices((p, p))
    key_part = along.plus[(a + b) % p]
    W_L = cube.W_L_fourier.values @ fourier.basis(p)
    order = train_order(str(one.split_method.values), int(one.split_seed), p)
    train, test = np.split(order, [int(float(one.train_fraction) * p**2)])
    labels = label_table(task).ravel()

    def loss(kept, pairs):
        return float(cross_entropy(kept.reshape(p * p, -1)[pairs] @ W_L, labels[pairs]).mean())

    return result | {
        "restricted_without_mean_logits": loss(key_part + neurons.mean((0, 1)), test),
        "excluded_without_skip": loss(neurons - key_part, train),
    }
