"""How far training is: one line, redrawn in a terminal, appended every half minute in a log file."""

import sys
import time


class Progress:
    """Shows epoch, losses, rate and time left on standard error.

    Args:
        label: the experiment and its run or runs.
        epochs: how many there are.
        start: the epoch that training starts or goes on from.
    """

    def __init__(self, label: str, epochs: int, start: int):
        self._label, self._epochs, self._start = label, epochs, start
        self._terminal = sys.stderr.isatty()
        self._interval = 0.5 if self._terminal else 30.0
        self._began = time.monotonic()
        self._shown = float("-inf")

    @property
    def due(self) -> bool:
        """Whether it is time for another line."""
        return time.monotonic() - self._shown >= self._interval

    def show(self, epoch: int, train_loss: float, test_loss: float) -> None:
        """Print where training stands."""
        self._shown = time.monotonic()
        done = epoch - self._start
        rate = (self._shown - self._began) / done if done else float("nan")
        left = f"{duration(rate * (self._epochs - epoch))} left" if done else "starting"
        line = (
            f"{self._label}  epoch {epoch:,}/{self._epochs:,} ({epoch / self._epochs:.0%})  "
            f"train {train_loss:.3g}  test {test_loss:.3g}  {rate * 1e3:.1f} ms/epoch  {left}"
        )
        end = "\n" if not self._terminal or epoch == self._epochs else ""
        print(f"\r\033[K{line}" if self._terminal else line, end=end, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`1 h 05 min`, `4 min 10 s` or `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
