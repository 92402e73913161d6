"""Integer addition's neurons before the ReLU, as sums of what is known of a and of b."""

import pandas as pd

from progress_measures.cube.integer_sums import OF_NEURONS, REGRESSORS, by_correlation, correlations, neuron_fit
from progress_measures.tables.registry import table

COUNT = 3


@table(
    title="Integer addition's neurons fitted by principal component scores",
    reference="Integer addition notebook, fit of neuron 240",
    experiment="integer_addition",
    variables=OF_NEURONS,
    formats=dict.fromkeys(("R2", *REGRESSORS, "intercept"), ".4f") | {"r with a + b": ".4f"},
)
def rows(cube):
    """Least squares of the pre-activation on the scores of a and of b on the first two principal components, over the pairs
    with a + b < n, as in the notebook: of the first run's three neurons that correlate most with the sum, at the end of
    training. Equal coefficients of a and b: the neuron treats them alike.
    """
    r = correlations(cube)["a+b"]
    found = []
    for neuron in by_correlation(cube)[:COUNT]:
        fit = neuron_fit(cube, int(neuron))
        found.append(
            {"neuron": neuron, "r with a + b": r[neuron], "R2": fit.r2}
            | dict(zip(REGRESSORS, fit.coefficients, strict=True))
            | {"intercept": fit.intercept}
        )
    return pd.DataFrame(found)
