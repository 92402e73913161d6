"""Calls Slurm's commands and parses their output.

If a command fails or does not end, the function that calls it raises no error, but returns None, a default or the error
message. A line of an unexpected form is skipped, such as a notice that a site prints, or a line of `squeue` about several
jobs of an array, such as `12_[0-3]`.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import datetime

TIME_LIMIT_SECONDS = 60  # time limit of a command; Slurm's own limits are shorter
DEFAULT_MAX_ARRAY_SIZE = 1001  # Slurm's default
SQUEUE_FORMAT = "%i|%T|%N|%j|%r"  # id, state, node, name, reason; a reason may contain "|"


@dataclass(frozen=True)
class Line:
    """A job, or one job of an array, as `squeue` or `sacct` lists it."""

    number: str  # of the job or its array, such as "12"
    index: int | None  # in the array; None for a job without an array
    name: str
    state: str  # such as PENDING
    node: str = ""
    reason: str = ""


def squeue(names: list[str]) -> list[Line] | None:
    """List the jobs with these names, also those that ended less than Slurm's `MinJobAge` ago; None if `squeue` fails."""
    result = run("squeue", "--states=all", "-r", "-h", f"--name={','.join(names)}", "-o", SQUEUE_FORMAT)
    if result.returncode:
        return None
    lines = []
    for text in result.stdout.splitlines():
        fields = text.split("|", maxsplit=4)
        job = re.fullmatch(r"(\d+)(?:_(\d+))?", fields[0])
        if job and len(fields) == 5:
            index = None if job[2] is None else int(job[2])
            _, state, node, name, reason = fields
            lines.append(Line(job[1], index, name=name, state=state, node=node, reason=reason))
    return lines


def sacct(names: list[str], since: datetime) -> list[Line] | None:
    """List the jobs with these names from Slurm's accounting.

    Args:
        names: names of jobs.
        since: time before which none of the jobs was submitted.

    Returns:
        The jobs; None if `sacct` fails, as on a cluster without accounting.
    """
    from submitit.slurm.slurm import read_job_id

    start = f"--starttime={since.astimezone():%Y-%m-%d}"
    result = run("sacct", "-X", "-n", "-P", f"--name={','.join(names)}", start, "-o", "JobID,State,NodeList,JobName")
    if result.returncode:
        return None
    lines = []
    for text in result.stdout.splitlines():
        fields = text.split("|")
        if len(fields) != 4 or not re.match(r"\d+(_[\d[]|$)", fields[0]) or not fields[1]:
            continue
        for number, *bounds in read_job_id(fields[0]):  # 12, 12_3 or, for jobs that have not started, 12_[0-3,5]
            for index in range(int(bounds[0]), int(bounds[-1]) + 1) if bounds else [None]:
                # the state of a canceled job is "CANCELLED by 1000"
                _, state, node, name = fields
                lines.append(Line(number, index, name=name, state=state.split()[0], node=node))
    return lines


def scancel(*arguments: str) -> str | None:
    """Call `scancel`; return its error message, or None if Slurm accepted the request. Unknown jobs are no error."""
    result = run("scancel", *arguments)
    if result.returncode and "Invalid job id" not in result.stderr:
        return result.stderr.strip() or f"scancel exited with status {result.returncode}"
    return None


def max_array_size() -> int:
    """Return the largest number of jobs in an array of this cluster; Slurm's default if `scontrol` states 0 or none."""
    output = run("scontrol", "show", "config").stdout
    limits = re.findall(r"(?:^MaxArraySize *= *|\bmax_array_tasks=)(\d+)", output, re.MULTILINE)
    return min(map(int, limits), default=DEFAULT_MAX_ARRAY_SIZE) or DEFAULT_MAX_ARRAY_SIZE


def partitions() -> str:
    """Return the names of the cluster's partitions, separated by spaces; `unknown` if `sinfo` lists none."""
    return " ".join(run("sinfo", "-h", "-o", "%R").stdout.split()) or "unknown"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command and return its status and output; the status is 1 if the command does not exist or end in time."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not end within {TIME_LIMIT_SECONDS} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
