"""Table 2: the attention of every head is a difference of waves."""

from progress_measures.tables.published import both, published, side_by_side
from progress_measures.tables.registry import table


@table(
    title="Attention from `=` to a by one frequency",
    reference="Nanda et al. 2023, Table 2",
    published=("paper",),
    variables=("attention_frequency", "attention_alpha", "attention_beta", "attention_fit_fraction_explained"),
    formats=both({"k": ".0f", "alpha": ".2f", "beta": ".2f", "FVE": ".2%"}),
)
def rows(cube):
    """The fit A_0 = 0.5 + alpha (cos w_k a - cos w_k b) + beta (sin w_k a - sin w_k b) of each head's attention from `=` to
    a, at the frequency k that holds most of it, and the share of its variance which that explains. Left the paper's network,
    right our first run; heads have no order, so rows of one head are not to be compared.
    """
    papers = [
        {"k": row["k"], "alpha": row["alpha"], "beta": row["beta"], "FVE": row["fve_percent"] / 100}
        for row in published("paper.table2")
    ]
    one = cube.isel(run=0)
    names = {"k": "frequency", "alpha": "alpha", "beta": "beta", "FVE": "fit_fraction_explained"}
    ours = [
        {name: one[f"attention_{variable}"].values[head] for name, variable in names.items()}
        for head in range(cube.sizes["head"])
    ]
    frame = side_by_side(papers, ours)
    frame.insert(0, "head", range(len(frame)))
    return frame
