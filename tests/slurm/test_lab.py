"""The Slurm lab itself: jobs run, GPUs are allocated, and preempted jobs are requeued."""

import subprocess

import pytest
from lab import until


@pytest.fixture
def submit(lab, tmp_path):
    """A function that submits a shell command and returns the job's id. Output goes to `tmp_path`/id; jobs end with the test."""
    submitted = []

    def submit(line, *options):
        command = ["sbatch", "--parsable", f"--output={tmp_path}/%j", *options, "--wrap", line]
        submitted.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        return submitted[-1]

    yield submit
    subprocess.run(["scancel", *submitted], check=True)
    live = ("PENDING", "RUNNING", "COMPLETING")
    assert until(lambda: all(job(lab, id).state not in live for id in submitted), 30)


def job(lab, id):
    return next(job for job in lab.queue() if job.id == id)


def test_job_runs(lab, submit, tmp_path):
    id = submit("echo here", "--job-name=a|b")
    assert until(lambda: job(lab, id).state == "COMPLETED", 30)
    assert job(lab, id).partition == "low"
    assert job(lab, id).name == "a|b"
    assert (tmp_path / id).read_text() == "here\n"


def test_two_jobs_get_one_gpu_each_and_a_third_waits(lab, submit, tmp_path):
    first, second, third = (submit("echo $CUDA_VISIBLE_DEVICES; exec sleep 60", "--gres=gpu:1") for _ in range(3))
    assert until(lambda: all((tmp_path / id).exists() and (tmp_path / id).read_text() for id in (first, second)), 30)
    assert {(tmp_path / id).read_text() for id in (first, second)} == {"0\n", "1\n"}
    assert until(lambda: job(lab, third).reason == "Resources", 30)
    assert job(lab, third).state == "PENDING"


def test_job_survives_the_daemon(lab, submit, tmp_path):
    id = submit(f"while ! test -e {tmp_path}/go; do sleep 0.2; done")
    assert until(lambda: job(lab, id).state == "RUNNING", 30)
    lab.kill_slurmd()
    lab.start_slurmd()
    assert job(lab, id).state == "RUNNING"
    (tmp_path / "go").touch()
    assert until(lambda: job(lab, id).state == "COMPLETED", 30)


def test_preempted_job_is_requeued(lab, submit, tmp_path):
    line = "trap '' TERM; echo run $SLURM_RESTART_COUNT; while sleep 0.2; do :; done"
    low = submit(line, "--ntasks=8")
    assert until(lambda: (tmp_path / low).exists(), 30)
    high = submit("true", "--ntasks=8", "--partition=high")
    assert until(lambda: job(lab, high).state == "COMPLETED", 60)
    assert until(lambda: "run 1" in (tmp_path / low).read_text(), 60)
