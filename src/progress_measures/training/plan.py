"""What training takes before it is begun: shards, memory, operations and expected time, an experiment a line."""

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from progress_measures.errors import UserError
from progress_measures.experiments import experiment_names, load_experiment
from progress_measures.training import cost
from progress_measures.training.launcher.launch import cores
from progress_measures.training.launcher.shards import fitting, shards
from progress_measures.training.progress import duration

PAPER = "Nanda et al."  # how the paper's experiments begin their `reference`


class PlanRow(NamedTuple):
    """An experiment's training on a device."""

    experiment: str
    runs: int
    epochs: int
    shards: int
    memory: int  # bytes of the largest shard: of the GPU, or of the process
    flops: float
    longest: float  # seconds of the longest shard
    seconds: float  # of all shards, one after the other


def show(what: Sequence[str], gpu: str | None, at_once: int | None) -> None:
    """Print the plan.

    Args:
        what: experiments, `paper` or `all`.
        gpu: a name in `cost.GPUS`; this machine's cores where absent.
        at_once: how many of them work at a time; by default one GPU, or all cores.
    Raises:
        UserError: no such GPU or experiment.
    """
    if gpu is not None and gpu.lower() not in cost.GPUS:
        raise UserError(f"--gpu {gpu}: not in the list, which has: {', '.join(cost.GPUS)}.")
    runs = {name: load_experiment(name).runs(name) for name in chosen(what)}
    device = cost.core(core_flops()) if gpu is None else cost.GPUS[gpu.lower()]
    number = at_once or (cores() if gpu is None else 1)
    rows = [plan(name, of_one, device) for name, of_one in runs.items()]
    Console(width=120).print(table(rows, device, number), note(device))


def chosen(what: Sequence[str]) -> list[str]:
    """The experiments that are meant."""
    names: list[str] = []
    for word in what:
        if word == "all":
            names += experiment_names()
        elif word == "paper":
            names += [name for name in experiment_names() if load_experiment(name).reference.startswith(PAPER)]
        else:
            load_experiment(word)
            names.append(word)
    return list(dict.fromkeys(names))


def plan(experiment: str, runs: list[Any], device: cost.Device) -> PlanRow:
    """How an experiment is packed on a device, and what that takes."""
    gpu = device.name != "cpu"
    packed = shards(runs, fitting(runs, device.memory) if gpu else 1)
    times = [cost.seconds(shard.runs[0], len(shard.runs), device) for shard in packed]
    flops = sum(float(cost.update_flops(run)) * run.training.epochs for run in runs)
    takes = [
        cost.CUDA_DEVICE_FLOOR + cost.memory(shard.runs[0], len(shard.runs)).device
        if gpu
        else cost.job_memory(shard.runs[0], len(shard.runs), gpu)
        for shard in packed
    ]
    return PlanRow(
        experiment, len(runs), runs[0].training.epochs, len(packed), max(takes), flops, max(times), sum(times)
    )


def table(rows: list[PlanRow], device: cost.Device, number: int) -> Table:
    """The plan, with a line for the whole."""
    unit = "core" if device.name == "cpu" else device.name.upper()
    drawn = Table(
        title=f"Training on {number} {unit}{'s' if number > 1 else ''}", box=box.SIMPLE_HEAD, show_footer=True
    )
    total = PlanRow(
        "all", sum(r.runs for r in rows), 0, sum(r.shards for r in rows), max(r.memory for r in rows),
        sum(r.flops for r in rows), max(r.longest for r in rows), sum(r.seconds for r in rows),
    )  # fmt: skip
    columns = {
        "experiment": lambda r: r.experiment,
        "runs": lambda r: str(r.runs),
        "epochs": lambda r: f"{r.epochs:,}" if r.epochs else "",
        "shards": lambda r: str(r.shards),
        "memory a shard": lambda r: f"{r.memory / 1e9:.1f} GB",
        "operations": lambda r: f"{r.flops:.1e}",
        "longest shard": lambda r: duration(r.longest),
        "in all": lambda r: duration(wall(r, number)),
    }
    for i, (heading, say) in enumerate(columns.items()):
        drawn.add_column(heading, footer=say(total), justify="right" if i else "left")
    for row in rows:
        drawn.add_row(*(say(row) for say in columns.values()))
    return drawn


def wall(row: PlanRow, number: int) -> float:
    """Seconds from first to last, when so many shards train at a time: no less than the longest one."""
    return max(row.longest, row.seconds / min(number, row.shards))


def note(device: cost.Device) -> str:
    """What the numbers rest on."""
    if device.name == "cpu":
        load = os.getloadavg()[0]
        busy = f" under a load of {load:.1f} on {cores()} cores; a quiet machine is faster" if load > 0.5 else ""
        return (
            f"One core reaches {device.flops / 1e9:.0f} GFLOP/s in big products, measured just now{busy}; an update "
            f"{device.efficiency:.0%} of that (make bench). Measuring the checkpoints comes on top."
        )
    return (
        f"Expected, not measured: {device.flops / 1e12:g} TFLOP/s of float32 and {device.bandwidth / 1e12:g} TB/s by the "
        f"data sheet, of which an update is assumed to reach {device.efficiency:.0%}, and {device.overhead * 1e6:.0f} µs "
        "to start its kernels. Measuring the checkpoints comes on top."
    )


def core_flops() -> float:
    """Float32 operations a second of one core, in a product as the mainline has them.

    The best of many short ones, by the time that this process was given. So others that work beside it make it no slower
    than by the caches and the core that they share with it.
    """
    a, b = np.ones((512, 512), np.float32), np.ones((512, 512), np.float32)
    best = float("inf")
    for _ in range(100):
        began = time.process_time()
        a @ b
        best = min(best, time.process_time() - began)
    return 2 * 512**3 / best
