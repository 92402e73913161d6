"""Table 4: test loss with and without the key frequencies, for the other seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.tables.paper.table03 import SEEDS
from progress_measures.tables.published import both, published, side_by_side
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

COLUMNS = {
    "test loss": ("test_loss", "test_loss"),
    "key frequencies removed": ("key_removed", "key_blocks_removed_loss"),
    "others removed": ("others_removed", "key_blocks_only_loss"),
}


@table(
    title="Test loss without and with only the key frequencies",
    reference="Nanda et al. 2023, Table 4",
    published=("paper",),
    variables=tuple(variable for _, variable in COLUMNS.values()),
    formats=both(dict.fromkeys(COLUMNS, ".3g")),
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Test loss (nat) of four seeds, with and without the key frequencies in the logits.

    It is the loss of the network; with the key frequencies' components removed from the logits; and with all other
    components except the constant removed. Left: the paper's networks; right: our runs after the first.
    """
    frames = []
    last = cube.isel(epoch=-1)
    for seed in SEEDS:
        papers = [{name: published(f"paper.table4.seed{seed}")[key] for name, (key, _) in COLUMNS.items()}]
        ours = (
            [{name: float(last[variable][seed]) for name, (_, variable) in COLUMNS.items()}]
            if seed < cube.sizes["run"]
            else []
        )
        frames.append(side_by_side(papers, ours, {"seed": seed}))
    return pd.concat(frames, ignore_index=True)
