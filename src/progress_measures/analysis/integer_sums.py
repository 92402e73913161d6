"""How a network that adds integers represents the operands and their sum, computed from its embedding and neurons.

Functions of a cube use its first run at the last checkpoint. Principal components (PCs) and their scores are defined in
`progress_measures.principal_components`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures import principal_components
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES, neuron_maps
from progress_measures.analysis.runs import operand_count

Array = NDArray[np.floating]

NEURON_VARIABLES = ("W_E", *ACTIVATION_VARIABLES)
"""Variables of a cube from which the embedding of the operands and the activations of neurons over all pairs are computed."""

PROBE_SEED, PROBE_TEST_FRACTION = 42, 0.3
"""Seed of the split of the pairs for the linear probe of a + b, and fraction of held-out pairs.

The notebook on integer addition makes the same split with `train_test_split(test_size=0.3, random_state=42)`.
"""

REGRESSORS = ("PC1(a)", "PC2(a)", "PC1(b)", "PC2(b)")
"""Names of the first two PC scores of a and of b, which are keys of the dictionary that `functions_of_pair` returns."""


def embedding_components(cube: xr.Dataset) -> principal_components.Components:
    """Return the principal components of the operands' embedding, which is W_E without the row of `=`."""
    return principal_components.components(cube.W_E.isel(run=0).values[:-1])


def functions_of_pair(cube: xr.Dataset) -> dict[str, Array]:
    """Return seven functions of the pair, by name: a, b, a + b, and the first two PC scores of a and of b: [pair] each."""
    scores = embedding_components(cube).scores
    a, b = np.indices((len(scores), len(scores))).reshape(2, -1)
    score_values = [scores[a, 0], scores[a, 1], scores[b, 0], scores[b, 1]]
    return {"a": a.astype(float), "b": b.astype(float), "a+b": (a + b).astype(float)} | dict(
        zip(REGRESSORS, score_values, strict=True)
    )


def activations(cube: xr.Dataset, relu: bool = True) -> Array:
    """Compute the activations of all neurons over all pairs.

    Args:
        cube: cube with the variables `NEURON_VARIABLES`.
        relu: whether to apply the ReLU.

    Returns:
        Activations [pair, neuron].
    """
    maps = neuron_maps(cube, relu).values
    return maps.reshape(-1, maps.shape[-1])


def correlations(cube: xr.Dataset) -> dict[str, Array]:
    """Compute Pearson's correlation of each neuron after the ReLU with each function in `functions_of_pair`, over all pairs.

    Returns:
        Correlations [neuron], by name of the function; 0 for a constant neuron.
    """
    neurons = activations(cube)
    neurons = neurons - neurons.mean(0)
    norm = np.linalg.norm(neurons, axis=0)
    unit_vectors = neurons / np.where(norm > 0, norm, 1)
    coefficients = {}
    for name, values in functions_of_pair(cube).items():
        centered = values - values.mean()
        coefficients[name] = centered / np.linalg.norm(centered) @ unit_vectors
    return coefficients


def neurons_by_correlation(cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the indices of the neurons, sorted by descending absolute correlation with a + b: [neuron]."""
    return np.argsort(-np.abs(correlations(cube)["a+b"]), kind="stable")


def r_squared(values: Array, fitted: Array) -> float:
    """Compute R²: 1 minus the residual sum of squares divided by the sum of squares about the mean.

    Args:
        values: true values [row], such as one per pair.
        fitted: fitted or predicted values [row].
    """
    return float(1 - np.square(values - fitted).sum() / np.square(values - values.mean()).sum())


class LinearFit(NamedTuple):
    """A least-squares fit with an intercept.

    Attributes:
        coefficients: least-squares solution of minimal norm [regressor].
        intercept: intercept of the fit.
        r2: R² on the rows to which the fit is made.
    """

    coefficients: Array
    intercept: float
    r2: float

    def __call__(self, regressors: Array) -> Array:
        """Predict the values [row] of regressors [row, regressor]."""
        return regressors @ self.coefficients + self.intercept


def least_squares(regressors: Array, values: Array) -> LinearFit:
    """Fit values by least squares on regressors and an intercept.

    Args:
        regressors: regressors [row, regressor], without the constant; a row is one observation, such as a pair.
        values: values to fit [row].

    Returns:
        The coefficients [regressor], the intercept and R².
    """
    mean = regressors.mean(0)
    coefficients = np.linalg.lstsq(regressors - mean, values - values.mean())[0]
    intercept = float(values.mean() - mean @ coefficients)
    return LinearFit(coefficients, intercept, r_squared(values, regressors @ coefficients + intercept))


class Probe(NamedTuple):
    """Predictions of a + b on held-out pairs by a linear probe of the neurons after the ReLU.

    Attributes:
        sums: a + b of the held-out pairs [pair].
        predicted: the probe's predictions of these sums [pair].
        baseline: mean of a + b over the pairs to which the probe is fitted.
    """

    sums: Array
    predicted: Array
    baseline: float

    @property
    def r2(self) -> float:
        """R² of the probe on the held-out pairs."""
        return r_squared(self.sums, self.predicted)

    @property
    def baseline_r2(self) -> float:
        """R² of the constant prediction `baseline` on the held-out pairs."""
        return r_squared(self.sums, np.full_like(self.sums, self.baseline))


def probe(cube: xr.Dataset) -> Probe:
    """Fit a linear probe of a + b to 70 % of all pairs, drawn with the notebook's seed, and predict a + b of the other 30 %."""
    neurons, sums = activations(cube), functions_of_pair(cube)["a+b"]
    order = np.random.RandomState(PROBE_SEED).permutation(len(sums))
    test, train = np.split(order, [int(np.ceil(PROBE_TEST_FRACTION * len(sums)))])
    fitted = least_squares(neurons[train], sums[train])
    return Probe(sums=sums[test], predicted=fitted(neurons[test]), baseline=float(sums[train].mean()))


def neuron_fit(cube: xr.Dataset, neuron: int) -> LinearFit:
    """Fit the pre-activation of a neuron by the first two PC scores of a and of b.

    Args:
        cube: cube with the variables `NEURON_VARIABLES`.
        neuron: index of the neuron.

    Returns:
        The fit to the pairs with a + b < n, where n is the number of operand values; the notebook fits these pairs only.
    """
    functions = functions_of_pair(cube)
    fitted_pairs = functions["a+b"] < operand_count(cube)
    regressors = np.stack([functions[name][fitted_pairs] for name in REGRESSORS], -1)
    return least_squares(regressors, activations(cube, relu=False)[fitted_pairs, neuron])


def failures(cube: xr.Dataset) -> xr.DataArray:
    """Return whether the network's answer differs from a + b: [embedding, a, b].

    The dimension `embedding` says which part of the operands' embedding is kept: all of it, or its mean and some of its
    principal components.
    """
    answers = cube.answer_by_embedding.isel(run=0)
    return answers != answers.a + answers.b
