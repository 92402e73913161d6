"""Table 3: the neurons projected on the key frequencies' Fourier components of W_L, for seeds 1 to 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.analysis.readout import READOUT_VARIABLES
from progress_measures.analysis.select import runs_with
from progress_measures.tables.paper.table01 import COLUMN_FORMATS, measured_rows, published_rows
from progress_measures.tables.published import paper_beside_ours
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

SEEDS = (1, 2, 3, 4)


@table(
    title="Neurons projected on the key frequencies' Fourier components of the neuron-logit map, seeds 1 to 4",
    reference="Nanda et al. 2023, Table 3",
    published=("paper",),
    variables=READOUT_VARIABLES,
    formats=COLUMN_FORMATS,
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Projections of the neurons on W_L cos_k and W_L sin_k, for each key frequency k and seeds 1 to 4, fitted by sinusoids.

    W_L = W_out W_U maps neurons to logits. cos_k and sin_k are the vectors over outputs c with entries cos w_k c and
    sin w_k c, scaled to norm 1; w_k = 2 pi k/p. Each row has the scalar product of the neurons after the ReLU with W_L
    cos_k or W_L sin_k (not scaled to norm 1). This projection is a function of the pair (a, b). In a cosine row,
    "first" and "second" are the coefficients of the projection on cos w_k a cos w_k b and on sin w_k a sin w_k b; in a
    sine row, those on sin w_k a cos w_k b and on cos w_k a sin w_k b. "Single" is the coefficient on cos w_k(a + b) in
    a cosine row, and on sin w_k(a + b) in a sine row. FVE is the fraction of the projection's variance over pairs that
    this one function explains. Left: the paper's networks. Right: our runs at the end of training. With the same seed,
    the paper's network and ours still differ in their initial weights, so the two halves of a row do not correspond.
    """
    frames = []
    for seed in SEEDS:
        paper_rows = published_rows(f"paper.table3.seed{seed}")
        ours = runs_with(cube, seed=seed)
        our_rows = measured_rows(ours.isel(run=0)) if ours.sizes["run"] else []
        frames.append(paper_beside_ours(paper_rows, our_rows, {"seed": seed}))
    return pd.concat(frames, ignore_index=True)
