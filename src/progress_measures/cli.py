"""The command line: one command per stage of the workflow, so that each stage can be run, debugged and profiled by hand."""

import difflib
import functools
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from progress_measures.errors import UserError, user_message
from progress_measures.plain_text import file_list

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

app = typer.Typer(
    name="progress-measures",
    help="Train small transformers that grok, measure their checkpoints, and reproduce the figures of "
    "'Progress measures for grokking via mechanistic interpretability'. Run from the repository's root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Experiment = Annotated[str, typer.Argument(help="Name of the experiment: a file in config/experiments, without .yaml.")]


def main() -> None:
    """Run the command line; an error that the user can fix ends with one message and exit status 2."""
    logging.captureWarnings(True)
    # By default, NumPy's BLAS starts one busy-waiting thread per core, in every job of the workflow.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        Path.cwd()  # raises a clear error if the folder is gone; libraries fail in worse ways
        app()
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        print(f"progress-measures: {message}", file=sys.stderr)
        sys.exit(2)


def _runs(experiment: str, selected: list[str] | None = None) -> "list[Run]":
    """Return the selected runs of an experiment, by default all."""
    from progress_measures.experiments import load_experiment

    runs = load_experiment(experiment).runs(experiment)
    unknown = set(selected or ()) - {run.name for run in runs}
    if unknown:
        names = ", ".join(run.name for run in runs)
        raise UserError(f"{experiment} has no run {', '.join(sorted(unknown))}; its runs are: {names}.")
    return [run for run in runs if not selected or run.name in selected]


def _valid_name(experiment: str | None) -> str | None:
    """Check the form of a name and return it; None, for all experiments, is valid. The experiment need not exist."""
    from progress_measures.experiments.load import is_experiment_name

    if experiment is not None and not is_experiment_name(experiment):
        raise UserError(
            f"{experiment!r:.80} is not a valid experiment name: expected lower-case letters, digits and underscores."
        )
    return experiment


def _write_dataset(runs: "list[Run]") -> None:
    """Write the dataset of an experiment, given all its runs; an imported experiment is an error."""
    if runs[0].imported:
        raise UserError(
            f"{runs[0].experiment} was imported: it has data and weights, but no recipe to train more networks."
        )
    from progress_measures.data.dataset import write_dataset
    from progress_measures.paths import dataset_store

    write_dataset(runs, dataset_store(runs[0].experiment))


@app.command()
def runs(
    experiment: Annotated[
        str | None, typer.Argument(help="Name of an experiment; by default, all experiments.")
    ] = None,
) -> None:
    """List experiments with their runs and the hash of each run's settings."""
    from progress_measures.experiments import experiment_names, imported_names, load_experiment

    for name in [experiment] if experiment else [*experiment_names(), *imported_names()]:
        loaded = load_experiment(name)
        print(f"{name}: {loaded.title}")
        for run in loaded.runs(name):
            print(f"    {run.name}  {run.hash}")


@app.command()
def dataset(experiment: Experiment) -> None:
    """Write an experiment's labels and splits, or its sampled sequences, to results/<experiment>/dataset.zarr."""
    _write_dataset(_runs(experiment))


_SLURM = "On a cluster"  # heading of the options for Slurm in `train --help`


@app.command()
def train(
    experiment: Experiment,
    run: Annotated[
        list[str] | None, typer.Option("--run", help="Name of a run; may be repeated. By default, all.")
    ] = None,
    pool: Annotated[Literal["local", "slurm"], typer.Option(help="Run jobs as processes here or on Slurm.")] = "local",
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto uses a GPU if torch finds one.")
    ] = "auto",
    at_once: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest number of shards that train at a time; a shard is the runs that one job trains together. By "
            "default 8 on Slurm, else one per GPU or core.",
        ),
    ] = None,
    runs_per_shard: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest number of runs per shard; by default 1, on a GPU as many as fit.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads per shard.")] = 1,
    retries: Annotated[int, typer.Option(min=0, help="Retries of a failed shard.")] = 2,
    restart: Annotated[bool, typer.Option(help="Delete earlier training of the runs and start again.")] = False,
    any_code: Annotated[
        bool,
        typer.Option(help="Keep runs that an earlier version of the code trained, instead of training them again."),
    ] = False,
    log: Annotated[
        str,
        typer.Option(
            help="Also write losses and accuracies of each run as `csv`, `tensorboard` or `csv,tensorboard`, after "
            "training. Runs that are trained already are not trained again for this."
        ),
    ] = "",
    partition: Annotated[str | None, typer.Option(help="Slurm partition.", rich_help_panel=_SLURM)] = None,
    account: Annotated[str | None, typer.Option(help="Slurm account.", rich_help_panel=_SLURM)] = None,
    qos: Annotated[str | None, typer.Option(help="Slurm quality of service.", rich_help_panel=_SLURM)] = None,
    constraint: Annotated[str | None, typer.Option(help="Required node features.", rich_help_panel=_SLURM)] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs per job.", rich_help_panel=_SLURM)] = 0,
    gres: Annotated[
        str | None,
        typer.Option(help="Slurm's generic resources, in place of --gpus, such as gpu:a100:1.", rich_help_panel=_SLURM),
    ] = None,
    gpu_memory_gb: Annotated[
        float,
        typer.Option(min=1, help="GPU memory in GB, which limits the runs per shard.", rich_help_panel=_SLURM),
    ] = 40,
    memory_mb: Annotated[
        int | None,
        typer.Option(min=1, help="Memory per job in MB; by default, what its runs need.", rich_help_panel=_SLURM),
    ] = None,
    minutes: Annotated[
        int,
        typer.Option(
            min=1, help="Time limit of a job; a job that needs longer is requeued and resumes.", rich_help_panel=_SLURM
        ),
    ] = 60,
    poll: Annotated[
        float, typer.Option(min=0.1, help="Seconds between checks of the jobs.", rich_help_panel=_SLURM)
    ] = 15.0,
) -> None:
    """Train runs, resuming from their last saved state. Skip finished runs."""
    from progress_measures.logs import kinds_of, write_logs
    from progress_measures.paths import runs_folder, trained_record
    from progress_measures.training.launcher import launch
    from progress_measures.training.signals import Interrupted

    all_runs, selected, logs = _runs(experiment), _runs(experiment, run), kinds_of(log)
    if selected[0].start_from:
        from progress_measures.training.start import starting_weights

        for selected_run in selected:  # an error if the weights are missing, before any job is submitted
            starting_weights(selected_run)
    _write_dataset(all_runs)
    if restart:
        if any(launch.rows_of_jobs(experiment)):
            raise UserError(
                f"{experiment} is being trained; end its jobs first with: progress-measures cancel {experiment}"
            )
        trained_record(experiment).unlink(missing_ok=True)  # first, because it records that all runs are trained
        for selected_run in selected:
            shutil.rmtree(runs_folder(experiment) / selected_run.name, ignore_errors=True)
    if pool == "slurm":
        slurm = {"partition": partition, "account": account, "qos": qos, "constraint": constraint, "gpus": gpus}
        slurm |= {"gres": gres, "cpus": threads, "memory_mb": memory_mb, "minutes": minutes, "at_once": at_once}
        plan = launch.slurm_plan(selected, slurm, device, runs_per_shard, gpu_memory_gb, poll, retries)
    else:
        plan = launch.local_plan(selected, device, at_once, runs_per_shard, threads)._replace(retries=retries)
    try:
        launch.train(experiment, selected, plan, any_code)
    except Interrupted as interrupted:
        print(f"progress-measures: {interrupted}", file=sys.stderr)
        sys.exit(130)
    finally:
        written = [path for selected_run in selected for path in write_logs(selected_run, logs)]
    launch.write_trained(experiment, all_runs, any_code)
    for path in written:
        print(f"written: {path}")


@app.command()
def jobs(
    experiment: Annotated[
        str | None, typer.Argument(help="Name of an experiment; by default, all experiments.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Update the list until no job is left.")] = False,
) -> None:
    """List pending and running training jobs, on this machine and on the cluster."""
    import time

    from progress_measures.training.launcher import launch
    from progress_measures.training.launcher.table import Display

    with Display("jobs", table_in_log=True) as display:
        while True:
            job_rows = [
                row._replace(name=f"{name}/{row.name}")
                for name, _, rows in launch.rows_of_jobs(_valid_name(experiment))
                for row in rows.values()
            ]
            if job_rows:
                display.show(job_rows)
            if not (follow and job_rows):
                break
            time.sleep(5)
    if not job_rows:
        print("No training jobs are pending or running.")


@app.command()
def watch(
    experiment: Experiment,
    run: Annotated[
        list[str] | None, typer.Option("--run", help="Name of a run; may be repeated. By default, all.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between updates.")] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="Print the current state and exit.")] = False,
) -> None:
    """Show the progress of training: the losses, progress measures and phase of each run so far."""
    from progress_measures.training.machine import set_up
    from progress_measures.watch import watch as follow

    set_up(threads=1)
    follow(experiment, _runs(experiment, run), every, once)


@app.command()
def cancel(
    experiment: Annotated[str | None, typer.Argument(help="Name of the experiment whose jobs to cancel.")] = None,
    all_experiments: Annotated[bool, typer.Option("--all", help="Cancel the jobs of all experiments.")] = False,
) -> None:
    """Cancel training jobs that were submitted from this folder. Their saved states remain."""
    from progress_measures.training.launcher import launch

    if (experiment is None) != all_experiments:
        raise UserError(
            "give an experiment or --all: progress-measures cancel EXPERIMENT, or progress-measures cancel --all."
        )
    canceled, name = False, _valid_name(experiment)
    try:
        for line in launch.cancel(name):
            print(line)
            canceled = True
    except UserError as error:
        print(f"progress-measures: {error}", file=sys.stderr)
        sys.exit(1)
    if not canceled:
        print("No training jobs are pending or running.")


@app.command()
def plan(
    what: Annotated[
        list[str] | None, typer.Argument(help="Names of experiments, `paper` or `all`; by default, all.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU type, such as h100; by default, this machine's cores.")] = None,
    at_once: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs or cores that train at a time; by default, one GPU or all cores."),
    ] = None,
) -> None:
    """Print the expected cost of training and measuring: shards, memory, disk, floating-point operations and time."""
    from progress_measures.training.plan import show

    show(what or ["all"], gpu, at_once)


@app.command()
def measure(
    experiment: Experiment,
    run: Annotated[
        list[str] | None, typer.Option("--run", help="Name of a run; may be repeated. By default, all.")
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            help="Family of measures (those of one module in measures/) to compute even if its stored values are up to "
            "date; may be repeated. By default, all families that are out of date."
        ),
    ] = None,
) -> None:
    """Compute the measures of every checkpoint of trained runs. Skip families of measures that are up to date."""
    from progress_measures.measures import FAMILIES, families_of

    unknown = set(family or ()) - set(FAMILIES)
    if unknown:
        raise UserError(f"no family of measures {', '.join(sorted(unknown))}; available: {', '.join(FAMILIES)}.")
    from progress_measures.cube.extract import measure_run
    from progress_measures.cube.measured_in_training import families_of_other_code
    from progress_measures.training.machine import set_up

    set_up(threads=1)
    first = _runs(experiment)[0].name
    for selected_run in _runs(experiment, run):
        families = families_of(selected_run)
        inapplicable = [name for name in family or () if name not in families]
        if inapplicable:
            raise UserError(
                f"no measure of the family {inapplicable[0]} applies to {selected_run.name}; families that apply: "
                f"{', '.join(families)}."
            )
        computed = measure_run(selected_run, family or families, selected_run.name == first, again=bool(family))
        # a family is current if its stored measures belong to these weights and this code
        current_count = len(family or families) - len(computed)
        print(
            f"{experiment}/{selected_run.name}: measured {', '.join(computed) or 'nothing'}; {current_count} up to date"
        )
        if changed := families_of_other_code(selected_run, computed):
            print(
                f"{experiment}/{selected_run.name}: the code of {', '.join(changed)} has changed since training, so values that "
                "were measured in training are not used. These measures have values where weights were kept.",
                file=sys.stderr,
            )


@app.command()
def gather(
    experiment: Experiment,
    missing_allowed: Annotated[bool, typer.Option(help="Gather the finished runs even if some are missing.")] = False,
) -> None:
    """Gather the measures of all runs of an experiment into its cube."""
    from progress_measures.cube.gather import gather as join
    from progress_measures.experiments import load_experiment

    join(experiment, load_experiment(experiment).title, _runs(experiment), missing_allowed)


def _cubes(declared: Any, experiment: str | None, cubes: list[Path] | None) -> list[Any]:
    """Open the cubes for a figure or table. A missing cube is an error; for a table that may lack cubes, it is None.

    `cubes` takes precedence over `experiment`, and `experiment` over the experiments that the figure or table declares.
    """
    from progress_measures.cube.open import cube_if_any, open_cube

    names: Sequence[str | Path] = cubes or ([experiment] if experiment else declared.experiments)
    if len(names) != len(declared.experiments):
        raise UserError(
            f"{declared.id} needs {len(declared.experiments)} cubes ({', '.join(declared.experiments)}), but {len(names)} "
            "were given."
        )
    return [(cube_if_any if getattr(declared, "partial", False) else open_cube)(name) for name in names]


def _paths(
    declared: Any,
    kind: str,
    formats: tuple[str, ...],
    experiment: str | None,
    to: list[Path] | None,
    run: str | None = None,
) -> list[Path]:
    """Return the paths to write: those in `to`, or by default one per format, in `results/[<experiment>/]<kind>/`."""
    unsupported = [str(path) for path in to or () if path.suffix[1:] not in formats]
    if unsupported:
        raise UserError(
            f"--to {unsupported[0]}: {declared.id} is written as {', '.join('.' + suffix for suffix in formats)}."
        )
    folder = Path("results") / (_valid_name(experiment) or "") / kind
    run_suffix = "" if run is None else f"@{run}"
    return to or [folder / f"{declared.id}{run_suffix}.{suffix}" for suffix in formats]


CubeExperiment = Annotated[
    str | None, typer.Option("--experiment", help="Experiment whose cube to use instead of the default.")
]
CubePaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--cube",
        help="Path of a cube (folder or zip); may be repeated, once for each experiment of the figure or table.",
    ),
]


@app.command()
def draw(
    figure: Annotated[str, typer.Argument(help="Id of the figure, such as paper/fig07.")],
    experiment: CubeExperiment = None,
    cube: CubePaths = None,
    run: Annotated[
        str | None,
        typer.Option(help="Run to draw, as `progress-measures runs` lists it; by default, the first run or all runs."),
    ] = None,
    to: Annotated[
        list[Path] | None,
        typer.Option(
            help="File to write: .pdf, .png or .svg, for some figures also .webp or .html; may be repeated. By default, all "
            "formats below results/."
        ),
    ] = None,
) -> None:
    """Draw a figure from cubes."""
    from progress_measures.figures import load_figure
    from progress_measures.figures.drawing import draw as draw_to
    from progress_measures.figures.registry import IMAGE_FORMATS

    loaded = load_figure(figure)
    paths = _paths(loaded, "figures", IMAGE_FORMATS + loaded.extra_formats, experiment, to, run)
    draw_to(loaded, _cubes(loaded, experiment, cube), paths, run)
    print(f"written: {file_list(paths)}")


@app.command()
def tabulate(
    table: Annotated[str, typer.Argument(help="Id of the table, such as paper/table01.")],
    experiment: CubeExperiment = None,
    cube: CubePaths = None,
    to: Annotated[
        list[Path] | None,
        typer.Option(help="File to write: .md, .csv or .tex; may be repeated. By default, all formats below results/."),
    ] = None,
) -> None:
    """Write a table of values from cubes; if the source gives values, the table has them beside ours."""
    from progress_measures.tables import load_table
    from progress_measures.tables.writing import TABLE_FORMATS, write

    loaded = load_table(table)
    paths = _paths(loaded, "tables", TABLE_FORMATS, experiment, to)
    write(loaded, _cubes(loaded, experiment, cube), paths)
    print(f"written: {file_list(paths)}")


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A .pth, .pt, .safetensors or .npz file, or a folder of numbered files.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the network's weights, measures and cube: results/<name>.")],
    names: Annotated[
        Path | None,
        typer.Option("--map", help="YAML file that maps the file's tensor names and axes to those of this program."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Training pairs: shuffle:SEED:FRACTION (random.shuffle), randperm:SEED:FRACTION (torch.randperm), "
            "none (unknown), or a file of indices a*n+b."
        ),
    ] = None,
    operation: Annotated[
        str | None,
        typer.Option(
            help="Labels: a+b, a-b, b-a, a*b, a/b (all mod n), sum (a + b without mod), s5 (composition of "
            "permutations), an expression such as 'a^2 + a*b', or a file with a table. By default, inferred from the "
            "network's predictions."
        ),
    ] = None,
    modulus: Annotated[
        int | None, typer.Option("--modulus", "--prime", min=2, help="Number n of operand values; p for modular tasks.")
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Layout of the input, such as 'a b =' (the default), 'a 113 b 114' or 'a+1 b+1 0': a number is a fixed "
            "token, a+1 is the token a + 1."
        ),
    ] = None,
    read: Annotated[
        str | None, typer.Option(help="Answer position, whose logits are scored: last, or an index.")
    ] = None,
    heads: Annotated[
        int | None, typer.Option(min=1, help="Number of attention heads, if the tensors do not determine it.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=VALUE of the section `model` of an experiment file, such as activation=gelu or norm_after=true; may "
            "be repeated."
        ),
    ] = None,
    epoch: Annotated[int | None, typer.Option(min=0, help="Epoch of the checkpoint, if the file has only one.")] = None,
    precision: Annotated[
        Literal["float64", "float32"],
        typer.Option(help="Precision in which the network is measured; runs trained here are measured in float32."),
    ] = "float64",
    key: Annotated[
        str | None, typer.Option(help="Key of the file's dictionary that holds the network, if several keys hold one.")
    ] = None,
    forward: Annotated[
        str | None,
        typer.Option(
            help="FILE.py:FUNCTION of your own forward pass: FUNCTION(weights) returns a callable from tokens to logits. This "
            "runs the code in FILE.py."
        ),
    ] = None,
    accept_doubtful: Annotated[
        bool,
        typer.Option(
            help="Import although the file contradicts a setting; marks the cube and every figure as doubtful."
        ),
    ] = False,
) -> None:
    """Import and measure a network trained elsewhere. Print each setting and where it comes from."""
    from progress_measures.importing.import_network import import_network
    from progress_measures.importing.options import model_fields, position
    from progress_measures.importing.settings import Options
    from progress_measures.training.machine import set_up

    set_up(threads=1)
    options = Options(
        mapping_file=names,
        split=split,
        operation=operation,
        modulus=modulus,
        tokens=tokens,
        read=position(read),
        heads=heads,
        model=model_fields(model or []),
        epoch=epoch,
        precision=precision,
        key=key,
        forward=forward,
        accept_doubtful=accept_doubtful,
    )
    print(*import_network(file, out, options), sep="\n")
    print(f"written: {out / 'cube.zarr'}, measured in {precision}")


@app.command()
def export(
    experiment: Experiment,
    run: Annotated[str | None, typer.Option("--run", help="Name of a run; by default, the first.")] = None,
    epoch: Annotated[
        list[int] | None, typer.Option(help="Epoch of a checkpoint; may be repeated. By default, all.")
    ] = None,
    format: Annotated[
        Literal["transformer-lens", "transformer-lens-4"],
        typer.Option(help="Parameter names of TransformerLens 1 to 3, or of TransformerLens 4."),
    ] = "transformer-lens",
    to: Annotated[Path | None, typer.Option(help="File to write; by default results/<experiment>/<run>.pth.")] = None,
) -> None:
    """Write a run for TransformerLens: state dicts, configuration, training pairs and losses."""
    from progress_measures import paths
    from progress_measures.cube.open import open_run
    from progress_measures.export import export as write

    opened = open_run(experiment, run or 0)
    path = to or paths.RESULTS / experiment / f"{opened.name}.pth"
    epochs = sorted(set(epoch)) if epoch else opened.epochs
    program = write(opened, epochs, format, path)
    print(f"{path}: {opened.name} at {len(epochs)} epochs  {path.stat().st_size / 1e6:.1f} MB\n\n{program}", end="")


@app.command()
def edit(
    experiment: Experiment,
    function: Annotated[
        str,
        typer.Option(
            help="FILE.py:FUNCTION. It takes a dictionary of arrays by tensor name and returns a changed one."
        ),
    ],
    to: Annotated[Path, typer.Option(help="Safetensors file to write.")],
    run: Annotated[str | None, typer.Option("--run", help="Name of a run; by default, the first.")] = None,
    epoch: Annotated[int | None, typer.Option(help="Epoch of a checkpoint; by default, the last.")] = None,
) -> None:
    """Change the weights of a run by a function of your own, and write them to a file for `progress-measures import`."""
    from progress_measures.cube.open import open_run
    from progress_measures.edit import edit as write

    opened = open_run(experiment, run or 0)
    checkpoint_epoch = max(opened.epochs) if epoch is None else epoch
    write(opened, checkpoint_epoch, function, to)
    print(f"{to}: {experiment}/{opened.name} at epoch {checkpoint_epoch}, changed by {function}")


@app.command()
def describe(
    experiment: Experiment,
    story: Annotated[
        bool, typer.Option("--story", help="Print a few lines instead: how the runs memorize, form a circuit and grok.")
    ] = False,
) -> None:
    """Print a table of what each run of a cube learned, and when, and one sentence per run."""
    from progress_measures.analysis.story import story as story_of
    from progress_measures.claims.describe import describe as description
    from progress_measures.cube.open import open_cube

    cube = open_cube(experiment)
    for line in story_of(cube) if story else description(cube).split("\n"):
        # Sentences are wrapped in a terminal only, so that programs read unbroken lines. Rows of the table, whose columns are
        # separated by two spaces, are never wrapped.
        wrap = sys.stdout.isatty() and "  " not in line
        print(textwrap.fill(line, min(100, shutil.get_terminal_size().columns)) if wrap else line)


@app.command()
def explore(
    cube: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiments or paths of cubes; by default mainline, subtraction and no_weight_decay, if available."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file to write; by default below results/.")] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Write a self-contained HTML page to explore cubes, and open it."""
    from progress_measures.cube.open import cube_if_any, open_cube
    from progress_measures.experiments.load import is_experiment_name
    from progress_measures.explorer import EXPERIMENTS
    from progress_measures.explorer.page import write_page
    from progress_measures.paths import explorer_page

    names = cube or [name for name in EXPERIMENTS if cube_if_any(name) is not None]
    cubes = [open_cube(name) for name in names]
    if not cubes:
        raise UserError(
            f"no cube of {', '.join(EXPERIMENTS)} exists here; give the path of a cube, or run from the repository's root."
        )
    single_name = str(cubes[0].attrs.get("experiment", "")) if len(cubes) == 1 else ""
    # an untrusted cube may contain any text as the name of its experiment
    path = out or explorer_page(single_name if is_experiment_name(single_name) else None)
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
        typer.Option("--renew", help="Compute measures again from the published weights, without training."),
    ] = False,
) -> None:
    """Write an experiment's cube and selected weights to published/, small enough to commit."""
    from progress_measures.cube import publish as publishing

    write = publishing.renew if renew else publishing.publish
    for path in write(experiment, _runs(experiment)):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


@app.command()
def claims(
    cubes: Annotated[
        Literal["results", "published"],
        typer.Option(
            help="results: cubes in results/, or the published cube if one is missing. published: published cubes only."
        ),
    ] = "results",
    only: Annotated[
        list[str] | None, typer.Option(help="Judge and print only the claim with this id; may be repeated.")
    ] = None,
    to_json: Annotated[Path, typer.Option("--json", help="JSON file to write.")] = Path("results/claims.json"),
    to_page: Annotated[Path, typer.Option("--page", help="Markdown page to write.")] = Path("results/claims.md"),
) -> None:
    """Judge every claim by the values measured on cubes."""
    from progress_measures.claims import claims_page
    from progress_measures.claims.judge import format_value, judge_all
    from progress_measures.claims.schema import load_claims
    from progress_measures.cube.from_weights import measures_of_last_weights
    from progress_measures.cube.open import cube_if_any

    all_claims = load_claims()
    unknown = [name for name in only or [] if name not in all_claims]
    if unknown:
        close = difflib.get_close_matches(unknown[0], all_claims, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see config/claims/."
        raise UserError(f"--only {unknown[0]}: there is no such claim; {hint}")
    selected = [all_claims[name] for name in only] if only else list(all_claims.values())
    cube_of = functools.cache(lambda name: cube_if_any(name, published=cubes == "published"))
    maps_of = functools.partial(measures_of_last_weights, published=cubes == "published")
    judgments = judge_all(selected, cube_of, maps_of)
    if only:
        for judgment in judgments:
            claim, measured = judgment.claim, format_value(judgment.measured)
            print(f"{claim.id}: {claims_page.describe_verdict(judgment)}")
            print(f"{claim.statement}\nin the source: {format_value(claim.published)}")
            print(f"measured as: {claim.measured_as}\nrule: {claim.rule}")
            networks = claims_page.describe_networks(judgment)
            lines = [f"measured: {measured}".rstrip(), networks, judgment.incomplete, judgment.explanation]
            print("\n".join(filter(None, lines)))
        return
    claims_page.write_claims(judgments, to_json, to_page, cubes)
    print(", ".join(f"{count} {verdict}" for verdict, count in claims_page.counts(judgments).items()))


@app.command(context_settings={"ignore_unknown_options": True})
def bench(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Arguments of benchmarks/bench.py, such as `train --threads 1 --json`."),
    ] = None,
) -> None:
    """Time training and measuring, with benchmarks/bench.py of this repository."""
    import subprocess

    script = Path("benchmarks/bench.py")
    if not script.exists():
        raise UserError(f"{script} does not exist here; run from the root of the repository.")
    sys.exit(subprocess.run([sys.executable, str(script), *(arguments or [])]).returncode)


@app.command()
def schema(
    check: Annotated[bool, typer.Option(help="Report stale files as an error instead of writing them.")] = False,
) -> None:
    """Write config/experiment.schema.json and docs/config.md from the definitions of the fields."""
    from progress_measures.experiments.fields_page import generated_files

    stale = [path for path, text in generated_files().items() if not path.exists() or path.read_text() != text]
    if check and stale:
        raise UserError(f"{', '.join(map(str, stale))}: stale; run `progress-measures schema`.")
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(generated_files()[path])
