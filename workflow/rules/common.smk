"""What exists, and where: experiments, runs, families of measures, figures; no rule is here."""

import gc
import shlex
import sys
from pathlib import Path

from progress_measures import fingerprint
from progress_measures.errors import UserError
from progress_measures.experiments import (
    experiment_names,
    imported_names,
    load_experiment,
)
from progress_measures.experiments.load import BESIDE
from progress_measures.claims.ledger import load_claims
from progress_measures.claims.registry import quantity_modules
from progress_measures.explorer import EXPERIMENTS as EXPLORED
from progress_measures.explorer import SOURCE as EXPLORER_SOURCE
from progress_measures.figures import figure_ids, load_figure
from progress_measures.figures.registry import figure_module
from progress_measures.measures import FAMILIES, families_of
from progress_measures.tables import load_table, table_ids
from progress_measures.tables.registry import table_module
from progress_measures.tasks import task_module
from progress_measures.training.record import code_modules

# Snakemake holds many small objects for every job, none of them garbage: looking for some among them takes an eighth of
# the time in which it plans ten thousand jobs.
gc.set_threshold(50_000)

# Rules call `progress-measures` of the environment that Snakemake itself runs in.
shell.prefix(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; ')


def refuse(error):
    """End with one message for people, before anything is run."""
    print(f"snakemake: {error}", file=sys.stderr)
    sys.exit(2)


IMPORTED = (
    imported_names()
)  # networks trained elsewhere, that `progress-measures import` has put into results/
try:
    EXPERIMENTS = {
        name: load_experiment(name) for name in [*experiment_names(), *IMPORTED]
    }
except UserError as error:
    refuse(error)
RUNS = {
    name: {run.name: run for run in experiment.runs(name)}
    for name, experiment in EXPERIMENTS.items()
}
if config.get("cubes", "results") not in ("results", "published"):
    refuse(f"--config cubes={config['cubes']}: expected `results` or `published`.")


wildcard_constraints:
    experiment="".join(f"(?!{folder}/)" for folder in BESIDE) + "[a-z0-9][a-z0-9_]*",
    run="[^/]+",
    family="|".join(FAMILIES),
    figure="[a-z_]+/[A-Za-z0-9_]+",
    table="[a-z_]+/[A-Za-z0-9_]+",
    twin="webp|html",


# What this workflow trains; data and weights of imported networks are there, and no rule makes them.
TRAINED = "".join(f"(?!{name}/)" for name in IMPORTED) + "[a-z0-9][a-z0-9_]*"


def runs_of(experiment):
    """The runs of an experiment, by name; whoever asks for another is told what there is."""
    if experiment not in RUNS:
        refuse(f"no experiment {experiment!r}; there are: {', '.join(RUNS)}.")
    return RUNS[experiment]


def run_of(wildcards):
    """The run that wildcards name; whoever asks for another is told what there is."""
    runs = runs_of(wildcards.experiment)
    if wildcards.run not in runs:
        refuse(
            f"{wildcards.experiment} has no run {wildcards.run!r}; it has: {', '.join(runs)}."
        )
    return runs[wildcards.run]


def code(*modules):
    """Files that change when what these modules compute does."""
    return [
        fingerprint.refresh(Path("results/.fingerprints"), name) for name in modules
    ]


def dataset_code(wildcards):
    """The code that an experiment's data depend on."""
    task = next(iter(runs_of(wildcards.experiment).values())).task.kind
    return code("progress_measures.tasks.dataset", task_module(task).__name__)


def training_code(wildcards):
    """The code that the weights of an experiment's runs depend on."""
    runs = runs_of(wildcards.experiment).values()
    return code(*sorted({name for run in runs for name in code_modules(run)}))


# What the training rule is told by resources, and how the command line calls it.
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


def training_options(threads, resources):
    """Where runs train, as options of `progress-measures train`."""
    pool = resources.get("pool")
    options = TRAINING_OPTIONS | (SLURM_OPTIONS if pool == "slurm" else {})
    given = {flag: resources.get(name) for name, flag in options.items()}
    if pool != "slurm" and given["--at-once"] is None:
        given["--at-once"] = threads
    words = [
        str(word) for pair in given.items() if pair[1] is not None for word in pair
    ]
    return shlex.join(["--pool", str(pool), *words])


# All of them now: Snakemake takes stock of files before it asks the input functions that name them.
code(
    "progress_measures.tasks.dataset",
    "progress_measures.cube.extract",
    "progress_measures.cube.gather",
    "progress_measures.figures.drawing",
    "progress_measures.explorer.page",
    *(f"progress_measures.measures.{family}" for family in FAMILIES),
    "progress_measures.tables.writing",
    "progress_measures.claims.claims_page",
    *quantity_modules(),
    *(figure_module(name) for name in figure_ids()),
    *(table_module(name) for name in table_ids()),
    *(
        name
        for runs in RUNS.values()
        for run in runs.values()
        for name in code_modules(run)
    ),
)


def measured(experiment):
    """The stores that a cube is gathered from."""
    return [
        f"results/{experiment}/runs/{name}/measures/{family}.zarr"
        for name, run in runs_of(experiment).items()
        for family in families_of(run)
    ]


def cube(experiment):
    """The cube that figures of an experiment are drawn from."""
    if config.get("cubes", "results") == "published":
        return f"published/{experiment}.zarr.zip"
    return f"results/{experiment}/cube.zarr"


def cubes(experiments):
    """The cubes of several experiments."""
    return [cube(name) for name in experiments]


def cubes_of_table(table):
    """The cubes that a table is made of; a partial one of published cubes, of those that there are."""
    of_table = declared(table, load_table)
    paths = cubes(of_table.experiments)
    if of_table.partial and config.get("cubes") == "published":
        return [path for path in paths if Path(path).exists()]
    return paths


def declared(name, load=load_figure):
    """The declaration of a figure, or of a table; whoever asks for another is told what there is."""
    try:
        return load(name)
    except UserError as error:
        refuse(error)


def labels(kind, name, load):
    """How the report lists a figure or a table: in the order of its source, by its title."""
    number = name.partition("/")[2]
    return {kind: number, "title": declared(name, load).title}


def experiments_of(name, another=None):
    """The experiments whose cubes a figure is drawn from: its own, or another in place of its only one."""
    own = declared(name).experiments
    if another and len(own) > 1:
        refuse(
            f"figure {name} is drawn from {len(own)} cubes, and cannot be drawn of {another} alone."
        )
    return [another] if another else own


def published(declaration):
    """The files of published numbers that a figure or a table shows beside ours."""
    return [f"config/claims/{source}.yaml" for source in declaration.published]


def code_of_figure(wildcards):
    """The code that a figure's look depends on."""
    declared(wildcards.figure)
    return code(figure_module(wildcards.figure), "progress_measures.figures.drawing")


def code_of_twin(wildcards):
    """The code that a figure's animation or page depends on, if it has one."""
    extra_formats = declared(wildcards.figure).extra_formats
    if wildcards.twin not in extra_formats:
        has = (
            "has " + ", ".join(f".{kind}" for kind in extra_formats) if extra_formats else "is a still"
        )
        refuse(f"there is no .{wildcards.twin} of figure {wildcards.figure}: it {has}.")
    return code_of_figure(wildcards)


def code_of_table(wildcards):
    """The code that a table depends on."""
    declared(wildcards.table, load_table)
    return code(table_module(wildcards.table), "progress_measures.tables.writing")


def covered(experiments):
    """Whether there are cubes of experiments: all can be made, but only some are published."""
    return config.get("cubes") != "published" or all(
        Path(path).exists() for path in cubes(experiments)
    )


def figures(*names):
    """Figures as their PNG, with which PDF and SVG come, and their twins. Of published cubes, those that they cover."""
    return [
        f"results/figures/{name}.{kind}"
        for name in names
        if covered(load_figure(name).experiments)
        for kind in ("png", *load_figure(name).extra_formats)
    ]


def explorer_source():
    """The explorer's own HTML, CSS and JavaScript."""
    return sorted(str(path) for path in EXPLORER_SOURCE.rglob("*") if path.is_file())


def tables(*names):
    """Tables as their Markdown; CSV and LaTeX come with it. Of published cubes, those that they cover."""
    return [
        f"results/tables/{name}.md"
        for name in names
        if load_table(name).partial or covered(load_table(name).experiments)
    ]


def judged_cubes():
    """The cubes that claims are judged on: all that they name, or those that are published."""
    try:
        experiments = {
            name
            for claim in load_claims().values()
            if claim.quantity
            for name in claim.cubes
        }
    except UserError as error:
        refuse(error)
    found = cubes(sorted(experiments & set(EXPERIMENTS)))
    if config.get("cubes") == "published":
        return [path for path in found if Path(path).exists()]
    return found
