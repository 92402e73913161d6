"""The data of an experiment: every pair, its label, and which runs train on it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from progress_measures.files import open_store, write_store
from progress_measures.tasks import label_table, layout
from progress_measures.tasks.split import train_mask

if TYPE_CHECKING:
    import xarray as xr


def dataset(runs: list[Any]) -> "xr.Dataset":
    """Labels and splits of runs of one task.

    Returns:
        `label` [a, b] and `train` [run, a, b], true for training pairs.
    """
    import xarray as xr

    n = layout(runs[0].task).operands
    masks = np.stack([train_mask(run, n) for run in runs])
    return xr.Dataset(
        {
            "label": (("a", "b"), label_table(runs[0].task), {"long_name": "Right answer", "units": "1"}),
            "train": (("run", "a", "b"), masks, {"long_name": "Whether the run trains on the pair", "units": "1"}),
        },
        {"run": [run.name for run in runs], "a": np.arange(n), "b": np.arange(n)},
        {"experiment": runs[0].experiment, "task": runs[0].task.kind, "settings": _settings(runs)},
    )


def write_dataset(runs: list[Any], path: Path) -> None:
    """Write `results/<experiment>/dataset.zarr`, unless it is there and of these settings."""
    if _present(path) != _settings(runs):
        write_store(dataset(runs), path)


def train_masks(path: Path, names: list[str]) -> NDArray[np.bool_]:
    """The training pairs of runs: [run, a, b]."""
    return open_store(path).train.sel(run=names).values.astype(bool)


def _settings(runs: list[Any]) -> str:
    """What the data depend on, in one line."""
    splits = [f"{run.name}: {run.split.method}, {run.split.train_fraction}, {run.split_seed}" for run in runs]
    return f"{runs[0].task!r}; " + "; ".join(splits)


def _present(path: Path) -> str | None:
    """The settings of the data that are there. Read without xarray, since most often there is nothing to write."""
    try:
        settings: str = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["settings"]
    except (OSError, ValueError, KeyError):
        return None
    return settings
