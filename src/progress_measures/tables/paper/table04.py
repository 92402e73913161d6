"""Table 4: test loss after the key frequencies, or all other frequencies, are removed from the logits, for seeds 1 to 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.analysis.select import runs_with
from progress_measures.cube.stops import last_checkpoint
from progress_measures.tables.paper.table03 import SEEDS
from progress_measures.tables.published import for_both_sides, paper_beside_ours, published
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

COLUMNS = {
    "test loss": ("test_loss", "test_loss"),
    "key frequencies removed": ("key_removed", "key_blocks_removed_loss"),
    "others removed": ("others_removed", "key_blocks_only_loss"),
}
"""For each column: the key of the paper's number in a claim's field `published`, and the variable of the cube."""


@table(
    title="Test loss without, and with only, the key frequencies",
    reference="Nanda et al. 2023, Table 4",
    published=("paper",),
    variables=tuple(variable for _, variable in COLUMNS.values()),
    formats=for_both_sides(dict.fromkeys(COLUMNS, ".3g")),
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Test loss (nat) of the networks of seeds 1 to 4 after frequencies are removed from their logits.

    "Test loss" is the loss of the network as it is. "Key frequencies removed" is the loss without the logits'
    components of the key frequencies. "Others removed" is the loss with only these components and the mean of the
    logits over pairs. The components of frequency k are the logits' parts along all products of one of 1, cos w_k a,
    sin w_k a with one of 1, cos w_k b, sin w_k b, except the constant; w_k = 2 pi k/p. Left: the paper's networks.
    Right: our runs at the end of training. With the same seed, the paper's network and ours still differ in their initial
    weights.
    """
    frames = []
    last = last_checkpoint(cube)
    for seed in SEEDS:
        paper_rows = [{name: published(f"paper.table4.seed{seed}")[key] for name, (key, _) in COLUMNS.items()}]
        ours = runs_with(last, seed=seed)
        our_rows = (
            [{name: float(ours[variable][0]) for name, (_, variable) in COLUMNS.items()}] if ours.sizes["run"] else []
        )
        frames.append(paper_beside_ours(paper_rows, our_rows, {"seed": seed}))
    return pd.concat(frames, ignore_index=True)
