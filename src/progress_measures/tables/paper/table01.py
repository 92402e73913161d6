"""Table 1: the neurons' projections on W_L cos_k and W_L sin_k are close to multiples of cos and sin of w_k(a + b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.readout import READOUT_VARIABLES, readout_rows
from progress_measures.tables.published import Row, for_both_sides, paper_beside_ours, published
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

COLUMNS = ("W_L component", "first", "second", "single", "FVE")
"""Columns of the paper's and of our rows: cos_k or sin_k, three coefficients, fraction of variance explained (FVE)."""

COLUMN_FORMATS = for_both_sides({"first": ".1f", "second": ".1f", "single": ".1f", "FVE": ".1%"})


def published_rows(claim: str) -> list[Row]:
    """Return the published rows that a claim quotes, with the columns `COLUMNS`; the FVE is a fraction, 0 to 1."""
    rows = []
    for row in published(claim):
        first, second = sorted(name for name in row if name.startswith("coef_"))
        if row["WL_component"].startswith("sin"):
            first, second = second, first  # in our table, the coefficient of sin a cos b comes first
        values = row["WL_component"], row[first], row[second], row["single_coef"], row["fve_percent"] / 100
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def measured_rows(run_cube: xr.Dataset) -> list[Row]:
    """Compute the rows of one run at its last checkpoint, with the columns `COLUMNS`; the FVE is a fraction, 0 to 1."""
    return [
        dict(
            zip(
                COLUMNS,
                (
                    f"{row.wave}(w_{row.frequency} c)",
                    row.first_product,
                    row.second_product,
                    row.single,
                    row.fraction_explained,
                ),
                strict=True,
            )
        )
        for row in readout_rows(run_cube)
    ]


@table(
    title="Neurons projected on the key frequencies' Fourier components of the neuron-logit map",
    reference="Nanda et al. 2023, Table 1",
    published=("paper",),
    variables=READOUT_VARIABLES,
    formats=COLUMN_FORMATS,
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Projections of the neurons on W_L cos_k and W_L sin_k, for each key frequency k, fitted by cosines and sines of a and b.

    W_L = W_out W_U maps neurons to logits. cos_k and sin_k are the vectors over outputs c with entries cos w_k c and
    sin w_k c, scaled to norm 1; w_k = 2 pi k/p. Each row has the scalar product of the neurons after the ReLU with W_L
    cos_k or W_L sin_k (not scaled to norm 1). This projection is a function of the pair (a, b). In a cosine row,
    "first" and "second" are the coefficients of the projection on cos w_k a cos w_k b and on sin w_k a sin w_k b; in a
    sine row, the coefficients on sin w_k a cos w_k b and on cos w_k a sin w_k b. "Single" is the coefficient on cos
    w_k(a + b) in a cosine row, and on sin w_k(a + b) in a sine row. FVE is the fraction of the projection's variance
    over pairs that this one function explains. Left: the paper's network. Right: the first run at the end of training.
    The two networks have different key frequencies, so the two halves of a row do not correspond.
    """
    return paper_beside_ours(published_rows("paper.table1"), measured_rows(cube.isel(run=0)))
