"""The table of jobs, redrawn in a terminal; in a log, one line from time to time with epochs and losses.

A shard is the runs that one job trains as one batch.
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from progress_measures.training.launcher.slurm_status import UNSATISFIABLE
from progress_measures.training.progress import duration

# styles of the library `rich`, by state of a job
STYLES = {"running": "green", "done": "dim", "failed": "bold red", "canceled": "yellow"}
NOTABLE = ("failed", "canceled", "unknown")  # states for which a log always gets a line
ENDED = ("done", "failed", "canceled")
SHARDS_IN_A_LINE = 3  # largest number of running shards whose losses fit in a line of a log


class JobRow(NamedTuple):
    """A row of the table: a shard and the status of its job."""

    name: str  # name of the shard
    job: str  # id of the job in its pool; empty if it has none yet
    state: str  # queued, running, unknown, done, failed, canceled
    progress: dict[str, Any] | None  # content of the job's `.progress` file; None without one
    note: str  # why the job waits, failed, was canceled or retried, or why its state is unknown; may be empty
    machine: str = ""  # name of the machine on which the job runs; empty if it does not run

    @property
    def seconds_left(self) -> float | None:
        """Expected seconds until training ends, from the mean time per epoch so far; None if unknown."""
        if self.state != "running" or not self.progress or not self.progress.get("ms_per_epoch"):
            return None
        at_last_progress: float = (
            (self.progress["epochs"] - self.progress["epoch"]) * self.progress["ms_per_epoch"] / 1e3
        )
        return max(0.0, at_last_progress - (time.time() - self.progress["time"]))


def table(title: str, rows: list[JobRow]) -> Table:
    """Return a table with one line per shard.

    Args:
        title: title of the table, such as the name of the experiment.
        rows: rows of the table, one per shard.

    Returns:
        A `rich` table.
    """
    jobs_table = Table(title=f"{title}: {summary(rows)}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("shard", "job", "state", "on"):
        jobs_table.add_column(heading)
    for heading in ("epoch", "ms/epoch", "left"):
        jobs_table.add_column(heading, justify="right")
    jobs_table.add_column("", overflow="fold")
    for row in rows:
        progress = row.progress or {}
        rate = progress.get("ms_per_epoch")
        seconds_left = row.seconds_left
        jobs_table.add_row(
            row.name,
            row.job,
            row.state,
            row.machine,
            f"{progress['epoch']:,}/{progress['epochs']:,}" if progress else "",
            f"{rate:.1f}" if rate else "",
            duration(seconds_left) if seconds_left is not None else "",
            row.note,
            style=STYLES.get(row.state),
        )
    return jobs_table


def summary(rows: list[JobRow]) -> str:
    """Format the number of jobs in each state, as `2 running, 1 done`, and the longest time left of a running job."""
    states = ("queued", "running", "unknown", "done", "failed", "canceled")
    counts = {state: sum(row.state == state for row in rows) for state in states}
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    left = [row.seconds_left for row in rows if row.seconds_left is not None]
    return f"{text}; the running jobs need {duration(max(left))} more" if left else text


def progress_line(title: str, rows: list[JobRow]) -> str:
    """Return one line with epoch and losses of the running shards, and the summary.

    For more than `SHARDS_IN_A_LINE` running shards, the range of epochs over these shards replaces epochs and losses.

    Args:
        title: beginning of the line, such as the name of the experiment.
        rows: rows of the table, one per shard.
    """
    running = [(row.name, row.progress) for row in rows if row.state == "running" and row.progress]
    parts = [
        f"{name} epoch {p['epoch']:,}/{p['epochs']:,}, train loss {p['train_loss']:.2g}, test loss {p['test_loss']:.2g}"
        for name, p in running
    ]
    if len(running) > SHARDS_IN_A_LINE:
        epochs = [p["epoch"] for _, p in running]
        parts = [f"epochs {min(epochs):,} to {max(epochs):,} of {max(p['epochs'] for _, p in running):,}"]
    return f"{title}: {'; '.join([*parts, summary(rows)])}"


def _is_notable(row: JobRow) -> bool:
    """Return whether a log gets a line for a row; the docstring of `Display` lists the cases."""
    waits_forever = any(explanation in row.note for explanation in UNSATISFIABLE.values())
    return row.state in NOTABLE or row.note.startswith(("try ", "sbatch: ")) or waits_forever


class Display:
    """Shows the jobs on standard error: in a terminal the table at each call, in a log a line from time to time.

    A log also gets a line for each shard that fails, is canceled or retried, whose state is unknown, or whose job Slurm does not
    accept or will never start.

    Args:
        title: title of the table and beginning of each line, such as the name of the experiment.
        table_in_log: whether a log gets the table instead of the line.
        every: shortest and longest time between two lines of a log, in seconds. Within these bounds, the next line comes after
            a tenth of the time so far.
    """

    def __init__(self, title: str, table_in_log: bool = False, every: tuple[float, float] = (10.0, 60.0)) -> None:
        self._title, self._table_in_log, self._every = title, table_in_log, every
        self._console = Console(stderr=True, highlight=False)
        if not self._console.is_terminal:
            self._console = Console(stderr=True, highlight=False, width=150, color_system=None)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._noted: dict[str, str] = {}  # state and note in the last line of each notable shard, by its name
        self._last_line = ""  # the last line about all shards
        self._began = time.monotonic()
        self._due = self._began

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, rows: list[JobRow]) -> None:
        """Show the current rows."""
        if self._live:
            self._live.update(table(self._title, rows), refresh=True)
            return
        for row in rows:
            note = f"{row.state}: {row.note}" if row.note else row.state
            if _is_notable(row) and self._noted.get(row.name) != note:
                self._noted[row.name] = note
                print(f"{self._title}: {row.name} {note}", file=sys.stderr, flush=True)
        now = time.monotonic()
        if now >= self._due or all(row.state in ENDED for row in rows):
            shortest, longest = self._every
            self._due = now + min(max(shortest, (now - self._began) / 10), longest)
            if self._table_in_log:
                self._console.print(table(self._title, rows))
            elif (line := progress_line(self._title, rows)) != self._last_line:
                self._last_line = line
                print(line, file=sys.stderr, flush=True)
