"""The command line: one verb a stage; each can be run, debugged and profiled by hand as the workflow runs it."""

import difflib
import functools
import json
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from progress_measures.errors import UserError, user_message
from progress_measures.files import write_json

app = typer.Typer(
    name="progress-measures",
    help="Train small transformers until they grok, measure every checkpoint, redraw every figure of "
    "'Progress measures for grokking via mechanistic interpretability'. Run from the repository's root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Experiment = Annotated[str, typer.Argument(help="Name of a file in config/experiments, without .yaml.")]
RunName = Annotated[str, typer.Option("--run", help="Name of a run, as `progress-measures runs` lists it.")]


def main() -> None:
    """Run the command line; what the user can mend ends with one message and exit status 2."""
    logging.captureWarnings(True)
    # NumPy's BLAS would start a thread a core in each of the workflow's jobs, and have them spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        Path.cwd()  # libraries end in worse ways where it is gone
        app()
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        print(f"progress-measures: {message}", file=sys.stderr)
        sys.exit(2)


def _runs(experiment: str, chosen: list[str] | None = None) -> list[Any]:
    from progress_measures.experiments import load_experiment

    runs = load_experiment(experiment).runs(experiment)
    unknown = set(chosen or ()) - {run.name for run in runs}
    if unknown:
        names = ", ".join(run.name for run in runs)
        raise UserError(f"{experiment} has no run {', '.join(sorted(unknown))}; its runs are: {names}.")
    return [run for run in runs if not chosen or run.name in chosen]


def _name(experiment: str | None) -> str | None:
    """An experiment's name, of which no file needs to be there any more."""
    from progress_measures.experiments.load import is_name

    if experiment is not None and not is_name(experiment):
        raise UserError(
            f"{experiment!r:.80} is no name of an experiment: expected are lower-case letters, digits and _."
        )
    return experiment


def _write_dataset(runs: list[Any]) -> None:
    if runs[0].imported:
        raise UserError(
            f"{runs[0].experiment} was imported: its data and weights are there, and no recipe to make others."
        )
    from progress_measures.paths import dataset_store
    from progress_measures.tasks.dataset import write_dataset

    write_dataset(runs, dataset_store(runs[0].experiment))


@app.command()
def runs(experiment: Annotated[str | None, typer.Argument(help="By default, all experiments.")] = None) -> None:
    """List experiments and their runs."""
    from progress_measures.experiments import experiment_names, imported_names, load_experiment

    for name in [experiment] if experiment else [*experiment_names(), *imported_names()]:
        loaded = load_experiment(name)
        print(f"{name}: {loaded.title}")
        for run in loaded.runs(name):
            print(f"    {run.name}  {run.hash}")


@app.command()
def dataset(experiment: Experiment) -> None:
    """Write every pair, its label, and which runs train on it."""
    _write_dataset(_runs(experiment))


_SLURM = "On a cluster"


@app.command()
def train(
    experiment: Experiment,
    run: Annotated[list[str] | None, typer.Option("--run", help="A run; may be repeated. By default, all.")] = None,
    pool: Annotated[Literal["local", "slurm"], typer.Option(help="This machine's processes, or Slurm jobs.")] = "local",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: what torch finds.")] = "auto",
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Shards at a time; by default 8 jobs, or one a GPU or core.")
    ] = None,
    runs_per_shard: Annotated[
        int | None, typer.Option(min=1, help="Runs that train as one batch; by default 1, on a GPU what fits.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a shard.")] = 1,
    retries: Annotated[int, typer.Option(min=0, help="How often a shard that failed is tried again.")] = 2,
    restart: Annotated[bool, typer.Option(help="Train from the start, whatever is there.")] = False,
    any_code: Annotated[bool, typer.Option(help="Leave runs alone that earlier code has trained.")] = False,
    partition: Annotated[str | None, typer.Option(rich_help_panel=_SLURM)] = None,
    account: Annotated[str | None, typer.Option(rich_help_panel=_SLURM)] = None,
    qos: Annotated[str | None, typer.Option(rich_help_panel=_SLURM)] = None,
    constraint: Annotated[str | None, typer.Option(rich_help_panel=_SLURM)] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs a job.", rich_help_panel=_SLURM)] = 0,
    gres: Annotated[str | None, typer.Option(help="Such as gpu:a100:1; for --gpus.", rich_help_panel=_SLURM)] = None,
    gpu_memory_gb: Annotated[
        float, typer.Option(min=1, help="By which runs are packed onto a GPU.", rich_help_panel=_SLURM)
    ] = 40,
    memory_mb: Annotated[
        int | None, typer.Option(min=1, help="Of a job; by default, as much as its runs need.", rich_help_panel=_SLURM)
    ] = None,
    minutes: Annotated[
        int,
        typer.Option(min=1, help="Time limit of a job, which is requeued if it needs more.", rich_help_panel=_SLURM),
    ] = 60,
    poll: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.", rich_help_panel=_SLURM)] = 15.0,
) -> None:
    """Train runs, going on from their last checkpoint. A finished run is left alone."""
    from progress_measures.paths import runs_folder, trained_record
    from progress_measures.training.launcher import launch
    from progress_measures.training.signals import Interrupted

    of_experiment, chosen = _runs(experiment), _runs(experiment, run)
    _write_dataset(of_experiment)
    if restart:
        if any(launch.rows_of_jobs(experiment)):
            raise UserError(f"{experiment} is being trained; first: progress-measures cancel {experiment}")
        trained_record(experiment).unlink(missing_ok=True)  # first: it says that they are trained
        for one in chosen:
            shutil.rmtree(runs_folder(experiment) / one.name, ignore_errors=True)
    if pool == "slurm":
        site = {"partition": partition, "account": account, "qos": qos, "constraint": constraint, "gpus": gpus}
        site |= {"gres": gres, "cpus": threads, "memory_mb": memory_mb, "minutes": minutes, "at_once": at_once}
        plan = launch.slurm_plan(chosen, site, device, runs_per_shard, gpu_memory_gb, poll, retries)
    else:
        plan = launch.local_plan(chosen, device, at_once, runs_per_shard, threads)._replace(retries=retries)
    try:
        launch.train(experiment, chosen, plan, any_code)
    except Interrupted as interrupted:
        print(f"progress-measures: {interrupted}", file=sys.stderr)
        sys.exit(130)
    launch.write_trained(experiment, of_experiment, any_code)


@app.command()
def jobs(
    experiment: Annotated[str | None, typer.Argument(help="By default, all experiments.")] = None,
    follow: Annotated[bool, typer.Option(help="Show them as they go, until none is left.")] = False,
) -> None:
    """List the training jobs that wait or run, here and on the cluster."""
    import time

    from progress_measures.training.launcher import launch
    from progress_measures.training.launcher.table import Display

    with Display("jobs") as display:
        while True:
            found = [
                row._replace(name=f"{name}/{row.name}")
                for name, _, _, rows in launch.rows_of_jobs(_name(experiment))
                for row in rows.values()
            ]
            if found:
                display.show(found)
            if not (follow and found):
                break
            time.sleep(5)
    if not found:
        print("No training jobs wait or run.")


@app.command()
def watch(
    experiment: Experiment,
    run: Annotated[list[str] | None, typer.Option("--run", help="A run; may be repeated. By default, all.")] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
) -> None:
    """Follow a training, here or on the cluster: losses and progress measures so far, and the phase of each run."""
    from progress_measures.training.machine import set_up
    from progress_measures.watch import watch as follow

    set_up(threads=1)
    follow(experiment, _runs(experiment, run), every, once)


@app.command()
def cancel(
    experiment: Annotated[str | None, typer.Argument(help="Whose jobs.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Of all experiments.")] = False,
) -> None:
    """End training jobs, and only those that were submitted from this folder. What they trained is kept."""
    from progress_measures.training.launcher import launch

    if (experiment is None) != every:
        raise UserError("say whose jobs: progress-measures cancel EXPERIMENT, or --all.")
    ended, refused = 0, []
    for name, pool, batch, rows in launch.rows_of_jobs(_name(experiment)):
        try:
            pool.cancel(batch, list(rows))
        except UserError as error:  # one that cannot be ended from here keeps no other from it
            refused.append(str(error))
            continue
        for row in rows.values():
            print(f"ended {name}/{row.name}, job {row.job}")
        ended += len(rows)
    if refused:
        raise UserError("\n".join(refused))
    if not ended:
        print("No training jobs wait or run.")


@app.command()
def plan(
    what: Annotated[list[str] | None, typer.Argument(help="Experiments, `paper`, or `all`.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Such as h100; by default, this machine's cores.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="GPUs, or cores, that work at a time.")] = None,
) -> None:
    """Say what training costs: shards, memory, operations and expected hours."""
    from progress_measures.training.plan import show

    show(what or ["all"], gpu, at_once)


@app.command()
def measure(
    experiment: Experiment,
    run: Annotated[list[str] | None, typer.Option("--run", help="A run; may be repeated. By default, all.")] = None,
    family: Annotated[list[str] | None, typer.Option(help="A family of measures; by default, all.")] = None,
) -> None:
    """Measure every checkpoint of trained runs."""
    from progress_measures.measures import FAMILIES, families_of

    unknown = set(family or ()) - set(FAMILIES)
    if unknown:
        raise UserError(f"no family of measures {', '.join(sorted(unknown))}; there are: {', '.join(FAMILIES)}.")
    from progress_measures.cube.extract import measure_family
    from progress_measures.training.machine import set_up

    set_up(threads=1)
    first = _runs(experiment)[0].name
    for one in _runs(experiment, run):
        of_run = families_of(one)
        foreign = [name for name in family or () if name not in of_run]
        if foreign:
            raise UserError(
                f"{foreign[0]} has nothing to measure of {one.name}; families that have: {', '.join(of_run)}."
            )
        for name in family or of_run:
            measure_family(one, name, first=one.name == first)


@app.command()
def gather(
    experiment: Experiment,
    missing_allowed: Annotated[bool, typer.Option(help="Gather the runs that are there.")] = False,
) -> None:
    """Join the measured runs of an experiment into its cube."""
    from progress_measures.cube.gather import gather as join
    from progress_measures.experiments import load_experiment

    join(experiment, load_experiment(experiment).title, _runs(experiment), missing_allowed)


def _cubes(declared: Any, experiment: str | None, cubes: list[Path] | None) -> list[Any]:
    """The cubes that a figure or table is made of: given ones, another experiment's, or its own.

    Those that a partial table goes without are None.
    """
    from progress_measures.cube.open import cube_if_any, open_cube

    names: Sequence[str | Path] = cubes or ([experiment] if experiment else declared.experiments)
    if len(names) != len(declared.experiments):
        raise UserError(
            f"{declared.id} is made of {len(declared.experiments)} cubes, those of {', '.join(declared.experiments)}; "
            f"{len(names)} given."
        )
    return [(cube_if_any if getattr(declared, "partial", False) else open_cube)(name) for name in names]


def _paths(
    declared: Any, kind: str, formats: tuple[str, ...], experiment: str | None, to: list[Path] | None
) -> list[Path]:
    """The files to write: given ones, or those of each format where the workflow has them."""
    wrong = [str(path) for path in to or () if path.suffix[1:] not in formats]
    if wrong:
        raise UserError(f"--to {wrong[0]}: {declared.id} is written as {', '.join('.' + known for known in formats)}.")
    folder = Path("results") / (_name(experiment) or "") / kind
    return to or [folder / f"{declared.id}.{known}" for known in formats]


OfExperiment = Annotated[str | None, typer.Option("--experiment", help="Whose cube; by default, its own.")]
FromCubes = Annotated[list[Path] | None, typer.Option("--cube", help="A cube, folder or zip; one an experiment.")]


@app.command()
def draw(
    figure: Annotated[str, typer.Argument(help="Such as paper/fig07.")],
    experiment: OfExperiment = None,
    cube: FromCubes = None,
    to: Annotated[
        list[Path] | None,
        typer.Option(help="A .pdf, .png or .svg, of some figures a .webp or .html; may be repeated. By default, all."),
    ] = None,
) -> None:
    """Draw a figure from cubes."""
    from progress_measures.figures import load_figure
    from progress_measures.figures.drawing import draw as draw_to
    from progress_measures.figures.registry import STILLS

    loaded = load_figure(figure)
    paths = _paths(loaded, "figures", STILLS + loaded.extra_formats, experiment, to)
    draw_to(loaded, _cubes(loaded, experiment, cube), paths)


@app.command()
def tabulate(
    table: Annotated[str, typer.Argument(help="Such as paper/table01.")],
    experiment: OfExperiment = None,
    cube: FromCubes = None,
    to: Annotated[list[Path] | None, typer.Option(help="A .md, .csv or .tex; may be repeated.")] = None,
) -> None:
    """Make a table of cubes, beside what was published."""
    from progress_measures.tables import load_table
    from progress_measures.tables.writing import FORMATS, write

    loaded = load_table(table)
    paths = _paths(loaded, "tables", FORMATS, experiment, to)
    write(loaded, _cubes(loaded, experiment, cube), paths)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .pth, .pt, .safetensors or .npz, or a folder of numbered ones.")],
    out: Annotated[Path, typer.Option(help="results/<name>: where its weights, measures and cube go.")],
    names: Annotated[Path | None, typer.Option("--map", help="A YAML file of its tensors' names and axes.")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="shuffle:SEED:FRACTION, randperm:SEED:FRACTION, none, or a file of indices a*n+b."),
    ] = None,
    operation: Annotated[
        str | None, typer.Option(help="a+b, a-b, sum, other, or a file with the table of right answers.")
    ] = None,
    prime: Annotated[int | None, typer.Option(min=2, help="How many values a and b have.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Where the tensors do not say.")] = None,
    layer_norm: Annotated[bool | None, typer.Option(help="Whether it normalizes what its layers read.")] = None,
    epoch: Annotated[int | None, typer.Option(min=0, help="Updates done, of a single network.")] = None,
    precision: Annotated[
        Literal["float64", "float32"], typer.Option(help="In which it is measured; our own runs are in float32.")
    ] = "float64",
) -> None:
    """Put a network that was trained elsewhere under every measure. Says what it recognized and what it assumed."""
    from progress_measures.importing.import_network import import_network
    from progress_measures.importing.settings import Options
    from progress_measures.training.machine import set_up

    set_up(threads=1)
    options = Options(names, split, operation, prime, heads, layer_norm, epoch, precision)
    print(*import_network(file, out, options), sep="\n")
    print(f"written: {out / 'cube.zarr'}, measured in {precision}")


@app.command()
def export(
    experiment: Experiment,
    run: Annotated[str | None, typer.Option("--run", help="A run; by default, the first.")] = None,
    epoch: Annotated[list[int] | None, typer.Option(help="May be repeated; by default, all that are kept.")] = None,
    format: Annotated[
        Literal["transformer-lens", "transformer-lens-4"], typer.Option(help="Names of versions 1 to 3, or of 4.")
    ] = "transformer-lens",
    to: Annotated[Path | None, typer.Option(help="By default, results/<experiment>/<run>.pth.")] = None,
) -> None:
    """Write weights of a run for TransformerLens: state dicts, configuration, training pairs and losses."""
    from progress_measures.cube.open import open_run
    from progress_measures.export import export as write
    from progress_measures.paths import RESULTS

    opened = open_run(experiment, run or 0)
    path = to or RESULTS / experiment / f"{opened.name}.pth"
    epochs = sorted(set(epoch)) if epoch else opened.epochs
    write(opened, epochs, format, path)
    print(f"{path}: {opened.name} at {len(epochs)} epochs  {path.stat().st_size / 1e6:.1f} MB")


@app.command()
def describe(experiment: Experiment) -> None:
    """Say what each run of a cube learned, and when."""
    from progress_measures.cube.describe import describe as text
    from progress_measures.cube.open import open_cube

    for line in text(open_cube(experiment)).split("\n"):
        # a program reads lines, people read columns
        print(textwrap.fill(line, min(100, shutil.get_terminal_size().columns)) if sys.stdout.isatty() else line)


@app.command()
def explore(
    cube: Annotated[
        list[str] | None,
        typer.Argument(help="Experiments, or paths of cubes; by default, those of the explorer's rule."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The page; by default, below results/.")] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Make one self-contained page on which cubes can be explored, and open it."""
    from progress_measures.cube.open import cube_if_any, open_cube
    from progress_measures.experiments.load import is_name
    from progress_measures.explorer import EXPERIMENTS
    from progress_measures.explorer.page import write_page
    from progress_measures.paths import explorer_page

    names = cube or [name for name in EXPERIMENTS if cube_if_any(name) is not None]
    cubes = [open_cube(name) for name in names]
    if not cubes:
        raise UserError(
            f"there is no cube of {', '.join(EXPERIMENTS)} here; name one, or run from the repository's root."
        )
    only = str(cubes[0].attrs.get("experiment", "")) if len(cubes) == 1 else ""
    path = out or explorer_page(only if is_name(only) else None)  # a cube may come from anywhere
    write_page(cubes, path)
    print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


@app.command()
def publish(
    experiment: Experiment,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Take measures of last weights again, of the published ones; no training needed."),
    ] = False,
) -> None:
    """Write the cube and chosen weights of an experiment to published/, small enough to commit."""
    from progress_measures.cube import publish as publishing

    write = publishing.renew if renew else publishing.publish
    for path in write(experiment, _runs(experiment)):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


@app.command()
def claims(
    cubes: Annotated[
        Literal["results", "published"],
        typer.Option(help="results: those made here, else the published ones; published: those alone."),
    ] = "results",
    only: Annotated[list[str] | None, typer.Option(help="Judge and print this claim alone; may be repeated.")] = None,
    to_json: Annotated[Path, typer.Option("--json", help="For programs.")] = Path("results/claims.json"),
    to_page: Annotated[Path, typer.Option("--page", help="For people, as Markdown.")] = Path("results/claims.md"),
) -> None:
    """Hold every published statement against what our runs gave."""
    from progress_measures.claims import claims_page
    from progress_measures.claims.judge import judge, shown
    from progress_measures.claims.ledger import load_claims
    from progress_measures.cube.open import cube_if_any

    ledger = load_claims()
    unknown = [name for name in only or [] if name not in ledger]
    if unknown:
        close = difflib.get_close_matches(unknown[0], ledger, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see config/claims/."
        raise UserError(f"--only {unknown[0]}: there is no such claim; {hint}")
    chosen = [ledger[name] for name in only] if only else list(ledger.values())
    cube_of = functools.cache(lambda name: cube_if_any(name, published=cubes == "published"))
    judgments = [judge(claim, cube_of) for claim in chosen]
    if only:
        for one in judgments:
            claim, measured = one.claim, shown(one.measured)
            print(f"{claim.id}: {one.verdict}\n{claim.statement}\npublished: {shown(claim.published)}")
            print(f"measured as: {claim.measured_as}\nrule: {claim.rule}")
            print("\n".join(filter(None, [f"measured: {measured}".rstrip(), one.incomplete, one.explanation])))
        return
    claims_page.write_claims(judgments, to_json, to_page, cubes)
    print(", ".join(f"{number} {verdict}" for verdict, number in claims_page.counts(judgments).items()))


@app.command()
def bench(
    what: Annotated[Literal["train", "measure", "tasks", "all"], typer.Argument()] = "all",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    json_only: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Time the trainer and the measures against the notebook's way, in one process on the same threads."""
    from progress_measures import bench as benchmark

    results: dict[str, Any] = {}
    if what in ("train", "all"):
        results["train"] = benchmark.bench_train(threads=threads)
    if what in ("measure", "all"):
        results["measure"] = benchmark.bench_measure(threads=threads)
    if what in ("tasks", "all"):
        results["tasks"] = benchmark.bench_tasks(threads=threads)
    if json_only:
        print(json.dumps(results if what == "all" else results[what]))
        return
    from rich.console import Console

    Console().print(benchmark.table(results), *benchmark.notes(results), sep="\n")
    write_json(Path("results/bench.json"), results)
    print("written to results/bench.json")


@app.command()
def schema(
    check: Annotated[bool, typer.Option(help="Only say whether the generated files are current.")] = False,
) -> None:
    """Write config/experiment.schema.json and docs/config.md from the code that defines them."""
    from progress_measures.experiments.fields_page import generated

    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    if check and stale:
        raise UserError(f"{', '.join(map(str, stale))}: not as the code says; run `progress-measures schema`.")
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(generated()[path])
