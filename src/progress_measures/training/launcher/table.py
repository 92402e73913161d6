"""The table of what trains: redrawn in a terminal, in a log printed again when a state changes and every minute."""

import time
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from progress_measures.training.progress import duration

STYLES = {"running": "green", "done": "dim", "failed": "bold red", "canceled": "yellow"}


class JobRow(NamedTuple):
    """A shard as it stands."""

    name: str
    job: str
    state: str  # queued, running, done, failed, canceled
    progress: dict[str, Any] | None
    note: str
    place: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Expected, by the rate so far."""
        if self.state != "running" or not self.progress or not self.progress.get("ms_per_epoch"):
            return None
        left: float = (self.progress["epochs"] - self.progress["epoch"]) * self.progress["ms_per_epoch"] / 1e3
        return max(0.0, left - (time.time() - self.progress["time"]))


def table(title: str, rows: list[JobRow]) -> Table:
    """Shards, one a line."""
    drawn = Table(title=f"{title}: {summary(rows)}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("shard", "job", "state", "on"):
        drawn.add_column(heading)
    for heading in ("epoch", "ms/epoch", "left"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("", overflow="fold")
    for row in rows:
        p = row.progress or {}
        rate = p.get("ms_per_epoch")
        left = row.seconds_left
        drawn.add_row(
            row.name,
            row.job,
            row.state,
            row.place,
            f"{p['epoch']:,}/{p['epochs']:,}" if p else "",
            f"{rate:.1f}" if rate else "",
            duration(left) if left is not None else "",
            row.note,
            style=STYLES.get(row.state),
        )
    return drawn


def summary(rows: list[JobRow]) -> str:
    """`2 running, 1 done`, and how long the slowest has to go."""
    states = ("queued", "running", "done", "failed", "canceled")
    counts = {state: sum(row.state == state for row in rows) for state in states}
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    left = [row.seconds_left for row in rows if row.seconds_left is not None]
    return f"{said}; {duration(max(left))} left for what runs" if left else said


class Display:
    """Shows the table as it changes, on standard error."""

    def __init__(self, title: str, every: float = 60.0):
        self._title, self._every = title, every
        self._console = Console(stderr=True, highlight=False)
        if not self._console.is_terminal:
            self._console = Console(stderr=True, highlight=False, width=150, color_system=None)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._states: list[tuple[str, str, str, str]] = []
        self._shown = float("-inf")

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, rows: list[JobRow]) -> None:
        """The table as it stands."""
        if self._live:
            self._live.update(table(self._title, rows), refresh=True)
            return
        states = [(row.name, row.job, row.state, row.note) for row in rows]
        if states != self._states:
            self._console.print(table(self._title, rows))
        elif time.monotonic() - self._shown > self._every:
            self._console.print(f"{self._title}: {summary(rows)}")
        else:
            return
        self._states, self._shown = states, time.monotonic()
