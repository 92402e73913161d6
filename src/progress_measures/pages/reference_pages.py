"""Generate the reference pages of the documentation from declarations in the code.

The pages are on the measures, the cube, the command line, the experiments, and the variables that figures read.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from progress_measures.capabilities import CAPABILITIES
from progress_measures.experiments import experiment_names, load_experiment
from progress_measures.experiments.load import FOLDER
from progress_measures.experiments.schema import Experiment
from progress_measures.markdown import cell, inline, table
from progress_measures.measures.registry import DIMENSIONS, Measure, measures
from progress_measures.paths import PUBLISHED, published_cube

if TYPE_CHECKING:
    from progress_measures.pages.gallery import GalleryItem


def reference_pages() -> dict[str, str]:
    """Generate all reference pages, by their paths in the documentation."""
    return {
        "reference/measures.md": measures_page(),
        "reference/cube.md": cube_page(),
        "reference/commands.md": commands_page(),
        "reference/experiments.md": experiments_page(),
        "reference/figures.md": figures_page(),
    }


# ---- measures


def measures_page() -> str:
    """Generate the page of measures by family: for each, its definition, dimensions, unit, reference and code."""
    lines = [
        "# Measures",
        "",
        f"The {len(measures())} measures of a network, by family. Each family is one module; all but `phases` have one store per "
        "run on disk. Below the name of a measure is its definition, whose first line is the attribute `description` in the "
        "cube.",
    ]
    lines += [
        "",
        "A measure applies to the runs that provide all capabilities that it requires:",
        "",
        *table(("capability", "meaning"), ((f"`{name}`", cell(text)) for name, text in CAPABILITIES.items())),
    ]
    for family, family_measures in itertools.groupby(measures().values(), lambda measure: measure.family):
        module = importlib.import_module(f"progress_measures.measures.{family}")
        path = f"src/progress_measures/measures/{family}.py"
        lines += ["", f"## {family}", "", inline(inspect.getdoc(module) or ""), "", f"[{path}](../../{path})"]
        for measure in family_measures:
            lines += ["", *_measure_section(measure)]
    return "\n".join(lines) + "\n"


def _measure_section(measure: Measure) -> list[str]:
    """Return the Markdown lines of a measure: name, definition, dimensions, unit, requirements and reference."""
    dims = " × ".join(f"`{dim}`" for dim in measure.dims) or "a number"
    facts = [dims, _unit(measure.units), measure.dtype, f"requires {_requirements(measure)}"]
    return [
        f"### `{measure.name}` {{#{measure.name}}}",
        "",
        f"**{inline(measure.long_name)}.** {inline(inspect.getdoc(measure.function) or '')}",
        "",
        f"{', '.join(facts)}. {inline(measure.reference)}.",
    ]


def _requirements(measure: Measure) -> str:
    """Return the capabilities that a measure requires of a run, in the order of `CAPABILITIES`."""
    return ", ".join(f"`{name}`" for name in CAPABILITIES if name in measure.requires)


def _unit(unit: str) -> str:
    """Return a unit in words, such as `in nats`. A measure without unit has `1` as its unit."""
    return "no unit" if unit == "1" else f"in {unit}s"


# ---- the cube


def cube_page() -> str:
    """Generate the page of the cube: dimensions (with sizes in the published mainline cube), settings and variables."""
    cube = xr.Dataset() if not published_cube("mainline").exists() else _mainline()
    settings = [name for name in sorted(map(str, cube.coords)) if cube[name].dims == ("run",) and name != "run"]
    lines = [
        "# The cube",
        "",
        "`open_cube(name)` returns an `xarray.Dataset` with the measures of every run and checkpoint of an experiment. A "
        "variable with `moment` is measured at a few selected epochs; one with `history_epoch` is recorded during "
        "training. All other variables without `epoch` are measured at the last checkpoint, or found from a whole "
        "curve, such as `grok_time`. A variable without `run` is measured in the experiment's first run. Measures that "
        "do not apply to a task or a network are absent.",
        "",
        "## Dimensions",
        "",
        *table(
            ("dimension", "meaning", "in the mainline"),
            ((f"`{name}`", cell(text), _size(cube, name)) for name, text in DIMENSIONS.items()),
        ),
        "",
        "## Settings of runs",
        "",
        "Coordinates along `run`, for selections such as `cube.test_loss.where(cube.weight_decay == 1)`: "
        + ", ".join(f"`{name}`" for name in settings)
        + ". They are defined in [Fields of an experiment](../config.md).",
        "",
        "## Variables",
        "",
        "The variables of the published mainline cube. Each name links to its definition.",
        "",
        *table(
            ("variable", "dimensions", "unit", "meaning"),
            (_variable_row(str(name), cube[name].dims, cube[name].attrs) for name in sorted(map(str, cube.data_vars))),
        ),
        "",
        "Measures that are absent from the mainline cube:",
        "",
        *table(
            ("variable", "dimensions", "unit", "meaning"),
            (
                _variable_row(measure.name, measure.dims, measure.attributes)
                for measure in measures().values()
                if measure.name not in cube
            ),
        ),
    ]
    return "\n".join(lines) + "\n"


def _mainline() -> xr.Dataset:
    from progress_measures.cube.open import open_cube

    return open_cube("mainline", published=True)


def _size(cube: xr.Dataset, name: str) -> str:
    """Return a text with the size of a dimension, and its first and last value; an empty string if the cube lacks it."""
    if name not in cube.sizes:
        return ""
    values = cube[name].values if name in cube.coords else range(cube.sizes[name])
    return (
        f"{cube.sizes[name]}: {cell(str(values[0]))} … {cell(str(values[-1]))}" if len(values) > 1 else str(values[0])
    )


def _variable_row(name: str, dims: Iterable[Any], attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a variable: linked name, dimensions, unit and meaning."""
    return _linked(name), ", ".join(map(str, dims)), attributes.get("units", ""), cell(attributes.get("long_name", ""))


# ---- the command line


def commands_page() -> str:
    """Generate the page of the command line: each command with its arguments and options."""
    from progress_measures.cli import app

    lines = [
        "# Command line",
        "",
        f"{app.info.help} `progress-measures COMMAND --help` prints this text in the terminal. If the environment is not active, "
        "the command is `.venv/bin/progress-measures`.",
    ]
    for command in app.registered_commands:
        lines += ["", *_command_section(command)]
    return "\n".join(lines) + "\n"


def command_names() -> list[str]:
    """Return the names of the commands of the command line."""
    from progress_measures.cli import app

    return [_command_name(command) for command in app.registered_commands]


def _command_name(command: CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")


def _command_section(command: CommandInfo) -> list[str]:
    """Return the Markdown lines of a command: heading, description, usage line, and a table of arguments and options."""
    rows = list(_parameters(command.callback))
    arguments = " ".join(name.strip("`") for name, *_ in rows if name.startswith("`") and "--" not in name)
    line = " ".join(["progress-measures", _command_name(command), *([arguments] if arguments else [])])
    lines = [f"## {_command_name(command)}", "", inline(inspect.getdoc(command.callback) or ""), "", f"    {line}"]
    return lines + (["", *table(("argument or option", "default", "meaning"), rows)] if rows else [])


def _parameters(callback: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of each argument and option of a command, from its function's annotations for typer."""
    hints = typing.get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        value_type, info = typing.get_args(hints[name])[:2]
        choices = typing.get_args(value_type) if typing.get_origin(value_type) is Literal else ()
        if isinstance(info, ArgumentInfo):
            shown = name.upper() if parameter.default is parameter.empty else f"[{name.upper()}]"
        else:
            assert isinstance(info, OptionInfo)
            names = (info.default, *(info.param_decls or ()))  # typer stores the first name as the default
            option_names = [text for text in names if isinstance(text, str) and text.startswith("-")]
            shown = ", ".join(option_names or [f"--{name.replace('_', '-')}"])
        meaning = " ".join(
            filter(None, [info.help, f"One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""])
        )
        default = "" if parameter.default in (parameter.empty, None, False) else f"`{parameter.default}`"
        yield f"`{shown}`", default, cell(meaning, is_markdown=True)


# ---- experiments


def experiments_page() -> str:
    """Generate the page of experiments: for each, its description, runs, YAML file, and the figures and tables that read it."""
    readers = _readers()
    lines = [
        "# Experiments",
        "",
        f"The {len(experiment_names())} files in `config/experiments/`. The cube of a published experiment is in "
        f"`{PUBLISHED}/`; with `--config cubes=published`, Snakemake draws the experiment's figures without training.",
    ]
    for name in experiment_names():
        lines += ["", *_experiment_section(name, load_experiment(name), readers.get(name, []))]
    return "\n".join(lines) + "\n"


def _experiment_section(name: str, experiment: Experiment, readers: list[str]) -> list[str]:
    """Return the Markdown lines of an experiment: title, runs, links to the figures and tables that read it, YAML file."""
    runs = [run.name for run in experiment.runs(name)]
    names = ", ".join(f"`{run}`" for run in runs[:8]) + (", …" if len(runs) > 8 else "")
    facts = [
        f"{len(runs)} run{'s' if len(runs) > 1 else ''} ({names}) of {experiment.training.epochs:,} epochs",
        "published" if published_cube(name).exists() else "not published",
    ]
    lines = [f"## {name}", "", f"**{inline(experiment.title)}.** {inline(experiment.description or '')}", ""]
    lines += [f"{'; '.join(facts)}. {inline(experiment.reference or '')}".rstrip(" .") + "."]
    if readers:
        lines += ["", f"Read by {', '.join(readers)}."]
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return [*lines, "", f'??? note "{FOLDER}/{name}.yaml"', "", "    ```yaml", *_indented(text), "    ```"]


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.rstrip().splitlines()]


def _readers() -> dict[str, list[str]]:
    """Return links to the figures and tables that read the cube of an experiment, by the name of the experiment."""
    from progress_measures.pages.gallery import gallery_items

    readers: dict[str, list[str]] = {}
    for item in gallery_items():
        for experiment in item.declared.experiments:
            readers.setdefault(experiment, []).append(f"[{item.name}](../{item.page}#{item.anchor})")
    return readers


# ---- variables that figures read


def figures_page() -> str:
    """Generate the page of the cubes and variables that each figure and table reads."""
    from progress_measures.pages.gallery import gallery_items, titles

    lines = [
        "# What each figure reads",
        "",
        "The experiments whose cubes each figure and table reads, and the variables that it reads from these cubes. To draw a "
        "figure from your own cube, the cube must have these variables. An experiment marked *not published* has to be trained "
        "first.",
    ]
    for source, title in titles().items():
        rows = [_figure_row(item) for item in gallery_items() if item.source == source]
        if rows:
            lines += ["", f"## {title}", "", *table(("figure or table", "experiments", "variables"), rows)]
    return "\n".join(lines) + "\n"


def _figure_row(item: GalleryItem) -> tuple[str, ...]:
    """Return the cells of a figure or table: its id, its experiments, and the variables that it reads."""
    declared = item.declared
    experiments = (
        f"[{name}](experiments.md#{name})" + ("" if published_cube(name).exists() else ", not published")
        for name in declared.experiments
    )
    variables = ", ".join(_linked(name) for name in declared.variables)
    return f"[`{declared.id}`](../{item.page}#{item.anchor})", "; ".join(experiments), variables


def _linked(name: str) -> str:
    """Return the name of a variable, with a link to its definition if it is a measure."""
    return f"[`{name}`](measures.md#{name})" if name in measures() else f"`{name}`"
