"""Table 6: mean ablation of the skip connection around the last MLP, for networks with other settings than the mainline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.analysis.paper_tables import table_6_row
from progress_measures.analysis.select import runs_with
from progress_measures.tables.published import for_both_sides, paper_beside_ours, published
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

COLUMN_FORMATS = {
    "loss": ".3g",
    "loss SD": ".3g",
    "accuracy": ".1%",
    "ablated loss": ".3g",
    "ablated loss SD": ".3g",
    "ablated accuracy": ".1%",
}


@table(
    title="Mean ablation of the skip connection around the last MLP",
    reference="Nanda et al. 2023, Table 6",
    experiment=("data_fraction_high", "two_layer", "prime_53", "prime_109", "dropout", "dropout_weight_decay_01"),
    partial=True,
    published=("paper",),
    variables=("intervention_loss", "intervention_accuracy"),
    formats=for_both_sides(COLUMN_FORMATS),
)
def rows(
    data_fraction: xr.Dataset | None,
    two_layer: xr.Dataset | None,
    prime_53: xr.Dataset | None,
    prime_109: xr.Dataset | None,
    dropout: xr.Dataset | None,
    dropout_weight_decay: xr.Dataset | None,
) -> pd.DataFrame:
    """Loss (nat) and accuracy over all pairs, before and after mean ablation of the last MLP's skip connection.

    The ablation replaces the vector that the skip connection carries past the MLP by its mean over all pairs. Each row
    is a group of networks; cells are means and standard deviations (SD) over these networks. Our networks have the
    mainline's settings (mod 113, 30 % of the pairs, weight decay 1, 40,000 epochs), except the setting that the row
    names. In addition, networks on 40 to 90 % of the pairs train for 5,000 epochs, networks with P=53 have weight decay
    5, and networks with dropout have weight decay 0 or, where stated, 0.1. Left: the paper's networks. Right: ours. The
    paper's networks with dropout are listed twice: beside ours without weight decay, of which none generalizes, and
    beside ours with weight decay 0.1. Our cells are empty if no network of the group has been trained to the end; the
    SD is also empty if only one has.
    """
    groups = {
        "40-90% of the data": (published("paper.table6.data_fraction"), data_fraction, {}),
        "2 layers": (published("paper.table6.two_layer"), two_layer, {}),
        "P=53": (published("paper.table6.prime_53"), prime_53, {"weight_decay": 5}),
        "P=109": (published("paper.table6.prime_109"), prime_109, {}),
    }
    for row in published("paper.table6.dropout"):
        groups[f"dropout {row['p']}"] = (row, dropout, {"dropout": row["p"]})
    for row in published("paper.table6.dropout"):
        groups[f"dropout {row['p']}, weight decay 0.1"] = (row, dropout_weight_decay, {"dropout": row["p"]})
    # a published accuracy is in percent, under a name that ends in `_percent`
    published_fields = {name: name.replace(" ", "_").replace("SD", "sd") for name in COLUMN_FORMATS}
    frames = []
    for group, (row, cube, settings) in groups.items():
        paper_row = {
            name: row[field] if field in row else row[f"{field}_percent"] / 100
            for name, field in published_fields.items()
        }
        runs = None if cube is None else runs_with(cube, **settings)
        our_rows = [table_6_row(runs)] if runs is not None and runs.sizes["run"] else []
        frames.append(paper_beside_ours([paper_row], our_rows, {"network": group}))
    return pd.concat(frames, ignore_index=True)
