"""Benchmarks of this package against the modular subtraction notebook's implementation, on one machine and in one process.

The baseline, `benchmarks/notebook.py`, trains and measures as this notebook does; it also trains other networks in the same way.
A block is a few repetitions of a function. Blocks of the package and of the baseline alternate, so other load on the machine
slows both equally; the medians over blocks are compared. The package flushes denormal numbers (in float32 below 1.2e-38, slow on
many CPUs) to zero, the notebook does not. Flushing is a setting of a thread, so each implementation has a separate thread. The
allocator settings of `training.machine.set_up` apply to both.
"""

from __future__ import annotations

import functools
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import notebook
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import Experiment, Run
from progress_measures.files import write_json
from progress_measures.measures.checkpoint import Checkpoint, RunContext
from progress_measures.measures.registry import FAMILIES, family_measures, measures
from progress_measures.models import gemm
from progress_measures.models.architecture import Architecture
from progress_measures.models.initialize import initial_weights
from progress_measures.paths import checkpoints, published_weights
from progress_measures.training import cost
from progress_measures.training.machine import describe_machine, peak_memory_mib, set_up
from progress_measures.training.objectives import objective_module
from progress_measures.training.optimizers.adamw import AdamW

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
"""The measures that the notebook computes at each checkpoint."""

Weights = dict[str, NDArray[np.float32]]


def notebook_run() -> Run:
    """Return a run with the settings of the subtraction notebook's network."""
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
    """Return the mainline's first run, `seed0`.

    Args:
        epochs: Epochs of training.
        checkpoint_every: Epochs between checkpoints.
    """
    settings = {
        "title": "Bench: modular addition",
        "task": {"kind": "modular_addition", "prime": 113},
        "training": {"epochs": epochs, "evaluate_every": 50, "checkpoint_every": checkpoint_every},
    }
    return Experiment.model_validate(settings).runs("mainline")[0]


def converged_weights() -> Weights:
    """Read the final weights of the mainline's first run: from its checkpoints if it is trained, else from `published/`.

    Raises:
        UserError: The run has neither results nor published weights.
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
        f"the benchmark needs a trained network, but neither a finished run in {path.parent} nor "
        f"{published_weights('mainline')} exists; train one with: progress-measures train mainline --run seed0"
    )


def bench_train(threads: int = 1, epochs: int = 3, blocks: int = 7, weights: Weights | None = None) -> dict[str, Any]:
    """Time an epoch of the package and of the notebook: of subtraction at the start, and of the mainline late in training.

    Args:
        threads: Threads of each implementation.
        epochs: Epochs per block.
        blocks: Blocks of each implementation.
        weights: Weights of the mainline's first run late in training; by default `converged_weights`.

    Returns:
        Times in milliseconds, peak memory in MiB, and under `arithmetic_rates` the arithmetic rate and its fraction
        of the rate of a large matrix product. `late` contains the times late in training, or the reason why they are missing.
    """
    set_up(threads)
    run = notebook_run()
    start = {name: tensor.numpy() for name, tensor in initial_weights(run).items()}
    result: dict[str, Any] = {"threads": threads, "machine": describe_machine(CPU)}
    result |= _compare_training(run, start, threads, epochs, blocks, warm_up=3)
    try:
        late = converged_weights() if weights is None else weights
        # 30 updates bring Adam's moment estimates, which start at 0, to their values late in training
        result["late"] = _compare_training(mainline_run(), late, threads, epochs, blocks, warm_up=30)
    except UserError as error:
        result["late"] = {"skipped": str(error)}
    result["arithmetic_rates"] = _arithmetic_rates(run, result["ms_per_update"], threads)
    result["peak_memory_mib"] = peak_memory(threads)
    return result


def _compare_training(
    run: Run, weights: Weights, threads: int, epochs: int, blocks: int, warm_up: int
) -> dict[str, float]:
    """Time an update, an evaluation and an epoch of both implementations from the same weights, in milliseconds.

    Writing of checkpoints is not timed. An epoch of the notebook includes a test loss; an epoch of the package includes the time
    of an evaluation divided by `evaluate_every`. `ratio` is the notebook's time per epoch divided by the package's. The time
    named `flushed` is the notebook's with denormal numbers flushed to zero.
    """
    n = run.task.sizes.operand_count
    mask = train_mask(run)
    package = PackageTraining(run, weights, mask)
    baseline = notebook.NotebookTraining(weights, notebook.data(n, run.task.sign, mask))
    flushing_thread, plain_thread = _BenchThread(threads, flush=True), _BenchThread(threads, flush=False)
    for _ in range(warm_up):
        train_loss = flushing_thread(package.update)
        plain_thread(baseline.update)
    ms = _medians(
        {
            "update": (flushing_thread, package.update),
            "evaluation": (flushing_thread, package.evaluate),
            "notebook": (plain_thread, baseline.step),
            "notebook_test_loss": (plain_thread, baseline.test_loss),
            "notebook_flushed": (flushing_thread, baseline.step),
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


class PackageTraining:
    """The package's training loop, one update at a time.

    Args:
        run: The run.
        weights: Weights before the first update.
        mask: [a, b], true for training pairs.
    """

    def __init__(self, run: Run, weights: Weights, mask: NDArray[np.bool_]) -> None:
        objective = importlib.import_module(objective_module(run)).Objective
        self._objective = objective([run], torch.from_numpy(mask)[None], CPU)
        self._optimizer = AdamW([run], [{name: torch.from_numpy(w) for name, w in weights.items()}], CPU)
        self._epoch = run.training.warmup  # at the full learning rate, as in the notebook

    def update(self) -> float:
        """Compute the train loss and its gradient, do a step of AdamW, and return the loss."""
        self._objective.prepare(self._epoch)
        loss = self._objective.loss(self._optimizer.weights)
        self._optimizer.set_rates(self._epoch)
        self._optimizer.step(loss)
        self._epoch += 1
        return loss.item()

    def evaluate(self) -> object:
        """Return losses and accuracies on training and test examples."""
        return self._objective.evaluate(self._optimizer.weights)


TIMED_EXPERIMENTS = (
    "two_layer",
    "five_digit_addition",
    "five_digit_addition_notebook",
    "repeated_subsequence",
    "skip_trigram",
)
"""Experiments that the fast path of one-layer networks does not train; `bench_tasks` times the first run of each."""


def bench_tasks(
    threads: int = 1, updates: int = 3, blocks: int = 7, names: tuple[str, ...] = TIMED_EXPERIMENTS
) -> dict[str, Any]:
    """Time an update of deeper networks and other tasks, in the package and in a plain PyTorch implementation.

    On sequences, both times include drawing the examples. On pairs, the plain implementation is also timed with the test
    loss at each update, as in the notebook. `ratio` is the plain implementation's time per update divided by the
    package's.

    Args:
        threads: Threads of each implementation.
        updates: Updates per block.
        blocks: Blocks of each implementation.
        names: Names of experiments in `config/experiments`.

    Returns:
        Times in milliseconds and their ratios, by experiment.
    """
    set_up(threads)
    result: dict[str, Any] = {"threads": threads, "machine": describe_machine(CPU)}
    for name in names:
        run = load_experiment(name).runs(name)[0]
        result[name] = _compare_task(run, threads, updates, blocks)
    return result


def _compare_task(run: Run, threads: int, updates: int, blocks: int) -> dict[str, float]:
    """Time an update of a run in both implementations, from the same initial weights, in milliseconds."""
    weights = {name: tensor.numpy() for name, tensor in initial_weights(run).items()}
    mask = np.zeros(0, dtype=bool) if run.on_sequences else train_mask(run)
    package, baseline = PackageTraining(run, weights, mask), _plain_training(run, weights, mask)
    flushing_thread, plain_thread = _BenchThread(threads, flush=True), _BenchThread(threads, flush=False)
    timed = {"update": (flushing_thread, package.update), "plain": (plain_thread, baseline.update)}
    if not run.on_sequences:
        timed["with_test_loss"] = (plain_thread, baseline.step)
    for _ in range(3):
        for thread, function in timed.values():
            thread(function)
    ms = _medians(timed, updates, blocks)
    result = {
        "ms_per_update": ms["update"],
        "plain_ms_per_update": ms["plain"],
        "ratio": ms["plain"] / ms["update"],
    }
    if not run.on_sequences:
        result["plain_ms_with_test_loss"] = ms["with_test_loss"]
        result["ratio_with_test_loss"] = ms["with_test_loss"] / ms["update"]
    return result


def _plain_training(run: Run, weights: Weights, mask: NDArray[np.bool_]) -> Any:
    """Return the plain PyTorch implementation of a run's training; `mask` is used for pairs only."""
    if not run.on_sequences:
        data = notebook.data(run.task.sizes.operand_count, run.task.sign, mask)
        return notebook.NotebookTraining(weights, data)
    stream, recipe = run.task.batches(run.split_seed, run.batch_size), run.training
    return notebook.SequenceTraining(
        weights,
        lambda: tuple(map(torch.tensor, next(stream))),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=recipe.betas,
    )


def bench_measure(
    threads: int = 1, repetitions: int = 1, blocks: int = 5, weights: Weights | None = None
) -> dict[str, Any]:
    """Time the measures of one checkpoint in the package and in the notebook, at the start and late in training.

    The package computes the notebook's measures on one `Checkpoint`. `everything_ms_per_checkpoint` is the time of all
    measures of the package, which share one `Checkpoint`, as when a run is measured. NumPy reads its
    number of threads from `OPENBLAS_NUM_THREADS` when Python starts, so set this variable to `threads`.

    Args:
        threads: Threads of each implementation.
        repetitions: Repetitions per block.
        blocks: Blocks of each implementation.
        weights: Weights of the mainline's first run late in training; by default `converged_weights`.

    Returns:
        Times in milliseconds of the notebook's measures in both implementations and of all measures of the package;
        `late` contains the times late in training, or the reason why they are missing.
    """
    set_up(threads)
    run = mainline_run()
    initial = {name: tensor.numpy() for name, tensor in initial_weights(run).items()}
    skipped = ""
    try:
        late = converged_weights() if weights is None else weights
    except UserError as error:
        late, skipped = initial, str(error)
    context = RunContext(run, late, train_mask(run))
    if skipped:
        # An untrained network has no key frequencies. The time depends on their number, which is three in the notebook.
        context.key_frequencies = np.array([1, 5, 34])
    result: dict[str, Any] = {"threads": threads, "machine": describe_machine(CPU)}
    result |= _compare_measuring(context, initial, threads, repetitions, blocks)
    result["late"] = (
        {"skipped": skipped} if skipped else _compare_measuring(context, late, threads, repetitions, blocks)
    )
    return result


def _compare_measuring(
    context: RunContext, weights: Weights, threads: int, repetitions: int, blocks: int
) -> dict[str, float]:
    """Time the measures of one checkpoint in both implementations, in milliseconds."""
    data = notebook.data(context.n, context.sign, context.train)
    baseline = notebook.Notebook(context.n, context.sign, data, context.key_frequencies)
    model = notebook.HookedTransformer.from_weights(weights)
    flushing_thread, plain_thread = _BenchThread(threads, flush=True), _BenchThread(threads, flush=False)
    ms = _medians(
        {
            "package": (flushing_thread, lambda: notebook_measures(context, weights)),
            "everything": (flushing_thread, lambda: measure_all(context, weights)),
            "notebook": (plain_thread, lambda: notebook.metric_pass(model, baseline)),
        },
        repetitions,
        blocks,
    )
    return {
        "ms_per_checkpoint": ms["package"],
        "notebook_ms_per_checkpoint": ms["notebook"],
        "ratio": ms["notebook"] / ms["package"],
        "everything_ms_per_checkpoint": ms["everything"],
        "everything_ratio": ms["notebook"] / ms["everything"],
    }


def notebook_measures(context: RunContext, weights: Weights) -> dict[str, Any]:
    """Compute the notebook's measures of one checkpoint.

    Args:
        context: The run, its training pairs and its key frequencies.
        weights: Weights of the checkpoint.

    Returns:
        The measures, by name.
    """
    checkpoint = Checkpoint(context, weights)
    return {name: measures()[name].function(checkpoint) for name in NOTEBOOK_MEASURES}


def measure_all(context: RunContext, weights: Weights) -> dict[str, Any]:
    """Compute all measures of one checkpoint that are stored at every checkpoint or at selected epochs.

    Args:
        context: The run, its training pairs and its key frequencies.
        weights: Weights of the checkpoint.

    Returns:
        The measures, by name.
    """
    checkpoint = Checkpoint(context, weights)
    return {
        measure.name: measure.function(checkpoint)
        for family in FAMILIES
        for measure in family_measures(family)
        if measure.applies_to(context.run) and {"epoch", "moment"} & set(measure.dims)
    }


class _BenchThread:
    """A thread that runs one implementation; torch's worker threads flush denormal numbers if this thread does."""

    def __init__(self, threads: int, flush: bool) -> None:
        def initialize() -> None:
            torch.set_flush_denormal(flush)
            torch.set_num_threads(threads)

        self._pool = ThreadPoolExecutor(1, initializer=initialize)

    def __call__(self, function: Callable[[], Any]) -> Any:
        return self._pool.submit(function).result()


def _medians(
    timed: dict[str, tuple[_BenchThread, Callable[[], Any]]], repetitions: int, blocks: int
) -> dict[str, float]:
    """Return the median over blocks of the milliseconds per call, for each function; the functions take turns by block."""

    def time_block(function: Callable[[], Any]) -> float:
        start = time.perf_counter()
        for _ in range(repetitions):
            function()
        return (time.perf_counter() - start) / repetitions * 1e3

    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(blocks):
        for name, (thread, function) in timed.items():
            times[name].append(thread(functools.partial(time_block, function)))
    return {name: statistics.median(values) for name, values in times.items()}


def _arithmetic_rates(run: Run, ms_per_update: float, threads: int) -> dict[str, float]:
    """Return the arithmetic rates of an update and of a large float32 matrix product in GFLOP/s, and their ratio.

    The product has 2048³ multiplications and as many additions. The shortest of ten repetitions counts, because other load can
    only slow it. 1e6 operations per ms are 1 GFLOP/s.
    """
    a, b = torch.rand(2, 2048, 2048)
    product = (_BenchThread(threads, flush=True), lambda: gemm.multiply(a, b))
    ms = min(_medians({"product": product}, 1, 1)["product"] for _ in range(10))
    peak = 2 * 2048**3 / ms / 1e6
    achieved = cost.update_flops(run) / ms_per_update / 1e6
    return {"gemm_gflops": peak, "update_gflops": achieved, "fraction_of_gemm": achieved / peak}


def peak_memory(threads: int, epochs: int = 100) -> float:
    """Measure the peak memory of a process that trains the mainline's first run, including PyTorch.

    Args:
        threads: Threads of the process.
        epochs: Epochs of training.

    Returns:
        Peak memory in MiB.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "train-in", folder, str(threads), str(epochs)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout)


def _train_in(folder: str, threads: str, epochs: str) -> None:
    """Train with a checkpoint every five epochs, and print the peak memory.

    A hundred epochs have 20 checkpoints after the first, as many as training writes to disk at once.
    """
    from progress_measures.data.dataset import write_dataset
    from progress_measures.training.loop import train

    set_up(int(threads))
    runs, dataset = [mainline_run(int(epochs), checkpoint_every=5)], Path(folder) / "dataset.zarr"
    write_dataset(runs, dataset)
    train(runs, dataset, Path(folder) / "runs")
    print(peak_memory_mib())


def table(results: dict[str, dict[str, Any]]) -> Any:
    """Format the comparisons as a `rich` table.

    Args:
        results: Results by benchmark: `train`, `measure` and `tasks`; benchmarks that did not run are missing.
    """
    from rich.table import Table

    comparison = Table(
        "", "package, ms", "notebook, ms", "ratio", title="This package and the notebook's implementation"
    )
    for what, unit in (("train", "epoch"), ("measure", "checkpoint")):
        for when, part in (("start", results.get(what, {})), ("late", results.get(what, {}).get("late", {}))):
            if f"ms_per_{unit}" in part:
                package_ms, notebook_ms = part[f"ms_per_{unit}"], part[f"notebook_ms_per_{unit}"]
                comparison.add_row(f"{what}, {when}", f"{package_ms:.1f}", f"{notebook_ms:.1f}", f"{part['ratio']:.1f}")
    for name in TIMED_EXPERIMENTS:
        if part := results.get("tasks", {}).get(name):
            package_ms, plain_ms = part["ms_per_update"], part["plain_ms_per_update"]
            comparison.add_row(name, f"{package_ms:.1f}", f"{plain_ms:.1f}", f"{part['ratio']:.1f}")
    part = results.get("measure", {})
    if "everything_ms_per_checkpoint" in part:
        comparison.add_row("every measure", f"{part['everything_ms_per_checkpoint']:.1f}", "", "")
    return comparison


def notes(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return lines with the results that the table omits: memory, arithmetic rate, and skipped comparisons; empty if none."""
    lines = []
    train = results.get("train", {})
    if train:
        rates = train["arithmetic_rates"]
        lines += [
            f"peak memory of a mainline run: {train['peak_memory_mib']:.0f} MiB",
            f"arithmetic rate of an update: {rates['update_gflops']:.0f} GFLOP/s, {rates['fraction_of_gemm']:.0%} of the "
            f"{rates['gemm_gflops']:.0f} GFLOP/s of a large float32 matrix product",
        ]
    lines += [
        f"{what}, late: skipped, {part['late']['skipped']}"
        for what, part in results.items()
        if "skipped" in part.get("late", {})
    ]
    return lines


def bench(
    what: Annotated[Literal["train", "measure", "tasks", "all"], typer.Argument(help="Benchmark to run.")] = "all",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    json_only: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = False,
) -> None:
    """Time training and measuring, compare with the notebook's implementation, and write results/bench.json."""
    from rich.console import Console

    results: dict[str, Any] = {}
    if what in ("train", "all"):
        results["train"] = bench_train(threads=threads)
    if what in ("measure", "all"):
        results["measure"] = bench_measure(threads=threads)
    if what in ("tasks", "all"):
        results["tasks"] = bench_tasks(threads=threads)
    if json_only:
        print(json.dumps(results if what == "all" else results[what]))
        return
    Console().print(table(results), *notes(results), sep="\n")
    write_json(Path("results/bench.json"), results)
    print("written to results/bench.json")


if __name__ == "__main__":
    if sys.argv[1:2] == ["train-in"]:
        _train_in(*sys.argv[2:])
    else:
        typer.run(bench)
