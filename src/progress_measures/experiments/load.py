"""Read experiment files. Error messages name the file, the field and the expected value."""

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from progress_measures import paths
from progress_measures.errors import UserError
from progress_measures.experiments.schema import (
    KEPT_FORMS,
    CheckpointSchedule,
    Experiment,
    Imported,
    LearningCoefficient,
    Model,
    RateSchedule,
    Run,
    Split,
    StartFrom,
    StopRule,
    Training,
    start_name,
)
from progress_measures.old_names import RENAMED_FIELDS
from progress_measures.tasks import TASKS
from progress_measures.yaml_files import read_yaml

FOLDER = Path("config/experiments")
IMPORTED = "experiment.yaml"
"""File in `results/<name>/` with the experiment of an imported network, which has no file in `config/experiments/`."""

RESERVED_NAMES = ("figures", "tables", "explorer", "logs", "benchmarks")
"""Names of folders in `results/` that do not belong to an experiment; no experiment may have such a name."""

SECTIONS: dict[str, type[BaseModel]] = {
    "split": Split,
    "model": Model,
    "training": Training,
    "checkpoints": CheckpointSchedule,
    "<schedule>": CheckpointSchedule,  # the schedule in `training.keep`
    "stop_when": StopRule,
    "learning_rate_schedule": RateSchedule,
    "weight_decay_schedule": RateSchedule,
    "start_from": StartFrom,
    "learning_coefficient": LearningCoefficient,
    "imported": Imported,
}
"""The sections of an experiment file whose fields do not depend on the task, by their keys."""

MAX_MISTAKES = 10
"""Largest number of mistakes that one error message lists."""


def experiment_names(folder: Path = FOLDER) -> list[str]:
    """Return the names of all experiments, each of which is one YAML file in the folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def imported_names() -> list[str]:
    """Return the names of the networks imported into `results/`."""
    return sorted(path.parent.name for path in paths.RESULTS.glob(f"*/{IMPORTED}"))


def is_experiment_name(name: str) -> bool:
    """Return whether a name is valid for an experiment: safe in paths, workflow targets and shells, and not reserved."""
    return name not in RESERVED_NAMES and re.fullmatch(r"[a-z0-9][a-z0-9_]{0,99}", name) is not None


def load_experiment(name: str, folder: Path = FOLDER) -> Experiment:
    """Load the experiment in `config/experiments/<name>.yaml`, or the experiment of a network imported into `results/<name>/`.

    Args:
        name: Name of the experiment.
        folder: Folder of the experiment files.

    Returns:
        The validated experiment.

    Raises:
        UserError: The experiment does not exist, or its name or file is invalid.
    """
    return _load(name, folder, ())


def _load(name: str, folder: Path, started_from: tuple[str, ...]) -> Experiment:
    """Load an experiment, with the hashes of the runs from whose weights its runs start, if any.

    Args:
        name: Name of the experiment.
        folder: Folder of the experiment files.
        started_from: Names of the experiments that are being loaded: each starts from weights of the next, and the last from
            weights of this experiment. If this experiment starts from one of them, or from itself, that is an error.
    """
    path = _file_of(name, folder)
    content = _content_of(name, folder)
    try:
        experiment = Experiment.model_validate(content)
        runs = experiment.runs(name)
    except ValidationError as error:
        raise UserError(validation_message(error, path)) from None
    if experiment.start_from is not None:
        hashes = {start_name(run): _start_hash(run, path, folder, (*started_from, name)) for run in runs}
        experiment = experiment.with_start_hashes(hashes)
        runs = experiment.runs(name)
    run_names: dict[str, str] = {}  # by the hash of the run's settings
    for run in runs:
        if run_names.setdefault(run.hash, run.name) != run.name:
            raise UserError(
                f"{path}: grid: {run_names[run.hash]} and {run.name} have the same settings; give different values."
            )
    return experiment


def _start_hash(run: Run, path: Path, folder: Path, started_from: tuple[str, ...]) -> str:
    """Return the hash of the run from whose weights a run starts; raise an error if that run does not exist or has no weights."""
    start = run.start_from
    assert start is not None
    if start.experiment in started_from:
        raise UserError(
            f"{path}: start_from: {' starts from '.join([*started_from, start.experiment])}; remove one `start_from`."
        )
    possible_runs = {
        other.name: other for other in _load(start.experiment, folder, started_from).runs(start.experiment)
    }
    start_run = possible_runs.get(start.run)
    if start_run is None:
        raise UserError(
            f"{path}: start_from.run: {start.experiment} has no run {start.run!r:.80}; its runs are: {', '.join(possible_runs)}."
        )
    if "weights" not in start_run.provides:
        raise UserError(f"{path}: start_from: {start.experiment} has logits only, no weights.")
    return start_run.hash


def _content_of(name: str, folder: Path, extended_by: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the content of an experiment's file, joined with the content of the experiment that it extends, if any.

    `task`, `split`, `model` and `training` are joined key by key; all other keys, and a task of another kind, replace those of
    the extended experiment. Title, description and reference of the extended experiment are not inherited. `extended_by` are
    the experiments that extend this one, directly or through others; this experiment may not extend any of them.
    """
    path = _file_of(name, folder)
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping with `title`, `task` and `training`, found {content!r:.60}.")
    extended = content.get("extends")
    if extended is None:
        return content
    if not isinstance(extended, str):
        raise UserError(f"{path}: extends: expected the name of an experiment, found {extended!r:.60}.")
    if extended in (*extended_by, name):
        raise UserError(f"{path}: extends: {' extends '.join([*extended_by, name, extended])}; remove one `extends`.")
    inherited = _content_of(extended, folder, (*extended_by, name))
    if "imported" in inherited:
        raise UserError(
            f"{path}: extends: {extended} is an imported network, which has no settings of training to share."
        )
    joined = {key: value for key, value in inherited.items() if key not in _NOT_INHERITED} | content
    for key in ("task", "split", "model", "training"):
        inherited_section, section = inherited.get(key), content.get(key)
        if not isinstance(inherited_section, dict) or not isinstance(section, dict):
            continue
        if section.get("kind") in (None, inherited_section.get("kind")):
            joined[key] = inherited_section | section
    return joined


_NOT_INHERITED = ("title", "description", "reference")


def _file_of(name: str, folder: Path) -> Path:
    """Return the file of an experiment; if there is none, raise an error that lists the experiments."""
    files = (folder / f"{name}.yaml", paths.RESULTS / name / IMPORTED)
    for path in files if is_experiment_name(name) else ():
        if path.exists():
            return path
    known_names = experiment_names(folder) + imported_names()
    if name in known_names:
        raise UserError(
            f"{files[name in imported_names()]}: {name!r:.80} is not a valid experiment name. Rename it: a name has at most "
            "100 lower-case letters, digits and underscores, does not begin with an underscore, and is none of "
            f"{', '.join(RESERVED_NAMES)}."
        )
    similar = difflib.get_close_matches(name, known_names, n=1)
    hint = f"Did you mean {similar[0]!r}? " if similar else ""
    available = ", ".join(known_names) or f"none, because {folder.resolve()} contains no .yaml file"
    raise UserError(f"There is no experiment {name!r:.80}. {hint}Available experiments: {available}.")


def validation_message(error: ValidationError, path: Path) -> str:
    """Format a validation error, one line per mistake: the file, the field, the problem and the invalid value.

    Args:
        error: The error that pydantic raised.
        path: The file that was validated.

    Returns:
        At most `MAX_MISTAKES` lines and, if mistakes are left out, a last line with their number.
    """
    lines = []
    for mistake in error.errors()[:MAX_MISTAKES]:
        # pydantic adds the kind of a task to the location of a field of `task`, and the form of `keep` to one of `keep`
        field = ".".join(str(part) for part in mistake["loc"] if part not in (*TASKS, *KEPT_FORMS))
        field = field or _scope(mistake["input"])
        field = "".join(c if c.isprintable() else "?" for c in field[:100])
        message = mistake["msg"].removeprefix("Value error, ")
        if len(message) > 1000:  # the message repeats the value, which may be of any length
            message = f"{message[:500]} … {message[-500:]}"
        if mistake["type"] == "extra_forbidden":
            message = _unknown_key(mistake["loc"])
        omit_value = mistake["type"] in ("missing", "extra_forbidden") or not mistake["loc"]
        value = "" if omit_value else f" (found: {mistake['input']!r:.80})"
        lines.append(f"{path}: {field}: {message}{value}")
    omitted = error.error_count() - len(lines)
    return "\n".join([*lines, *([f"{path}: and {omitted} more"] if omitted else [])])


def _scope(value: object) -> str:
    """Return the place of a mistake that concerns no single field: one run of the grid, or the file."""
    return f"run {value['name']}" if isinstance(value, dict) and "experiment" in value else "the file"


def _unknown_key(location: tuple[int | str, ...]) -> str:
    """Return the message for an unknown key: where the key belongs, or which key was probably meant."""
    *section_path, key = map(str, location)
    if key in RENAMED_FIELDS:
        return f"this key is now named {RENAMED_FIELDS[key]!r}; rename it"
    locations = _locations(key) - {f"in `{section_path[0]}`" if section_path else ""}
    if locations:
        return f"unknown key; {key!r} belongs {' or '.join(sorted(locations))}"
    known_keys = _fields(section_path)
    similar = difflib.get_close_matches(key, known_keys, n=1)
    hint = f"did you mean {similar[0]!r}?" if similar else f"known keys: {', '.join(sorted(known_keys))}"
    return f"unknown key; {hint}"


def _locations(key: str) -> set[str]:
    """Return the places in a hand-written experiment file where this key is a field."""
    locations = {f"in `{name}`" for name in ("split", "model", "training") if key in SECTIONS[name].model_fields}
    locations |= {"in `task`" for task in TASKS.values() if key in task.model_fields}
    return locations | ({"at the top of the file"} if key in Experiment.model_fields else set())


def _fields(section_path: list[str]) -> list[str]:
    """Return the fields of the section with this path; the empty path is the top level."""
    section: type[BaseModel] = Experiment
    for part in section_path:
        section = TASKS[part] if part in TASKS else SECTIONS.get(part, section)
    return [field.alias or name for name, field in section.model_fields.items()]
