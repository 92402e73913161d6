"""Beyond the paper: the measures that distinguish Clock and Pizza, for the sources' networks that add or subtract mod p."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from progress_measures.analysis.algorithm import VARIABLES, networks_at_last_checkpoint
from progress_measures.cube.stops import last_checkpoint
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

EXPERIMENTS = (
    *("mainline", "weight_decay", "low_precision", "data_fraction_high", "prime_109", "prime_53"),
    *("transformer_lens_demo", "two_layer", "subtraction", "data_fraction_low", "no_weight_decay", "dropout", "l1"),
)


@table(
    title="Clock or Pizza: the sources' networks that add or subtract mod p, trained again",
    reference="Zhong et al. 2023, Definitions 4.1 and 4.2",
    experiment=EXPERIMENTS,
    variables=(*VARIABLES, "gradient_symmetricity_error", "circularity"),
    formats={"largest standard error": ".3f"},
    partial=True,
)
def rows(*cubes: xr.Dataset | None) -> pd.DataFrame:
    """Smallest and largest value of three measures over the runs that generalize, at the last checkpoint.

    Clock and Pizza are two algorithms for modular addition (Zhong et al. 2023). Both place the operand values on
    circles; the Clock multiplies waves of a and b, the Pizza adds the two embeddings. The experiments have settings of
    the paper, the subtraction notebook and the TransformerLens demo. A run generalizes if its test accuracy is at least
    99 %; runs without these measures are left out. Gradient symmetricity is the mean, over 2,048 triples (a, b, c), of
    the cosine between the gradients of the logit of c with respect to the embeddings of a and of b. "Largest standard
    error" is the largest, over runs, of the standard error of this mean. Distance irrelevance, 0 to 1, is near 1 if
    the right answer's logit hardly depends on a - b (for subtraction, on a + b). Circularity, 0 to 1, is the
    largest fraction of a principal component's Fourier energy at one frequency, averaged over the first four
    principal components of the embedding; it does not distinguish the two algorithms. For comparison: of the two
    example networks of Zhong et al., network A, a Pizza, has gradient symmetricity .9937 and distance irrelevance
    .17; network B, a Clock, has .3336 and .85. Distance irrelevance is at most .4 in typical Pizzas and larger in
    typical Clocks.
    """
    rows_of_table = []
    for name, cube in zip(EXPERIMENTS, cubes, strict=True):
        if cube is None:
            continue
        networks = networks_at_last_checkpoint(cube)
        generalized = [network for network in networks if network.generalized]
        last = last_checkpoint(cube).sel(run=[network.name for network in generalized])
        errors = last.gradient_symmetricity_error.values
        rows_of_table.append(
            {
                "experiment": cube.attrs.get("experiment", name),
                "runs that generalize": f"{len(generalized)} of {len(networks)}",
                "gradient symmetricity": _range([network.symmetricity for network in generalized]),
                "largest standard error": errors.max() if errors.size else np.nan,
                "distance irrelevance": _range([network.irrelevance for network in generalized]),
                "circularity": _range(last.circularity.values),
            }
        )
    return pd.DataFrame(rows_of_table)


def _range(values: Sequence[float]) -> str:
    """Return the smallest and the largest value as text: one number if they round to the same, an empty string without values."""
    ends = sorted({f"{value:.2f}" for value in (min(values), max(values))}, key=float) if len(values) else []
    return " to ".join(ends)
