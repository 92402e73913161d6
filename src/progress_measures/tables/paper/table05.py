"""Table 5: the same structure in networks of other data, depth, primes and regularization."""

import pandas as pd

from progress_measures.claims.quantities.variants import table_5_row
from progress_measures.cube.select import runs_with
from progress_measures.tables.published import both, published, side_by_side
from progress_measures.tables.registry import table

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
    title="Losses, sparsity and fractions explained of networks of other kinds",
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
def rows(fractions, two_layer, prime_53, prime_109, dropout):
    """For each network of a kind that generalizes in the paper: test loss (nat), Gini coefficients of the Fourier norms of W_E
    and W_L, key frequencies, the share of the logits' variance that the key cosines explain, and the mean and standard
    deviation over W_L's key directions of the share that one wave explains. The paper's networks, then ours, with their test
    accuracy, since not all of ours generalize: of those with dropout, none. Rows of one kind share no initial weights. Our cells
    are empty for kinds that have not been trained to the end.
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


def _runs(cube, **settings):
    """The runs with some settings at their last checkpoint; none where there is no cube."""
    if cube is None:
        return []
    chosen = runs_with(cube, **settings)
    return [chosen.isel(run=i, epoch=-1) for i in range(chosen.sizes["run"])]


def _as_published(row):
    """A row of the ledger under our columns; a loss that is only bounded stays a text."""
    cells = {"network": row["model"].replace("p=", "dropout ")} | {ours: row[theirs] for ours, theirs in NAMES.items()}
    cells["keys"] = ", ".join(map(str, cells["keys"]))
    return cells | {name: cells[name] / 100 for name in PERCENT}
