"""Table 3: the neurons along each direction of W_L, for the other seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.tables.paper.table01 import FORMATS, VARIABLES, as_measured, as_published
from progress_measures.tables.published import side_by_side
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

SEEDS = (1, 2, 3, 4)


@table(
    title="Neurons along the directions of the neuron-logit map, other seeds",
    reference="Nanda et al. 2023, Table 3",
    published=("paper",),
    variables=VARIABLES,
    formats=FORMATS,
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Fits of the neurons along each direction of W_L, for the paper's four other seeds and our runs after the first.

    If the direction is a cosine, "first" and "second" are the coefficients on cos w_k a cos w_k b and sin w_k a sin w_k
    b; if it is a sine, on sin w_k a cos w_k b and cos w_k a sin w_k b. "Single" is the coefficient of a fit on cos
    w_k(a + b) or sin w_k(a + b) alone, and FVE is the fraction of variance that this fit explains. Equal seeds do not
    mean equal networks: the two networks in a row share no initial weights.
    """
    frames = []
    for seed in SEEDS:
        papers = as_published(f"paper.table3.seed{seed}")
        ours = as_measured(cube.isel(run=seed)) if seed < cube.sizes["run"] else []
        frames.append(side_by_side(papers, ours, {"seed": seed}))
    return pd.concat(frames, ignore_index=True)
