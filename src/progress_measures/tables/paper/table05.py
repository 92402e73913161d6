"""Table 5: losses, sparsity and variance explained, for other train fractions, two layers, other primes and dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from progress_measures.analysis.paper_tables import TABLE_5_VARIABLES, table_5_row
from progress_measures.analysis.select import runs_with
from progress_measures.cube.stops import last_checkpoint
from progress_measures.tables.published import Row, for_both_sides, paper_beside_ours, published
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

PUBLISHED_FIELDS = {
    "test loss": "test_loss",
    "Gini W_E": "gini_WE",
    "Gini W_L": "gini_WL",
    "keys": "key_frequencies",
    "logit FVE": "logit_fve_percent",
    "MLP FVE": "mlp_fve_percent",
    "MLP FVE SD": "mlp_fve_sd_percent",
}
"""Field of the rows in a claim's `published` from which each column of the table is read, by the column's name."""

PERCENTAGES = ("logit FVE", "MLP FVE", "MLP FVE SD")
"""Columns that are published in percent; the table has fractions, 0 to 1, with the format of a percentage."""


@table(
    title="Losses, sparsity and variance explained for other train fractions, two layers, other primes and dropout",
    reference="Nanda et al. 2023, Table 5",
    experiment=("data_fraction_high", "two_layer", "prime_53", "prime_109", "dropout", "dropout_weight_decay_01"),
    partial=True,
    published=("paper",),
    variables=(*TABLE_5_VARIABLES, "test_accuracy"),
    formats=for_both_sides(
        {"test loss": ".3g", "Gini W_E": ".2f", "Gini W_L": ".2f"} | dict.fromkeys(PERCENTAGES, ".1%")
    )
    | {"ours: test accuracy": ".2%"},
)
def rows(
    data_fraction: xr.Dataset | None,
    two_layer: xr.Dataset | None,
    prime_53: xr.Dataset | None,
    prime_109: xr.Dataset | None,
    dropout: xr.Dataset | None,
    dropout_weight_decay: xr.Dataset | None,
) -> pd.DataFrame:
    """Test loss, sparsity and fractions of variance explained (FVE) of networks with other settings than the mainline.

    Our networks have the mainline's settings, except for the setting that the row names. In addition, networks on 40 to
    90 % of the pairs train for 5,000 epochs, not 40,000; networks with P=53 have weight decay 5, not 1; networks with
    dropout have weight decay 0 or, where the row states it, 0.1. Test loss is in nat. Gini W_E and Gini W_L are Gini
    coefficients of the norms of the Fourier components of the embedding W_E and of the neuron-logit map W_L = W_out
    W_U. Keys are the key frequencies k; w_k = 2 pi k/p. Logit FVE is the fraction of the logits' variance over pairs
    that the functions cos w_k(a + b - c) of all keys explain, for outputs c. For MLP FVE, the neurons are projected on
    W_L cos_k and on W_L sin_k, where cos_k and sin_k have the entries cos w_k c and sin w_k c. MLP FVE is the fraction
    of the variance over pairs of such a projection that cos w_k(a + b) or sin w_k(a + b) explains: mean and standard
    deviation (SD) over the projections of all keys. Left: the paper's networks, all of which generalize. Right: our
    networks, with their test accuracy, since not all of ours generalize (none with dropout and no weight decay). The
    paper's networks with dropout are listed twice: beside ours without weight decay, and beside ours with weight decay
    0.1. The paper's network and ours in the same row share no initial weights. Our cells are empty where a network has
    not been trained to the end.
    """
    groups = [
        ("paper.table5.data_fraction", [(f"{float(run.train_fraction):.0%}", run) for run in _runs(data_fraction)]),
        ("paper.table5.two_layer", [("2 layer", run) for run in _runs(two_layer)]),
        ("paper.table5.prime_53", [("P=53", run) for run in _runs(prime_53, weight_decay=5)]),
        ("paper.table5.prime_109", [("P=109", run) for run in _runs(prime_109)]),
        ("paper.table5.dropout", _with_dropout(dropout, "")),
        ("paper.table5.dropout", _with_dropout(dropout_weight_decay, ", weight decay 0.1")),
    ]
    frames = []
    for claim, runs in groups:
        paper_rows = [_with_our_columns(row) for row in published(claim)]
        our_rows = [
            {"network": name, "test accuracy": float(run.test_accuracy)} | table_5_row(run) for name, run in runs
        ]
        frames.append(paper_beside_ours(paper_rows, our_rows))
    return pd.concat(frames, ignore_index=True)


def _runs(cube: xr.Dataset | None, **settings: Any) -> list[xr.Dataset]:
    """Return the runs with these settings, at their last checkpoint; an empty list if the cube is missing."""
    if cube is None:
        return []
    runs = runs_with(cube, **settings)
    return [last_checkpoint(runs.isel(run=i)) for i in range(runs.sizes["run"])]


def _with_dropout(cube: xr.Dataset | None, suffix: str) -> list[tuple[str, xr.Dataset]]:
    """Return the runs with dropout below 0.8, each with its name in our table; the paper's table lacks dropout 0.8."""
    return [(f"dropout {float(run.dropout):g}{suffix}", run) for run in _runs(cube) if float(run.dropout) < 0.8]


def _with_our_columns(row: Row) -> Row:
    """Convert a published row to the names and units of our columns; a loss published only as a bound remains a string."""
    cells = {"network": row["model"].replace("p=", "dropout ")} | {
        name: row[field] for name, field in PUBLISHED_FIELDS.items()
    }
    cells["keys"] = ", ".join(map(str, cells["keys"]))
    return cells | {name: cells[name] / 100 for name in PERCENTAGES}
