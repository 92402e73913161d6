"""The store of the measures that were computed while a run trained: `runs/<run>/during.zarr`.

For each measure with the dimension `epoch` that does not require the final network, the store has the values at every
checkpoint. A family is the measures of one module. The attribute `fingerprints` of the store has the hash of the code
of each family, so that values computed by older code are not used.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.files import damage_reported, open_store, write_store
from progress_measures.measures.registry import family_fingerprint, family_measures
from progress_measures.paths import runs_folder
from progress_measures.training.record import how_to_train_again

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.measures.registry import Measure

NAME = "during.zarr"


def write_measured_in_training(
    run: Run, measures: Sequence[Measure], values: dict[str, NDArray[Any]], folder: Path
) -> None:
    """Write the values of measures at every checkpoint of a run.

    Args:
        run: settings of the run.
        measures: the measures whose values are written; each has the dimension `epoch`.
        values: [checkpoint, …] by name of the measure.
        folder: folder of the run.
    """
    variables = {m.name: (tuple(dim for dim in m.dims if dim != "run"), values[m.name]) for m in measures}
    fingerprints = {family: family_fingerprint(family) for family in {m.family for m in measures}}
    write_store(
        xr.Dataset(variables, attrs={"config_hash": run.hash, "fingerprints": json.dumps(fingerprints)}), folder / NAME
    )


def read_measured_in_training(run: Run, families: Sequence[str]) -> dict[str, dict[str, NDArray[Any]]]:
    """Read the values of the measures that were computed while the run trained.

    Args:
        run: settings of the run.
        families: names of families.

    Returns:
        Values [checkpoint, …] by family and by name of the measure. The dictionary of a family is empty if runs are measured
        after training, or if the code of the family has changed since this run trained.

    Raises:
        UserError: the store is missing or damaged, or belongs to other settings.
    """
    if run.training.measure != "during":
        return {family: {} for family in families}
    with _opened(run) as (dataset, fingerprints):
        return {
            family: {m.name: dataset[m.name].values for m in family_measures(family) if m.name in dataset}
            if fingerprints.get(family) == family_fingerprint(family)
            else {}
            for family in families
        }


def families_of_other_code(run: Run, families: Sequence[str]) -> list[str]:
    """Return the families whose values were computed in training by code that has changed since, and are not used.

    Args:
        run: settings of the run.
        families: names of families.

    Returns:
        The names of these families; none if runs are measured after training.

    Raises:
        UserError: the store is missing or damaged, or belongs to other settings.
    """
    if run.training.measure != "during" or not families:
        return []
    with _opened(run) as (_, fingerprints):
        return [
            name for name in families if fingerprints.get(name, family_fingerprint(name)) != family_fingerprint(name)
        ]


@contextlib.contextmanager
def _opened(run: Run) -> Iterator[tuple[xr.Dataset, dict[str, str]]]:
    """Yield the store of a run, and the hash of the code of each family that computed its values."""
    path = runs_folder(run.experiment) / run.name / NAME
    remedy = how_to_train_again(run)
    with damage_reported(path, remedy):
        dataset = open_store(path)
        if dataset.attrs["config_hash"] != run.hash:
            raise UserError(f"{path} was written with settings that differ from those of {run.name} now; {remedy}")
        yield dataset, json.loads(dataset.attrs["fingerprints"])
