"""The table of jobs: redrawn in a terminal; in a log, printed at each change of state, with a summary every minute."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from progress_measures.training.progress import duration

STYLES = {"running": "green", "done": "dim", "failed": "bold red", "canceled": "yellow"}


class JobRow(NamedTuple):
    """A row of the table: a shard and the status of its job."""

    name: str  # name of the shard
    job: str  # id of the job in its pool
    state: str  # queued, running, unknown, done, failed, canceled
    progress: dict[str, Any] | None  # content of the job's `.progress` file
    note: str  # why the job waits, failed or was retried
    machine: str = ""  # name of the machine on which the job runs

    @property
    def seconds_left(self) -> float | None:
        """Expected seconds until training ends, from the mean time per epoch so far; None if unknown."""
        if self.state != "running" or not self.progress or not self.progress.get("ms_per_epoch"):
            return None
        left: float = (self.progress["epochs"] - self.progress["epoch"]) * self.progress["ms_per_epoch"] / 1e3
        return max(0.0, left - (time.time() - self.progress["time"]))


def table(title: str, rows: list[JobRow]) -> Table:
    """Return a table with one line per shard.

    Args:
        title: name of the experiment.
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
        left = row.seconds_left
        jobs_table.add_row(
            row.name,
            row.job,
            row.state,
            row.machine,
            f"{progress['epoch']:,}/{progress['epochs']:,}" if progress else "",
            f"{rate:.1f}" if rate else "",
            duration(left) if left is not None else "",
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
    return f"{text}; {duration(max(left))} left for running shards" if left else text


class Display:
    """Shows the table on standard error: in a terminal at each call, in a log when a state changes.

    Args:
        title: title of the table.
        every: seconds without a change after which a log gets a one-line summary.
    """

    def __init__(self, title: str, every: float = 60.0) -> None:
        self._title, self._every = title, every
        self._console = Console(stderr=True, highlight=False)
        if not self._console.is_terminal:
            self._console = Console(stderr=True, highlight=False, width=150, color_system=None)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._states: list[tuple[str, str, str, str]] = []
        self._last_shown = float("-inf")

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
        states = [(row.name, row.job, row.state, row.note) for row in rows]
        if states != self._states:
            self._console.print(table(self._title, rows))
        elif time.monotonic() - self._last_shown > self._every:
            self._console.print(f"{self._title}: {summary(rows)}")
        else:
            return
        self._states, self._last_shown = states, time.monotonic()
