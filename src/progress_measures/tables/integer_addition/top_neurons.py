"""The neurons of integer addition that follow the sum most closely."""

import pandas as pd

from progress_measures.cube.integer_sums import OF_NEURONS, by_correlation, correlations
from progress_measures.tables.registry import table

COUNT = 140  # as the notebook prints
TARGETS = ("a+b", "a", "b", "PC1(a)", "PC1(b)", "PC2(a)", "PC2(b)")


@table(
    title="Integer addition's neurons by their correlation with the sum",
    reference="Integer addition notebook, neuron correlations",
    experiment="integer_addition",
    variables=OF_NEURONS,
    formats=dict.fromkeys(TARGETS, ".4f"),
)
def rows(cube):
    """Pearson's correlation over all pairs of neurons after the ReLU with the sum, with each number, and with the numbers'
    scores on the first two principal components, of the first run at the end of training: the 140 neurons with the
    strongest correlation with the sum, of either sign.
    """
    r, chosen = correlations(cube), by_correlation(cube)[:COUNT]
    return pd.DataFrame({"neuron": chosen} | {name: r[name][chosen] for name in TARGETS})
