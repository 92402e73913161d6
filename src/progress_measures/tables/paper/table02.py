"""Table 2: each head's attention to a is 0.5 + f(a) - f(b), where f is a sinusoid of one frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.tables.published import for_both_sides, paper_beside_ours, published
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@table(
    title="Attention from `=` to a, fitted by cosines and sines of one frequency",
    reference="Nanda et al. 2023, Table 2",
    published=("paper",),
    variables=("attention_frequency", "attention_alpha", "attention_beta", "attention_fit_fraction_explained"),
    formats=for_both_sides({"k": ".0f", "alpha": ".2f", "beta": ".2f", "FVE": ".2%"}),
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Fit of each head's attention from `=` to a by cosines and sines of a and of b at one frequency k.

    The attention is a function A_0 of the pair. Its fit is 0.5 + alpha (cos w_k a - cos w_k b) + beta (sin w_k a -
    sin w_k b), where k is the frequency that explains the largest fraction of the variance of A_0 over pairs, and
    w_k = 2 pi k/p. FVE is the fraction of this variance that the fit explains. Left: the paper's network. Right: the
    first run at the end of training. The order of heads is arbitrary, so the paper's head and ours in the same row do
    not correspond.
    """
    paper_rows = [
        {"k": row["k"], "alpha": row["alpha"], "beta": row["beta"], "FVE": row["fve_percent"] / 100}
        for row in published("paper.table2")
    ]
    run_cube = cube.isel(run=0)
    variable_suffixes = {"k": "frequency", "alpha": "alpha", "beta": "beta", "FVE": "fit_fraction_explained"}
    our_rows = [
        {name: run_cube[f"attention_{suffix}"].values[head] for name, suffix in variable_suffixes.items()}
        for head in range(cube.sizes["head"])
    ]
    frame = paper_beside_ours(paper_rows, our_rows)
    frame.insert(0, "head", range(len(frame)))
    return frame
