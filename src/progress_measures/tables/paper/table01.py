"""Table 1: the neurons along each direction of W_L are cos and sin of w(a + b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.claims.quantities.mechanism import readout_rows
from progress_measures.tables.published import Row, both, published, side_by_side
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

COLUMNS = ("W_L along", "first", "second", "single", "FVE")
FORMATS = both({"first": ".1f", "second": ".1f", "single": ".1f", "FVE": ".1%"})
VARIABLES = ("readout_product_coefficient", "readout_coefficient", "readout_fraction_explained", "key_frequency")


def as_published(claim: str) -> list[Row]:
    """Return the published rows of a claim with the columns `COLUMNS`; fractions are 0 to 1."""
    rows = []
    for row in published(claim):
        first, second = sorted(name for name in row if name.startswith("coef_"))
        if row["WL_component"].startswith("sin"):
            first, second = second, first  # sin a cos b comes first
        values = row["WL_component"], row[first], row[second], row["single_coef"], row["fve_percent"] / 100
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def as_measured(run: xr.Dataset) -> list[Row]:
    """Return the rows of one run at its last checkpoint with the columns `COLUMNS`; fractions are 0 to 1."""
    return [dict(zip(COLUMNS, (f"{wave}(w_{k} c)", *values), strict=True)) for k, wave, *values in readout_rows(run)]


@table(
    title="Neurons along the directions of the neuron-logit map",
    reference="Nanda et al. 2023, Table 1",
    published=("paper",),
    variables=VARIABLES,
    formats=FORMATS,
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Fits of the neurons along each direction of W_L by waves of a and b.

    If the direction is a cosine, "first" and "second" are the coefficients on cos w_k a cos w_k b and sin w_k a sin w_k
    b; if it is a sine, on sin w_k a cos w_k b and cos w_k a sin w_k b. "Single" is the coefficient of a fit on cos
    w_k(a + b) or sin w_k(a + b) alone, and FVE is the fraction of variance that this fit explains. Left: the paper's
    network; right: our first run; each with its own key frequencies k.
    """
    return side_by_side(as_published("paper.table1"), as_measured(cube.isel(run=0)))
