"""Reads experiment files; says in which file and field something is wrong, and what was expected."""

import difflib
import re
from pathlib import Path

from pydantic import BaseModel, ValidationError

from progress_measures.errors import UserError
from progress_measures.experiments.schema import TASKS, Experiment, Imported, Model, Split, Training
from progress_measures.old_names import RENAMED_FIELDS
from progress_measures.paths import RESULTS
from progress_measures.yaml_files import read_yaml

FOLDER = Path("config/experiments")
IMPORTED = "experiment.yaml"
"""What `results/<name>/` holds of a network that was imported, in place of a file in `config/experiments/`."""

BESIDE = ("figures", "tables", "explorer", "logs", "benchmarks")
"""The folders that `results/` has beside those of experiments."""

SECTIONS: dict[str, type[BaseModel]] = {"split": Split, "model": Model, "training": Training, "imported": Imported}
"""The sections that are the same for all tasks."""

MOST = 10
"""Mistakes of one file that are told."""


def experiment_names(folder: Path = FOLDER) -> list[str]:
    """The experiments that there are: one YAML file each."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def imported_names() -> list[str]:
    """The networks that were imported into `results/`."""
    return sorted(path.parent.name for path in RESULTS.glob(f"*/{IMPORTED}"))


def is_name(name: str) -> bool:
    """Whether an experiment may be called so: its name stands in paths, in targets of the workflow and in shells.

    Those of the folders `BESIDE` them are none.
    """
    return name not in BESIDE and re.fullmatch(r"[a-z0-9][a-z0-9_]{0,99}", name) is not None


def load_experiment(name: str, folder: Path = FOLDER) -> Experiment:
    """The experiment in `config/experiments/<name>.yaml`, or that of a network imported into `results/<name>/`.

    Raises:
        UserError: no such experiment, or its name or its file is wrong.
    """
    path = _file_of(name, folder)
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping with `title`, `task` and `training`, found {content!r:.60}.")
    try:
        experiment = Experiment.model_validate(content)
        runs = experiment.runs(name)
    except ValidationError as error:
        raise UserError(explain(error, path)) from None
    first: dict[str, str] = {}
    for run in runs:
        if first.setdefault(run.hash, run.name) != run.name:
            raise UserError(f"{path}: grid: {first[run.hash]} and {run.name} are the same run; give different values.")
    return experiment


def _file_of(name: str, folder: Path) -> Path:
    files = (folder / f"{name}.yaml", RESULTS / name / IMPORTED)
    for path in files if is_name(name) else ():
        if path.exists():
            return path
    known = experiment_names(folder) + imported_names()
    if name in known:
        raise UserError(
            f"{files[name in imported_names()]}: {name!r:.80} is no name for an experiment; expected are up to 100 lower-case "
            f"letters, digits and _, and none of {', '.join(BESIDE)}. Rename it."
        )
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(known) or f"none: {folder.resolve()} has no .yaml file"
    raise UserError(f"There is no experiment {name!r:.80}. {hint}Experiments are: {listed}.")


def explain(error: ValidationError, path: Path) -> str:
    """One line a mistake: the file, the field, what is wrong, what was found."""
    lines = []
    for item in error.errors()[:MOST]:
        field = ".".join(str(part) for part in item["loc"] if part not in TASKS) or _whole(item["input"])
        field = "".join(c if c.isprintable() else "?" for c in field[:100])
        message = item["msg"].removeprefix("Value error, ")
        if len(message) > 1000:  # it repeats what was found: YAML takes 1:1:1:… for one number, however long
            message = f"{message[:500]} … {message[-500:]}"
        if item["type"] == "extra_forbidden":
            message = _unknown_key(item["loc"])
        known = item["type"] in ("missing", "extra_forbidden") or not item["loc"]
        found = "" if known else f" (found: {item['input']!r:.80})"
        lines.append(f"{path}: {field}: {message}{found}")
    more = error.error_count() - len(lines)
    return "\n".join([*lines, *([f"{path}: and {more} more"] if more else [])])


def _whole(found: object) -> str:
    """What a mistake is of that is in no single field: one run of the grid, or the file."""
    return f"run {found['name']}" if isinstance(found, dict) and "experiment" in found else "the file"


def _unknown_key(place: tuple[int | str, ...]) -> str:
    """Where such a key does stand, or which it may have been meant for."""
    *within, key = map(str, place)
    if key in RENAMED_FIELDS:
        return f"this key is now named {RENAMED_FIELDS[key]!r}; rename it"
    elsewhere = _places(key) - {f"in `{within[0]}`" if within else ""}
    if elsewhere:
        return f"unknown key; {key!r} stands {' or '.join(sorted(elsewhere))}"
    here = _fields(within)
    close = difflib.get_close_matches(key, here, n=1)
    return "unknown key; " + (f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(here))}")


def _places(key: str) -> set[str]:
    """Where in a file that is written by hand there is such a field."""
    places = {f"in `{name}`" for name in ("split", "model", "training") if key in SECTIONS[name].model_fields}
    places |= {"in `task`" for task in TASKS.values() if key in task.model_fields}
    return places | ({"at the top of the file"} if key in Experiment.model_fields else set())


def _fields(within: list[str]) -> list[str]:
    """The fields of a section, or of the whole file."""
    section: type[BaseModel] = Experiment
    for part in within:
        section = TASKS[part] if part in TASKS else SECTIONS.get(part, section)
    return list(section.model_fields)
