"""How a network that adds integers holds its numbers and sums: from a cube's embedding and neuron maps.

Everything is of the first run at the last checkpoint. PC scores are those of `progress_measures.principal_components`.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures import principal_components
from progress_measures.cube.pair_maps import neuron_maps

Array = NDArray[np.floating]

OF_NEURONS = (
    "W_E", "attention_score_token", "attention_score_position",
    "neuron_value_token", "neuron_value_position", "neuron_offset",
)  # fmt: skip
"""What is read for neurons and numbers."""

PROBE_SEED, PROBE_TEST = 42, 0.3
"""The notebook's `train_test_split(test_size=0.3, random_state=42)`."""

REGRESSORS = ("PC1(a)", "PC2(a)", "PC1(b)", "PC2(b)")


def embedding(cube: xr.Dataset) -> principal_components.Components:
    """The principal components of the numbers' rows of W_E."""
    return principal_components.components(cube.W_E.isel(run=0).values[:-1])


def targets(cube: xr.Dataset) -> dict[str, Array]:
    """What neurons may follow, over all pairs: a, b, their sum, and the first two PC scores of each; [pair] each."""
    scores = embedding(cube).scores
    a, b = np.indices((len(scores), len(scores))).reshape(2, -1)
    of_scores = [scores[a, 0], scores[a, 1], scores[b, 0], scores[b, 1]]
    return {"a": a.astype(float), "b": b.astype(float), "a+b": (a + b).astype(float)} | dict(
        zip(REGRESSORS, of_scores, strict=True)
    )


def activations(cube: xr.Dataset, relu: bool = True) -> Array:
    """Neurons over all pairs: [pair, neuron]."""
    maps = neuron_maps(cube, relu).values
    return maps.reshape(-1, maps.shape[-1])


def correlations(cube: xr.Dataset) -> dict[str, Array]:
    """Pearson's correlation of each neuron after the ReLU with each target: [neuron] each, 0 for constant neurons."""
    neurons = activations(cube)
    neurons = neurons - neurons.mean(0)
    size = np.linalg.norm(neurons, axis=0)
    unit = neurons / np.where(size > 0, size, 1)
    found = {}
    for name, values in targets(cube).items():
        centered = values - values.mean()
        found[name] = centered / np.linalg.norm(centered) @ unit
    return found


def by_correlation(cube: xr.Dataset) -> NDArray[np.int64]:
    """Neurons in falling order of the size of their correlation with the sum."""
    return np.argsort(-np.abs(correlations(cube)["a+b"]), kind="stable")


def explained(values: Array, fitted: Array) -> float:
    """R²: 1 - residual sum of squares / sum of squares about the mean."""
    return float(1 - np.square(values - fitted).sum() / np.square(values - values.mean()).sum())


class LinearFit(NamedTuple):
    """Least squares with an intercept.

    Attributes:
        coefficients: of the shortest solution, [regressor].
        r2: on the rows that were fitted.
    """

    coefficients: Array
    intercept: float
    r2: float

    def __call__(self, regressors: Array) -> Array:
        """What it says of other rows [row, regressor]: [row]."""
        return regressors @ self.coefficients + self.intercept


def fit(regressors: Array, values: Array) -> LinearFit:
    """Fit values [row] by regressors [row, regressor]."""
    mean = regressors.mean(0)
    coefficients = np.linalg.lstsq(regressors - mean, values - values.mean())[0]
    intercept = float(values.mean() - mean @ coefficients)
    return LinearFit(coefficients, intercept, explained(values, regressors @ coefficients + intercept))


class Probe(NamedTuple):
    """A linear probe of the sum on the neurons after the ReLU, and what it says of pairs that it was not fitted to."""

    sums: Array  # [held-out pair]
    predicted: Array
    baseline: float  # the mean sum of the pairs that it was fitted to

    @property
    def r2(self) -> float:
        """On the held-out pairs."""
        return explained(self.sums, self.predicted)

    @property
    def baseline_r2(self) -> float:
        """Of predicting the baseline, on the same pairs."""
        return explained(self.sums, np.full_like(self.sums, self.baseline))


def probe(cube: xr.Dataset) -> Probe:
    """Fit the sum on 70 % of all pairs, the notebook's by its seed, and hold it against the others."""
    neurons, sums = activations(cube), targets(cube)["a+b"]
    order = np.random.RandomState(PROBE_SEED).permutation(len(sums))
    test, train = np.split(order, [int(np.ceil(PROBE_TEST * len(sums)))])
    fitted = fit(neurons[train], sums[train])
    return Probe(sums[test], fitted(neurons[test]), float(sums[train].mean()))


def neuron_fit(cube: xr.Dataset, neuron: int) -> LinearFit:
    """A neuron before the ReLU on the first two PC scores of a and of b; on pairs with a + b < n, as in the notebook."""
    chosen = targets(cube)
    rows = chosen["a+b"] < cube.sizes["token"] - 1
    regressors = np.stack([chosen[name][rows] for name in REGRESSORS], -1)
    return fit(regressors, activations(cube, relu=False)[rows, neuron])


def failures(cube: xr.Dataset) -> xr.DataArray:
    """Where answers with part of the embedding are wrong: [embedding, a, b]."""
    answers = cube.answer_by_embedding.isel(run=0)
    return answers != answers.a + answers.b
