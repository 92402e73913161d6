"""Training on a real Slurm: the same bits as at home, whatever happens to its jobs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import xarray as xr
import yaml
from lab import until

from support.checkout import SLURM_PROFILE, slurm_checkout
from support.experiments import folder_with, small_experiment, trained_bytes, trained_folder
from support.processes import command

RUNS = ("seed0", "seed1")
LIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED")


def lasting(seconds, pace):
    """Settings of a run that trains for so long where an update takes `pace` milliseconds."""
    return {"epochs": 100 * max(1, round(10 * seconds / pace)), "checkpoint_every": 20, "evaluate_every": 100}


@pytest.fixture(scope="module")
def pace(tmp_path_factory):
    """Milliseconds an update on this machine."""
    trained = trained_folder(tmp_path_factory.mktemp("pace"), **lasting(4, pace=3))
    return json.loads((trained / "runs/seed0/done.json").read_text())["ms_per_epoch"]


@pytest.fixture(scope="module")
def recipe(pace):
    """Eight seconds a run: long enough to be caught at it."""
    return lasting(8, pace)


@pytest.fixture(scope="module")
def home(tmp_path_factory, recipe):
    """Trained without Slurm, one run after the other."""
    return trained_folder(tmp_path_factory.mktemp("home"), **recipe)


@pytest.fixture
def folder(tmp_path, lab, recipe):
    """An empty folder with the experiment; when the test ends, it must have left no job behind."""
    yield folder_with(tmp_path, **recipe)
    assert until(lambda: not live(lab), 60), live(lab)


class Training:
    """`progress-measures train small --pool slurm`, waiting in a folder."""

    def __init__(self, folder, *options):
        self.folder = folder
        line = [sys.executable, "-m", "progress_measures", "train", "small", "--pool", "slurm", "--poll", "0.5"]
        with (folder / "said").open("a") as said:
            self.process = subprocess.Popen([*line, *options], cwd=folder, stdout=said, stderr=said)

    @property
    def said(self):
        return (self.folder / "said").read_text()

    def under_way(self, runs=RUNS):
        """Wait until runs have states that they could go on from."""
        states = [self.folder / "results/small/runs" / run / "resume" for run in runs]
        assert until(lambda: all(list(state.glob("*.npz")) for state in states) or self.ended, 120), self.said
        assert not self.ended, self.said
        return self

    @property
    def ended(self):
        return self.process.poll() is not None

    def wait(self, status=0, seconds=240):
        assert self.process.wait(seconds) == status, self.said

    def log(self):
        """All that the jobs printed."""
        return "".join(path.read_text() for path in self.folder.glob("results/small/jobs/*/slurm/*/*_log.err"))


def live(lab):
    """Jobs of ours that wait or run."""
    return [job for job in lab.queue() if job.name.startswith("pm-") and job.state in LIVE]


def the_same(folder, home, runs=RUNS):
    """Whether runs ended as at home, to the bit, with each epoch once in their history."""
    asked = yaml.safe_load((folder / "config/experiments/small.yaml").read_text())["training"]["epochs"]
    for run in runs:
        assert trained_bytes(folder / "results/small", run) == trained_bytes(home, run)
        history = xr.open_zarr(folder / "results/small/runs" / run / "history.zarr", consolidated=False)
        assert history.epoch.values.tolist() == list(range(asked + 1))
    return True


@pytest.mark.parametrize("per_shard", ["1", "2"])
def test_jobs_give_the_same_bits(lab, folder, home, per_shard):
    Training(folder, "--runs-per-shard", per_shard, "--gpus", "1").wait()
    assert the_same(folder, home)
    batches = list((folder / "results/small/jobs").glob("pm-*"))
    assert len(batches) == 1
    assert len([job for job in lab.queue() if job.name == batches[0].name]) == 2 // int(per_shard)


def test_a_preempted_job_goes_on(lab, folder, home):
    training = Training(folder, "--partition", "low").under_way()
    with subprocess.Popen(["srun", "-Q", "-p", "high", "-c8", "-t1", "sleep", "1"]) as other:
        assert until(lambda: other.poll() is not None, 120)
        assert other.returncode == 0
    training.wait()
    assert the_same(folder, home)
    assert training.log().count("stopped by SIGUSR2") == 2
    assert len(list((folder / "results/small/jobs").glob("pm-*"))) == 1, "it was submitted again"


def test_a_job_that_needs_longer_than_its_limit_goes_on(lab, pace, tmp_path):
    """It is told half a minute before, of one."""
    long = lasting(60, pace) | {"checkpoint_every": 100}
    here, away = (folder_with(tmp_path / name, **long) for name in ("here", "away"))
    training = Training(away, "--run", "seed0", "--minutes", "1")
    assert command("train", "small", "--run", "seed0", folder=here).returncode == 0
    training.wait(seconds=400)
    assert trained_bytes(away / "results/small") == trained_bytes(here / "results/small")
    assert "stopped by SIGUSR2" in training.log()
    assert until(lambda: not live(lab), 60)


def test_a_requeued_job_goes_on(lab, folder, home):
    training = Training(folder).under_way()
    for job in live(lab):
        subprocess.run(["scontrol", "requeue", job.id], check=True)
    training.wait()
    assert the_same(folder, home)
    assert len(list((folder / "results/small/jobs").glob("pm-*"))) == 1


def test_a_canceled_task_is_told_and_a_new_start_mends_it(lab, folder, home):
    training = Training(folder).under_way()
    (first, _) = sorted(job.id for job in live(lab))
    subprocess.run(["scancel", first], check=True)
    training.wait(status=2)
    assert re.search(r"seed0: canceled: Slurm state: cancelled", training.said)
    log = re.search(r"log: (\S+)", training.said)[1]
    assert (folder / log).exists()
    assert the_same(folder, home, ["seed1"])
    Training(folder).wait()
    assert the_same(folder, home)
    assert len({job.name for job in lab.queue() if folder_jobs(folder) & {job.name}}) == 2


def folder_jobs(folder):
    return {path.name for path in (folder / "results/small/jobs").glob("pm-*")}


def test_jobs_outlive_the_nodes_daemon(lab, folder, home):
    training = Training(folder).under_way()
    lab.kill_slurmd()
    time.sleep(1)  # the daemon is away while they train
    lab.start_slurmd()
    training.wait()
    assert the_same(folder, home)


def test_after_kill_9_a_new_start_waits_for_the_same_jobs(lab, folder, home):
    training = Training(folder).under_way()
    before = {job.id for job in live(lab)}
    training.process.kill()
    training.process.wait()
    again = Training(folder)
    assert until(lambda: "2 running" in again.said, 60), again.said
    assert {job.id for job in live(lab)} == before
    again.wait()
    assert the_same(folder, home)
    assert len(folder_jobs(folder)) == 1


def test_after_kill_9_of_the_workflow_a_new_start_waits_for_the_same_jobs(lab, home, recipe, tmp_path):
    """Snakemake and all that it started are killed, as with the session that they ran in."""
    checkout = slurm_checkout(tmp_path)
    checkout.write("mainline", small_experiment(**recipe))
    trained = "results/mainline/trained.json"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    line = [sys.executable, "-m", "snakemake", *SLURM_PROFILE, trained]
    with subprocess.Popen(
        line, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    ) as first:
        states = tmp_path / "results/mainline/runs"
        assert until(lambda: list(states.glob("*/resume/*.npz")), 120)
        os.killpg(first.pid, signal.SIGKILL)
    assert live(lab)
    checkout.make("--unlock").make(*SLURM_PROFILE, trained)
    assert len(list((tmp_path / "results/mainline/jobs").glob("pm-*"))) == 1
    assert until(lambda: not live(lab), 60), live(lab)
    for run in RUNS:
        assert trained_bytes(tmp_path / "results/mainline", run) == trained_bytes(home, run)


def test_jobs_are_found_even_if_their_numbers_were_never_noted(lab, folder, home):
    """Whoever submitted them was killed between `sbatch` and writing down what it said."""
    training = Training(folder).under_way()
    training.process.kill()
    training.process.wait()
    (record,) = (folder / "results/small/jobs").glob("pm-*/submission.json")
    record.write_text(re.sub(r'"ids": \[[^]]*\]', '"ids": [null, null]', record.read_text()))
    Training(folder).wait()
    assert the_same(folder, home)
    assert len(folder_jobs(folder)) == 1


def test_who_is_told_to_stop_leaves_its_jobs_alone(lab, folder, home):
    training = Training(folder).under_way()
    training.process.send_signal(signal.SIGTERM)
    training.wait(status=130)
    assert "Its jobs keep running" in training.said
    assert len(live(lab)) == 2
    Training(folder).wait()
    assert the_same(folder, home)


def test_jobs_are_listed_and_canceled_and_only_they(lab, folder, home):
    training = Training(folder).under_way()
    stranger = subprocess.run(
        ["sbatch", "--parsable", "-o", "/dev/null", "-t1", "--wrap", "sleep 60"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    listed = command("jobs", folder=folder)
    assert all(f"small/{run}" in listed.stderr for run in RUNS)
    assert all(job.id in listed.stderr for job in live(lab))
    assert stranger not in listed.stderr
    ended = command("cancel", "small", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("ended small/") == 2
    training.wait(status=2)
    assert next(job.state for job in lab.queue() if job.id == stranger) in LIVE
    subprocess.run(["scancel", stranger], check=True)
    Training(folder).wait()
    assert the_same(folder, home)


def test_a_failing_job_is_tried_again_and_then_told(lab, folder):
    """A damaged file, as a failing disk leaves it: not what the user wrote, so another try might help."""
    dataset = folder / "results/small/dataset.zarr"
    assert command("dataset", "small", folder=folder).returncode == 0
    for chunk in (dataset / "train/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"rubbish")
    training = Training(folder, "--retries", "1", "--run", "seed0")
    training.wait(status=2)
    assert re.search(r"seed0: failed, tried 2 times: \w+Error", training.said)
    log = Path(re.search(r"log: (\S+)", training.said)[1])
    assert "Traceback" in (folder / log).read_text()


def test_a_wrong_partition_is_told_in_slurms_words(lab, folder, home):
    training = Training(folder, "--partition", "nowhere")
    training.wait(status=2)
    assert "invalid partition specified: nowhere" in training.said
    assert "Partitions here: low high" in training.said
    assert "profiles/slurm/config.yaml" in training.said
    assert "Traceback" not in training.said
    Training(folder, "--partition", "low").wait()
    assert the_same(folder, home)


def test_a_limit_that_the_partition_refuses_is_told(lab, folder):
    """Slurm takes such a job and never starts it; the table says why, and what to change."""
    training = Training(folder, "--minutes", "9999", "--run", "seed0")
    assert until(lambda: "runtime is more than the partition allows" in training.said or training.ended, 60)
    assert not training.ended, training.said
    assert command("cancel", "small", folder=folder).returncode == 0
    training.wait(status=2)


def test_a_wrong_account_is_told_in_slurms_words(lab, folder, tmp_path, monkeypatch):
    """This Slurm has no accounting and takes any account; one that has answers so."""
    fake = tmp_path / "bin"
    fake.mkdir()
    said = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
    (fake / "sbatch").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    (fake / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    training = Training(folder, "--account", "nobody")
    training.wait(status=2)
    assert "Invalid account or account/partition combination specified" in training.said
    assert "account nobody" in training.said


def test_83_jobs_wait_their_turn_and_who_waits_costs_little(lab, tmp_path):
    """Eight of 83 trivial tasks run at a time; the process that waits takes less than 200 MiB and 2 % of a core."""
    code = """
import sys
from pathlib import Path
from progress_measures.training.launcher.submission import Task
from progress_measures.training.launcher.launch import SlurmPool, SlurmSettings, wait
path = sys.argv[1]
tasks = [Task(f"n{i}", "support.pool_tasks:note", {"path": path, "text": str(i), "seconds": 1.0}) for i in range(83)]
settings = SlurmSettings(at_once=8, memory_mb=200, minutes=5)
wait(SlurmPool(settings, poll_seconds=10), Path("jobs"), "notes", lambda in_hand: tasks)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "log"], cwd=tmp_path, env=environment, stdout=said, stderr=said
        )
    assert until(lambda: live(lab), 30)
    watched = psutil.Process(process.pid)
    before, since = sum(watched.cpu_times()[:4]), time.monotonic()
    most = memory = cpu = 0
    while process.poll() is None:
        most = max(most, sum(job.state == "RUNNING" for job in live(lab)))
        try:
            memory = max(memory, watched.memory_info().rss)
            cpu = (sum(watched.cpu_times()[:4]) - before) / (time.monotonic() - since)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.5)
    assert process.wait() == 0, (tmp_path / "said").read_text()
    ends = (tmp_path / "log").read_text().count(" end ")
    print(
        f"at most {most} at a time; {memory / 2**20:.0f} MiB; {cpu:.2%} of a core over {time.monotonic() - since:.0f} s"
    )
    assert ends == 83
    assert most == 8
    assert memory < 200 * 2**20
    assert cpu < 0.02
