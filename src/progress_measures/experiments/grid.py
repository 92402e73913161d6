"""The grid of an experiment: its axes, the settings and the name of each run.

Each key of the grid is one axis. A key that names a field, or several fields that vary together, has a list of values.
Any other key, such as `recipe`, has a mapping from names to settings:

    seed: [0, 1]
    model.d_model, model.d_mlp: [[32, 128], [64, 256]]
    recipe: {adamw: {}, muon: {training.optimizer: muon, training.learning_rate: 0.02}}
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from progress_measures.old_names import RENAMED_FIELDS

MAX_RUNS = 10_000
MAX_NAME_LENGTH = 200  # of a run's name, which is also a folder name

Grid = Mapping[str, list[Any] | dict[str, dict[str, Any]]]


class Entry(NamedTuple):
    """The settings of one run of the grid, or the part of them that one value of an axis determines.

    Attributes:
        name: the run's name, or the part of it that belongs to the axis.
        settings: values of fields, by their dotted names.
        labels: for each axis with a mapping, the name of its settings in this run, such as `muon`, by the key of the
            axis, such as `recipe`. An axis with a list of values has no label.
    """

    name: str
    settings: dict[str, Any]
    labels: dict[str, str]


def combinations(grid: Grid) -> Iterator[Entry]:
    """Yield the settings of each run of a grid: one run for each combination of values. The last axis varies fastest."""
    for entries in itertools.product(*(_entries(key, values) for key, values in grid.items())):
        settings = {field: value for entry in entries for field, value in entry.settings.items()}
        labels = {key: label for entry in entries for key, label in entry.labels.items()}
        yield Entry("_".join(entry.name for entry in entries), settings, labels)


def replace_settings(base: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings in which some fields have other values. Sections in which no field changes are not copied.

    Args:
        base: sections and fields, nested as in an experiment file.
        settings: new values of fields, by their dotted names.
    """
    changed = dict(base)
    for name, value in settings.items():
        *path, field = name.split(".")
        section = changed
        for part in path:
            section[part] = dict(section[part])
            section = section[part]
        section[field] = value
    return changed


def fields_of(section: type[BaseModel], prefix: str) -> set[str]:
    """Return the dotted names of the fields of a section, and of the fields of the sections in it.

    If a nested section can be None, its fields are left out, because an experiment may not have it.

    Args:
        section: the class of the section.
        prefix: dotted name of the section.
    """
    names = set()
    for field, info in section.model_fields.items():
        names.add(f"{prefix}.{field}")
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names |= fields_of(info.annotation, f"{prefix}.{field}")
    return names


def check(grid: Grid, allowed: set[str], refused: Mapping[str, str]) -> None:
    """Raise an error if a grid is invalid.

    Args:
        grid: the grid.
        allowed: dotted names of the fields that may vary.
        refused: reasons why other fields may not vary, by their dotted names.

    Raises:
        ValueError: a field cannot vary, occurs twice or lacks values; or there are more than `MAX_RUNS` runs; or the
            name of a run is not unique, or longer than `MAX_NAME_LENGTH`.
    """
    for key, values in grid.items():
        fields = _fields(key)
        if isinstance(values, dict):
            if key in allowed | set(refused) or not re.fullmatch(r"[a-z][a-z0-9_]*", key):
                raise ValueError(
                    f"`{key:.60}` has a mapping, so it must not be the name of a field; choose a name in lower-case "
                    "letters, digits and _, such as `recipe`"
                )
            fields = [field for settings in values.values() for field in settings]
        for field in fields:
            _check_field(field, allowed, refused)
        is_joint = isinstance(values, list) and len(fields) > 1
        if is_joint and not all(isinstance(value, list) and len(value) == len(fields) for value in values):
            raise ValueError(f"`{key}` needs lists of {len(fields)} values, one for each of its fields")
        if not values or len({repr(value) for value in values}) < len(values):
            raise ValueError(f"`{key}` needs at least one value, and no value twice")
    varied = [field for key, values in grid.items() for field in _varied(key, values)]
    if len(set(varied)) < len(varied):
        raise ValueError(f"`{max(varied, key=varied.count)}` occurs twice")
    count = math.prod(map(len, grid.values()))
    if count > MAX_RUNS:
        raise ValueError(f"expands to {count:,} runs; at most {MAX_RUNS:,} are allowed")
    names = Counter(entry.name for entry in combinations(grid))
    most_frequent, longest = max(names, key=lambda name: names[name]), max(names, key=len)
    if names[most_frequent] > 1:
        raise ValueError(f"{names[most_frequent]} runs have the name `{most_frequent:.250}`; each run needs its own")
    if len(longest) > MAX_NAME_LENGTH:
        raise ValueError(
            f"the run name `{longest:.250}` has {len(longest)} characters; at most {MAX_NAME_LENGTH} are allowed"
        )


def _check_field(field: str, allowed: set[str], refused: Mapping[str, str]) -> None:
    if field in allowed:
        return
    section, _, name = field.rpartition(".")
    if name in RENAMED_FIELDS:
        raise ValueError(f"`{field}` is now named `{section}.{RENAMED_FIELDS[name]}`; rename it")
    if field in refused:
        raise ValueError(f"`{field}` cannot vary within an experiment: {refused[field]}")
    raise ValueError(f"`{field:.60}` cannot vary within an experiment; choose from: {', '.join(sorted(allowed))}")


def _entries(key: str, values: list[Any] | dict[str, dict[str, Any]]) -> list[Entry]:
    """Return one entry for each value of an axis. If several fields vary together, the first field names the runs."""
    if isinstance(values, dict):
        return [Entry(_safe_name(name), settings, {key: name}) for name, settings in values.items()]
    fields = _fields(key)
    # a seed of the split is named `split_seed0`, because `seed0` is the name for the field `seed`
    section, _, field = fields[0].replace("split.seed", "split_seed").partition(".")
    prefix = (field or section).replace(".", "_")
    entries = []
    for value in values:
        field_values = value if len(fields) > 1 else [value]
        settings = dict(zip(fields, field_values, strict=True))
        entries.append(Entry(_safe_name(f"{prefix}{field_values[0]}"), settings, labels={}))
    return entries


def _varied(key: str, values: list[Any] | dict[str, dict[str, Any]]) -> list[str]:
    """Return the fields that an axis sets."""
    if isinstance(values, dict):
        return sorted({field for settings in values.values() for field in settings})
    return _fields(key)


def _fields(key: str) -> list[str]:
    """Return the fields that a key of the grid names, usually one."""
    return [field.strip() for field in key.split(",")]


def _safe_name(name: str) -> str:
    """Return a part of a run's name, such as `seed0`, with `-` for each character that is unsafe in paths and shells."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
