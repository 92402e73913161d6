"""The progress of training, shown as a line on standard error and written to a file for other processes.

On a terminal, one line is redrawn. In a log, a new line is printed every half minute.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


class Progress:
    """Shows epoch, losses, time per epoch and time left on standard error.

    Args:
        path: path of a JSON file with the epoch, the losses and the time per epoch, for the process that waits for the job;
            None writes no file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._terminal = sys.stderr.isatty()  # whether standard error is a terminal
        self._interval = 0.5 if self._terminal else 30.0  # seconds between two lines
        self._file_interval = 2.0  # seconds between two versions of the file

    def begin(self, label: str, epochs: int, start: int) -> None:
        """Record the start of training, from which `show` computes the time per epoch.

        Args:
            label: names of the experiment and of the runs that train together.
            epochs: epoch at which training ends.
            start: epoch at which training starts or resumes.
        """
        self._label, self._epochs, self._start = label, epochs, start
        self._began = time.monotonic()
        self._last_shown = self._last_written = float("-inf")

    @property
    def due(self) -> bool:
        """Whether `show` has something to do: it is time to show the line, or to write the file if there is one."""
        now = time.monotonic()
        return now - self._last_shown >= self._interval or (
            self._path is not None and now - self._last_written >= self._file_interval
        )

    def show(self, epoch: int, train_loss: float, test_loss: float) -> None:
        """Write the file, if there is one, and show the line, if it is due or training ends.

        Args:
            epoch: the current epoch.
            train_loss: largest train loss of the runs that train together.
            test_loss: largest test loss of these runs.
        """
        now = time.monotonic()
        epochs_done = epoch - self._start
        seconds_per_epoch = (now - self._began) / epochs_done if epochs_done else float("nan")
        if self._path is not None:
            self._last_written = now
            self._write(
                {
                    "label": self._label,
                    "epoch": epoch,
                    "epochs": self._epochs,
                    "ms_per_epoch": seconds_per_epoch * 1e3 if epochs_done else None,
                    "train_loss": float(train_loss),
                    "test_loss": float(test_loss),
                    "time": time.time(),
                }
            )
        if now - self._last_shown < self._interval and epoch != self._epochs:
            return
        self._last_shown = now
        time_left = f"{duration(seconds_per_epoch * (self._epochs - epoch))} left" if epochs_done else "starting"
        line = (
            f"{self._label}  epoch {epoch:,}/{self._epochs:,} ({epoch / self._epochs:.0%})  "
            f"train {train_loss:.3g}  test {test_loss:.3g}  {seconds_per_epoch * 1e3:.1f} ms/epoch  {time_left}"
        )
        end = "\n" if not self._terminal or epoch == self._epochs else ""
        # in a terminal, "\r\033[K" erases the earlier line
        print(f"\r\033[K{line}" if self._terminal else line, end=end, file=sys.stderr, flush=True)

    def stopped(self, run: str, epoch: int) -> None:
        """Print that a run ends because it meets its stop rule.

        Args:
            run: name of the run.
            epoch: epoch at which the run ends.
        """
        clear = "\r\033[K" if self._terminal else ""
        print(f"{clear}{run} meets `stop_when` at epoch {epoch:,} and ends", file=sys.stderr, flush=True)

    def _write(self, content: dict[str, object]) -> None:
        assert self._path is not None
        # Unlike `files.write_json`, do not flush to disk: training must not wait, and the file is soon out of date.
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self._path)


def duration(seconds: float) -> str:
    """Format seconds as `1 h 05 min`, `4 min 10 s` or `12 s`."""
    minutes, remaining_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {remaining_seconds:02d} s" if minutes else f"{remaining_seconds} s"
