"""How well integer addition does with part of its embedding."""

import pandas as pd

from progress_measures.cube.integer_sums import failures
from progress_measures.tables.registry import table


@table(
    title="Accuracy of integer addition with part of its embedding",
    reference="Integer addition notebook, ablation of PC 2",
    experiment="integer_addition",
    variables=("answer_by_embedding",),
    formats={"accuracy": ".0%"},
)
def rows(cube):
    """Share of all pairs that the first run answers rightly at the end of training, and how many it does not, when numbers
    are embedded whole; by the mean and the first principal component, which the notebook calls removing the second; and
    with the second alone removed. In the notebook the second of these is right for 42 %.
    """
    wrong = failures(cube)
    return pd.DataFrame(
        [
            {"embedding": name, "accuracy": 1 - float(one.mean()), "failing pairs": int(one.sum())}
            for name, one in ((str(name), wrong.sel(embedding=name)) for name in wrong.embedding.values)
        ]
    )
