"""Measures of a run's last checkpoint that the experiment's cube lacks, computed from stored weights.

Maps over all pairs are large, so a cube has the maps of its first run only. The maps of another run are computed from
its last weights where the maps are needed. The last weights are stored after training, and published if they are small
enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from progress_measures.cube.extract import compute_measures
from progress_measures.cube.open import NoStoredWeights, OpenRun
from progress_measures.experiments.derived import train_mask
from progress_measures.measures.registry import measures

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray


class StoredWeights:
    """The stored weights of a run, in the form in which `compute_measures` reads weights (`cube.extract.WeightSource`).

    Args:
        run: the run.
        epochs: epochs in ascending order; weights can be read only at epochs whose weights are stored.
    """

    def __init__(self, run: OpenRun, epochs: NDArray[np.int64]) -> None:
        self.epochs, self._run = epochs, run

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]:
        return {name: np.ascontiguousarray(w) for name, w in self._run.weights(int(self.epochs[index])).items()}


def measures_of_last_weights(experiment: str, run_name: str, names: Collection[str], published: bool) -> xr.Dataset:
    """Compute measures of a run from its last stored weights.

    Args:
        experiment: name of the experiment.
        run_name: name of the run.
        names: names of the measures. Measures that do not apply to the run are left out.
        published: whether to use the published weights even if `results/` has weights of the run.

    Returns:
        One variable per measure, without a dimension `run`; an empty dataset if no weights of the run are stored.

    Raises:
        UserError: the stored weights are damaged.
    """
    run = OpenRun(experiment, run_name, published)
    try:
        last = max(run.epochs)
    except NoStoredWeights:
        return xr.Dataset()
    settings, weights = run.settings, StoredWeights(run, np.array([last], dtype=np.int64))
    applicable = [measures()[name] for name in names if measures()[name].applies_to(settings)]
    return compute_measures(settings, applicable, weights, None if settings.on_sequences else train_mask(settings))
