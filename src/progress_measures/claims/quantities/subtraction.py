"""What the subtraction notebook prints and plots. Values are lists of one a run, those of the data aside."""

from types import SimpleNamespace

import numpy as np
import xarray as xr

from progress_measures import fourier
from progress_measures.claims.ledger import load_claims
from progress_measures.claims.quantities.curves import at, chance, lead
from progress_measures.claims.quantities.mechanism import after, by_run, components, cosine_loss, dataset_size, keys_of
from progress_measures.claims.registry import Values, quantity
from progress_measures.cube.pair_maps import neuron_maps
from progress_measures.cube.select import first_below
from progress_measures.tasks import label_table, layout
from progress_measures.tasks.split import train_order

# ---- the data


def task_of(cube):
    """The task, as `progress_measures.tasks` wants it."""
    sizes = {name: int(cube[name].values[0]) for name in ("prime", "operands", "outputs") if name in cube.coords}
    return SimpleNamespace(kind=str(cube.task.values[0]), **sizes)


def _pairs(cube, places):
    """Inputs a, b, `=` and right answers of the pairs at these places in lexicographic order."""
    task = task_of(cube)
    sizes = layout(task)
    rows = [[*divmod(int(place), sizes.operands), sizes.vocabulary - 1] for place in places]
    return rows, label_table(task).ravel()[places].tolist()


@quantity
def first_pairs(cube):
    """The first five inputs with their labels, and the last five labels."""
    rows, labels = _pairs(cube, np.arange(5))
    return {"rows": rows, "first_labels": labels, "last_labels": _pairs(cube, np.arange(-5, 0))[1]}


@quantity
def first_pairs_of_split(cube):
    """The first five inputs of both parts of the first run's split, with their labels."""
    operands = layout(task_of(cube)).operands
    order = train_order(str(cube.split_method.values[0]), int(cube.split_seed.values[0]), operands)
    cut = dataset_size(cube)["train"]
    train, test = _pairs(cube, order[:5]), _pairs(cube, order[cut : cut + 5])
    return {"train_rows": train[0], "train_labels": train[1], "test_rows": test[0], "test_labels": test[1]}


@quantity
def logit_count(cube):
    """Logits of all pairs at all positions."""
    sizes = layout(task_of(cube))
    return {"count": sizes.operands**2 * sizes.context_length * sizes.outputs}


@quantity
def shapes(cube):
    """Shapes of what the notebook looks at: `=` left out of tokens, attention and neurons over all pairs."""
    size = cube.sizes
    numbers = size["token"] - 1
    return {
        "W_E": [numbers, size["residual"]],
        "W_neur": [size["head"], numbers, size["neuron"]],
        "W_logit": [cube.W_L_fourier.sizes["neuron"], cube.W_L_fourier.sizes["fourier_component"]],
        "pattern_a": [numbers**2, size["head"]],
        "neuron_acts": [numbers**2, size["neuron"]],
    }


@quantity
def cosine_shapes(cube):
    """The cosine cubes, one a frequency, and their coefficients at every checkpoint after the first update."""
    p, frequencies = task_of(cube).prime, cube.sizes["frequency"]
    return {"cubes": [frequencies, p, p, p], "cos_coeffs": [int((cube.epoch > 0).sum()), frequencies]}


@quantity
def fourier_orthonormal(cube):
    """How far the Fourier basis is from orthonormal."""
    basis = fourier.basis(task_of(cube).prime)
    return {"largest_difference": float(np.abs(basis @ basis.T - np.eye(len(basis))).max())}


# ---- training


@quantity
def initial_losses(cube):
    """Losses before training, and their distance from a uniform guess."""
    train, test = (cube[f"{split}_loss"].reindex(epoch=[0]).isel(epoch=0) for split in ("train", "test"))
    uniform = chance(cube)
    return {
        "train": train,
        "test": test,
        "uniform": uniform,
        "train_from_uniform": np.abs(train - uniform),
        "test_from_uniform": np.abs(test - uniform),
    }


def printed_losses(cube, epochs):
    """Train and test loss, [run, epoch] each, as the notebook prints them at these epochs; NaN where there are none.

    Its train loss is that before the epoch's update: between two evaluations its logarithm is taken to be straight.
    """
    train = [
        np.exp(np.interp(np.array(epochs) - 1, cube.history_epoch, np.log(curve), left=np.nan, right=np.nan))
        for curve in cube.history_train_loss.values
    ]
    return np.array(train), cube.test_loss.reindex(epoch=epochs).values


@quantity
def early_losses(cube):
    """Losses as printed at epoch 100, and after 200 updates."""
    train, test = printed_losses(cube, [100])
    at_200 = [cube[f"{split}_loss"].reindex(epoch=[200]).isel(epoch=0) for split in ("train", "test")]
    return {"train_100": train[:, 0], "test_100": test[:, 0], "train_200": at_200[0], "test_200": at_200[1]}


@quantity
def loss_table(cube):
    """Largest relative differences from the notebook's table of losses, up to epoch 1,000."""
    published = np.array(load_claims()["subtraction.loss_table"].published)
    published = published[published[:, 0] <= 1000]
    result: Values = {}
    for split, measured, column in zip(
        ("train", "test"), printed_losses(cube, published[:, 0].astype(int)), published.T[1:], strict=True
    ):
        difference = np.abs(measured / column - 1)
        result |= {f"{split}_at_100": difference[:, 0], f"{split}_200_to_1000": difference[:, 1:].max(-1)}
    return result


@quantity
def loss_landmarks(cube):
    """First checkpoints with a train loss below 1e-6, and with a test loss below 1, 1e-2 and 1e-6."""
    one, small, tiny = (first_below(cube.test_loss, bound) for bound in (1, 1e-2, 1e-6))
    return {
        "train_below_1e-6": first_below(cube.train_loss, 1e-6),
        "test_below_1": one,
        "test_below_1e-2": small,
        "test_below_1e-6": tiny,
        "fall": lead(tiny, one),
    }


@quantity
def test_loss_peak(cube):
    """The largest test loss, and when."""
    return {"value": cube.test_loss.max("epoch"), "epoch": cube.test_loss.idxmax("epoch")}


def rises(curve):
    """How often the running mean over 1,000 epochs of a curve [epoch] rises; NaN where the curve is shorter."""
    window = int((curve.epoch < curve.epoch[0] + 1000).sum()) if curve.size else 0
    if curve.size <= window:
        return np.nan
    return int((np.diff(np.convolve(curve, np.full(window, 1 / window), "valid")) > 0).sum())


@quantity
def train_loss_plateau(cube):
    """Train loss from epoch 1,500 to where the test loss leaves its plateau."""
    plateaus = [
        one.train_loss.sel(epoch=slice(1500, float(one.circuit_formation_end)))
        for one in (cube.sel(run=run) for run in cube.run.values)
    ]
    return {
        "highest": [float(plateau.max()) if plateau.size else np.nan for plateau in plateaus],
        "lowest": [float(plateau.min()) if plateau.size else np.nan for plateau in plateaus],
        "rises": [rises(plateau) for plateau in plateaus],
    }


@quantity
def test_loss_decline(cube):
    """Test loss from its peak to grokking: rises of its running mean over 1,000 epochs; and its values on the way."""
    peak = cube.test_loss.idxmax("epoch")
    parts = [
        cube.test_loss.sel(run=run, epoch=slice(float(peak.sel(run=run)), float(cube.grok_time.sel(run=run))))
        for run in cube.run.values
    ]
    epochs = (5000, 10000, 15000, 20000)
    values = cube.test_loss.reindex(epoch=epochs).values.T
    return {"rises": [rises(part) for part in parts]} | {
        f"at_{epoch}": one for epoch, one in zip(epochs, values, strict=True)
    }


@quantity
def final_losses(cube):
    """Losses at the end."""
    train, test = cube.train_loss.isel(epoch=-1), cube.test_loss.isel(epoch=-1)
    return {"train": train, "test": test, "test_over_train": test / train}


@quantity
def train_loss_drop(cube):
    """Train loss where the test loss leaves its plateau, over that at the end; and from epoch 22,000, as published."""
    final = cube.train_loss.isel(epoch=-1).values
    return {
        "from": cube.circuit_formation_end,
        "ratio": at(cube.train_loss, cube.circuit_formation_end) / final,
        "ratio_from_22000": cube.train_loss.reindex(epoch=[22000]).values[:, 0] / final,
    }


@quantity
def loss_on_all_pairs(cube):
    """Loss over all pairs at the end, and as the mean over both parts of the split."""
    loss, size = after(cube, "none", split="all"), dataset_size(cube)
    last = cube.isel(epoch=-1)
    mean = ((size["train"] * last.train_loss + size["test"] * last.test_loss) / size["pairs"]).values
    return {"loss": loss, "from_splits": mean, "relative_difference": np.abs(loss / mean - 1)}


# ---- the embedding


def _numbers(one):
    """W_E of the numbers, without `=`: [number, residual]."""
    return one.W_E.values[:-1].astype(float)


@quantity
def embedding_singular_values(cube):
    """Singular values of W_E, n being the number of key frequencies, beside those of a Gaussian matrix of its shape."""

    def of(one):
        return np.linalg.svd(_numbers(one), compute_uv=False)

    counts, shares = [], []
    for values, keys in zip(by_run(cube, of), by_run(cube, keys_of), strict=True):
        counts.append(int((values > 0.1 * values[0]).sum()) - 2 * len(keys))
        shares.append(float(np.square(values[: 2 * len(keys)]).sum() / np.square(values).sum()))
    shape = _numbers(cube.isel(run=0)).shape
    control = np.linalg.svd(np.random.default_rng(0).standard_normal(shape), compute_uv=False)
    return {
        "key_frequencies": by_run(cube, lambda one: len(keys_of(one))),
        "above_a_tenth_less_2n": counts,
        "share_of_first_2n": shares,
        "random_least_over_largest": float(control[-1] / control[0]),
        "random_explained_by_a_line": float(np.corrcoef(np.arange(len(control)), control)[0, 1] ** 2),
    }


@quantity
def principal_components(cube):
    """Energy of W_E's first 2n left singular vectors in one frequency, and in the n key frequencies; run after run."""
    dominant, in_keys = [], []
    for run in cube.run.values:
        one = cube.sel(run=run)
        vectors = np.linalg.svd(_numbers(one), full_matrices=False)[0][:, : 2 * len(keys_of(one))]
        energy = fourier.energies(vectors) * len(vectors)  # on a line: unit vectors have 1 in all
        dominant += energy.max(0).tolist()
        in_keys += energy[keys_of(one) - 1].sum(0).tolist()
    return {"in_one_frequency": dominant, "in_key_frequencies": in_keys}


@quantity
def embedding_keys(cube):
    """The key frequencies, their share of W_E's squared norm, and their places in the Fourier basis."""

    def share(one):
        squares = np.square(one.W_E_fourier_norm.values)
        return float(squares[components(keys_of(one))].sum() / squares.sum())

    names = fourier.component_names(task_of(cube).prime)
    pairs = [
        {names[2 * k - 1], names[2 * k]} == {f"cos {k}", f"sin {k}"} for k in fourier.frequencies(task_of(cube).prime)
    ]
    return {
        "frequencies": by_run(cube, lambda one: ", ".join(map(str, keys_of(one)))),
        "count": by_run(cube, lambda one: len(keys_of(one))),
        "places": by_run(cube, lambda one: ", ".join(map(str, components(keys_of(one))))),
        "waves_of_k_at_2k_less_1_and_2k": all(pairs),
        "share": by_run(cube, share),
    }


@quantity
def key_directions_orthogonal(cube):
    """The largest cosine between W_E's components of two key waves."""

    def largest(one):
        rows = fourier.basis(int(one.prime))[components(keys_of(one))] @ _numbers(one)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return float(np.abs(rows @ rows.T - np.eye(len(rows))).max(initial=0)) if len(rows) else np.nan

    return {"largest_cosine": by_run(cube, largest)}


# ---- neurons and logits


@quantity
def neuron_shares(cube):
    """Each neuron's share of variance in its best frequency: the median over neurons, those that never vary having none."""
    shares = np.nan_to_num(cube.neuron_fraction_explained.isel(epoch=-1).values)
    return {"median": np.median(shares, -1), "least": shares.min(-1)}


@quantity
def block_loop(cube):
    """Places that the printed loop over a frequency's block visits, and the median share with whole blocks."""
    ends = 2 * cube.frequency.values
    visited = {place for end in ends for place in range(0, end - 1, end)}
    return {"places_visited": sorted(visited), "median_share_of_blocks": neuron_shares(cube)["median"]}


@quantity
def cosine_similarities(cube):
    """The key cosines in the logits at the end, frequency after frequency, and what is left without them."""
    last = cube.isel(epoch=-1)
    found = by_run(cube, lambda one: one.sel(frequency=keys_of(one)))
    squares = np.array([float(np.square(one.cosine_similarity, dtype=float).sum()) for one in found])
    return {
        "frequency": [int(k) for one in found for k in one.frequency.values],
        "similarity": [float(x) for one in found for x in one.cosine_similarity.values],
        "coefficient": [float(x) for one in found for x in one.cosine_coefficient.values],
        "residual": last.cosine_residual,
        "residual_of_all_frequencies": last.cosine_residual_all,
        "residual_norm": last.cosine_residual * last.logit_norm,
        "logit_norm": last.logit_norm,
        "sum_of_squares": squares + np.square(last.cosine_residual.values, dtype=float),
    }


@quantity
def cosine_pythagoras(cube):
    """Distance from 1 of the squared similarities and residual together: as printed in the notebook, and measured."""
    printed = load_claims()["subtraction.cos_sims"].published
    measured = np.asarray(cosine_similarities(cube)["sum_of_squares"])
    return {"printed": abs(sum(x**2 for x in printed.values()) - 1), "measured": np.abs(measured - 1)}


@quantity
def random_cube(cube):
    """Cosine similarity with a Gaussian (a, b, c) cube, of the logits that W_L reads off the first run's neurons."""
    W_L = cube.W_L_fourier.values @ fourier.basis(task_of(cube).prime)
    logits = neuron_maps(cube).values @ W_L
    gaussian = np.random.default_rng(0).standard_normal(logits.shape)
    similarity = (logits * gaussian).sum() / np.linalg.norm(logits) / np.linalg.norm(gaussian)
    return {"size": float(abs(similarity)), "logits_explained_by_W_L": cube.W_L_fraction_explained.values[:1]}


@quantity
def cosine_approximation(cube):
    """Loss of logits that are the fitted key cosines and nothing else, beside the network's over all pairs."""
    loss, approximated = after(cube, "none", split="all"), np.array(by_run(cube, cosine_loss))
    return {"loss": loss, "approximated": approximated, "ratio": approximated / loss}


@quantity
def similarity_growth(cube):
    """The largest similarity of a key cosine halfway to grokking over that where memorization ends; residuals of all."""
    growth, leading = [], []
    for run in cube.run.values:
        one = cube.sel(run=run)
        curves = one.cosine_similarity.sel(frequency=keys_of(one))
        times = xr.DataArray([float(one.memorization_end), float(one.grok_time) / 2], dims="time")
        if not curves.size or times.isnull().any():
            growth.append(np.nan)
            leading.append(np.nan)
            continue
        then = curves.sel(epoch=times, method="nearest")
        growth.append(float(then.max("frequency")[1] / then.max("frequency")[0]))
        leading.append(int(then.idxmax("frequency")[1]))
    residual = cube.cosine_residual_all
    return {
        "growth": growth,
        "leading_frequency_halfway": leading,
        "residual_at_100": residual.reindex(epoch=[100]).isel(epoch=0),
        "residual_at_end": residual.isel(epoch=-1),
    }


# ---- restricted and excluded loss, on neurons


@quantity
def neuron_losses(cube):
    """Restricted and excluded loss at the end, on neurons, as the notebook has them."""
    last = cube.isel(epoch=-1)
    restricted, excluded = last.restricted_loss_neurons, last.excluded_loss_neurons
    return {
        "restricted": restricted,
        "test": last.test_loss,
        "restricted_over_test": restricted / last.test_loss,
        "test_over_restricted": last.test_loss / restricted,
        "excluded": excluded,
        "excluded_over_chance": excluded / chance(cube),
    }


@quantity
def neuron_losses_story(cube):
    """Those losses after memorization: where it ends, and the excluded loss at the end over its least."""
    excluded = cube.excluded_loss_neurons
    least = excluded.where(cube.epoch >= cube.memorization_end).min("epoch")
    return {
        "restricted_when_memorized_over_chance": at(cube.restricted_loss_neurons, cube.memorization_end) / chance(cube),
        "restricted": cube.restricted_loss_neurons.isel(epoch=-1),
        "least_excluded": least,
        "excluded_over_least": excluded.isel(epoch=-1) / least,
    }


@quantity
def restricted_to_test(cube):
    """Restricted loss on neurons over test loss, both at the same epoch: before grokking, and at the end."""
    ratio = cube.restricted_loss_neurons / cube.test_loss
    before = ratio.where(cube.epoch < cube.grok_time)
    return {
        "least_before_grokking": before.min("epoch"),
        "largest_before_grokking": before.max("epoch"),
        "final": ratio.isel(epoch=-1),
    }


@quantity
def ratio_misaligned(cube):
    """By which factor the test loss of the checkpoint before is off, at most, and where."""
    factor = cube.test_loss.shift(epoch=1) / cube.test_loss
    return {"largest_factor": factor.max("epoch"), "at_epoch": factor.idxmax("epoch")}
