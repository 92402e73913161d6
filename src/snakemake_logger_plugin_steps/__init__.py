"""Snakemake's output on the terminal: one line per step, and a dry run as a table of rules.

The default profile selects this plugin with `logger: steps`. Snakemake finds it by the name of this package. Snakemake's own log
file in `.snakemake/log/` keeps every detail: inputs, reasons and shell commands. With `--verbose`, the terminal shows them too.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from logging import WARNING
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# Snakemake imports every plugin of the environment, also for a workflow that uses another revision of
# `progress_measures`. An import of that package at the top of this module would load the environment's revision into
# such a workflow, so functions import it.

LOG_FILE_ONLY = (
    *("Assuming unrestricted shared filesystem usage", "Building DAG of jobs", "Using shell:", "Provided cores:"),
    *("Rules claiming more threads", "Conda environments: ignored", "Select jobs to execute", "Execute "),
    "Elapsed time:",
    *("Shutting down, this might take some time", "SLURM run ID:", "Cleaning up SLURM log files"),
    # the table of a dry run states the same
    *("Reasons:", "Some jobs were triggered by provenance information", "Rules with provenance triggered jobs:"),
    # the line and the error of the failed step state the same
    *("RuleException:\nCalledProcessError", "WorkflowError:\nAt least one job did not complete successfully"),
)
"""Beginnings of Snakemake's messages that appear only in its log file. Others also appear on the terminal."""

LOG_FILES = "Complete log(s): "
END_OF_DRY_RUN = "This was a dry-run"

PRINTS_ITS_PROGRESS = "train"
"""The rule whose command prints to the terminal while it runs."""

REASONS = {
    "Missing output files": "missing",
    "Incomplete output files": "incomplete",
    "Updated input files": "newer input: {}",
    "Input files updated by another job": "new input",
    "Set of input files has changed since last execution": "other inputs",
    "Code has changed since last execution": "its command has changed",
    "Params have changed since last execution": "its parameters have changed",
    "Forced execution": "requested",
    "Rules with neither input nor output files are always executed.": "",
}
"""Snakemake's reasons for a job, and how the table of a dry run words them; `{}` stands for the first file."""


class WorkflowStep(NamedTuple):
    """A job of Snakemake, as its log record describes it."""

    rule: str
    makes: str  # the files that it makes
    reason: str  # why Snakemake runs it
    started: float  # time of `time.monotonic()`, in seconds

    @classmethod
    def of(cls, record: Any) -> WorkflowStep:
        """Return the step whose start a log record reports."""
        from progress_measures.plain_text import file_list

        return cls(record.rule_name, file_list(record.output), getattr(record, "reason", ""), time.monotonic())


class LogHandler(LogHandlerBase):
    """Prints how many steps each rule has, one line when a step ends, warnings and errors, and last how many steps were done.

    In a terminal, a last line names the running steps, unless one of them prints its own progress. The next output erases
    this line.
    """

    def __post_init__(self) -> None:
        self._stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self._terminal = self._stream.isatty()
        self._began = time.monotonic()
        self._counts: dict[str, int] = {}  # steps of each rule
        self._planned: list[WorkflowStep] = []
        self._running: dict[int, WorkflowStep] = {}  # by the id of the job
        self._done = 0

    writes_to_stream = True
    writes_to_file = False
    has_filter = False  # so Snakemake adds its own filter, which obeys --quiet
    has_formatter = False  # so Snakemake adds its own formatter, for errors and with --verbose
    needs_rulegraph = False

    def emit(self, record: Any) -> None:
        """Print the lines for a log record of Snakemake, if there are any."""
        try:
            self._show(record)
        except Exception:  # otherwise Snakemake's thread that calls this would end, and with it all output
            self.handleError(record)

    def _show(self, record: Any) -> None:
        event = getattr(record, "event", None)
        if self.common_settings.verbose:
            self._print(self.format(record))
        elif event == LogEvent.RUN_INFO:
            self._plan(record.stats)
        elif event == LogEvent.JOB_INFO:
            self._running[record.jobid] = WorkflowStep.of(record)
            self._planned.append(self._running[record.jobid])
        elif event == LogEvent.JOB_FINISHED:
            self._done += 1
            if step := self._running.pop(record.job_id, None):  # None with `--quiet rules`
                self._step(step)
        elif event == LogEvent.JOB_ERROR:
            self._step(self._running.pop(record.jobid, WorkflowStep.of(record)), "FAILED")
            self._print(self.format(record))  # with the step's command and, as the default profile requests, its log
        elif event is None or record.levelno >= WARNING:
            self._message(self.format(record))
        self._show_running()

    def _plan(self, counts: dict[str, int]) -> None:
        """Store how many steps each rule has; print these numbers, unless this is a dry run."""
        self._counts = {rule: count for rule, count in counts.items() if rule != "total"}
        if not self.common_settings.dryrun:
            rules = ", ".join(f"{count:,} {rule}" for rule, count in self._counts.items())
            self._print(f"{_steps(self._counts)}: {rules}")

    def _step(self, step: WorkflowStep, state: str = "") -> None:
        """Print the line of a step that has ended: its number, how long it took, its rule and its files."""
        total = sum(self._counts.values())
        number = f"[{self._done:{len(str(total))}}/{total}]"
        rule = f"{step.rule:{max(map(len, self._counts), default=0)}}"
        columns = (number, f"{_time_since(step.started):>12}", rule, state, step.makes)
        self._print("  ".join(text for text in columns if text).rstrip())

    def _message(self, text: str) -> None:
        """Print a message of Snakemake, unless it is for the log file only."""
        if text.startswith(LOG_FILES):
            elapsed = _time_since(self._began)
            logs = ", ".join(_short(path) for path in text.removeprefix(LOG_FILES).split(", "))
            self._print(f"{self._done} of {_steps(self._counts)} in {elapsed}. Details: {logs}")
        elif text.startswith(END_OF_DRY_RUN):
            self._print(dry_run_table(self._counts, self._planned))
        elif not text.startswith(LOG_FILE_ONLY):
            self._print(text)

    def _show_running(self) -> None:
        """In a terminal, name the running steps in a line that the next output erases.

        Print nothing if one of these steps prints its own progress.
        """
        steps = self._running.values()
        if not self._terminal or self.common_settings.dryrun or not steps:
            return
        if not any(step.rule == PRINTS_ITS_PROGRESS for step in steps):
            text = "now: " + ", ".join(f"{step.rule} {step.makes}" for step in steps)
            self._stream.write(f"\r\033[K{text:.{shutil.get_terminal_size().columns - 1}}\r")
            self._stream.flush()

    def _print(self, text: str) -> None:
        erase = "\r\033[K" if self._terminal else ""
        self._stream.write(f"{erase}{text}\n")
        self._stream.flush()


def dry_run_table(counts: dict[str, int], steps: list[WorkflowStep]) -> str:
    """Return the table of a dry run: for each rule the number of steps, what they make, and why.

    Args:
        counts: number of steps of each rule, in the order of the table's rows.
        steps: all steps.

    Returns:
        The table, and how to list single steps.
    """
    from progress_measures.plain_text import text_table

    rows = []
    for rule, count in counts.items():
        rule_steps = [step for step in steps if step.rule == rule]
        made = sorted(step.makes for step in rule_steps) or [""]
        folder = os.path.commonpath([made[0], made[-1]])
        makes = made[0] if len(made) == 1 else f"{made[0]} … {os.path.relpath(made[-1], folder)}"
        reasons = dict.fromkeys(reason for step in rule_steps for reason in _reasons(step.reason))
        rows.append([rule, f"{count:,}", makes, ", ".join(filter(None, reasons))])
    return (
        f"{text_table(['rule', 'steps', 'makes', 'because'], rows)}\n\n"
        f"{_steps(counts)}. This was a dry run: nothing was run. `--verbose` lists each step with its inputs, reason and command."
    )


def _time_since(start: float) -> str:
    """Return the time since a time of `time.monotonic()` as a text."""
    from progress_measures.training.progress import duration

    return duration(time.monotonic() - start)


def _reasons(text: str) -> list[str]:
    """Return why Snakemake runs a job.

    If there are several reasons, `new input` (an earlier step makes an input of the job) is left out.
    """
    reasons = []
    for reason in text.split("; "):
        kind, _, files = reason.partition(": ")
        reasons.append(REASONS.get(kind, kind).replace("{}", files.partition(", ")[0]))
    input_of_earlier_step = REASONS["Input files updated by another job"]
    return [reason for reason in reasons if reason != input_of_earlier_step] or reasons


def _short(path: str) -> str:
    """Return a path relative to the current folder; a path outside this folder is returned unchanged."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def _steps(counts: dict[str, int]) -> str:
    """Return the number of all steps, as `1 step` or `1,234 steps`."""
    total = sum(counts.values())
    return f"{total:,} step{'' if total == 1 else 's'}"
