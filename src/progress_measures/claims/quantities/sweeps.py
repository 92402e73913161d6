"""Quantities for sweeps of weight decay and training fraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.regions import AXES, REGIONS, VARIABLES, accuracy_delays, diagram, power_law, regions
from progress_measures.claims.registry import Values, quantity

if TYPE_CHECKING:
    import xarray as xr

FEWEST = 10
"""Smallest number of networks with a delay from which a power law is fitted."""


@quantity(variables=VARIABLES)
def region_counts(cube: xr.Dataset) -> Values:
    """Return how many networks lie in each region, and the share of cells whose seeds all lie in one region."""
    counts = np.bincount(regions(cube), minlength=len(REGIONS))
    seeds = diagram(cube).region.values.reshape(-1, len(np.unique(cube.seed)))
    return dict(zip(REGIONS, counts.tolist(), strict=True)) | {
        "share_of_cells_with_equal_seeds": float((seeds == seeds[:, :1]).all(-1).mean())
    }


@quantity(variables=VARIABLES)
def delay_exponents(cube: xr.Dataset) -> Values:
    """Return the exponents of power laws of the delay, with the ends of the intervals that hold 95 % of bootstrap samples.

    Each result is a dictionary: by training fraction for laws of the weight decay, by weight decay for laws of the training
    fraction. Only networks that learn their test pairs later than their training pairs are used.
    """
    sweep = diagram(cube)
    delay = sweep.delay.where(np.isfinite(sweep.delay) & (sweep.delay > 0))
    values: Values = {}
    for along, other in (AXES, AXES[::-1]):
        fits = {}
        for setting in sweep[other].values:
            points = delay.sel({other: setting}).transpose(along, ...)
            if int(points.count()) >= FEWEST:
                x = np.repeat(points[along].values, points.size // points.sizes[along])
                fits[f"{setting:g}"] = power_law(x, points.values.ravel())
        for part in ("exponent", "low", "high"):
            values[f"{part}_of_{along}"] = {name: getattr(fit, part) for name, fit in fits.items() if fit}
    return values


@quantity(variables=VARIABLES)
def delays_by_fraction(cube: xr.Dataset) -> Values:
    """Return results on training fractions: of all networks, and of the networks with weight decay 1.

    These are the number of networks that learn their test pairs at the smallest fraction, and, for weight decay 1, the
    largest delay in updates at fractions of at least 0.6.
    """
    delay = accuracy_delays(cube)
    fraction, decay = cube.train_fraction.values, cube.weight_decay.values
    much = (fraction >= 0.6) & (decay == 1)
    smallest = fraction == fraction.min()
    return {
        "generalizing_at_smallest_fraction": int(np.isfinite(delay[smallest]).sum()),
        "networks_at_smallest_fraction": int(smallest.sum()),
        "largest_delay_from_0.6": float(delay[much].max()),
    }
