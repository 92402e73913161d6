"""What can be told about a run without its weights: which code trains it, and whether it is trained. Imports no torch."""

import json
from pathlib import Path
from typing import Any

from progress_measures.fingerprint import fingerprint
from progress_measures.tasks import task_module
from progress_measures.training.objectives import objective_module


def code_modules(run: Any) -> tuple[str, ...]:
    """The modules that decide what a run's weights become, apart from its settings."""
    return ("progress_measures.training.loop", objective_module(run), task_module(run.task.kind).__name__)


def code_of(run: Any) -> str:
    """Their fingerprint."""
    return fingerprint(*code_modules(run))


def done(folder: Path, run: Any, code: str | None) -> dict[str, Any] | None:
    """The record of a finished training with these settings by this code, if there is one.

    Args:
        folder: `results/<experiment>/runs/<run>`.
        run: its settings.
        code: fingerprint of the code that must have trained it; None takes what any code trained.
    """
    try:
        record = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        trained = record["config_hash"] == run.hash and (code is None or record["code"] == code)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if trained else None
