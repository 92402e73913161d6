"""Reads experiment files; says in which file and field something is wrong, and what was expected."""

import difflib
import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.experiments.schema import SEQUENCE_TASKS, Experiment
from progress_measures.paths import RESULTS

FOLDER = Path("config/experiments")
IMPORTED = "experiment.yaml"
"""What `results/<name>/` holds of a network that was imported, in place of a file in `config/experiments/`."""


def experiment_names(folder: Path = FOLDER) -> list[str]:
    """The experiments that there are: one YAML file each."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def imported_names() -> list[str]:
    """The networks that were imported into `results/`."""
    return sorted(path.parent.name for path in RESULTS.glob(f"*/{IMPORTED}"))


def load_experiment(name: str, folder: Path = FOLDER) -> Experiment:
    """The experiment in `config/experiments/<name>.yaml`, or that of a network imported into `results/<name>/`.

    Raises:
        UserError: no such experiment, or its file is wrong.
    """
    path = folder / f"{name}.yaml"
    if not path.exists():
        path = RESULTS / name / IMPORTED
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name) or not path.exists():
        known = experiment_names(folder) + imported_names()
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        listed = ", ".join(known) or f"none: {folder.resolve()} has no .yaml file"
        raise UserError(f"There is no experiment {name!r}. {hint}Experiments are: {listed}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping with `title`, `task` and `training`, found {content!r:.60}.")
    try:
        experiment = Experiment.model_validate(content)
        experiment.runs(name)
    except ValidationError as error:
        raise UserError(explain(error, path)) from None
    return experiment


def explain(error: ValidationError, path: Path) -> str:
    """One line a mistake: the file, the field, what is wrong, what was found."""
    lines = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"] if part not in _TASK_KINDS) or "the file"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = _unknown_key(field)
        known = item["type"] in ("missing", "extra_forbidden") or not item["loc"]
        found = "" if known else f" (found: {item['input']!r:.80})"
        lines.append(f"{path}: {field}: {message}{found}")
    return "\n".join(lines)


_TASK_KINDS = ("modular_addition", "modular_subtraction", "integer_addition", "pair_table", *SEQUENCE_TASKS)


def _unknown_key(field: str) -> str:
    known = _known_fields()
    close = difflib.get_close_matches(field.rpartition(".")[2], known, n=1)
    return "unknown key" + (f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(sorted(known))}")


def _known_fields() -> set[str]:
    from progress_measures.experiments import schema

    addition = (schema.IntegerAddition, schema.PairTable, schema.FiveDigitAddition)
    sections = (schema.Experiment, schema.Split, schema.Model, schema.Training, schema.Imported)
    tasks = (*addition, schema.RepeatedSubsequence, schema.SkipTrigram)
    return {field for section in (*sections, *tasks) for field in section.model_fields} | {"prime"}
