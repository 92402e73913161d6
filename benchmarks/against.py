"""Compares the costs of another revision of this project with those of this working tree, on one Linux machine.

Both source trees are copied to a temporary folder and run in the same Python environment; `PYTHONPATH` decides which code
runs. Each revision is used through its own commands and its own experiment files, because settings, commands and code
differ between revisions. A dry run of its workflow lists its commands. The two revisions take turns. CPU time includes all
processes that a command starts, and depends less than elapsed time on other load of the machine. The targets are those of
docs/performance.md, which are relative to revision f1318e7.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shlex
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from revision import Revision, copies

from progress_measures.errors import UserError
from progress_measures.files import write_json

GROKKING_EPOCHS = 1600  # by then the quickstart's networks grok; one without key frequencies costs less to measure
TIMED_UPDATES = {"mainline": 120, "repeated_subsequence": 40, "two_layer": 20, "five_digit_addition": 300}
"""Experiments whose updates are timed, and the number of updates: a few seconds of training each."""
MEASURES_ONLY = {"measure": "during", "keep": "last"}
"""Settings of training with which only measures and the last weights are stored, for revisions that have them."""

Samples = dict[str, list[float]]
"""Measured costs, by key of `ROWS`: one number for each measurement."""


class Row(NamedTuple):
    """A row of the table of costs, and its target: a least ratio of f1318e7's cost to this revision's, or a largest cost."""

    label: str
    unit: str
    least_ratio: float | None = None
    largest: float | None = None

    @property
    def target(self) -> str:
        """The target as text."""
        return f"ratio ≥ {self.least_ratio:g}" if self.largest is None else f"≤ {self.largest:g} {self.unit}"

    def is_met(self, ratio: float, cost: float) -> bool:
        """Return whether the ratio, or the cost of this revision, meets the target."""
        return ratio >= self.least_ratio if self.largest is None else cost <= self.largest


ROWS = {
    "measure_cpu": Row("measuring a run, per checkpoint", "CPU s", least_ratio=3),
    "measure_memory": Row("peak memory of measuring", "GB", largest=0.8),
    "quickstart_cpu": Row("quickstart, without set-up", "CPU s", least_ratio=2),
    "plan_cpu": Row("dry run of 1,000 runs", "CPU s", largest=3),
    "disk": Row("disk of a run at its peak", "MB", largest=20),
    "update_repeated_subsequence": Row("update, repeated_subsequence", "CPU ms", least_ratio=2),
    "update_two_layer": Row("update, two_layer", "CPU ms", least_ratio=1.4),
    "update_five_digit_addition": Row("update, five_digit_addition", "CPU ms", least_ratio=1.6),
    "update_mainline": Row("update, mainline", "CPU ms", least_ratio=1.15),
}


def single_run_settings(settings: dict[str, Any], **training: int) -> dict[str, Any]:
    """Return the settings of an experiment without its grid, with these values of fields of `training`."""
    single = {key: value for key, value in settings.items() if key != "grid"}
    return single | {"title": "Benchmark", "training": settings["training"] | training}


def planned_commands(dry_run: str) -> list[list[str]]:
    """Return the commands that write data, train and measure, in the order in which `snakemake -n -p --verbose` prints them."""
    commands = re.findall(r"(progress-measures (?:dataset|train|measure) .*?)(?: \d?>.*)?$", dry_run, re.M)
    return [shlex.split(command) for command in commands]


@contextlib.contextmanager
def peak_size(folder: Path) -> Iterator[list[float]]:
    """Yield a list whose only element is the largest size of a folder so far in MB, sampled four times a second."""
    peak, ended = [0.0], threading.Event()

    def sample() -> None:
        size = 0
        with contextlib.suppress(FileNotFoundError):  # a file was deleted meanwhile
            size = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))  # a block has 512 bytes
        peak[0] = max(peak[0], size / 1e6)

    def sample_until_ended() -> None:
        while not ended.wait(0.25):
            sample()

    thread = threading.Thread(target=sample_until_ended)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        sample()


def measuring_costs(revision: Revision, checkpoints: int) -> Samples:
    """Return what it costs to measure a network that has grokked, and its disk space, with the commands of the workflow.

    The disk space is that of a second training, with the settings `MEASURES_ONLY`, if the revision has these settings.

    Args:
        revision: the revision.
        checkpoints: number of checkpoints of the training, evenly spaced.
    """
    every = GROKKING_EPOCHS // (checkpoints - 1)
    intervals = {"epochs": every * (checkpoints - 1), "checkpoint_every": every, "evaluate_every": every}
    settings = single_run_settings(revision.settings("quickstart"), **intervals)
    usages, disk = _trained_and_measured(revision, "bench_measure", settings)
    if MEASURES_ONLY.keys() <= revision.training_fields():
        measures_only = settings | {"training": settings["training"] | MEASURES_ONLY}
        _, disk = _trained_and_measured(revision, "bench_measures_only", measures_only)
    cpu, memory = (sum(usage["cpu"] for usage in usages), max(usage["memory"] for usage in usages))
    return {"measure_cpu": [cpu / checkpoints], "measure_memory": [memory / 1e3], "disk": [disk]}


def _trained_and_measured(
    revision: Revision, name: str, settings: dict[str, Any]
) -> tuple[list[dict[str, float]], float]:
    """Train and measure; return CPU time in s and memory in MB of each measuring command, and the run's peak disk space in MB."""
    revision.write(name, settings)
    commands = planned_commands(revision.output("snakemake", "-n", "-p", "--verbose", f"results/{name}/cube.zarr"))
    with peak_size(revision.folder / "results" / name / "runs") as disk:
        usages = [(stage, revision.usage(program, stage, *words)) for program, stage, *words in commands]
    return [usage for stage, usage in usages if stage == "measure"], disk[0]


def dry_run_cost(revision: Revision) -> Samples:
    """Return the CPU time of a dry run of an experiment of 1,000 runs."""
    settings = single_run_settings(revision.settings("quickstart")) | {"grid": {"seed": list(range(1000))}}
    revision.write("bench_plan", settings)
    return {"plan_cpu": [revision.usage("snakemake", "-n", "results/bench_plan/cube.zarr")["cpu"]]}


def quickstart_cost(revision: Revision) -> Samples:
    """Return the CPU time of the commands of `make quickstart`, except those of `make setup`."""
    commands = (("snakemake", f"-c{os.cpu_count()}", "quickstart"), ("progress-measures", "describe", "quickstart"))
    return {"quickstart_cpu": [sum(revision.usage(*command)["cpu"] for command in commands)]}


def update_cost(revision: Revision, experiment: str) -> Samples:
    """Return the CPU time of an update in ms, from two trainings that differ only in the number of updates: all else cancels."""
    updates, cpu = TIMED_UPDATES[experiment], []
    for epochs in (updates // 4, updates // 4 + updates):  # both include the slower first updates
        intervals = {"epochs": epochs, "checkpoint_every": epochs, "evaluate_every": epochs}
        revision.write("bench_update", single_run_settings(revision.settings(experiment), **intervals))
        cpu.append(revision.usage("progress-measures", "train", "bench_update", "--at-once", "1")["cpu"])
    return {f"update_{experiment}": [(cpu[1] - cpu[0]) / updates * 1e3]}


def comparison_rows(other: Samples, here: Samples) -> list[dict[str, Any]]:
    """Return the measured rows of the table: medians of both revisions, their ratio, the target and whether it is met.

    Args:
        other: costs of the other revision.
        here: costs of this working tree.
    """
    rows = []
    for key, row in ((key, row) for key, row in ROWS.items() if key in other and key in here):
        medians = statistics.median(other[key]), statistics.median(here[key])
        ratio = medians[0] / medians[1]
        costs = {"unit": row.unit, "other": medians[0], "here": medians[1], "ratio": ratio}
        target = {"target": row.target, "met": row.is_met(ratio, medians[1])}
        rows.append({"row": key} | costs | target | {"samples": {"other": other[key], "here": here[key]}})
    return rows


def against(
    revision: Annotated[str, typer.Argument(help="Git revision to compare with, such as f1318e7.")],
    checkpoints: Annotated[int, typer.Option(min=2, max=GROKKING_EPOCHS + 1, help="Checkpoints to measure.")] = 401,
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions of updates and dry runs.")] = 3,
    with_quickstart: Annotated[bool, typer.Option("--quickstart", help="Also time the quickstart.")] = False,
    to_json: Annotated[Path | None, typer.Option("--json", help="JSON file to write.")] = None,
) -> None:
    """Compare the costs of another revision with those of this working tree."""
    import torch
    from rich.console import Console
    from rich.table import Column, Table

    from progress_measures.training.machine import describe_machine

    steps = [(dry_run_cost,), *((update_cost, name) for name in TIMED_UPDATES)] * rounds + [
        (measuring_costs, checkpoints)
    ]
    samples: tuple[Samples, Samples] = ({}, {})
    with tempfile.TemporaryDirectory(prefix="bench-against-") as folder:
        sides = copies(revision, Path(folder))
        for function, *arguments in [*steps, *([(quickstart_cost,)] if with_quickstart else [])]:
            for side, of_side in zip(sides, samples, strict=True):
                for key, values in function(side, *arguments).items():
                    of_side.setdefault(key, []).extend(values)
                    print(f"{side.name}: {ROWS[key].label}: {values[0]:.3g} {ROWS[key].unit}", file=sys.stderr)
    rows = comparison_rows(*samples)
    computer = describe_machine(torch.device("cpu"))
    title = f"{datetime.date.today()}, {computer['processor']}, {checkpoints} checkpoints, medians of {rounds}"
    table = Table(
        Column(overflow="fold"), *(side.name for side in sides), "ratio", "target against f1318e7", "met", title=title
    )
    for row in rows:
        costs = (f"{row[side]:.3g} {row['unit']}" for side in ("other", "here"))
        met = "yes" if row["met"] else "no"
        table.add_row(ROWS[row["row"]].label, *costs, f"{row['ratio']:.2f}", row["target"], met)
    Console().print(table)
    if to_json:
        result = {"other": sides[0].name, "here": sides[1].name, "checkpoints": checkpoints, "rounds": rounds}
        write_json(to_json, result | {"machine": computer, "rows": rows})


if __name__ == "__main__":
    try:
        typer.run(against)
    except UserError as error:
        print(f"bench-against: {error}", file=sys.stderr)
        sys.exit(2)
