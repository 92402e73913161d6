"""Slurm whose answers fail, come late or are wrong: no job is lost, and none trains twice.

A pretended Slurm gives the answers (`support.pretended_slurm`); `tests/slurm` provokes them on a real one.
"""

import collections
import json
import os
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from progress_measures.errors import UserError
from progress_measures.training.launcher import launch, slurm_commands
from progress_measures.training.launcher.slurm import REQUEUES, SUBMIT_PAUSES, SlurmPool, SlurmSettings, _scancel
from progress_measures.training.launcher.slurm_commands import Line
from progress_measures.training.launcher.slurm_status import PATIENCE, Evidence, status
from progress_measures.training.launcher.submission import JobSpec, Submission
from progress_measures.training.launcher.wait import wait
from support.experiments import folder_with, small_runs
from support.pool_tasks import MODULE
from support.pretended_slurm import PretendedSlurm
from support.processes import command

POLL = 15.0  # seconds between polls, on the test's clock


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return installed(tmp_path, monkeypatch)


def installed(folder, monkeypatch, **settings):
    """Return a pretended Slurm whose commands are found first."""
    slurm = PretendedSlurm(folder / "slurm", **settings)
    monkeypatch.setenv("PATH", str(slurm.bin), prepend=os.pathsep)
    return slurm


class Scripted(SlurmPool):
    """A pool whose clock advances by 15 seconds at each poll. Before the poll, the next step of a script is done."""

    def __init__(self, slurm, *steps, settings=None):
        self.slurm, self.steps, self.now, self.polls, self.slept = slurm, list(steps), 0.0, 0, []
        super().__init__(settings or SlurmSettings(), 0.0, clock=lambda: self.now, sleep=self.slept.append)

    def poll(self, submissions):
        self.now += POLL
        self.polls += 1
        assert self.polls < 500, "the jobs did not end"
        (self.steps.pop(0) if self.steps else self.slurm.run_all)()
        return super().poll(submissions)


def nothing():
    """Do nothing in a step."""


def notes(folder, count=3):
    """Return jobs that each append lines to a file, in place of training."""
    path = str(folder / "log")
    return [JobSpec(f"n{i}", f"{MODULE}:note", {"path": path, "text": f"n{i}"}, [f"n{i} x"]) for i in range(count)]


def run(folder, pool, specs=None, retries=2):
    """Submit jobs, unless an earlier process has, and wait until they have ended."""
    specs = notes(folder) if specs is None else specs

    def left(in_progress):
        return [spec for spec in specs if spec.runs[0] not in in_progress and spec.name not in trained(folder)]

    wait(pool, folder / "jobs", "notes", left, retries)


def trained(folder):
    """Return how often each job ran to its end."""
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return collections.Counter(line.split()[2] for line in lines if " end " in line)


def submissions(folder):
    return Submission.all(folder / "jobs")


# The status of a job


def line(state, reason="None"):
    return Line("12", 0, "pm", state, "node1", reason)


PENDING, RUNNING, FAILED, CANCELLED = map(line, ("PENDING", "RUNNING", "FAILED", "CANCELLED"))
LOST = {"unlisted": 2, "silent": PATIENCE}
OOM = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch. Some of your processes may have been killed"


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        # squeue lists it
        (Evidence(PENDING), ("queued", "")),
        (Evidence(line("PENDING", "Priority")), ("queued", "Priority")),
        (Evidence(line("PENDING", "(PartitionTimeLimit)")), ("queued", "runtime is more than the partition allows")),
        (Evidence(RUNNING, PENDING), ("running", "")),
        (Evidence(line("COMPLETING"), RUNNING), ("running", "")),
        (Evidence(RUNNING, FAILED), ("running", "")),  # a requeued job had a state that looked final
        (Evidence(RUNNING, recorded=True), ("running", "")),  # a requeued job had recorded its end
        (Evidence(RUNNING, cancel_requested=True), ("running", "canceled, but Slurm still lists it")),
        # squeue lists its end
        (Evidence(FAILED, RUNNING), ("unknown", "ending, Slurm state: failed")),
        (Evidence(FAILED, FAILED), ("exited", "Slurm state: failed")),
        (Evidence(FAILED, RUNNING, recorded=True), ("exited", "its end is recorded")),
        (Evidence(CANCELLED, CANCELLED), ("canceled", "Slurm state: cancelled")),
        (Evidence(line("COMPLETED"), line("COMPLETED"), cancel_requested=True), ("canceled", "Slurm state: completed")),
        (Evidence(line("NODE_FAIL"), line("NODE_FAIL")), ("exited", "Slurm state: node fail")),
        (Evidence(line("PREEMPTED"), line("PREEMPTED")), ("exited", "Slurm state: preempted")),
        # memory
        (
            Evidence(FAILED, FAILED, log_end=f"epoch 3\n{OOM}\nsrun: x"),
            ("final", f"out of memory: {OOM}. Raise shard_mem_mb"),
        ),
        (Evidence(line("OUT_OF_MEMORY"), line("OUT_OF_MEMORY")), ("final", "out of memory. Raise shard_mem_mb")),
        (
            Evidence(FAILED, FAILED, log_end="StepId=12.0 exceeded memory limit (9 > 8)"),
            ("final", "exceeded memory limit"),
        ),
        (Evidence(FAILED, FAILED, log_end="OutOfMemoryError: CUDA out of memory"), ("exited", "Slurm state: failed")),
        # nothing responds
        (Evidence(None, responds=False), ("unknown", "squeue does not respond")),
        (Evidence(None, PENDING, responds=False, **LOST), ("queued", "squeue does not respond")),
        (Evidence(None, RUNNING, responds=False, cancel_requested=True), ("running", "squeue does not respond")),
        # squeue does not list it
        (Evidence(None, unlisted=1), ("unknown", "squeue does not list it")),
        (Evidence(None, RUNNING, unlisted=1, silent=10 * PATIENCE), ("unknown", "squeue does not list it")),
        (Evidence(None, RUNNING, unlisted=9, silent=PATIENCE - 1), ("unknown", "squeue does not list it")),
        (Evidence(None, RUNNING, unlisted=1, recorded=True), ("exited", "its end is recorded")),
        (Evidence(None, FAILED, unlisted=1), ("exited", "Slurm state: failed")),
        (Evidence(None, RUNNING, unlisted=1, cancel_requested=True), ("unknown", "squeue does not list it")),
        (Evidence(None, RUNNING, unlisted=2, cancel_requested=True), ("canceled", "canceled")),
        (Evidence(None, PENDING, **LOST), ("canceled", "it left the queue without starting")),
        (
            Evidence(None, PENDING, began=True, **LOST),
            ("exited", "lost: Slurm does not list it, and it gave no sign of life"),
        ),
        (
            Evidence(None, RUNNING, began=True, **LOST),
            ("exited", "lost: Slurm does not list it, and it gave no sign of life"),
        ),
        (Evidence(None, **LOST), ("exited", "lost")),
        (Evidence(None, RUNNING, log_end=OOM, **LOST), ("final", "out of memory")),
    ],
)
def test_status_of_a_job(evidence, expected):
    result = status(evidence)
    kind = "canceled" if result.canceled else "final" if not result.retry else result.state
    assert kind == expected[0], result
    assert result.reason == expected[1] or (expected[1] and expected[1] in result.reason), result


def test_limit_of_an_account_is_no_mistake_in_the_profile():
    """Such a job starts when other jobs of the account end."""
    assert status(Evidence(line("PENDING", "(AssociationJobLimit)"))).reason == "(AssociationJobLimit)"


# Wrong answers of squeue


@pytest.mark.parametrize("kind", ["empty", "fail", "garbage"])
def test_wrong_answers_right_after_submission_submit_nothing_twice(slurm, tmp_path, kind):
    slurm.faults("squeue", *[kind] * 6)
    run(tmp_path, Scripted(slurm, *[nothing] * 8))
    assert len(slurm.calls("sbatch")) == 1
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}


def test_running_jobs_that_squeue_does_not_list_are_waited_for_while_they_show_progress(slurm, tmp_path):
    """The answers are wrong for five minutes, longer than a silent job would be waited for."""

    def start():
        for number in slurm.jobs():
            slurm.set(number, "RUNNING")

    def train(epoch):
        for number in slurm.jobs():
            slurm.progress(number, epoch)

    slurm.faults("squeue", "right", "right", *["empty"] * 20)
    run(tmp_path, Scripted(slurm, start, nothing, *[lambda epoch=i: train(epoch) for i in range(20)]))
    assert len(slurm.calls("sbatch")) == 1
    assert not slurm.calls("scancel")
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}


def test_job_that_turns_up_again_is_adopted(slurm, tmp_path):
    slurm_steps = [lambda: slurm.set("1_0", "RUNNING"), nothing, lambda: slurm.forget("1_0"), *[nothing] * 5]
    run(tmp_path, Scripted(slurm, *slurm_steps, lambda: slurm.remember("1_0")))
    assert len(slurm.calls("sbatch")) == 1
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}


def test_lost_job_is_canceled_and_submitted_again_and_does_not_train_if_it_turns_up(slurm, tmp_path):
    def lose():
        slurm.log("1_0", "started\n")
        slurm.forget("1_0")

    def start_both():
        assert len(slurm.calls("sbatch")) == 2
        slurm.remember("1_0")
        slurm.set("1_0", "RUNNING")  # scancel had not reached it
        slurm.run("1_0")
        slurm.run_all()

    steps = [lambda: slurm.set("1_0", "RUNNING"), nothing, lose, *[nothing] * int(PATIENCE / POLL)]
    run(tmp_path, Scripted(slurm, *steps, start_both))
    assert ["1_0"] in slurm.calls("scancel")
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}
    assert "canceled before it started" not in (tmp_path / "log").read_text()


def test_lost_job_is_not_submitted_again_while_scancel_fails(slurm, tmp_path):
    def lose():
        slurm.log("1_0", "started\n")
        slurm.forget("1_0")
        slurm.faults("scancel", *["fail"] * 3)

    patience = [nothing] * int(PATIENCE / POLL)
    pool = Scripted(
        slurm, lambda: slurm.set("1_0", "RUNNING"), nothing, lose, *patience, nothing, lambda: slurm.remember("1_0")
    )
    run(tmp_path, pool)
    assert len(slurm.calls("sbatch")) == 1, "the job was back before scancel worked"
    assert trained(tmp_path)["n0"] == 1


def test_new_process_does_not_submit_again_what_squeue_does_not_list_yet(slurm, tmp_path):
    """The first process was killed; squeue lists nothing when the second one starts, although the jobs wait."""
    pool = Scripted(slurm)
    first = Submission.new(tmp_path / "jobs", "notes", "slurm", notes(tmp_path))
    pool.submit([first])
    slurm.faults("squeue", "empty", "empty", "empty")
    run(tmp_path, Scripted(slurm, *[nothing] * 5))
    assert len(slurm.calls("sbatch")) == 1
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}


def test_accounting_decides_before_patience_does(tmp_path, monkeypatch):
    slurm = installed(tmp_path, monkeypatch, accounting=True)

    def cancel():  # by somebody else
        slurm.set("1_0", "CANCELLED")
        slurm.forget("1_0")

    pool = Scripted(slurm, nothing, nothing, cancel, nothing, nothing)
    with pytest.raises(UserError, match="n0: canceled: Slurm state: cancelled"):
        run(tmp_path, pool)
    assert pool.polls < PATIENCE / POLL
    assert trained(tmp_path) == {"n1": 1, "n2": 1}


def test_lines_of_sacct_are_understood(slurm, monkeypatch):
    output = (
        "7_[0-2,5]|PENDING||pm\n7_3|CANCELLED by 1000|n1|pm\n8|RUNNING|n2|pm\n8.batch|RUNNING|n2|pm\n\nx|y\n9||n|pm\n"
    )
    monkeypatch.setattr(slurm_commands, "run", lambda *_: slurm_commands.subprocess.CompletedProcess([], 0, output, ""))
    found = slurm_commands.sacct(["pm"], datetime.now(UTC))
    assert [(job.number, job.index, job.state) for job in found] == [
        *(("7", i, "PENDING") for i in (0, 1, 2, 5)),
        ("7", 3, "CANCELLED"),
        ("8", None, "RUNNING"),
    ]


# sbatch that does not respond


def test_submitted_array_is_found_by_its_name_if_sbatch_timed_out(slurm, tmp_path):
    slurm.faults("sbatch", "late")
    run(tmp_path, Scripted(slurm, nothing, nothing))
    assert len(slurm.calls("sbatch")) == 1
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}


def test_single_job_is_found_by_its_name_if_sbatch_timed_out(slurm, tmp_path):
    slurm.faults("sbatch", "late")
    run(tmp_path, Scripted(slurm, nothing, nothing), notes(tmp_path, 1))
    assert len(slurm.calls("sbatch")) == 1
    assert trained(tmp_path) == {"n0": 1}


def test_submission_is_repeated_after_longer_and_longer_pauses(slurm, tmp_path):
    """Nothing is submitted while squeue fails, because the array may be in the queue."""
    slurm.faults("sbatch", "fail", "fail", "fail")
    slurm.faults("squeue", "fail", "fail")
    pool, called = Scripted(slurm, *[nothing] * 15), []
    sbatch = pool._sbatch
    pool._sbatch = lambda submission: (called.append(pool.now), sbatch(submission))
    run(tmp_path, pool)
    assert called == [0, 45, 75, 120]  # pauses of at least 10, 20 and 40 s, at polls
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}


def test_array_that_appears_after_it_was_submitted_again_does_not_train(slurm, tmp_path):
    def appear():
        """Slurm takes the first array only now."""
        script = Path(slurm.calls("sbatch")[0][0])
        slurm_commands.run("sbatch", str(script))
        slurm.run("2_0")  # it starts before the pool notices it

    slurm.faults("sbatch", "fail")
    run(tmp_path, Scripted(slurm, nothing, nothing, appear, nothing, nothing))
    assert {job for call in slurm.calls("scancel") for job in call} == {"2"}
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}
    assert not slurm.jobs()


def test_sbatch_that_never_responds_is_given_up_and_says_what_is_known(slurm, tmp_path):
    slurm.faults("sbatch", *["fail"] * 99)
    pool = Scripted(slurm)
    with pytest.raises(UserError) as error:
        run(tmp_path, pool)
    assert len(slurm.calls("sbatch")) == len(SUBMIT_PAUSES) + 1
    assert pool.now >= sum(SUBMIT_PAUSES)
    assert "Socket timed out" in str(error.value)
    assert "called 7 times. If Slurm has accepted the job after all, it ends without training" in str(error.value)
    assert "Nothing was submitted" not in str(error.value)
    slurm.clear_faults()
    run(tmp_path, Scripted(slurm))
    assert trained(tmp_path) == {"n0": 1, "n1": 1, "n2": 1}


def test_given_up_array_that_starts_later_does_not_train(slurm, tmp_path):
    slurm.faults("sbatch", *["fail"] * 6, "late")  # Slurm takes the seventh
    slurm.faults("squeue", *["empty"] * 99)
    with pytest.raises(UserError, match="ends without training"):
        run(tmp_path, Scripted(slurm, *[nothing] * 80))
    slurm.clear_faults()
    slurm.run_all()
    assert not trained(tmp_path)


def test_refusal_after_a_time_out_says_what_continues(slurm, tmp_path):
    pool = Scripted(slurm, lambda: slurm.set("1_0", "FAILED"), lambda: slurm.faults("sbatch", "fail"))
    pool.steps += [lambda: setattr(pool, "settings", SlurmSettings(partition="nowhere"))]
    with pytest.raises(UserError, match=r"nowhere[^$]*2 other jobs of notes are submitted and continue"):
        run(tmp_path, pool)
    assert len(submissions(tmp_path)) == 1


def test_refused_submission_leaves_no_record_and_says_what_continues(slurm, tmp_path):
    nowhere = SlurmSettings(partition="nowhere")
    with pytest.raises(UserError) as error:
        run(tmp_path, Scripted(slurm, settings=nowhere))
    assert "invalid partition specified: nowhere" in str(error.value)
    assert "Nothing was submitted, and nothing is lost." in str(error.value)
    assert not submissions(tmp_path)
    # of two jobs, one fails, and its retry is refused while the other one runs
    pool = Scripted(slurm, lambda: slurm.set("1_0", "FAILED"), lambda: setattr(pool, "settings", nowhere))
    with pytest.raises(UserError, match="2 other jobs of notes are submitted and continue"):
        run(tmp_path, pool)


# Arrays


def test_more_jobs_than_an_array_may_have_are_submitted_as_several_arrays(tmp_path, monkeypatch):
    slurm = installed(tmp_path, monkeypatch, max_array_size=3)
    run(tmp_path, Scripted(slurm, nothing, settings=SlurmSettings(at_once=5)), notes(tmp_path, 8))
    arrays = {re.search(r"--array=(\S+)", Path(script).read_text())[1] for (script,) in slurm.calls("sbatch")}
    assert len(slurm.calls("sbatch")) == 3
    assert arrays == {"0-1%1", "0-2%2"}
    assert trained(tmp_path) == {f"n{i}": 1 for i in range(8)}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("MaxArraySize            = 1001\nMaxDBDMsgs = 20012", 1001),
        ("MaxArraySize            = 4000001\nSchedulerParameters     = bf_interval=2,max_array_tasks=500,x", 500),
        ("", 1001),
    ],
)
def test_largest_array_of_the_cluster(monkeypatch, output, expected):
    monkeypatch.setattr(slurm_commands, "run", lambda *_: slurm_commands.subprocess.CompletedProcess([], 0, output, ""))
    assert slurm_commands.max_array_size() == expected


def test_refusal_of_a_later_array_says_that_the_first_continues(tmp_path, monkeypatch):
    slurm = installed(tmp_path, monkeypatch, max_array_size=2)
    pool = Scripted(slurm)
    sbatch = pool._sbatch

    def refuse_second(submission):
        pool.settings = SlurmSettings(partition="nowhere") if slurm.calls("sbatch") else pool.settings
        sbatch(submission)

    pool._sbatch = refuse_second
    with pytest.raises(UserError, match="2 other jobs of notes are submitted and continue"):
        run(tmp_path, pool, notes(tmp_path, 6))
    (kept,) = submissions(tmp_path)
    assert kept.ids == ["1_0", "1_1"]
    run(tmp_path, Scripted(slurm), notes(tmp_path, 6))
    assert trained(tmp_path) == {f"n{i}": 1 for i in range(6)}


# Canceling


@pytest.fixture
def waiting(slurm, tmp_path, monkeypatch):
    """A folder with an experiment whose two jobs are in the queue, one of them running."""
    folder = folder_with(tmp_path / "work")
    monkeypatch.chdir(folder)
    launch._pools.cache_clear()
    specs = [JobSpec(name, f"{MODULE}:note", {"path": "log", "text": name}) for name in ("seed0", "seed1")]
    submission = Submission.new(Path("results/small/jobs"), "small", "slurm", specs)
    SlurmPool(SlurmSettings()).submit([submission])
    slurm.set("1_0", "RUNNING")
    yield submission
    launch._pools.cache_clear()


def test_cancel_calls_scancel_with_the_number_while_squeue_fails_and_exits_1(slurm, waiting):
    slurm.faults("squeue", *["fail"] * 99)
    canceled = command("cancel", "small", folder=Path.cwd())
    assert canceled.returncode == 1, canceled.stdout + canceled.stderr
    assert ["1"] in slurm.calls("scancel")
    assert "ended" not in canceled.stdout
    assert "it is not known whether these jobs ended: 1_0, 1_1 (squeue does not respond)" in canceled.stderr
    assert not slurm.jobs()
    assert waiting.cancel_requested(0)
    assert waiting.cancel_requested(1)


def test_cancel_succeeds_if_squeue_fails_at_first(slurm, waiting):
    slurm.faults("squeue", "fail", "fail")
    canceled = command("cancel", "small", folder=Path.cwd())
    assert canceled.returncode == 0, canceled.stderr
    assert "ended small/seed0, job 1_0 (squeue does not respond)" in canceled.stdout
    assert not slurm.jobs()


def test_cancel_exits_1_if_scancel_fails(slurm, waiting, monkeypatch):
    monkeypatch.setattr("progress_measures.training.launcher.slurm.CANCEL_PAUSES", (0, 0))
    slurm.faults("scancel", *["fail"] * 99)
    with pytest.raises(UserError, match=r"1_0, 1_1 \(scancel: scancel: error: .*timed out"):
        list(launch.cancel("small"))
    assert slurm.jobs() == ["1_0", "1_1"]


def test_cancel_reaches_jobs_that_squeue_does_not_list(slurm, waiting):
    slurm.faults("squeue", "empty", "empty")
    canceled = command("cancel", "small", folder=Path.cwd())
    assert canceled.returncode == 0
    assert "ended small/seed0, job 1_0 (squeue does not list it)" in canceled.stdout
    assert not slurm.jobs()


def test_cancel_finds_jobs_without_a_recorded_number_by_their_name(slurm, waiting):
    waiting.ids = [None, None]
    waiting.save()
    slurm.faults("squeue", "fail")
    assert len(list(launch.cancel("small"))) == 2
    assert [f"--name={waiting.name}"] in slurm.calls("scancel")
    assert not slurm.jobs()


def test_numbered_jobs_are_canceled_if_scancel_by_name_fails(slurm, waiting, tmp_path):
    unnumbered = Submission.new(tmp_path / "jobs", "other", "slurm", notes(tmp_path, 1))
    slurm.faults("scancel", "fail")
    assert "timed out" in _scancel([(unnumbered, 0), (waiting, 0), (waiting, 1)])
    assert slurm.calls("scancel")[-2:] == [[f"--name={unnumbered.name}"], ["1"]]
    assert not slurm.jobs()


def test_nothing_is_submitted_again_after_cancel(slurm, tmp_path, monkeypatch):
    """Slurm forgets those jobs of an array that had not started."""
    monkeypatch.chdir(tmp_path)
    launch._pools.cache_clear()

    def cancel():
        assert len(list(launch.cancel("notes"))) == 4
        slurm.set("1_0", "FAILED")  # which process of a job is killed first decides its state

    pool = Scripted(slurm, lambda: slurm.set("1_0", "RUNNING"), nothing, cancel)
    with pytest.raises(UserError) as error:
        wait(pool, Path("results/notes/jobs"), "notes", lambda in_progress: notes(tmp_path, 4))
    assert str(error.value).count(": canceled") == 4
    assert len(slurm.calls("sbatch")) == 1
    assert not trained(tmp_path)
    launch._pools.cache_clear()


def test_job_that_is_canceled_while_it_fails_is_not_retried(slurm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launch._pools.cache_clear()

    def cancel():
        list(launch.cancel("notes"))
        slurm.set("1", "FAILED")
        (submission,) = Submission.all(Path("results/notes/jobs"))
        submission.file(0, "failed").write_text(json.dumps({"error": "OSError", "try_again": True}))

    pool = Scripted(slurm, lambda: slurm.set("1", "RUNNING"), cancel)
    with pytest.raises(UserError, match="n0: canceled: OSError"):
        wait(pool, Path("results/notes/jobs"), "notes", lambda in_progress: notes(tmp_path, 1))
    assert len(slurm.calls("sbatch")) == 1
    launch._pools.cache_clear()


def test_pending_job_of_an_array_that_vanishes_was_canceled(slurm, tmp_path):
    pool = Scripted(slurm, nothing, nothing, lambda: slurm_commands.scancel("1_2"))
    with pytest.raises(UserError, match="n2: canceled: it left the queue without starting"):
        run(tmp_path, pool)
    assert len(slurm.calls("sbatch")) == 1
    assert trained(tmp_path) == {"n0": 1, "n1": 1}


def test_line_that_stands_for_the_canceled_jobs_of_an_array_is_not_its_first_job(slurm, tmp_path):
    pool = Scripted(slurm, lambda: slurm.set("1_0", "RUNNING"), nothing, lambda: slurm_commands.scancel("1_1", "1_2"))
    pool.steps += [nothing] * 3
    with pytest.raises(UserError) as error:
        run(tmp_path, pool)
    assert "1|CANCELLED" in slurm_commands.run("squeue", f"--name={submissions(tmp_path)[0].name}").stdout
    assert str(error.value).count(": canceled: it left the queue without starting") == 2
    assert "n0:" not in str(error.value)
    assert trained(tmp_path) == {"n0": 1}


def test_job_that_starts_after_it_was_canceled_does_not_train(slurm, waiting):
    for i in range(2):
        waiting.request_cancel(i)
    slurm.run_all()
    assert not Path("log").exists()
    assert slurm.jobs("COMPLETED") == ["1_0", "1_1"]


def test_start_after_cancel_waits_until_the_canceled_jobs_have_ended(slurm, tmp_path):
    pool = Scripted(slurm)
    first = Submission.new(tmp_path / "jobs", "notes", "slurm", notes(tmp_path, 1))
    pool.submit([first])
    slurm.set("1", "RUNNING")
    first.request_cancel(0)
    slurm.faults("scancel", "fail", "fail")
    run(tmp_path, Scripted(slurm, *[nothing] * 6), notes(tmp_path, 1))
    assert len(slurm.calls("scancel")) == 3
    assert len(slurm.calls("sbatch")) == 2
    assert trained(tmp_path) == {"n0": 1}


# Memory


def test_job_without_memory_is_named_and_not_retried(slurm, tmp_path):
    def kill():
        slurm.log("1_0", f"seed0 epoch 100\n{OOM}\n")
        slurm.set("1_0", "FAILED", "NonZeroExitCode")

    pool = Scripted(slurm, lambda: slurm.set("1_0", "RUNNING"), kill)
    with pytest.raises(UserError) as error:
        run(tmp_path, pool)
    assert "n0: failed: out of memory: slurmstepd: error: Detected 1 oom-kill event(s)" in str(error.value)
    assert "Raise shard_mem_mb in profiles/slurm/config.yaml" in str(error.value)
    assert len(slurm.calls("sbatch")) == 1
    assert trained(tmp_path) == {"n1": 1, "n2": 1}


# submitit and the profile


def test_submitted_files_are_small_refer_to_the_class_and_allow_many_requeues(slurm, tmp_path):
    """submitit 1.5.4 pickles what a function closes over, and counts a preemption as a time-out if the limit is short."""
    from submitit.core.utils import DelayedSubmission

    large = JobSpec("n", f"{MODULE}:note", {"path": "x" * 100_000, "text": "n"})
    submission = Submission.new(tmp_path / "jobs", "notes", "slurm", [large, large])
    Scripted(slurm).submit([submission])
    pickles = sorted((submission.folder / "slurm").glob("*_submitted.pkl"))
    assert len(pickles) == 2
    for path in pickles:
        content = path.read_bytes()
        assert len(content) < 1000
        assert b"progress_measures.training.launcher.worker" in content
        assert b"run_job" not in content
        assert DelayedSubmission.load(path)._timeout_countdown == REQUEUES


def test_time_limit_that_leaves_no_time_to_save_is_refused(slurm):
    """Slurm may send the signal a minute early, so with a shorter limit it could come at once."""
    options = {"device": "cpu", "runs_per_shard": None, "gpu_memory_gb": 40, "poll_seconds": 1, "retries": 0}
    with pytest.raises(UserError, match=r"minutes: Input should be greater than or equal to 3.*signal to save"):
        launch.slurm_plan(small_runs(), {"minutes": 2}, **options)
    plan = launch.slurm_plan(small_runs(), {"minutes": 3}, **options)
    assert plan.pool.settings.minutes == 3


def test_retries_stand_in_the_profile_and_not_in_rules():
    """Snakemake's Slurm plugin 2.8.0 multiplies retries of a rule: 2 make 10 runs."""
    root = Path(__file__).parents[1]
    assert yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())["retries"] >= 1
    rules = "".join(path.read_text() for path in [root / "Snakefile", *(root / "workflow").rglob("*.smk")])
    assert set(re.findall(r"^\s*retries:\s*(\S+)", rules, re.M)) <= {"0"}


def test_page_on_clusters_says_what_a_measuring_job_requests_and_where_it_logs():
    """The plugin runs the members of a group one after the other, so neither the profile nor a rule groups jobs."""
    root = Path(__file__).parents[1]
    page = " ".join((root / "docs/cluster.md").read_text().split())
    rules = (root / "workflow/rules/cubes.smk").read_text()
    texts = rules + (root / "profiles/slurm/config.yaml").read_text()
    assert not re.findall(r"^\s*group(s|-components)?:", texts, re.M)
    assert set(re.findall(r"^\s*threads: (\d+)", rules, re.M)) == {"1"}
    assert "A measuring job computes all measures of one run" in page
    assert "requests one core" in page
    (log,) = re.findall(r'"(results/logs/measure/.*)"', rules)
    assert f"`{log.replace('{experiment}', '<experiment>').replace('{part}', '<run>')}`" in page


# Everything at once


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_or_duplicated_whatever_goes_wrong(seed, tmp_path, monkeypatch):
    """Commands fail, list nothing or print garbage at random; jobs start, are requeued, killed and forgotten at random."""
    draw = random.Random(seed)
    slurm = installed(tmp_path, monkeypatch, accounting=seed % 2 == 1, max_array_size=4)
    provoked = collections.Counter()

    def chaos():
        for name, kinds in {
            "sbatch": ("fail", "late"),
            "squeue": ("fail", "empty", "garbage"),
            "scancel": ("fail", "late"),
            "sacct": ("fail", "empty"),
        }.items():
            kind = draw.choice(kinds) if draw.random() < 0.4 else "right"
            slurm.faults(name, kind)
        for number in slurm.jobs():
            event = draw.choice(["start", "requeue", "kill", "forget", "run", "wait", "wait", "wait"])
            if event != "wait":
                provoked[f"job: {event}"] += 1
            if event == "start":
                slurm.log(number)
                slurm.set(number, "RUNNING")
            elif event == "requeue":
                slurm.set(number, "PENDING")
            elif event == "kill":
                slurm.log(number)
                slurm.set(number, "NODE_FAIL")
            elif event == "forget":
                slurm.log(number)
                slurm.forget(number)
            elif event == "run":
                slurm.run(number)

    def calm():
        slurm.clear_faults()
        slurm.run_all()

    specs = notes(tmp_path, 6)
    for attempt in range(5):  # a command that reports jobs is repeated, as a user does
        try:
            run(tmp_path, Scripted(slurm, *[chaos] * 40, *[calm] * 100), specs, retries=3)
            break
        except UserError:
            assert attempt < 4
    slurm.clear_faults()
    slurm.run_all()  # whatever is still in the queue starts
    counts = trained(tmp_path)
    lost = [spec.name for spec in specs if not counts[spec.name]]
    duplicated = [name for name, count in counts.items() if count > 1]
    provoked.update(slurm.provoked())
    print(f"seed {seed}: {sum(provoked.values())} provoked, lost {len(lost)}, duplicated {len(duplicated)}")
    for kind, count in sorted(provoked.items()):
        print(f"    {kind:20} {count}")
    assert not lost
    assert not duplicated
