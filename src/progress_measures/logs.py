"""Write a run's history, the losses and accuracies that training recorded, to files for other tools.

The files are `history.csv` and event files for TensorBoard, in the run's folder beside `history.zarr`.
"""

from __future__ import annotations

import csv
import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from progress_measures.errors import UserError
from progress_measures.files import atomic_path, damage_reported, open_store
from progress_measures.paths import runs_folder
from progress_measures.training.record import how_to_train_again

if TYPE_CHECKING:
    import xarray as xr

    from progress_measures.experiments.schema import Run

KINDS = ("csv", "tensorboard")
"""Kinds of logs: values of the option `--log`."""


def kinds_of(text: str) -> tuple[str, ...]:
    """Return the kinds of logs in the value of `--log`, such as `csv,tensorboard`; none for an empty string.

    Raises:
        UserError: a kind is unknown, or the package that writes it is not installed.
    """
    kinds = tuple(kind.strip() for kind in text.split(",") if kind.strip())
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(
                f"--log {text}: unknown kind {kind!r:.40}; expected {' or '.join(KINDS)}, or both, as in csv,tensorboard."
            )
    if "tensorboard" in kinds and importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--log tensorboard: the package tensorboard is not installed; install it with: pip install tensorboard"
        )
    return kinds


def write_logs(run: Run, kinds: tuple[str, ...]) -> list[Path]:
    """Write the logs of a run from the history that training has stored so far.

    Args:
        run: the run.
        kinds: kinds of logs, as `kinds_of` returns them.

    Returns:
        The written file or folder of each kind; empty if the run has no history yet.
    """
    folder = runs_folder(run.experiment) / run.name
    path = folder / "history.zarr"
    if not path.exists():
        return []
    with damage_reported(path, how_to_train_again(run)):
        history = open_store(path).load()
    writers = {"csv": _write_csv, "tensorboard": _write_events}
    return [writers[kind](history, folder) for kind in kinds]


def _evaluated_names(history: xr.Dataset) -> list[str]:
    """Return the names of the losses and accuracies that training evaluates at some epochs only."""
    return [str(name) for name, values in history.data_vars.items() if "evaluated_epoch" in values.dims]


def _write_csv(history: xr.Dataset, folder: Path) -> Path:
    """Write one row for each epoch. The evaluated losses and accuracies are empty at epochs without an evaluation.

    The column `loss` is what the next update minimizes; `train_loss` and `test_loss` are evaluated cross-entropies,
    always in float64.
    """
    path, names = folder / "history.csv", _evaluated_names(history)
    rows = {int(epoch): [float(history[name][i]) for name in names] for i, epoch in enumerate(history.evaluated_epoch)}
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", *names])
        for epoch, loss in zip(history.epoch.values.tolist(), history.loss.values.tolist(), strict=True):
            writer.writerow([epoch, loss, *rows.get(epoch, [""] * len(names))])
    return path


def _write_events(history: xr.Dataset, folder: Path) -> Path:
    """Replace earlier event files by new ones, with `loss` at every epoch and the evaluated losses and accuracies."""
    from torch.utils.tensorboard import SummaryWriter

    path = folder / "tensorboard"
    shutil.rmtree(path, ignore_errors=True)
    with SummaryWriter(str(path)) as writer:
        for name in ("loss", *_evaluated_names(history)):
            epochs = history.epoch if name == "loss" else history.evaluated_epoch
            for epoch, value in zip(epochs.values.tolist(), np.asarray(history[name]).tolist(), strict=True):
                writer.add_scalar(name, value, epoch)
    return path
