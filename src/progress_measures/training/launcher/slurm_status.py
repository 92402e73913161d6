"""Determine the status of a Slurm job from all that is known about the job.

`squeue` may fail, may omit a running job, and may not yet list a new job. So a job counts as lost only if neither
`squeue` nor `sacct` lists it in two polls in a row, and it has given no sign of life for `PATIENCE` seconds. Signs of
life are its submission, a line of `squeue` or `sacct`, and a change of its `.progress` file.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from progress_measures.training.launcher.pool import EXITED, RUNNING, UNKNOWN, WAITING, JobStatus
from progress_measures.training.launcher.slurm_commands import Line
from progress_measures.training.progress import duration

PROFILE = "profiles/slurm/config.yaml, under set-resources, train"  # where users set the resources of jobs
PATIENCE = 120.0  # seconds without a sign of life after which a job that is not listed counts as lost
# Slurm states of a job that has not exited, and the state that the pool reports for each.
LIVE = {
    "PENDING": WAITING,
    "REQUEUED": WAITING,
    "REQUEUE_HOLD": WAITING,
    "SPECIAL_EXIT": WAITING,
    "CONFIGURING": WAITING,
}
LIVE |= dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"), RUNNING)
# Reasons that Slurm gives for a job that will wait forever, and the setting that is wrong.
UNSATISFIABLE = {
    "PartitionTimeLimit": "runtime is more than the partition allows",
    "PartitionNodeLimit": "the job needs more nodes than the partition allows, or the nodes that it needs are down",
    "BadConstraints": "no node satisfies constraint",
    "AccountNotAllowed": "slurm_account may not use this partition",
    "InvalidAccount": "slurm_account is unknown",
    "InvalidQOS": "qos is unknown",
    "QOSNotAllowed": "qos may not use this partition",
}
# What slurmstepd, Slurm's daemon for a running job, writes into the job's log when memory runs out. The job's state
# often is FAILED, because only one of the processes that Slurm starts for a job is killed.
OUT_OF_MEMORY = re.compile(
    r"^.*(?:oom[-_ ]kill|(?<!CUDA )out[ _]of[ _]memory|exceeded (?:job |step )?memory limit).*$", re.I | re.M
)


class Evidence(NamedTuple):
    """What is known about a job at a poll."""

    line: Line | None  # line of the job in `squeue`, else in `sacct`
    previous: Line | None = None  # the last line of the job that an earlier poll found
    responds: bool = True  # whether `squeue` or `sacct` responded
    unlisted: int = 0  # polls in a row, with this one, in which neither `squeue` nor `sacct` lists the job
    silent: float = 0.0  # seconds since the job's last sign of life
    recorded: bool = False  # the job has recorded its end
    cancel_requested: bool = False  # a request to cancel the job is recorded
    began: bool = False  # the job has written a log
    log_end: str = ""  # the end of the job's log


def status(evidence: Evidence) -> JobStatus:
    """Return the status of a job that follows from the evidence."""
    line, previous = evidence.line, evidence.previous
    if not evidence.responds:  # the last listed state is assumed
        state = LIVE.get(previous.state, UNKNOWN) if previous else UNKNOWN
        return JobStatus(state, "squeue does not respond")
    if line and line.state in LIVE:
        return _status_if_live(line, evidence.cancel_requested)
    if evidence.recorded:
        return JobStatus(EXITED, "its end is recorded")
    if line is None and previous and previous.state not in LIVE:  # it has ended, and Slurm no longer lists it
        return _status_if_exited(evidence._replace(line=previous))
    if line:
        # A requeued job passes through states that are final for other jobs, so one such line is not enough.
        is_repeated = previous is not None and previous.state == line.state
        return (
            _status_if_exited(evidence)
            if is_repeated
            else JobStatus(UNKNOWN, f"ending, Slurm state: {_readable(line)}")
        )
    if evidence.cancel_requested and evidence.unlisted >= 2:
        return JobStatus(EXITED, "canceled", canceled=True)
    if evidence.unlisted < 2 or evidence.silent < PATIENCE:
        return JobStatus(UNKNOWN, "squeue does not list it")
    return _status_if_exited(evidence)


def _status_if_live(line: Line, cancel_requested: bool) -> JobStatus:
    """Return the status of a job that waits or runs."""
    if cancel_requested:
        return JobStatus(LIVE[line.state], "canceled, but Slurm still lists it", machine=line.node)
    if LIVE[line.state] == RUNNING:
        return JobStatus(RUNNING, machine=line.node)
    hint = UNSATISFIABLE.get(line.reason.strip("()"))
    explained = f"{line.reason}: {hint}; change it in {PROFILE}" if hint else line.reason
    return JobStatus(WAITING, "" if line.reason == "None" else explained)


def _status_if_exited(evidence: Evidence) -> JobStatus:
    """Return the status of a job that has ended without recording its end, or that counts as lost."""
    line, previous = evidence.line, evidence.previous
    if evidence.cancel_requested or (line and line.state == "CANCELLED"):
        return JobStatus(EXITED, f"Slurm state: {_readable(line)}" if line else "canceled", canceled=True)
    memory = OUT_OF_MEMORY.search(evidence.log_end)
    if memory or (line and line.state == "OUT_OF_MEMORY"):
        cause = f": {memory[0].strip()}" if memory else ""
        return JobStatus(EXITED, f"out of memory{cause}. Raise shard_mem_mb in {PROFILE}", retry=False)
    if line:
        return JobStatus(EXITED, f"Slurm state: {_readable(line)}")
    if previous and LIVE.get(previous.state) == WAITING and not evidence.began:
        # Slurm 22.05 no longer lists a job of an array that is canceled before it starts.
        return JobStatus(EXITED, "it left the queue without starting: canceled, or lost by Slurm", canceled=True)
    return JobStatus(
        EXITED, f"lost: Slurm does not list it, and it gave no sign of life for {duration(evidence.silent)}"
    )


def _readable(line: Line) -> str:
    """Return the Slurm state of a line in lower case, with the reason that Slurm gives if it adds anything."""
    detail = f" ({line.reason})" if line.reason not in ("None", "NonZeroExitCode", "") else ""
    return f"{line.state.replace('_', ' ').lower()}{detail}"
