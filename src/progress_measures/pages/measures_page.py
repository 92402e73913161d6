"""Measures, the cube, the command line, experiments and what figures read as Markdown, each from where it is declared."""

import importlib
import inspect
import itertools
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from progress_measures.experiments import experiment_names, load_experiment
from progress_measures.experiments.load import FOLDER
from progress_measures.experiments.schema import Experiment
from progress_measures.measures.registry import DIMENSIONS, Measure, measures
from progress_measures.pages.markdown import cell, inline, table
from progress_measures.paths import PUBLISHED, published_cube

if TYPE_CHECKING:
    from progress_measures.pages.gallery import Shown


def reference_pages() -> dict[str, str]:
    """Every page of the reference, by its path in the documentation."""
    return {
        "reference/measures.md": measures_page(),
        "reference/cube.md": cube_page(),
        "reference/commands.md": commands_page(),
        "reference/experiments.md": experiments_page(),
        "reference/figures.md": figures_page(),
    }


# ---- measures

NEEDS = {
    "any": "any network",
    "pairs": "one-layer networks on pairs",
    "modular": "modular tasks",
    "answers": "tasks with several answers",
}


def measures_page() -> str:
    """Each measure by family: what it is, its dimensions, unit, place in the paper and code."""
    lines = [
        "# Measures",
        "",
        f"The {len(measures())} variables that are taken of a network, by family: one module each, one store a run on disk. "
        "What a variable is made of is the sentence below its name; the cube carries the same words as attributes.",
    ]
    for family, members in itertools.groupby(measures().values(), lambda one: one.family):
        module = importlib.import_module(f"progress_measures.measures.{family}")
        path = f"src/progress_measures/measures/{family}.py"
        lines += ["", f"## {family}", "", inline(inspect.getdoc(module) or ""), "", f"[{path}](../../{path})"]
        for one in members:
            lines += ["", *_measure(one)]
    return "\n".join(lines) + "\n"


def _measure(one: Measure) -> list[str]:
    dims = " × ".join(f"`{dim}`" for dim in one.dims) or "a number"
    facts = [dims, f"in {_unit(one.units)}", one.dtype, f"of {NEEDS.get(one.needs, f'`{one.needs}`')}"]
    return [
        f"### `{one.name}` {{#{one.name}}}",
        "",
        f"**{inline(one.long_name)}.** {inline(inspect.getdoc(one.function) or '')}",
        "",
        f"{', '.join(facts)}. {inline(one.reference)}.",
    ]


def _unit(unit: str) -> str:
    return "no unit" if unit == "1" else f"{unit}s"


# ---- the cube


def cube_page() -> str:
    """Dimensions and variables, as the published mainline cube has them."""
    cube = xr.Dataset() if not published_cube("mainline").exists() else _mainline()
    settings = [name for name in sorted(map(str, cube.coords)) if cube[name].dims == ("run",) and name != "run"]
    lines = [
        "# The cube",
        "",
        "`open_cube(name)` gives an `xarray.Dataset`: the measures of every run and checkpoint of an experiment. A variable "
        "without `epoch` is taken of the last checkpoint; one without `run`, of the experiment's first run. What does not "
        "apply to a task or a network is not there.",
        "",
        "## Dimensions",
        "",
        *table(
            ("dimension", "what it runs over", "in the mainline"),
            ((f"`{name}`", cell(text), _size(cube, name)) for name, text in DIMENSIONS.items()),
        ),
        "",
        "## Settings of runs",
        "",
        "Coordinates along `run`, so that `cube.test_loss.where(cube.weight_decay == 1)` reads as it should: "
        + ", ".join(f"`{name}`" for name in settings)
        + ". [Fields of an experiment](../config.md) says what they are.",
        "",
        "## Variables",
        "",
        "Of the published mainline. A name leads to its definition.",
        "",
        *table(
            ("variable", "dimensions", "unit", "what"),
            (_variable(str(name), cube[name].dims, cube[name].attrs) for name in sorted(map(str, cube.data_vars))),
        ),
        "",
        "Measures that the mainline does not have:",
        "",
        *table(
            ("variable", "dimensions", "unit", "what"),
            (_variable(one.name, one.dims, one.attributes) for one in measures().values() if one.name not in cube),
        ),
    ]
    return "\n".join(lines) + "\n"


def _mainline() -> xr.Dataset:
    from progress_measures.cube.open import open_cube

    return open_cube("mainline", published=True)


def _size(cube: xr.Dataset, name: str) -> str:
    if name not in cube.sizes:
        return ""
    values = cube[name].values if name in cube.coords else range(cube.sizes[name])
    return (
        f"{cube.sizes[name]}: {cell(str(values[0]))} … {cell(str(values[-1]))}" if len(values) > 1 else str(values[0])
    )


def _variable(name: str, dims: Iterable[Any], attributes: Mapping[str, Any]) -> tuple[str, ...]:
    return _linked(name), ", ".join(map(str, dims)), attributes.get("units", ""), cell(attributes.get("long_name", ""))


# ---- the command line


def commands_page() -> str:
    """Each verb with what it takes."""
    from progress_measures.cli import app

    lines = [
        "# Command line",
        "",
        f"{app.info.help} `progress-measures VERB --help` says the same in the terminal; `.venv/bin/progress-measures` "
        "where the environment is not active.",
    ]
    for command in app.registered_commands:
        lines += ["", *_command(command)]
    return "\n".join(lines) + "\n"


def verbs() -> list[str]:
    """The verbs of the command line."""
    from progress_measures.cli import app

    return [_verb(command) for command in app.registered_commands]


def _verb(command: CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")


def _command(command: CommandInfo) -> list[str]:
    rows = list(_parameters(command.callback))
    arguments = " ".join(name.strip("`") for name, *_ in rows if name.startswith("`") and "--" not in name)
    line = " ".join(["progress-measures", _verb(command), *([arguments] if arguments else [])])
    said = [f"## {_verb(command)}", "", inline(inspect.getdoc(command.callback) or ""), "", f"    {line}"]
    return said + (["", *table(("argument or option", "default", "what"), rows)] if rows else [])


def _parameters(callback: Any) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each argument and option, from the annotations that typer reads too."""
    hints = typing.get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        words = list(_literals(kind))
        if isinstance(info, ArgumentInfo):
            shown = name.upper() if parameter.default is parameter.empty else f"[{name.upper()}]"
        else:
            assert isinstance(info, OptionInfo)
            named = (info.default, *(info.param_decls or ()))  # typer takes the first name for a default, at first
            declared = [word for word in named if isinstance(word, str) and word.startswith("-")]
            shown = ", ".join(declared or [f"--{name.replace('_', '-')}"])
        said = " ".join(
            filter(None, [info.help, f"One of {', '.join(f'`{word}`' for word in words)}." if words else ""])
        )
        default = "" if parameter.default in (parameter.empty, None, False) else f"`{parameter.default}`"
        yield f"`{shown}`", default, cell(said, code=True)


def _literals(kind: Any) -> tuple[str, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


# ---- experiments


def experiments_page() -> str:
    """Each experiment: what it is, its runs, who reads its cube, its file."""
    readers = _readers()
    lines = [
        "# Experiments",
        "",
        f"The {len(experiment_names())} files in `config/experiments/`. A published one's cube is in `{PUBLISHED}/`, and its "
        "figures are drawn without any training by `--config cubes=published`.",
    ]
    for name in experiment_names():
        lines += ["", *_experiment(name, load_experiment(name), readers.get(name, []))]
    return "\n".join(lines) + "\n"


def _experiment(name: str, experiment: Experiment, readers: list[str]) -> list[str]:
    runs = [run.name for run in experiment.runs(name)]
    named = ", ".join(f"`{run}`" for run in runs[:8]) + (", …" if len(runs) > 8 else "")
    facts = [
        f"{len(runs)} run{'s' if len(runs) > 1 else ''} ({named}) of {experiment.training.epochs:,} epochs",
        "published" if published_cube(name).exists() else "not published",
    ]
    said = [f"## {name}", "", f"**{inline(experiment.title)}.** {inline(experiment.description or '')}", ""]
    said += [f"{'; '.join(facts)}. {inline(experiment.reference or '')}".rstrip(" .") + "."]
    if readers:
        said += ["", f"Read by {', '.join(readers)}."]
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return [*said, "", f'??? note "{FOLDER}/{name}.yaml"', "", "    ```yaml", *_indented(text), "    ```"]


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.rstrip().splitlines()]


def _readers() -> dict[str, list[str]]:
    """The figures and tables of each experiment, as links to the gallery."""
    from progress_measures.pages.gallery import shown_things

    found: dict[str, list[str]] = {}
    for thing in shown_things():
        for experiment in thing.declared.experiments:
            found.setdefault(experiment, []).append(f"[{thing.name}](../{thing.page}#{thing.anchor})")
    return found


# ---- what figures read


def figures_page() -> str:
    """Of which cubes each figure and table is made, and which of their variables it reads."""
    from progress_measures.pages.gallery import shown_things, titles

    lines = [
        "# What each figure reads",
        "",
        "Every figure and table, the experiments whose cubes it is made of, and the variables that it is given of them: no "
        "others. To draw one of a cube of your own, the cube needs these. *Not published* is a cube that has yet to be trained.",
    ]
    for source, title in titles().items():
        rows = [_reads(thing) for thing in shown_things() if thing.source == source]
        if rows:
            lines += ["", f"## {title}", "", *table(("figure or table", "experiments", "variables"), rows)]
    return "\n".join(lines) + "\n"


def _reads(thing: "Shown") -> tuple[str, ...]:
    declared = thing.declared
    experiments = (
        f"[{name}](experiments.md#{name})" + ("" if published_cube(name).exists() else ", not published")
        for name in declared.experiments
    )
    variables = ", ".join(_linked(name) for name in declared.variables)
    return f"[`{declared.id}`](../{thing.page}#{thing.anchor})", "; ".join(experiments), variables


def _linked(name: str) -> str:
    return f"[`{name}`](measures.md#{name})" if name in measures() else f"`{name}`"
