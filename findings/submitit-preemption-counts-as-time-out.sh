#!/usr/bin/env bash
# submitit counts every preemption of a job with a time limit of ten minutes or less as a time-out.
#
# Expected: a job that is preempted is requeued as often as it takes. `max_num_timeout` (3 by default) limits how often a
#   job may reach its time limit, and a job that is told to stop in its first second has not reached it.
# What happens: submitit compares the time that has passed with the smaller of 80 % of the limit and the limit less ten
#   minutes. For limits of ten minutes or less this is zero or negative, so every signal is a time-out: the log says "Job
#   has timed out. Ran 0 minutes out of requested 10 minutes." A function without a `checkpoint` method is then
#   not requeued at all. A function with one is requeued until `max_num_timeout` is used up.
# What to do: give the function a `checkpoint` method and set `max_num_timeout` high, or ask for the time that a run takes
#   and ten minutes more.
# Why it matters: small networks train in minutes. On a partition that preempts, their runs fail as "timed-out", although
#   they had most of their time left.
# Versions: submitit 1.5.4, Python 3.11 or later. No Slurm is needed: submitit's local executor has the same handler, and
#   the job sends itself the signal that Slurm sends. Known to submitit's authors (their issue 1656).
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
    """A job that is told to stop in the first second of each of its first four runs."""
    runs = Path(name)
    runs.open("a").write("*")
    if len(runs.read_text()) <= PREEMPTIONS:
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(30)
    return "finished"


class Train(submitit.helpers.Checkpointable):
    """The same with a checkpoint method: the same call is submitted again."""

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
    runs = len(Path(name).read_text())
    print(f"    {what:23}{minutes:3} minutes: {runs} runs, all {cases}; {end}")
    return runs, cases, end


described = {
    ("with a checkpoint", Train(), 11): (5, "preempted", "finished"),
    ("with a checkpoint", Train(), 10): (4, "timed-out", "Job not requeued because: timed-out too many times"),
    ("without a checkpoint", train, 11): (5, "preempted", "finished"),
    ("without a checkpoint", train, 10): (1, "timed-out", "Job not requeued because: timed-out and not checkpointable"),
}
wrong = [" ".join(map(str, asked)) for asked, end in described.items() if run(*asked) != end]
if wrong:
    sys.exit(f"NOT AS DESCRIBED: {wrong}")
print("As described: with ten minutes every preemption is a time-out, with eleven none is.")
PY
PYTHONPATH=$folder venv/bin/python try.py
