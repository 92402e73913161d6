"""Table 6: the path around the last MLP hardly matters, in networks of other kinds too."""

import pandas as pd

from progress_measures.claims.quantities.variants import skip_at_mean_by_type
from progress_measures.cube.select import runs_with
from progress_measures.tables.published import both, published, side_by_side
from progress_measures.tables.registry import table

COLUMNS = {
    "loss": ".3g",
    "loss SD": ".3g",
    "accuracy": ".1%",
    "ablated loss": ".3g",
    "ablated loss SD": ".3g",
    "ablated accuracy": ".1%",
}


@table(
    title="Mean ablation of the path around the last MLP",
    reference="Nanda et al. 2023, Table 6",
    experiment=("data_fraction_high", "two_layer", "prime_53", "prime_109", "dropout"),
    partial=True,
    published=("paper",),
    variables=("intervention_loss", "intervention_accuracy"),
    formats=both(COLUMNS),
)
def rows(fractions, two_layer, prime_53, prime_109, dropout):
    """Loss (nat) and accuracy over all pairs, averaged over the networks of a kind (SD over them), before and after the
    path around the last MLP is put at its mean. The paper's networks, then ours; our cells are empty for kinds that have
    not been trained to the end.
    """
    kinds = {
        "40-90% of the data": (published("paper.table6.data_fraction"), fractions, {}),
        "2 layers": (published("paper.table6.two_layer"), two_layer, {}),
        "P=53": (published("paper.table6.prime_53"), prime_53, {"weight_decay": 5}),
        "P=109": (published("paper.table6.prime_109"), prime_109, {}),
    }
    for given in published("paper.table6.dropout"):
        kinds[f"dropout {given['p']}"] = (given, dropout, {"dropout": given["p"]})
    names = {name: name.replace(" ", "_").replace("SD", "sd") for name in COLUMNS}
    frames = []
    for kind, (given, cube, settings) in kinds.items():
        paper = {name: given[key] if key in given else given[f"{key}_percent"] / 100 for name, key in names.items()}
        chosen = None if cube is None else runs_with(cube, **settings)
        measured = skip_at_mean_by_type(chosen) if chosen is not None and chosen.sizes["run"] else {}
        ours = [{name: measured[key] for name, key in names.items()}] if measured else []
        frames.append(side_by_side([paper], ours, {"network": kind}))
    return pd.concat(frames, ignore_index=True)
