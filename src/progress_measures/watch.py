"""Follows a training in the terminal: what its checkpoints say so far, as small curves.

It reads what training has written and holds no lock, so that training never waits for it. Measures are those of the cube,
of at most `CHECKPOINTS` checkpoints; the last one there is stands for the final network, so key frequencies and what
depends on them may still change.
"""

import contextlib
import os
import time
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from progress_measures.cube.extract import CheckpointReader, compute_measures
from progress_measures.cube.gather import history_of
from progress_measures.cube.structure import applies
from progress_measures.errors import UserError
from progress_measures.measures import measures
from progress_measures.measures.phases import FINAL, circuit_formation_end, cleanup_end
from progress_measures.paths import runs_folder
from progress_measures.tasks import layout
from progress_measures.tasks.split import train_mask
from progress_measures.training.launcher.launch import rows_of_jobs
from progress_measures.training.launcher.table import JobRow
from progress_measures.training.progress import duration

CHECKPOINTS = 32  # measured a run
FITTED = 0.999  # train accuracy from which the training pairs are memorized
RISE = 3.0  # factor above its least value at which the largest excluded loss has turned
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
"""What is shown, where it applies, and the scale of its curve."""

LEGEND = "Curves from epoch 0 to now, each from its least to its largest; losses and weights on logarithmic scales."


class Standing(NamedTuple):
    """Where a run stands.

    Attributes:
        so_far: what was measured of it, over `epoch`; None where no checkpoint is there yet.
        phase: in a word or two.
    """

    so_far: xr.Dataset | None
    phase: str


def read_standing(run: Any) -> Standing:
    """Measure what there is of a run.

    Raises:
        UserError: its checkpoints are damaged, or just being written.
    """
    folder = runs_folder(run.experiment) / run.name
    if not (folder / "history.zarr").exists():
        return Standing(None, "not started" if not (folder / "checkpoints.zarr").exists() else "starting")
    history = history_of(run)
    weights = _Written(run, int(history.history_epoch[-1]))
    if not weights.epochs.size:
        return Standing(history, "starting")
    chosen = [
        m for name, m in measures().items() if name in (*CURVES, "train_accuracy", "key_frequency") and applies(m, run)
    ]
    mask = np.zeros(0, dtype=bool) if run.on_sequences else train_mask(run, layout(run.task).operands)
    found = compute_measures(run, chosen, weights, mask).merge(history)
    return Standing(found, phase(found))


class _Written:
    """Some of the checkpoints that are written, evenly spaced, the last among them."""

    def __init__(self, run: Any, until: int):
        self._all = CheckpointReader(run)
        there = np.flatnonzero(self._all.written & (self._all.epochs <= until))
        spread = np.linspace(0, len(there) - 1, min(CHECKPOINTS, len(there))).round().astype(int)
        self._index = there[np.unique(spread)] if len(there) else there
        self.epochs: NDArray[np.int64] = self._all.epochs[self._index]

    def __getitem__(self, index: int) -> dict[str, NDArray[np.float32]]:
        return self._all[int(self._index[index])]


def phase(so_far: xr.Dataset) -> str:
    """The phase that a run is in, as far as the rules can tell before it is over.

    The cleanup begins where the cube's rule puts the end of circuit formation. Before that, the training pairs are
    memorized at 99.9 % train accuracy, and circuits form once the largest excluded loss has risen threefold from its
    least.
    """
    if "maximal_excluded_loss" not in so_far:
        return "training"
    if np.isfinite(circuit_formation_end(so_far).epoch):
        settled, last = cleanup_end(so_far).epoch, float(so_far.epoch[-1])
        return "generalized" if settled <= (1 - FINAL) * last else "cleanup"
    if float(so_far.train_accuracy[-1]) < FITTED:
        return "memorization"
    excluded = so_far.maximal_excluded_loss.values
    return "circuit formation" if excluded[-1] > RISE * np.nanmin(excluded) else "memorized"


def curve(values: NDArray[Any], scale: str, width: int = WIDTH) -> str:
    """Numbers as a line of small bars from their least to their largest; blank where there is none."""
    values = np.asarray(values, dtype=float)
    heights = np.log10(np.maximum(values, 1e-30)) if scale == "log" else values
    if len(heights) > width:
        heights = heights[np.linspace(0, len(heights) - 1, width).round().astype(int)]
    known = heights[np.isfinite(heights)]
    if not known.size:
        return ""
    span = float(known.max() - known.min()) or 1.0
    steps = np.nan_to_num((heights - known.min()) / span * (len(BARS) - 1)).round().astype(int)
    return "".join(BARS[step] if np.isfinite(height) else " " for step, height in zip(steps, heights, strict=True))


def shown(run: Any, standing: Standing, row: JobRow | None) -> RenderableType:
    """One run: where it stands, and its curves."""
    so_far, epochs = standing.so_far, run.training.epochs
    reached = 0 if so_far is None else int(so_far.history_epoch[-1])
    facts = [
        f"epoch {reached:,} of {epochs:,}",
        standing.phase if so_far is not None else f"{standing.phase}: nothing to measure yet",
    ]
    if reached >= epochs:
        facts.append("done")
    elif row is not None:
        facts.append(row.state)
        if rate := (row.progress or {}).get("ms_per_epoch"):
            facts.append(f"{rate:.1f} ms/epoch")
        if row.seconds_left is not None:
            facts.append(f"{duration(row.seconds_left)} left")
    head = Text.assemble((run.name, "bold"), "  ", ", ".join(facts))
    if so_far is None:
        return head
    curves = Table.grid(padding=(0, 2))
    for name, scale in CURVES.items():
        measured = next((known for known in (name, f"history_{name}") if known in so_far), None)
        if measured is not None and np.isfinite(so_far[measured]).any():
            values = so_far[measured]
            curves.add_row(f"  {values.long_name}", curve(values.values, scale), f"{float(values[-1]):.3g}")
    lines: list[RenderableType] = [head, curves]
    if "key_frequency" in so_far:
        keys = so_far.frequency.values[so_far.key_frequency.values]
        said = " ".join(map(str, keys)) if keys.size else "none yet"
        lines.append(Text(f"  key frequencies, by the last checkpoint: {said}"))
    return Group(*lines)


def _stamp(run: Any) -> int:
    """Changes when training has written something."""
    history = runs_folder(run.experiment) / run.name / "history.zarr"
    return history.stat().st_mtime_ns if history.exists() else 0


def watch(experiment: str, runs: list[Any], every: float, once: bool) -> None:
    """Show runs as they train, until all are done.

    Args:
        runs: of the experiment.
        every: seconds between looks.
        once: look once.
    Raises:
        UserError: nothing of them is there.
    """
    if not any((runs_folder(experiment) / run.name).exists() for run in runs):
        raise UserError(
            f"Nothing of {experiment} is being trained in {runs_folder(experiment).parent}: "
            f"start it with `progress-measures train {experiment}`, or with Snakemake."
        )
    os.nice(10)  # training comes first
    seen: dict[str, tuple[int, Standing]] = {}
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            rows = {
                trained.split()[0]: row
                for _, _, batch, found in rows_of_jobs(experiment)
                for i, row in found.items()
                for trained in batch.tasks[i].runs
            }
            for run in runs:
                stamp = _stamp(run)
                if run.name not in seen or seen[run.name][0] != stamp:
                    with contextlib.suppress(UserError, OSError, KeyError, ValueError):  # it is just being written
                        seen[run.name] = (stamp, read_standing(run))
            standing = {name: one for name, (_, one) in seen.items()}
            views = [shown(run, standing.get(run.name, Standing(None, "starting")), rows.get(run.name)) for run in runs]
            live.update(Group(*views, Text(LEGEND, "dim")), refresh=True)
            if once or all((runs_folder(experiment) / run.name / "done.json").exists() for run in runs):
                break
            time.sleep(every)
    if not live.console.is_terminal:  # where Live does not end its last line
        live.console.print()
