#!/usr/bin/env bash
# If a job's time limit is ten minutes or less, submitit counts every preemption as a time-out.
#
# Expected: a preempted job is requeued after every preemption. `max_num_timeout` (3 by default) limits how often a job may
#   reach its time limit. A job that is preempted in its first second has not reached its time limit.
# What happens: submitit counts a time-out if the job has run longer than 80 % of its limit, or longer than its limit minus
#   ten minutes. For limits of ten minutes or less, the second threshold is zero or negative, so every signal is a time-out:
#   the log says "Job has timed out. Ran 0 minutes out of requested 10 minutes." A function without a `checkpoint` method is
#   then not requeued at all. A function with a `checkpoint` method is requeued only `max_num_timeout` times.
# What to do: give the function a `checkpoint` method and set `max_num_timeout` high, or request ten minutes more than
#   a run takes.
# Why it matters: small networks train in minutes. On a partition that preempts, their runs fail as "timed-out", although
#   most of their time was left.
# Versions: submitit 1.5.4, Python 3.11 or later. Needs no Slurm: submitit's local executor has the same signal handler, and
#   the job sends itself the signal that Slurm would send. Known to submitit's authors (their issue 1656).
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check submitit==1.5.4 2>&1 | grep -v '^WARNING' || true

cat > jobs.py <<'PY'
import os
import signal
import time
from pathlib import Path

import submitit

PREEMPTIONS = 4


def train(name):
    """A job that gets the signal of a preemption in the first second of each of its first four starts."""
    starts = Path(name)  # one star per start
    starts.open("a").write("*")
    if len(starts.read_text()) <= PREEMPTIONS:
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(30)
    return "finished"


class Train(submitit.helpers.Checkpointable):
    """The job `train` with a checkpoint method, which submits the same call again."""

    def __call__(self, name):
        return train(name)
PY
cat > try.py <<'PY'
import re
import sys
from pathlib import Path

import submitit
from jobs import PREEMPTIONS, Train, train

print("submitit", submitit.__version__)
assert submitit.__version__ == "1.5.4", "this is about version 1.5.4"
print(f"A job that is preempted {PREEMPTIONS} times, each time in its first second, with max_num_timeout=3:")


def run(what, function, minutes):
    executor = submitit.LocalExecutor(folder="logs", max_num_timeout=3)
    executor.update_parameters(timeout_min=minutes)
    name = f"{what} {minutes}".replace(" ", "-")
    job = executor.submit(function, name)
    try:
        end = job.result()
    except submitit.core.utils.FailedJobError as error:
        end = re.search(r"Job not requeued because: .*", str(error)).group(0).rstrip(".")
    log = job.paths.stderr.read_text() + job.paths.stdout.read_text()
    cases = ", ".join(sorted(set(re.findall(r"this job is ([a-z-]+)\.", log))))
    starts = len(Path(name).read_text())
    print(f"    {what:23}{minutes:3} minutes: {starts} starts, signals counted as {cases}; {end}")
    return starts, cases, end


# what, function, time limit: number of starts, how the signals are counted, how the job ends
described = {
    ("with a checkpoint", Train(), 11): (5, "preempted", "finished"),
    ("with a checkpoint", Train(), 10): (4, "timed-out", "Job not requeued because: timed-out too many times"),
    ("without a checkpoint", train, 11): (5, "preempted", "finished"),
    ("without a checkpoint", train, 10): (1, "timed-out", "Job not requeued because: timed-out and not checkpointable"),
}
wrong = [" ".join(map(str, job)) for job, outcome in described.items() if run(*job) != outcome]
if wrong:
    sys.exit(f"NOT AS DESCRIBED: {wrong}")
print("As described: with a limit of ten minutes every preemption counts as a time-out, with eleven minutes none does.")
PY
PYTHONPATH=$folder venv/bin/python try.py
