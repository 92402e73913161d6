"""How fast this package is beside the notebook's way of doing the same, on one machine and in one process.

Ours and the baseline, `benchmarks/notebook.py`, take turns in short blocks with the same number of threads, so that
whatever else slows the machine slows both, and medians over blocks are compared. Each side keeps a thread of its own,
because flushing tiny numbers to zero is a thread's setting: ours flushes, a user of the notebook does not. The
allocator's settings of `training.machine.set_up` hold for the whole process and help both.
"""

import functools
import importlib
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.cube.structure import applies
from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.experiments.schema import Experiment, Run
from progress_measures.files import write_json as write_json
from progress_measures.measures.checkpoint import Checkpoint, RunContext
from progress_measures.measures.registry import FAMILIES, family_measures, measures
from progress_measures.models import gemm
from progress_measures.models.architecture import Architecture
from progress_measures.models.initialize import initial_weights
from progress_measures.paths import checkpoints, published_weights
from progress_measures.tasks import batches, layout, task_module
from progress_measures.tasks.split import train_mask
from progress_measures.training import cost
from progress_measures.training.machine import machine, set_up
from progress_measures.training.objectives import objective_module
from progress_measures.training.optimizer import AdamW

CPU = torch.device("cpu")
NOTEBOOK_MEASURES = (
    "train_loss",
    "test_loss",
    "cosine_coefficient",
    "cosine_similarity",
    "cosine_residual",
    "cosine_residual_all",
    "restricted_loss_neurons",
    "excluded_loss_neurons",
    "W_E_fourier_norm",
    "W_L_fourier_norm",
    "sum_of_squared_weights",
)
"""What the notebook's pass computes of each checkpoint."""

Weights = dict[str, NDArray[np.float32]]


def notebook_run() -> Run:
    """The subtraction notebook's network."""
    settings = {
        "title": "Bench: modular subtraction",
        "seed": 999,
        "task": {"kind": "modular_subtraction", "prime": 113},
        "split": {"method": "randperm", "train_fraction": 0.3, "seed": 598},
        "model": {"initialization": "transformer_lens", "mlp_biases": False},
        "training": {"epochs": 25_000, "warmup": 0, "precision": "float64", "evaluate_every": 50},
    }
    return Experiment.model_validate(settings).runs("bench")[0]


def mainline_run(epochs: int = 40_000, checkpoint_every: int = 100) -> Run:
    """The mainline's first network, `seed0`."""
    settings = {
        "title": "Bench: modular addition",
        "task": {"kind": "modular_addition", "prime": 113},
        "training": {"epochs": epochs, "evaluate_every": 50, "checkpoint_every": checkpoint_every},
    }
    return Experiment.model_validate(settings).runs("mainline")[0]


def converged_weights() -> Weights:
    """The last weights of the mainline's first network, from its results or as published.

    Raises:
        UserError: there are neither.
    """
    path = checkpoints("mainline", "seed0")
    if (path.parent / "done.json").exists():
        import zarr

        group: Any = zarr.open_group(path, mode="r")
        return {name: group[name][-1] for name in Architecture.of(mainline_run()).parameters}
    if published_weights("mainline").exists():
        from progress_measures.cube.open import open_run

        return open_run("mainline").weights()
    raise UserError(
        f"neither a finished {path.parent} nor {published_weights('mainline')} is there to give a network late "
        "in training; train one: progress-measures train mainline --run seed0"
    )


def bench_train(threads: int = 1, epochs: int = 3, blocks: int = 7, weights: Weights | None = None) -> dict[str, Any]:
    """Time of an epoch, ours and the notebook's, at the start of training and late, with memory and share of peak.

    Args:
        threads: of each side.
        epochs: in a block.
        blocks: of each side, in turns.
        weights: of the mainline's first network late in training; by default, `converged_weights`.
    Returns:
        Times in milliseconds, memory in MiB; `late` holds the same times, or why there are none.
    """
    set_up(threads)
    run = notebook_run()
    start = {name: tensor.numpy() for name, tensor in initial_weights(run).items()}
    result: dict[str, Any] = {"threads": threads, "machine": machine(CPU)}
    result |= _race(run, start, threads, epochs, blocks, warm_up=3)
    try:
        late = converged_weights() if weights is None else weights
        # Enough steps for Adam's moments to be those of a converged network.
        result["late"] = _race(mainline_run(), late, threads, epochs, blocks, warm_up=30)
    except UserError as error:
        result["late"] = {"skipped": str(error)}
    result["roofline"] = _roofline(run, result["ms_per_update"], threads)
    result["peak_memory_mib"] = peak_memory(threads)
    return result


def _race(run: Run, weights: Weights, threads: int, epochs: int, blocks: int, warm_up: int) -> dict[str, float]:
    """Both sides train on from the same weights; the loop's only other work, a checkpoint now and then, is left out."""
    n = layout(run.task).operands
    mask, notebook = train_mask(run, n), load_baseline()
    ours = OurTraining(run, weights, mask)
    theirs = notebook.NotebookTraining(weights, notebook.data(n, task_module(run.task.kind).SIGN, mask))
    flushing, plain = _Side(threads, flush=True), _Side(threads, flush=False)
    for _ in range(warm_up):
        train_loss = flushing(ours.update)
        plain(theirs.update)
    ms = _medians(
        {
            "update": (flushing, ours.update),
            "evaluation": (flushing, ours.evaluate),
            "notebook": (plain, theirs.step),
            "notebook_test_loss": (plain, theirs.test_loss),
            "notebook_flushed": (flushing, theirs.step),
        },
        epochs,
        blocks,
    )
    epoch = ms["update"] + ms["evaluation"] / run.training.evaluate_every
    return {
        "ms_per_epoch": epoch,
        "notebook_ms_per_epoch": ms["notebook"],
        "ratio": ms["notebook"] / epoch,
        "ms_per_update": ms["update"],
        "ms_per_evaluation": ms["evaluation"],
        "notebook_ms_per_test_loss": ms["notebook_test_loss"],
        "notebook_ms_per_epoch_flushed": ms["notebook_flushed"],
        "train_loss": train_loss,
    }


class OurTraining:
    """What the training loop does, a step at a time."""

    def __init__(self, run: Run, weights: Weights, mask: NDArray[np.bool_]):
        objective = importlib.import_module(objective_module(run)).Objective
        self._objective = objective([run], torch.from_numpy(mask)[None], CPU)
        self._optimizer = AdamW([run], [{name: torch.from_numpy(w) for name, w in weights.items()}], CPU)
        self._epoch = run.training.warmup  # at the full learning rate, as the notebook

    def update(self) -> float:
        """Train loss, its gradient, and a step of AdamW."""
        self._objective.prepare(self._epoch)
        loss = self._objective.loss(self._optimizer.weights)
        self._optimizer.set_rate(self._epoch)
        self._optimizer.step(loss)
        self._epoch += 1
        return loss.item()

    def evaluate(self) -> object:
        """Losses and accuracies on both splits."""
        return self._objective.evaluate(self._optimizer.weights)


TASKS = (
    "two_layer",
    "five_digit_addition",
    "five_digit_addition_notebook",
    "repeated_subsequence",
    "skip_trigram",
)
"""Experiments whose first runs are trained for the comparison of other networks and tasks."""


def bench_tasks(threads: int = 1, updates: int = 3, blocks: int = 7, names: tuple[str, ...] = TASKS) -> dict[str, Any]:
    """Time of an update of deeper networks and other tasks, ours and written plainly, by experiment.

    Both draw their own examples. On pairs the plain way also computes the test loss at each update, as the notebook
    does; `ratio` is of updates alone.

    Args:
        threads: of each side.
        updates: in a block.
        blocks: of each side, in turns.
        names: experiments of `config/experiments`.
    """
    set_up(threads)
    result: dict[str, Any] = {"threads": threads, "machine": machine(CPU)}
    for name in names:
        run = load_experiment(name).runs(name)[0]
        result[name] = _race_of_task(run, threads, updates, blocks)
    return result


def _race_of_task(run: Run, threads: int, updates: int, blocks: int) -> dict[str, float]:
    weights = {name: tensor.numpy() for name, tensor in initial_weights(run).items()}
    mask = np.zeros(0, dtype=bool) if run.on_sequences else train_mask(run, layout(run.task).operands)
    ours, theirs = OurTraining(run, weights, mask), _plain_training(run, weights, mask)
    flushing, plain = _Side(threads, flush=True), _Side(threads, flush=False)
    jobs = {"update": (flushing, ours.update), "plain": (plain, theirs.update)}
    if not run.on_sequences:
        jobs["with_test_loss"] = (plain, theirs.step)
    for _ in range(3):
        for side, work in jobs.values():
            side(work)
    ms = _medians(jobs, updates, blocks)
    found = {
        "ms_per_update": ms["update"],
        "plain_ms_per_update": ms["plain"],
        "ratio": ms["plain"] / ms["update"],
    }
    if not run.on_sequences:
        found["plain_ms_with_test_loss"] = ms["with_test_loss"]
        found["ratio_with_test_loss"] = ms["with_test_loss"] / ms["update"]
    return found


def _plain_training(run: Run, weights: Weights, mask: NDArray[np.bool_]) -> Any:
    """The same run, written plainly."""
    baseline = load_baseline()
    if not run.on_sequences:
        data = baseline.data(layout(run.task).operands, task_module(run.task.kind).SIGN, mask)
        return baseline.NotebookTraining(weights, data)
    stream, recipe = batches(run.task, run.split_seed, run.batch), run.training
    return baseline.SequenceTraining(
        weights,
        lambda: tuple(map(torch.tensor, next(stream))),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=recipe.betas,
    )


def bench_measure(
    threads: int = 1, repetitions: int = 1, blocks: int = 5, weights: Weights | None = None
) -> dict[str, Any]:
    """Time of measuring one checkpoint, ours and the notebook's, with initial weights and late ones.

    Ours takes the notebook's measures from one view of the checkpoint; `everything` is what extraction does, each family
    with a view of its own. NumPy's products have as many threads
    as `OPENBLAS_NUM_THREADS` said when Python started, so set that to `threads`.

    Args:
        weights: of the mainline's first network late in training; by default, `converged_weights`.
    Returns:
        Times in milliseconds: of the notebook's measures, each way, and of everything that ours has.
    """
    set_up(threads)
    run = mainline_run()
    initial = {name: tensor.numpy() for name, tensor in initial_weights(run).items()}
    skipped = ""
    try:
        late = converged_weights() if weights is None else weights
    except UserError as error:
        late, skipped = initial, str(error)
    context = RunContext(run, late, train_mask(run, layout(run.task).operands))
    if skipped:
        context.key_frequencies = np.array([1, 5, 34])  # the notebook's: its loops are over three
    result: dict[str, Any] = {"threads": threads, "machine": machine(CPU)}
    result |= _measuring_race(context, initial, threads, repetitions, blocks)
    result["late"] = {"skipped": skipped} if skipped else _measuring_race(context, late, threads, repetitions, blocks)
    return result


def _measuring_race(
    context: RunContext, weights: Weights, threads: int, repetitions: int, blocks: int
) -> dict[str, float]:
    baseline = load_baseline()
    data = baseline.data(context.n, context.sign, context.train)
    notebook = baseline.Notebook(context.n, context.sign, data, context.key_frequencies)
    model = baseline.HookedTransformer.from_weights(weights)
    ours, theirs = _Side(threads, flush=True), _Side(threads, flush=False)
    ms = _medians(
        {
            "ours": (ours, lambda: notebook_measures(context, weights)),
            "everything": (ours, lambda: measure_all(context, weights)),
            "notebook": (theirs, lambda: baseline.metric_pass(model, notebook)),
        },
        repetitions,
        blocks,
    )
    return {
        "ms_per_checkpoint": ms["ours"],
        "notebook_ms_per_checkpoint": ms["notebook"],
        "ratio": ms["notebook"] / ms["ours"],
        "everything_ms_per_checkpoint": ms["everything"],
        "everything_ratio": ms["notebook"] / ms["everything"],
    }


def notebook_measures(context: RunContext, weights: Weights) -> dict[str, Any]:
    """The notebook's measures of one checkpoint."""
    checkpoint = Checkpoint(context, weights)
    return {name: measures()[name].function(checkpoint) for name in NOTEBOOK_MEASURES}


def measure_all(context: RunContext, weights: Weights) -> dict[str, Any]:
    """Every measure over epochs or moments, of one checkpoint."""
    results = {}
    for family in FAMILIES:
        checkpoint = Checkpoint(context, weights)
        for m in family_measures(family):
            if applies(m, context.run) and {"epoch", "moment"} & set(m.dims):
                results[m.name] = m.function(checkpoint)
    return results


def load_baseline() -> ModuleType:
    """`benchmarks/notebook.py`, which is no part of the package.

    Raises:
        UserError: it is not there.
    """
    places = [root / "benchmarks" / "notebook.py" for root in (Path(), Path(__file__).parents[2])]
    for path in places:
        spec = importlib.util.spec_from_file_location("notebook_baseline", path)
        if path.exists() and spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise UserError(f"the baseline is not at {' or '.join(map(str, places))}; run from the root of the repository")


class _Side:
    """Runs one side's work in its own thread, whose worker threads inherit how it treats tiny numbers."""

    def __init__(self, threads: int, flush: bool):
        def initialize() -> None:
            torch.set_flush_denormal(flush)
            torch.set_num_threads(threads)

        self._pool = ThreadPoolExecutor(1, initializer=initialize)

    def __call__(self, work: Callable[[], Any]) -> Any:
        return self._pool.submit(work).result()


def _medians(jobs: dict[str, tuple[_Side, Callable[[], Any]]], repetitions: int, blocks: int) -> dict[str, float]:
    """Milliseconds a call of each job: the median over blocks, taken in turns."""

    def block(work: Callable[[], Any]) -> float:
        began = time.perf_counter()
        for _ in range(repetitions):
            work()
        return (time.perf_counter() - began) / repetitions * 1e3

    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(blocks):
        for name, (side, work) in jobs.items():
            times[name].append(side(functools.partial(block, work)))
    return {name: statistics.median(values) for name, values in times.items()}


def _roofline(run: Run, ms_per_update: float, threads: int) -> dict[str, float]:
    """Our arithmetic a second, beside the best that the machine's float32 products reach on a big square."""
    a, b = torch.rand(2, 2048, 2048)
    product = (_Side(threads, flush=True), lambda: gemm.multiply(a, b))
    ms = min(_medians({"product": product}, 1, 1)["product"] for _ in range(10))
    peak = 2 * 2048**3 / ms / 1e6
    achieved = cost.update_flops(run) / ms_per_update / 1e6
    return {"gemm_gflops": peak, "update_gflops": achieved, "share": achieved / peak}


def peak_memory(threads: int, epochs: int = 100) -> float:
    """MiB that a process takes at most which trains the mainline's first network, PyTorch included."""
    code = "import sys; from progress_measures.bench import _train_in; _train_in(*sys.argv[1:])"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, folder, str(threads), str(epochs)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout)


def _train_in(folder: str, threads: str, epochs: str) -> None:
    """Train for a few epochs, with checkpoints so dense that a block of them fills, and print the peak."""
    from progress_measures.tasks.dataset import write_dataset
    from progress_measures.training.loop import train

    set_up(int(threads))
    runs, dataset = [mainline_run(int(epochs), checkpoint_every=5)], Path(folder) / "dataset.zarr"
    write_dataset(runs, dataset)
    train(runs, dataset, Path(folder) / "runs")
    print(peak_of_this_process())


def peak_of_this_process() -> float:
    """The most memory that this process has taken, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the process that this one was forked from
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def table(results: dict[str, dict[str, Any]]) -> Any:
    """The comparisons as a `rich` table.

    Args:
        results: of `bench_train` as `train`, of `bench_measure` as `measure`, of `bench_tasks` as `tasks`, or some.
    """
    from rich.table import Table

    shown = Table("", "ours, ms", "notebook, ms", "ratio", title="Ours beside the notebook's way")
    for verb, unit in (("train", "epoch"), ("measure", "checkpoint")):
        for when, part in (("start", results.get(verb, {})), ("late", results.get(verb, {}).get("late", {}))):
            if f"ms_per_{unit}" in part:
                ours, theirs = part[f"ms_per_{unit}"], part[f"notebook_ms_per_{unit}"]
                shown.add_row(f"{verb}, {when}", f"{ours:.1f}", f"{theirs:.1f}", f"{part['ratio']:.1f}")
    for name in TASKS:
        if part := results.get("tasks", {}).get(name):
            ours, theirs = part["ms_per_update"], part["plain_ms_per_update"]
            shown.add_row(name, f"{ours:.1f}", f"{theirs:.1f}", f"{part['ratio']:.1f}")
    part = results.get("measure", {})
    if "everything_ms_per_checkpoint" in part:
        shown.add_row("every measure", f"{part['everything_ms_per_checkpoint']:.1f}", "", "")
    return shown


def notes(results: dict[str, dict[str, Any]]) -> list[str]:
    """What the table has no column for: memory, share of the roofline, what was skipped."""
    lines = []
    train = results.get("train", {})
    if train:
        roofline = train["roofline"]
        lines += [
            f"peak memory of a mainline run: {train['peak_memory_mib']:.0f} MiB",
            f"an update reaches {roofline['update_gflops']:.0f} of {roofline['gemm_gflops']:.0f} GFLOP/s of float32 "
            f"products ({roofline['share']:.0%})",
        ]
    lines += [
        f"{verb}, late: skipped, {part['late']['skipped']}"
        for verb, part in results.items()
        if "skipped" in part.get("late", {})
    ]
    return lines
