"""The table of `progress-measures plan`: shards, memory, operations and expected times of each experiment.

A shard is the runs that one job trains as one batch. If CPU cores train, each run is a shard.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from progress_measures.errors import UserError
from progress_measures.experiments import experiment_names, load_experiment
from progress_measures.training import cost
from progress_measures.training.launcher.launch import cores
from progress_measures.training.launcher.shards import runs_that_fit, shards
from progress_measures.training.progress import duration

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

PAPER_REFERENCE = "Nanda et al."  # prefix of the field `reference` in the paper's experiments


class PlanRow(NamedTuple):
    """A row of the table: the cost of training one experiment, or all, on a device, and of measuring on cores."""

    experiment: str
    runs: int
    epochs: int  # of the first run; 0 in the row for all experiments
    shards: int
    memory: int  # bytes of the shard that needs most: GPU memory, or main memory if cores train
    disk: int  # bytes of the files of all runs, without measures
    flops: float  # floating-point operations of all updates of all runs
    longest_shard_seconds: float  # seconds of training the shard that takes longest
    training: float  # seconds of training all shards, one after the other
    longest_measuring_seconds: float  # seconds in which one core measures the run that takes longest
    measuring: float  # seconds in which one core measures all runs


def show(names: Sequence[str], gpu: str | None, at_once: int | None) -> None:
    """Print the table of shards, memory, operations and times, and a note below it.

    Args:
        names: names of experiments; `paper` stands for all experiments of the paper, `all` for all experiments.
        gpu: a name in `cost.GPUS`; None for the cores of this machine.
        at_once: number of GPUs or cores that train at a time; by default one GPU, or all cores.

    Raises:
        UserError: there is no such GPU or experiment.
    """
    if gpu is not None and gpu.lower() not in cost.GPUS:
        raise UserError(f"--gpu {gpu}: unknown GPU. Choose one of: {', '.join(cost.GPUS)}.")
    runs = {name: load_experiment(name).runs(name) for name in selected_experiments(names)}
    core = cost.core(core_flops())
    device = core if gpu is None else cost.GPUS[gpu.lower()]
    at_once_count = at_once or (cores() if gpu is None else 1)
    rows = [plan(name, experiment_runs, device, core) for name, experiment_runs in runs.items()]
    Console(width=120).print(table(rows, device, at_once_count), note(device, core))


def selected_experiments(names: Sequence[str]) -> list[str]:
    """Return the names without duplicates, with `all` and `paper` replaced by the experiments that they stand for.

    Raises:
        UserError: there is no such experiment.
    """
    selected: list[str] = []
    for name in names:
        if name == "all":
            selected += experiment_names()
        elif name == "paper":
            selected += [
                candidate
                for candidate in experiment_names()
                if load_experiment(candidate).reference.startswith(PAPER_REFERENCE)
            ]
        else:
            load_experiment(name)  # raises UserError if there is none
            selected.append(name)
    return list(dict.fromkeys(selected))


def plan(experiment: str, runs: list[Run], device: cost.Device, core: cost.Device) -> PlanRow:
    """Compute the row of an experiment: its shards, and the memory, disk, operations and time of training and measuring.

    Args:
        experiment: name of the experiment.
        runs: runs of the experiment.
        device: the device that trains.
        core: one core of this machine, which measures, as `cost.core` returns it.

    Returns:
        The row of the table.
    """
    gpu = device.name != "cpu"
    packed = shards(runs, runs_that_fit(runs, device.memory) if gpu else 1)
    training = [cost.seconds(shard.runs[0], len(shard.runs), device) for shard in packed]
    flops = sum(float(cost.update_flops(run)) * run.training.epochs for run in runs)
    memory = [
        cost.CUDA_DEVICE_FLOOR + cost.memory(shard.runs[0], len(shard.runs)).device
        if gpu
        else cost.job_memory(shard.runs[0], len(shard.runs), gpu)
        for shard in packed
    ]
    measuring = [cost.measuring_seconds(run, core) for run in runs]
    return PlanRow(
        experiment=experiment,
        runs=len(runs),
        epochs=runs[0].training.epochs,
        shards=len(packed),
        memory=max(memory),
        disk=sum(map(cost.disk, runs)),
        flops=flops,
        longest_shard_seconds=max(training),
        training=sum(training),
        longest_measuring_seconds=max(measuring),
        measuring=sum(measuring),
    )


def table(rows: list[PlanRow], device: cost.Device, at_once_count: int) -> Table:
    """Return the table, with a footer for all experiments together.

    Args:
        rows: one row per experiment.
        device: the device that trains.
        at_once_count: number of GPUs or cores that train at a time.

    Returns:
        A `rich` table.
    """
    unit = "core" if device.name == "cpu" else device.name.upper()
    measuring_cores = at_once_count if device.name == "cpu" else cores()
    plan_table = Table(
        title=f"Training on {_plural(at_once_count, unit)}, measuring on {_plural(measuring_cores, 'core')}",
        box=box.SIMPLE_HEAD,
        show_footer=True,
    )
    total = PlanRow(
        experiment="all",
        runs=sum(row.runs for row in rows),
        epochs=0,  # the cell stays empty, because experiments differ in their epochs
        shards=sum(row.shards for row in rows),
        memory=max(row.memory for row in rows),
        disk=sum(row.disk for row in rows),
        flops=sum(row.flops for row in rows),
        longest_shard_seconds=max(row.longest_shard_seconds for row in rows),
        training=sum(row.training for row in rows),
        longest_measuring_seconds=max(row.longest_measuring_seconds for row in rows),
        measuring=sum(row.measuring for row in rows),
    )
    columns: dict[str, Callable[[PlanRow], str]] = {
        "experiment": lambda r: r.experiment,
        "runs": lambda r: str(r.runs),
        "epochs": lambda r: f"{r.epochs:,}" if r.epochs else "",
        "shards": lambda r: str(r.shards),
        "memory per shard": lambda r: f"{r.memory / 1e9:.1f} GB",
        "disk": lambda r: f"{r.disk / 1e9:.1f} GB",
        "operations": lambda r: f"{r.flops:.1e}",
        "longest shard": lambda r: duration(r.longest_shard_seconds),
        "training": lambda r: duration(wall_time(r, at_once_count)),
        "measuring": lambda r: duration(max(r.longest_measuring_seconds, r.measuring / measuring_cores)),
    }
    for i, (heading, cell) in enumerate(columns.items()):
        plan_table.add_column(heading, footer=cell(total), justify="right" if i else "left")
    for row in rows:
        plan_table.add_row(*(cell(row) for cell in columns.values()))
    return plan_table


def wall_time(row: PlanRow, at_once_count: int) -> float:
    """Estimate the wall-clock time of training an experiment: at least the time of its longest shard.

    Args:
        row: the row of the experiment, or of all experiments.
        at_once_count: number of shards that train at a time.

    Returns:
        Seconds.
    """
    return max(row.longest_shard_seconds, row.training / min(at_once_count, row.shards))


def note(device: cost.Device, core: cost.Device) -> str:
    """Return the note below the table, which states the sources of the estimates.

    Args:
        device: device that trains.
        core: core that measures.

    Returns:
        The note.
    """
    measuring = "Measuring may take between half and twice the stated time."
    if device.name == "cpu":
        load = os.getloadavg()[0]
        load_note = f" under a load of {load:.1f} on {cores()} cores; a quiet machine is faster" if load > 0.5 else ""
        return (
            f"One core reaches {device.flops / 1e9:.0f} GFLOP/s in products of large matrices, measured just "
            f"now{load_note}. An update is assumed to reach {device.efficiency:.0%} of that (`make bench` measures this "
            f"fraction). {measuring}"
        )
    return (
        f"Expected, not measured. The data sheet gives {device.flops / 1e12:g} TFLOP/s of float32 and "
        f"{device.bandwidth / 1e12:g} TB/s, of which an update is assumed to reach {device.efficiency:.0%}. Starting its "
        f"kernels takes another {device.overhead * 1e6:.0f} µs. Checkpoints are measured on cores, here with "
        f"{core.flops / 1e9:.0f} GFLOP/s each. {measuring}"
    )


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def core_flops() -> float:
    """Measure the float32 operations per second of one core, in products of two 512 x 512 matrices.

    The fastest of 100 products counts, in CPU time of all threads of this process. Other processes therefore affect the
    result only through the caches and the core that they share with this process.
    """
    a, b = np.ones((512, 512), np.float32), np.ones((512, 512), np.float32)
    best = float("inf")
    for _ in range(100):
        start = time.process_time()
        a @ b
        best = min(best, time.process_time() - start)
    return 2 * 512**3 / best  # a product is 512³ multiplications and as many additions
