"""Table 2: the attention of each head is a difference of waves of a and of b."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.tables.published import both, published, side_by_side
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@table(
    title="Attention from `=` to a by one frequency",
    reference="Nanda et al. 2023, Table 2",
    published=("paper",),
    variables=("attention_frequency", "attention_alpha", "attention_beta", "attention_fit_fraction_explained"),
    formats=both({"k": ".0f", "alpha": ".2f", "beta": ".2f", "FVE": ".2%"}),
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Fit of each head's attention from `=` to a by waves of a and b at one frequency k.

    The fit is A_0 = 0.5 + alpha (cos w_k a - cos w_k b) + beta (sin w_k a - sin w_k b), at the frequency k that
    contains most of this attention. FVE is the fraction of its variance that the fit explains. Left: the paper's
    network; right: our first run. Heads have no order, so the two networks' heads in a row do not correspond.
    """
    papers = [
        {"k": row["k"], "alpha": row["alpha"], "beta": row["beta"], "FVE": row["fve_percent"] / 100}
        for row in published("paper.table2")
    ]
    run = cube.isel(run=0)
    names = {"k": "frequency", "alpha": "alpha", "beta": "beta", "FVE": "fit_fraction_explained"}
    ours = [
        {name: run[f"attention_{variable}"].values[head] for name, variable in names.items()}
        for head in range(cube.sizes["head"])
    ]
    frame = side_by_side(papers, ours)
    frame.insert(0, "head", range(len(frame)))
    return frame
