"""Regions of the phase diagram of a sweep (Liu et al. 2022, 'Towards Understanding Grokking'), and fits of power laws.

A network has learned a set of pairs at the first evaluation with an accuracy of at least 90 % on these pairs. The
regions are:

comprehension   test pairs are learned less than 1,000 updates after the training pairs, before them, or alone
grokking        test pairs are learned at least 1,000 updates after the training pairs
memorization    only training pairs are learned
confusion       neither training nor test pairs are learned

A region depends on the length of training: a run in the region memorization might grok if it were trained longer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.crossings import first_reaching, lead
from progress_measures.analysis.select import grid

REGIONS = ("comprehension", "grokking", "memorization", "confusion")
"""Names of the regions, in the order of the indices that `regions` returns."""

VARIABLES = ("history_train_accuracy", "history_test_accuracy")
"""Variables of a cube from which the regions are computed."""

DIAGRAM_SETTINGS = ("weight_decay", "train_fraction")
"""Settings that span the phase diagram."""

LEARNED_ACCURACY = 0.9
"""Accuracy at which a set of pairs is learned."""

MIN_GROKKING_DELAY = 1000
"""Smallest number of updates from learning the training pairs to learning the test pairs that counts as grokking."""


def accuracy_delays(cube: xr.Dataset) -> NDArray[np.float64]:
    """Return by how many updates each run learns the test pairs later than the training pairs: [run].

    The delay is negative if the test pairs are learned first, infinite for a run that learns only training pairs, 0 for a run
    that learns only test pairs, and NaN for a run that learns neither.
    """
    train, test = (first_reaching(cube[name], LEARNED_ACCURACY) for name in VARIABLES)
    return lead(test, np.where(np.isinf(train) & np.isfinite(test), test, train))


def regions(cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the region of each run, as an index of `REGIONS`: [run]."""
    delay = accuracy_delays(cube)
    return np.select([delay < MIN_GROKKING_DELAY, np.isfinite(delay), np.isinf(delay)], [0, 1, 2], 3)


def spans_diagram(cube: xr.Dataset) -> bool:
    """Return whether both settings of `DIAGRAM_SETTINGS` vary among the runs of a cube."""
    return all(len(np.unique(cube[name])) > 1 for name in DIAGRAM_SETTINGS)


def diagram(cube: xr.Dataset) -> xr.Dataset:
    """Return the phase diagram of a sweep of weight decay and train fraction.

    Args:
        cube: cube of the sweep, with the variables `VARIABLES`.

    Returns:
        Variables [weight_decay, train_fraction, …], with a further dimension for every other setting that varies
        independently, such as `seed`: `region`, an index of `REGIONS`; `delay`, as `accuracy_delays` returns it; and
        `test_learned`, the epoch of the first evaluation with a test accuracy of at least 90 %, or infinity if there is
        none. Values are NaN where there is no run.
    """
    measured = cube.drop_vars(list(cube.data_vars)).assign(
        region=("run", regions(cube).astype(float)),
        delay=("run", accuracy_delays(cube)),
        test_learned=("run", first_reaching(cube.history_test_accuracy, LEARNED_ACCURACY)),
    )
    return grid(measured, *DIAGRAM_SETTINGS)


class PowerLaw(NamedTuple):
    """A fit y = factor · x^exponent.

    Attributes:
        factor: the factor.
        exponent: the exponent.
        low: 2.5th percentile of the exponents of fits to bootstrap samples of the points.
        high: 97.5th percentile of the same exponents.
    """

    factor: float
    exponent: float
    low: float
    high: float


BOOTSTRAP_SAMPLES = 2000
"""Number of bootstrap samples from which the interval of an exponent is computed."""


def power_law(x: NDArray[np.float64], y: NDArray[np.float64], seed: int = 0) -> PowerLaw | None:
    """Fit a power law to positive values by least squares of their logarithms.

    Args:
        x: positive values [point].
        y: values [point]. Points whose y is not positive or not finite are left out.
        seed: seed of the bootstrap samples.

    Returns:
        The fit; None if the remaining points have fewer than three different values of x.
    """
    used = np.isfinite(y) & (y > 0)
    log_x, log_y = np.log(x[used]), np.log(y[used])
    if len(set(log_x.tolist())) < 3:
        return None
    rng = np.random.default_rng(seed)
    exponent, intercept = _fit_line(log_x, log_y)
    exponents: list[float] = []
    while len(exponents) < BOOTSTRAP_SAMPLES:
        sample = rng.integers(len(log_x), size=len(log_x))
        if np.ptp(log_x[sample]) > 0:  # a sample in which all x are equal has no slope
            exponents.append(_fit_line(log_x[sample], log_y[sample])[0])
    low, high = np.percentile(exponents, [2.5, 97.5])
    return PowerLaw(factor=float(np.exp(intercept)), exponent=exponent, low=float(low), high=float(high))


def _fit_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line."""
    centered = x - x.mean()
    slope = float(centered @ y / (centered @ centered))
    return slope, float(y.mean() - slope * x.mean())
