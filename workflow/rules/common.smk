"""Functions with which the rules find experiments, runs, code fingerprints and paths. This file contains no rules."""

import gc
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from snakemake.iocontainers import ResourceList, Wildcards

from progress_measures import fingerprint
from progress_measures.errors import UserError
from progress_measures.experiments import (
    experiment_names,
    imported_names,
    load_experiment,
)
from progress_measures.experiments.load import RESERVED_NAMES
from progress_measures.experiments.schema import Run
from progress_measures.claims.schema import load_claims, load_populations
from progress_measures.claims.registry import quantity_modules
from progress_measures.cube.parts import parts, write_measuring_fingerprint
from progress_measures.explorer import EXPERIMENTS as EXPLORED
from progress_measures.explorer import SOURCE as EXPLORER_SOURCE
from progress_measures.figures import figure_ids, load_figure
from progress_measures.figures.registry import Figure, figure_fingerprint
from progress_measures.measures import measures
from progress_measures.tables import load_table, table_ids
from progress_measures.tables.registry import Table, table_module
from progress_measures.training.record import code_modules

# Snakemake creates many small objects for every job, and none of them becomes garbage. With Python's default threshold, garbage
# collection would take an eighth of the planning time of ten thousand jobs.
gc.set_threshold(50_000)  # new objects between two collections

# Rules call the `progress-measures` of the environment in which Snakemake itself runs, even with `--software-deployment-method
# conda`, because `make setup` installs the packages from uv.lock. The `conda:` lines only document the environment.
shell.prefix(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; ')


def exit_with(error: object) -> NoReturn:
    """Exit with status 2 and one message, before any job runs."""
    print(f"snakemake: {error}", file=sys.stderr)
    sys.exit(2)


# Networks trained elsewhere, which `progress-measures import` has written to results/.
IMPORTED = imported_names()
try:
    EXPERIMENTS = {
        name: load_experiment(name) for name in [*experiment_names(), *IMPORTED]
    }
except UserError as error:
    exit_with(error)
RUNS = {
    name: {run.name: run for run in experiment.runs(name)}
    for name, experiment in EXPERIMENTS.items()
}
if config.get("cubes", "results") not in ("results", "published"):
    exit_with(f"--config cubes={config['cubes']}: expected `results` or `published`.")


# Names that an experiment can have: not those of other folders in results/.
EXPERIMENT_PATTERN = (
    "".join(f"(?!{folder}/)" for folder in RESERVED_NAMES) + "[a-z0-9][a-z0-9_]*"
)


wildcard_constraints:
    experiment=EXPERIMENT_PATTERN,
    # `<experiment>/` if this experiment replaces the experiments that a figure or the explorer declares; else empty.
    replacement=f"(?:{EXPERIMENT_PATTERN}/)?",
    # name of the first of the runs that one job measures
    part="[^/]+",
    figure="[a-z_]+/[A-Za-z0-9_]+",
    # `@<run>` for a figure of a run that the user names; else empty, and the figure selects its run or runs.
    of_run="(?:@[^/@]+)?",
    table="[a-z_]+/[A-Za-z0-9_]+",
    extra="webp|html",


# Names of experiments that this workflow trains: all except imported networks, whose datasets and weights no rule may overwrite.
TRAINED_PATTERN = "".join(f"(?!{name}/)" for name in IMPORTED) + "[a-z0-9][a-z0-9_]*"


def runs_of(experiment: str) -> dict[str, Run]:
    """Return the runs of an experiment, by name; for an unknown experiment, exit with a list of the experiments."""
    if experiment not in RUNS:
        exit_with(f"no experiment {experiment!r}; there are: {', '.join(RUNS)}.")
    return RUNS[experiment]


# Runs that one job measures, by name of the experiment and of the part, which is the name of its first run.
PARTS = {name: parts(list(runs.values())) for name, runs in RUNS.items()}


def part_of(wildcards: Wildcards) -> list[Run]:
    """Return the runs of the part that wildcards name; for an unknown part, exit with a list of the experiment's parts."""
    runs_of(wildcards.experiment)
    runs_by_part = PARTS[wildcards.experiment]
    if wildcards.part not in runs_by_part:
        exit_with(
            f"{wildcards.experiment} has no part {wildcards.part!r}; the runs that start a part are: "
            f"{', '.join(runs_by_part)}."
        )
    return runs_by_part[wildcards.part]


FINGERPRINTS = fingerprint.folder(Path("results"))


def fingerprint_files(*modules: str) -> list[str]:
    """Write the fingerprint file of each module, unless its hash is unchanged; return the paths of these files."""
    return [fingerprint.write_fingerprint(FINGERPRINTS, name) for name in modules]


def write_figure_fingerprint(name: str) -> str:
    """Write the fingerprint file of a figure, unless its hash is unchanged; return the path of this file."""
    return fingerprint.write_hash(
        FINGERPRINTS,
        ".".join(["figures", *Path(name).parts]),
        figure_fingerprint(name),
    )


def dataset_code(wildcards: Wildcards) -> list[str]:
    """Return the fingerprint files of the code that the dataset of an experiment depends on."""
    task = next(iter(runs_of(wildcards.experiment).values())).task
    return fingerprint_files(
        "progress_measures.data.dataset",
        type(task).__module__,
        fingerprint.DERIVED,
    )


def training_code(wildcards: Wildcards) -> list[str]:
    """Return the fingerprint files of the code that the weights of an experiment's runs depend on."""
    runs = runs_of(wildcards.experiment).values()
    return fingerprint_files(
        *sorted({name for run in runs for name in code_modules(run)})
    )


def records_to_start_from(wildcards: Wildcards) -> list[str]:
    """Return the files `trained.json` of other experiments from whose weights an experiment's runs start; empty for most."""
    runs = runs_of(wildcards.experiment).values()
    sources = {run.start_from.experiment for run in runs if run.start_from}
    return [f"results/{name}/trained.json" for name in sorted(sources)]


# Resources of the rule `train`, each with the option of `progress-measures train` that receives its value.
TRAINING_OPTIONS = {
    "device": "--device",
    "runs_per_shard": "--runs-per-shard",
    "shards": "--at-once",
    "retries": "--retries",
}
SLURM_OPTIONS = {
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "qos": "--qos",
    "constraint": "--constraint",
    "gpu": "--gpus",
    "gres": "--gres",
    "gpu_memory_gb": "--gpu-memory-gb",
    "shard_mem_mb": "--memory-mb",
    "runtime": "--minutes",
    "poll_seconds": "--poll",
}


def training_options(threads: int, resources: ResourceList) -> str:
    """Return the options of `progress-measures train` that decide where and in which batches runs train.

    Args:
        threads: threads of the rule; on this machine also the number of shards that train at a time, unless the resource
            `shards` is set.
        resources: resources of the rule, from the Snakefile, the profile or the command line.
    """
    pool = resources.get("pool")
    options = TRAINING_OPTIONS | (SLURM_OPTIONS if pool == "slurm" else {})
    values = {option: resources.get(name) for name, option in options.items()}
    if pool != "slurm" and values["--at-once"] is None:
        values["--at-once"] = threads
    words = [
        word
        for option, value in values.items()
        if value is not None
        for word in (option, str(value))
    ]
    return shlex.join(["--pool", str(pool), *words])


# Write all fingerprint files now: Snakemake lists the existing files before it calls the input functions, which name these files.
fingerprint_files(
    fingerprint.DERIVED,
    "progress_measures.data.dataset",
    "progress_measures.cube.gather",
    "progress_measures.figures.drawing",
    "progress_measures.explorer.page",
    "progress_measures.tables.writing",
    "progress_measures.claims.claims_page",
    *quantity_modules(),
    *(table_module(name) for name in table_ids()),
    *{
        name
        for runs in RUNS.values()
        for run in runs.values()
        for name in code_modules(run)
    },
)
for name in figure_ids():
    write_figure_fingerprint(name)


for name, runs in RUNS.items():
    write_measuring_fingerprint(FINGERPRINTS, name, runs.values())


def measuring_records(experiment: str) -> list[str]:
    """Return the paths of the files which record that the parts of an experiment are measured."""
    runs_of(experiment)
    return [f"results/{experiment}/measured/{part}" for part in PARTS[experiment]]


def cube(experiment: str) -> str:
    """Return the path of an experiment's cube: in published/ with `--config cubes=published`, else in results/."""
    if config.get("cubes", "results") == "published":
        return f"published/{experiment}.zarr.zip"
    return f"results/{experiment}/cube.zarr"


def cubes(experiments: Iterable[str]) -> list[str]:
    """Return the paths of the cubes of several experiments."""
    return [cube(name) for name in experiments]


def cubes_of_table(name: str) -> list[str]:
    """Return the paths of the cubes that a table reads. On published cubes, a partial table reads only existing cubes."""
    table = declaration_of(name, load_table)
    paths = cubes(table.experiments)
    if table.partial and config.get("cubes") == "published":
        return [path for path in paths if Path(path).exists()]
    return paths


def declaration_of(
    name: str, load: Callable[[str], Figure | Table] = load_figure
) -> Figure | Table:
    """Return the declaration of a figure or table; for an unknown id, exit with a suggestion.

    Args:
        name: id of the figure or table.
        load: the function that loads the declaration, `load_figure` or `load_table`.
    """
    try:
        return load(name)
    except UserError as error:
        exit_with(error)


def report_labels(
    kind: str, name: str, load: Callable[[str], Figure | Table]
) -> dict[str, str]:
    """Return the labels of a figure or table in Snakemake's report: its number, by which the report sorts, and its title.

    Args:
        kind: `figure` or `table`.
        name: id of the figure or table.
        load: the function that loads the declaration, `load_figure` or `load_table`.
    """
    number = name.partition("/")[2]
    return {kind: number, "title": declaration_of(name, load).title}


def cubes_of_figure(wildcards: Wildcards) -> list[str]:
    """Return the paths of the cubes that a figure reads; exit if one experiment would replace several."""
    experiments = declaration_of(wildcards.figure).experiments
    if wildcards.replacement and len(experiments) > 1:
        exit_with(
            f"figure {wildcards.figure} reads {len(experiments)} cubes and cannot be drawn from "
            f"{wildcards.replacement.rstrip('/')} alone."
        )
    if wildcards.replacement:
        experiments = (wildcards.replacement.rstrip("/"),)
    if wildcards.of_run:
        check_run(wildcards, experiments[0])
    return cubes(experiments)


def run_of(wildcards: Wildcards) -> str | None:
    """Return the name of the run that the user names for a figure; None if the figure selects its run or runs."""
    return wildcards.of_run.removeprefix("@") or None


def check_run(wildcards: Wildcards, experiment: str) -> None:
    """Exit if a figure cannot be drawn of the run that wildcards name.

    Args:
        wildcards: wildcards of the rule; `of_run` is not empty.
        experiment: name of the experiment from whose cube the figure is drawn.
    """
    first_run_variables = {
        name for name, measure in measures().items() if "run" not in measure.dims
    }
    try:
        declaration_of(wildcards.figure).check_run(
            run_of(wildcards),
            experiment,
            list(runs_of(experiment)),
            first_run_variables,
        )
    except UserError as error:
        exit_with(error)


def claim_files(declaration: Figure | Table) -> list[str]:
    """Return the paths of the claim files from which a figure or table takes published numbers; most figures take none."""
    return [f"config/claims/{source}.yaml" for source in declaration.published]


def code_of_figure(wildcards: Wildcards) -> list[str]:
    """Return the fingerprint files of the code that a figure depends on."""
    declaration_of(wildcards.figure)
    return [
        write_figure_fingerprint(wildcards.figure),
        *fingerprint_files("progress_measures.figures.drawing"),
    ]


def code_of_extra_format(wildcards: Wildcards) -> list[str]:
    """Return the fingerprint files of the code that a figure's animation or HTML page depends on; exit if it has no such format."""
    extra_formats = declaration_of(wildcards.figure).extra_formats
    if wildcards.extra not in extra_formats:
        formats = ", ".join(
            [".pdf", ".png", ".svg", *(f".{kind}" for kind in extra_formats)]
        )
        exit_with(
            f"figure {wildcards.figure} has no .{wildcards.extra}; it has: {formats}."
        )
    return code_of_figure(wildcards)


def code_of_table(wildcards: Wildcards) -> list[str]:
    """Return the fingerprint files of the code that a table depends on."""
    declaration_of(wildcards.table, load_table)
    return fingerprint_files(
        table_module(wildcards.table), "progress_measures.tables.writing"
    )


def are_available(experiments: Iterable[str]) -> bool:
    """Return whether the cubes of these experiments exist or can be made; with `--config cubes=published`, none is made."""
    return config.get("cubes") != "published" or all(
        Path(path).exists() for path in cubes(experiments)
    )


def figures(*names: str) -> list[str]:
    """Return the paths of figures, as PNG and in extra formats; skip figures for which a published cube is missing.

    The job that draws the PNG also writes PDF and SVG.
    """
    return [
        f"results/figures/{name}.{kind}"
        for name in names
        if are_available(load_figure(name).experiments)
        for kind in ("png", *load_figure(name).extra_formats)
    ]


def cubes_of_explorer(wildcards: Wildcards) -> list[str]:
    """Return the paths of the cubes that the explorer shows: that of the replacement, or the available ones of `EXPLORED`."""
    if wildcards.replacement:
        return [cube(wildcards.replacement.rstrip("/"))]
    return cubes([name for name in EXPLORED if are_available([name])])


def explorer_source() -> list[str]:
    """Return the HTML, CSS and JavaScript files of the explorer."""
    return sorted(str(path) for path in EXPLORER_SOURCE.rglob("*") if path.is_file())


def tables(*names: str) -> list[str]:
    """Return the paths of tables, as Markdown; skip tables for which a published cube is missing.

    The job that writes the Markdown also writes CSV and LaTeX.
    """
    return [
        f"results/tables/{name}.md"
        for name in names
        if load_table(name).partial or are_available(load_table(name).experiments)
    ]


def judged_cubes() -> list[str]:
    """Return the paths of the cubes on which claims are judged, without those that neither exist nor can be made."""
    try:
        names = {
            name
            for claim in load_claims().values()
            if claim.quantity
            for name in claim.cubes
        }
        for population in load_populations().values():
            names |= {*population.networks, *population.controls}
            names |= {population.authors} - {None}
    except UserError as error:
        exit_with(error)
    if config.get("cubes") == "published":
        return [path for path in cubes(sorted(names)) if Path(path).exists()]
    return cubes(sorted(names & set(EXPERIMENTS)))
