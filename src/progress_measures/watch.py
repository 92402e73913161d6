"""Monitor training in the terminal: show the measures of each run, up to now, as small curves.

The monitor reads the files that training writes and holds no lock, so training never waits for it. It computes a few measures
of the cube, at no more than `MAX_CHECKPOINTS` checkpoints of each run. Key frequencies are found on the last checkpoint written,
not on the final network, so they, and all measures that depend on them, may still change.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from progress_measures.analysis.phases import phase_so_far
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.cube.extract import CheckpointReader, compute_measures
from progress_measures.cube.gather import history_of
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.measures import measures
from progress_measures.paths import runs_folder
from progress_measures.training.launcher.launch import rows_of_jobs
from progress_measures.training.launcher.table import JobRow
from progress_measures.training.progress import duration
from progress_measures.training.record import finished_training

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

MAX_CHECKPOINTS = 32  # maximum number of checkpoints that are measured per run
WIDTH = 40  # characters of a curve
BARS = "▁▂▃▄▅▆▇█"

CURVES = {
    "train_loss": "log",
    "test_loss": "log",
    "restricted_loss": "log",
    "excluded_loss": "log",
    "maximal_excluded_loss": "log",
    "gini_W_E": "linear",
    "sum_of_squared_weights": "log",
}
"""The scale of each curve, by name of the measure or evaluated loss. Measures that do not apply to a run are left out."""

LEGEND = (
    "Curves from epoch 0 to the last epoch with a value, each scaled from its minimum to its maximum; losses and weights in log "
    "scale."
)


class RunStatus(NamedTuple):
    """Measures and phase of a run that is being trained.

    Attributes:
        measures_so_far: Measures along the dimension `epoch`, and losses and accuracies of training along
            `history_epoch`; None if training has not written any losses yet.
        phase: The phase that `analysis.phases` finds from the measures so far; `training` on a task without excluded losses, or
            before any weights are kept; `starting` or `not started` before the first checkpoint.
    """

    measures_so_far: xr.Dataset | None
    phase: str


def read_run_status(run: Run) -> RunStatus:
    """Measure checkpoints that a run has written, and find its current phase.

    Raises:
        UserError: The checkpoints are damaged or being written.
    """
    folder = runs_folder(run.experiment) / run.name
    if not (folder / "history.zarr").exists():
        return RunStatus(None, "not started" if not (folder / "checkpoints.zarr").exists() else "starting")
    history = history_of(run)
    weights = _SpacedCheckpoints(run, int(history.history_epoch[-1]))
    if not weights.epochs.size:
        return RunStatus(history, "starting" if run.training.keep == "all" else "training")
    selected = [
        measure
        for name, measure in measures().items()
        if name in (*CURVES, "key_frequency") and measure.applies_to(run)
    ]
    mask = np.zeros(0, dtype=bool) if run.on_sequences else train_mask(run)
    measured = compute_measures(run, selected, weights, mask).merge(history)
    return RunStatus(measured, phase_so_far(measured) if "maximal_excluded_loss" in measured else "training")


class _SpacedCheckpoints:
    """At most `MAX_CHECKPOINTS` of the checkpoints written up to an epoch, including the last one.

    The selected checkpoints are the nearest to evenly spaced epochs from 0 to the epoch of the last written one.
    """

    def __init__(self, run: Run, last_epoch: int) -> None:
        self._reader = CheckpointReader(run)
        written = np.flatnonzero(self._reader.written & (self._reader.epochs <= last_epoch))
        epochs = self._reader.epochs[written]
        spaced = np.linspace(0, epochs.max(initial=0), min(MAX_CHECKPOINTS, len(written)))
        self._indices = written[np.unique(np.abs(epochs[:, None] - spaced).argmin(0))] if len(written) else written
        self.epochs: NDArray[np.int64] = self._reader.epochs[self._indices]

    def __getitem__(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Return the weights at `epochs[index]`, by name of the tensor."""
        return self._reader[int(self._indices[index])]


def sparkline(values: NDArray[Any], scale: str, width: int = WIDTH) -> str:
    """Draw values as one line of bars, scaled from their minimum to their maximum.

    Args:
        values: The values, in order; NaN and infinity are drawn as blanks.
        scale: `log` or `linear`; values below 1e-30, such as 0, count as 1e-30 in `log`.
        width: Largest number of characters. If there are more values, this many evenly spaced ones are drawn.

    Returns:
        One character per drawn value, or an empty string if no drawn value is finite.
    """
    values = np.asarray(values, dtype=float)
    heights = np.log10(np.maximum(values, 1e-30)) if scale == "log" else values
    if len(heights) > width:
        heights = heights[np.linspace(0, len(heights) - 1, width).round().astype(int)]
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return ""
    height_range = float(finite.max() - finite.min()) or 1.0
    steps = np.nan_to_num((heights - finite.min()) / height_range * (len(BARS) - 1)).round().astype(int)
    return "".join(BARS[step] if np.isfinite(height) else " " for step, height in zip(steps, heights, strict=True))


def run_panel(run: Run, status: RunStatus, row: JobRow | None) -> RenderableType:
    """Return the display of one run: epoch, phase and state of its job and, once there are any, curves and key frequencies.

    Args:
        run: The run to display.
        status: Measures and phase of the run.
        row: The state and progress of the waiting or running job that trains the run; None if there is no such job.

    Returns:
        A `rich` renderable.
    """
    measured, epochs = status.measures_so_far, run.training.epochs
    reached = 0 if measured is None else int(measured.history_epoch[-1])
    facts = [
        f"epoch {reached:,} of {epochs:,}",
        status.phase if measured is not None else f"{status.phase}: nothing to measure yet",
    ]
    if measured is not None and "epoch" in measured.dims and measured.epoch[-1] < reached:
        facts[-1] += f" at epoch {int(measured.epoch[-1]):,}, the last with stored weights"
    record = finished_training(runs_folder(run.experiment) / run.name, run, None) or {}
    if reached >= epochs:
        facts.append("done")
    elif "stopped_at" in record:
        facts.append(f"done: it met `stop_when` at epoch {record['stopped_at']:,}")
    elif row is not None:
        facts.append(row.state)
        if ms_per_epoch := (row.progress or {}).get("ms_per_epoch"):
            facts.append(f"{ms_per_epoch:.1f} ms/epoch")
        if row.seconds_left is not None:
            facts.append(f"{duration(row.seconds_left)} left")
    heading = Text.assemble((run.name, "bold"), "  ", ", ".join(facts))
    if measured is None:
        return heading
    curves = Table.grid(padding=(0, 2))
    for name, scale in CURVES.items():
        variable = next((candidate for candidate in (f"history_{name}", name) if candidate in measured), None)
        if variable is not None and np.isfinite(measured[variable]).any():
            values = measured[variable]
            curves.add_row(f"  {values.long_name}", sparkline(values.values, scale), f"{float(values[-1]):.3g}")
    lines: list[RenderableType] = [heading, curves]
    if "key_frequency" in measured:
        keys = key_frequencies_of(measured)
        key_list = " ".join(map(str, keys)) if keys.size else "none yet"
        lines.append(Text(f"  key frequencies at the last checkpoint: {key_list}"))
    return Group(*lines)


def _modification_time(run: Run) -> int:
    """Return the modification time of the history in nanoseconds, or 0 if training has not written it yet."""
    history = runs_folder(run.experiment) / run.name / "history.zarr"
    return history.stat().st_mtime_ns if history.exists() else 0


def watch(experiment: str, runs: list[Run], every: float, once: bool) -> None:
    """Show the progress of runs until all are done.

    Args:
        experiment: Name of the experiment.
        runs: Runs of the experiment.
        every: Seconds between updates of the display.
        once: Show the runs once and return.

    Raises:
        UserError: Training of the runs has not started.
    """
    if not any((runs_folder(experiment) / run.name).exists() for run in runs):
        raise UserError(
            f"No run of {experiment} has started training in {runs_folder(experiment).parent}. "
            f"Start it with `progress-measures train {experiment}` or with Snakemake."
        )
    os.nice(10)  # lower priority than training
    # by name of the run: modification time of its history, and the status that was then read
    latest: dict[str, tuple[int, RunStatus]] = {}
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            rows = {
                run_and_hash.split()[0]: row
                for _, submission, job_rows in rows_of_jobs(experiment)
                for i, row in job_rows.items()
                for run_and_hash in submission.specs[i].runs
            }
            for run in runs:
                modified = _modification_time(run)
                if run.name not in latest or latest[run.name][0] != modified:
                    # while training writes a store, reading it may fail; the display then keeps the previous state
                    with contextlib.suppress(UserError, OSError, KeyError, ValueError):
                        latest[run.name] = (modified, read_run_status(run))
            statuses = {name: status for name, (_, status) in latest.items()}
            panels = [
                run_panel(run, statuses.get(run.name, RunStatus(None, "starting")), rows.get(run.name)) for run in runs
            ]
            live.update(Group(*panels, Text(LEGEND, "dim")), refresh=True)
            if once or all((runs_folder(experiment) / run.name / "done.json").exists() for run in runs):
                break
            time.sleep(every)
    if not live.console.is_terminal:  # outside a terminal, Live does not end its last line
        live.console.print()
