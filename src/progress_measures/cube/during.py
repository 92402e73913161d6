"""The file with the measures that were taken while a run trained: `runs/<run>/during.zarr`.

It has the values of every measure that does not need the final network, at every checkpoint. Its attribute `fingerprints`
has the hash of the code of each family, so that values of changed code are not used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.files import open_store, write_store
from progress_measures.measures.registry import family_fingerprint, family_measures
from progress_measures.paths import runs_folder

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.measures.registry import Measure

NAME = "during.zarr"


def write_during(run: Run, measures: Sequence[Measure], values: dict[str, NDArray[Any]], folder: Path) -> None:
    """Write the values of measures at every checkpoint of a run.

    Args:
        run: settings of the run.
        measures: the measures.
        values: [checkpoint, …] by name of the measure.
        folder: folder of the run.
    """
    variables = {m.name: (tuple(dim for dim in m.dims if dim != "run"), values[m.name]) for m in measures}
    fingerprints = {family: family_fingerprint(family) for family in {m.family for m in measures}}
    write_store(
        xr.Dataset(variables, attrs={"config_hash": run.hash, "fingerprints": json.dumps(fingerprints)}), folder / NAME
    )


def read_during(run: Run, family: str) -> dict[str, NDArray[Any]]:
    """Return the values [checkpoint, …] of the measures of a family that were taken while the run trained, by name.

    Returns:
        An empty dictionary if the run was measured after training, or if the code of the family has changed since.

    Raises:
        UserError: the file is missing or damaged.
    """
    if run.training.measure != "during":
        return {}
    path = runs_folder(run.experiment) / run.name / NAME
    try:
        dataset = open_store(path)
        if dataset.attrs["config_hash"] != run.hash:
            raise ValueError("it has other settings")
        if json.loads(dataset.attrs["fingerprints"]).get(family) != family_fingerprint(family):
            return {}
        return {m.name: dataset[m.name].values for m in family_measures(family) if m.name in dataset}
    except (FileNotFoundError, KeyError, ValueError, OSError, RuntimeError) as error:
        raise UserError(
            f"{path} is missing or damaged ({type(error).__name__}: {error}); train the run again: "
            f"progress-measures train {run.experiment} --run {run.name} --restart"
        ) from None
