"""Table 3: as Table 1, for the other seeds."""

import pandas as pd

from progress_measures.tables.paper.table01 import FORMATS, VARIABLES, as_measured, as_published
from progress_measures.tables.published import side_by_side
from progress_measures.tables.registry import table

SEEDS = (1, 2, 3, 4)


@table(
    title="Waves read off the neurons by the neuron-logit map, other seeds",
    reference="Nanda et al. 2023, Table 3",
    published=("paper",),
    variables=VARIABLES,
    formats=FORMATS,
)
def rows(cube):
    """As Table 1, for the paper's four other seeds and our runs after the first. The seeds' numbers mean nothing across the
    two: networks of one row share no initial weights.
    """
    frames = []
    for seed in SEEDS:
        papers = as_published(f"paper.table3.seed{seed}")
        ours = as_measured(cube.isel(run=seed)) if seed < cube.sizes["run"] else []
        frames.append(side_by_side(papers, ours, {"seed": seed}))
    return pd.concat(frames, ignore_index=True)
