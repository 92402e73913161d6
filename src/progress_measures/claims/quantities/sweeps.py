"""Quantities for sweeps of weight decay and train fraction: the values by which claims about such sweeps are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.regions import (
    DIAGRAM_SETTINGS,
    REGIONS,
    VARIABLES,
    accuracy_delays,
    diagram,
    power_law,
    regions,
)
from progress_measures.claims.registry import Values, quantity

if TYPE_CHECKING:
    import xarray as xr

MIN_NETWORKS = 10
"""Smallest number of networks with a finite delay above 0 to which a power law is fitted."""


@quantity(variables=VARIABLES)
def region_counts(cube: xr.Dataset) -> Values:
    """Return how many networks lie in each region of the phase diagram: comprehension, grokking, memorization, confusion.

    `analysis.regions` defines the regions. Also return the fraction of combinations of weight decay and train fraction at which
    the networks of all seeds lie in the same region, among the combinations that have networks.
    """
    counts = np.bincount(regions(cube), minlength=len(REGIONS))
    region_of_seeds = diagram(cube).region.values.reshape(-1, len(np.unique(cube.seed)))
    has_networks = np.isfinite(region_of_seeds).any(-1)
    lowest, highest = (function(region_of_seeds[has_networks], -1) for function in (np.nanmin, np.nanmax))
    return dict(zip(REGIONS, counts.tolist(), strict=True)) | {
        "fraction_of_cells_with_equal_seeds": float((lowest == highest).mean())
    }


@quantity(variables=VARIABLES)
def delay_exponents(cube: xr.Dataset) -> Values:
    """Fit the delay as a power of weight decay and as a power of train fraction; return exponents and their 95 % intervals.

    `exponent_of_weight_decay` has one exponent for each train fraction, `exponent_of_train_fraction` one for each weight
    decay; `low_of_…` and `high_of_…` have the ends of the intervals that contain 95 % of bootstrap samples. The delay
    is the number of updates from 90 % train accuracy to 90 % test accuracy. Only networks with a finite delay above 0
    are used. A fraction or weight decay with fewer than ten such networks, or with fewer than three values of the other
    setting among them, is left out.
    """
    sweep = diagram(cube)
    delay = sweep.delay.where(np.isfinite(sweep.delay) & (sweep.delay > 0))
    values: Values = {}
    for along, other in (DIAGRAM_SETTINGS, DIAGRAM_SETTINGS[::-1]):
        fits = {}
        for setting in sweep[other].values:
            points = delay.sel({other: setting}).transpose(along, ...)
            if int(points.count()) >= MIN_NETWORKS:
                x = np.repeat(points[along].values, points.size // points.sizes[along])
                fits[f"{setting:g}"] = power_law(x, points.values.ravel())
        for field in ("exponent", "low", "high"):
            values[f"{field}_of_{along}"] = {name: getattr(fit, field) for name, fit in fits.items() if fit}
    return values


@quantity(variables=VARIABLES)
def generalization_at_extreme_fractions(cube: xr.Dataset) -> Values:
    """Return how many networks have the smallest train fraction, and how many of these learn their test pairs.

    Also return the largest delay, in updates, of networks with weight decay 1 and a train fraction of at least 0.6: infinity
    if one of them learns only its training pairs, NaN if one of them learns neither. A set of pairs is learned at 90 %
    accuracy.
    """
    delay = accuracy_delays(cube)
    fraction, decay = cube.train_fraction.values, cube.weight_decay.values
    is_large = (fraction >= 0.6) & (decay == 1)
    is_smallest = fraction == fraction.min()
    return {
        "generalizing_at_smallest_fraction": int(np.isfinite(delay[is_smallest]).sum()),
        "networks_at_smallest_fraction": int(is_smallest.sum()),
        "largest_delay_from_0.6": float(delay[is_large].max()),
    }
