"""Quantities for training recipes that are said to accelerate grokking, such as Grokfast or Muon, compared with AdamW.

A quantity returns values by which claims are judged. Names of values begin with the name of the recipe, except for
`fraction_…`. A network generalizes at a test accuracy of 95 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.algorithm import PIZZA_LIMIT
from progress_measures.analysis.crossings import first_reaching, lead
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.analysis.recipes import BASELINE, by_recipe, generalization_epochs
from progress_measures.analysis.runs import GENERALIZATION_ACCURACY
from progress_measures.claims.registry import Values, quantity
from progress_measures.cube.stops import last_checkpoint

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


@quantity(variables=("history_test_accuracy", "history_train_accuracy"))
def acceleration(cube: xr.Dataset) -> Values:
    """Compare each recipe with AdamW by the first epoch with a test accuracy of at least 95 %.

    Values of each recipe: this epoch by seed, infinite for a network that does not generalize (`epochs`); the number of
    networks that generalize (`generalizing`); and the median over seeds of the delay from 95 % train accuracy to 95 %
    test accuracy (`delay`).

    Values of each recipe but AdamW: AdamW's median epoch divided by the recipe's (`factor`); the recipe's mean epoch
    divided by AdamW's (`mean_ratio`); the recipe's median delay divided by AdamW's (`delay_ratio`); and the number of
    seeds with which the recipe generalizes sooner than AdamW (`sooner`). A ratio of two infinite numbers is NaN.
    Whether AdamW is in the numerator or the denominator follows the paper that states the ratio.
    """
    runs = by_recipe(cube)
    epochs = {name: generalization_epochs(part) for name, part in runs.items()}
    delays = {
        name: float(
            np.median(
                lead(late=epochs[name], early=first_reaching(part.history_train_accuracy, GENERALIZATION_ACCURACY))
            )
        )
        for name, part in runs.items()
    }
    values: Values = {}
    for name, recipe_epochs in epochs.items():
        values[f"{name}_epochs"] = recipe_epochs.tolist()
        values[f"{name}_generalizing"] = int(np.isfinite(recipe_epochs).sum())
        values[f"{name}_delay"] = delays[name]
        if name == BASELINE or BASELINE not in epochs:
            continue
        baseline_epochs = epochs[BASELINE]
        with np.errstate(invalid="ignore"):  # infinity divided by infinity, if no network of either recipe generalizes
            values[f"{name}_factor"] = float(np.median(baseline_epochs) / np.median(recipe_epochs))
            values[f"{name}_mean_ratio"] = float(np.mean(recipe_epochs) / np.mean(baseline_epochs))
            values[f"{name}_delay_ratio"] = float(np.divide(delays[name], delays[BASELINE]))
        # seeds that have a run of both recipes
        _, indices, baseline_indices = np.intersect1d(runs[name].seed, runs[BASELINE].seed, return_indices=True)
        values[f"{name}_sooner"] = int((recipe_epochs[indices] < baseline_epochs[baseline_indices]).sum())
    return values


@quantity(
    variables=(
        *PHASE_ENDS,
        "distance_irrelevance",
        "excluded_accuracy",
        "key_frequency",
        "restricted_accuracy",
        "test_accuracy",
    )
)
def circuits_by_recipe(cube: xr.Dataset) -> Values:
    """Count, for each recipe, the networks that generalize, and those among them with properties of mainline networks.

    The mainline is the experiment with the paper's main settings. Whether a network generalizes, is `sparse` or is a
    `clock` is judged at the last checkpoint. `sparse`: at most 10 key frequencies, a restricted accuracy of at least
    95 % and an excluded accuracy of at most 20 %. `clock`: the distance irrelevance (see
    `progress_measures.measures.algorithm`) is above 0.4, the limit of typical Pizzas (Zhong et al. 2023). `progress`:
    restricted accuracy reaches 95 % at an earlier checkpoint than test accuracy. `phases`: the rule for phases finds
    all three ends. For each property, a fraction of a recipe's generalizing networks has it; `fraction_…` is the
    smallest of these fractions, over all recipes with generalizing networks.
    """
    values: Values = {}
    fractions: dict[str, list[float]] = {}
    for name, part in by_recipe(cube).items():
        last = last_checkpoint(part)
        properties = {
            "sparse": (part.key_frequency.sum("frequency") <= 10)
            & (last.restricted_accuracy >= GENERALIZATION_ACCURACY)
            & (last.excluded_accuracy <= 0.2),
            "clock": last.distance_irrelevance > PIZZA_LIMIT,
            "progress": _restricted_first(part),
            "phases": np.logical_and.reduce([np.isfinite(part[end].values) for end in PHASE_ENDS]),
        }
        generalizes = last.test_accuracy.values >= GENERALIZATION_ACCURACY
        values[f"{name}_generalizing"] = int(generalizes.sum())
        for key, holds in properties.items():
            values[f"{name}_{key}"] = int((np.asarray(holds) & generalizes).sum())
            if generalizes.any():
                fractions.setdefault(key, []).append(values[f"{name}_{key}"] / values[f"{name}_generalizing"])
    return values | {f"fraction_{key}": min(of_recipes) for key, of_recipes in fractions.items()}


def _restricted_first(cube: xr.Dataset) -> NDArray[np.bool_]:
    """Return whether restricted accuracy reaches 95 % at an earlier checkpoint than test accuracy: [run].

    Only checkpoints with a restricted accuracy are compared: if a run is measured while it trains (`measure: during`),
    the restricted accuracy is measured only at checkpoints whose weights were kept.
    """
    test = cube.test_accuracy.where(cube.restricted_accuracy.notnull())
    return first_reaching(cube.restricted_accuracy, GENERALIZATION_ACCURACY) < first_reaching(
        test, GENERALIZATION_ACCURACY
    )
