"""Beyond the paper: how well grokking can be foretold."""

import numpy as np
import pandas as pd

from progress_measures.forecast import EXPERIMENTS, METHODS, VARIABLES, at_share, leave_one_out, trajectories, wrong_by
from progress_measures.tables.registry import table

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


@table(
    title="Forecast of grokking",
    reference="not in the sources",
    experiment=EXPERIMENTS,
    variables=VARIABLES,
    formats={f"at {share:.0%}": ".2f" for share in SHARES} | {"worst at 50%": ".2f"},
)
def rows(*cubes):
    """By what factor the predicted epoch of grokking (test loss below 1) is off, the median over runs, when a run is that
    far on its way. Each run is predicted by a fit to all other runs, or, harder, to the runs of other experiments alone.
    Only measures up to the epoch of the forecast enter, and none that knows the final network's key frequencies.
    """
    told, _ = trajectories(cubes)
    found = []
    for whole_experiment in (False, True):
        if len(told if not whole_experiment else {one.experiment for one in told}) < 2:
            continue  # nothing to fit to
        for method in METHODS:
            predicted = leave_one_out(told, method, whole_experiment)
            off = [
                [at_share(one, wrong_by(one, p), share) for share in SHARES]
                for one, p in zip(told, predicted, strict=True)
            ]
            fitted = "runs of other experiments" if whole_experiment else "all other runs"
            medians = dict(zip((f"at {share:.0%}" for share in SHARES), np.nanmedian(off, axis=0), strict=True))
            worst = float(np.nanmax([row[SHARES.index(0.5)] for row in off]))
            found.append(
                {"looks at": method, "fitted to": fitted, "runs": len(told)} | medians | {"worst at 50%": worst}
            )
    return pd.DataFrame(found)
