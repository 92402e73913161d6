"""Table 5: losses, sparsity and fits of networks with other data, depths, primes and regularization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from progress_measures.claims.quantities.variants import table_5_row
from progress_measures.cube.select import runs_with
from progress_measures.tables.published import Row, both, published, side_by_side
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

NAMES = {
    "test loss": "test_loss",
    "Gini W_E": "gini_WE",
    "Gini W_L": "gini_WL",
    "keys": "key_frequencies",
    "logit FVE": "logit_fve_percent",
    "MLP FVE": "mlp_fve_percent",
    "MLP FVE SD": "mlp_fve_sd_percent",
}
PERCENT = ("logit FVE", "MLP FVE", "MLP FVE SD")


@table(
    title="Losses, sparsity and fractions of variance explained of other kinds of networks",
    reference="Nanda et al. 2023, Table 5",
    experiment=("data_fraction_high", "two_layer", "prime_53", "prime_109", "dropout"),
    partial=True,
    published=("paper",),
    variables=(
        *("test_loss", "test_accuracy", "gini_W_E", "gini_W_L", "key_frequency"),
        "logit_fraction_explained_cosines_centered_over_pairs",
        *("readout_product_coefficient", "readout_coefficient", "readout_fraction_explained"),
    ),
    formats=both({"test loss": ".3g", "Gini W_E": ".2f", "Gini W_L": ".2f"} | dict.fromkeys(PERCENT, ".1%"))
    | {"ours: test accuracy": ".2%"},
)
def rows(
    fractions: xr.Dataset | None,
    two_layer: xr.Dataset | None,
    prime_53: xr.Dataset | None,
    prime_109: xr.Dataset | None,
    dropout: xr.Dataset | None,
) -> pd.DataFrame:
    """Losses, sparsity and fits of each kind of network that generalizes in the paper.

    Columns: test loss (nat), Gini coefficients of the Fourier norms of W_E and W_L, key frequencies, and the fraction
    of the logits' variance that the key cosines explain (logit FVE). MLP FVE is the fraction of the variance of the
    neurons along a key direction of W_L that one wave explains: mean and standard deviation over the directions. Left:
    the paper's networks; right: ours, with their test accuracy, since not all of ours generalize (none with dropout).
    The two networks in a row share no initial weights. Our cells are empty for kinds that have not been trained to the
    end.
    """
    kinds = {
        "paper.table5.data_fraction": [(f"{float(run.train_fraction):.0%}", run) for run in _runs(fractions)],
        "paper.table5.two_layer": [("2 layer", run) for run in _runs(two_layer)],
        "paper.table5.prime_53": [("P=53", run) for run in _runs(prime_53, weight_decay=5)],
        "paper.table5.prime_109": [("P=109", run) for run in _runs(prime_109)],
        "paper.table5.dropout": [
            (f"dropout {float(run.dropout):g}", run) for run in _runs(dropout) if float(run.dropout) < 0.8
        ],
    }
    frames = []
    for claim, ours in kinds.items():
        papers = [_as_published(row) for row in published(claim)]
        measured = [
            {"network": name, "test accuracy": float(run.test_accuracy)} | table_5_row(run) for name, run in ours
        ]
        frames.append(side_by_side(papers, measured))
    return pd.concat(frames, ignore_index=True)


def _runs(cube: xr.Dataset | None, **settings: Any) -> list[xr.Dataset]:
    """Return the runs with these settings at their last checkpoint, or an empty list without a cube."""
    if cube is None:
        return []
    runs = runs_with(cube, **settings)
    return [runs.isel(run=i, epoch=-1) for i in range(runs.sizes["run"])]


def _as_published(row: Row) -> Row:
    """Return a published row with the columns of `NAMES`; a loss that is only bounded remains a string."""
    cells = {"network": row["model"].replace("p=", "dropout ")} | {ours: row[theirs] for ours, theirs in NAMES.items()}
    cells["keys"] = ", ".join(map(str, cells["keys"]))
    return cells | {name: cells[name] / 100 for name in PERCENT}
