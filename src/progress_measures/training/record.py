"""The fingerprint (hash) of the code that trains a run, and the record of its finished training; imports no torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from progress_measures.fingerprint import DERIVED, fingerprint
from progress_measures.training.objectives import objective_module
from progress_measures.training.optimizers import optimizer_module

if TYPE_CHECKING:
    from pathlib import Path

    from progress_measures.experiments.schema import Run


def code_modules(run: Run) -> tuple[str, ...]:
    """Return the names of the modules whose code, together with the settings of a run, determines the run's weights."""
    return (
        "progress_measures.training.loop",
        objective_module(run),
        optimizer_module(run),
        type(run.task).__module__,
        DERIVED,
    )


def code_fingerprint(run: Run) -> str:
    """Return the fingerprint of the code that determines a run's weights."""
    return fingerprint(*code_modules(run))


def how_to_train_again(run: Run) -> str:
    """Return the advice for an error message about lost weights or losses: how to train or import the run again."""
    if run.imported:
        return f"import it again from {run.imported.file}"
    return f"train it again: progress-measures train {run.experiment} --run {run.name} --restart"


def finished_training(folder: Path, run: Run, code: str | None) -> dict[str, Any] | None:
    """Return the record of a run's finished training, if its settings and code match.

    Args:
        folder: `results/<experiment>/runs/<run>`.
        run: the run with its current settings.
        code: fingerprint of the code that must have trained the run; None accepts any code.

    Returns:
        The content of `done.json`; None if it does not exist, is damaged, or belongs to other settings or code.
    """
    try:
        record = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        matches = record["config_hash"] == run.hash and (code is None or record["code"] == code)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if matches else None
