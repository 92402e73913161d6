"""Training on a real Slurm: results are identical to local ones after preemption, requeuing, kills and cancellation."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import xarray as xr
import yaml
from lab import until

from support.checkout import SLURM_PROFILE, slurm_checkout
from support.experiments import folder_with, small_experiment, trained_bytes, trained_folder
from support.pool_tasks import FOLDER
from support.pretended_slurm import PretendedSlurm
from support.processes import command

RUNS = ("seed0", "seed1")
LIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED")


def settings_for(seconds, pace):
    """Return settings with which training takes about `seconds`, if an update takes `pace` milliseconds.

    Training takes longer on a slow machine, because it must save its state long before it ends: after 20 checkpoints.
    """
    return {"epochs": 100 * max(16, round(10 * seconds / pace)), "checkpoint_every": 20, "evaluate_every": 100}


@pytest.fixture(scope="module")
def pace(tmp_path_factory):
    """Milliseconds of an update on this machine."""
    trained = trained_folder(tmp_path_factory.mktemp("pace"), **settings_for(4, pace=3))
    return json.loads((trained / "runs/seed0/done.json").read_text())["ms_per_epoch"]


@pytest.fixture(scope="module")
def recipe(pace):
    """Training settings for eight seconds of training, long enough to be interrupted."""
    return settings_for(8, pace)


@pytest.fixture(scope="module")
def local(tmp_path_factory, recipe):
    """Results trained without Slurm, one run after the other."""
    return trained_folder(tmp_path_factory.mktemp("local"), **recipe)


@pytest.fixture
def folder(tmp_path, lab, recipe):
    """A folder with the experiment; the test must leave no job behind."""
    yield folder_with(tmp_path, **recipe)
    assert until(lambda: not live_jobs(lab), 60), live_jobs(lab)


class Training:
    """A process of `progress-measures train small --pool slurm` in a folder."""

    def __init__(self, folder, *options):
        self.folder = folder
        line = [sys.executable, "-m", "progress_measures", "train", "small", "--pool", "slurm", "--poll", "0.5"]
        with (folder / "output").open("a") as output:
            self.process = subprocess.Popen([*line, *options], cwd=folder, stdout=output, stderr=output)

    @property
    def output(self):
        return (self.folder / "output").read_text()

    def under_way(self, runs=RUNS):
        """Wait until runs have resumable states."""
        states = [self.folder / "results/small/runs" / run / "resume" for run in runs]
        assert until(lambda: all(list(state.glob("*.npz")) for state in states) or self.ended, 120), self.output
        assert not self.ended, self.output
        return self

    @property
    def ended(self):
        return self.process.poll() is not None

    def wait(self, status=0, seconds=240):
        assert self.process.wait(seconds) == status, self.output

    def log(self):
        """Return the output of all jobs."""
        return "".join(path.read_text() for path in self.folder.glob("results/small/jobs/*/slurm/*_log.err"))


def live_jobs(lab):
    """Return the training jobs that wait or run."""
    return [job for job in lab.queue() if job.name.startswith("pm-") and job.state in LIVE]


def assert_same_results(folder, local, runs=RUNS):
    """Assert that runs are identical to runs trained locally, and that their history has each epoch once."""
    epochs = yaml.safe_load((folder / "config/experiments/small.yaml").read_text())["training"]["epochs"]
    for run in runs:
        assert trained_bytes(folder / "results/small", run) == trained_bytes(local, run)
        history = xr.open_zarr(folder / "results/small/runs" / run / "history.zarr", consolidated=False)
        assert history.epoch.values.tolist() == list(range(epochs + 1))


@pytest.mark.parametrize("per_shard", ["1", "2"])
def test_jobs_give_identical_results(lab, folder, local, per_shard):
    Training(folder, "--runs-per-shard", per_shard, "--gpus", "1").wait()
    assert_same_results(folder, local)
    submissions = list((folder / "results/small/jobs").glob("pm-*"))
    assert len(submissions) == 1
    assert len([job for job in lab.queue() if job.name == submissions[0].name]) == 2 // int(per_shard)


def test_preempted_job_resumes(lab, folder, local):
    training = Training(folder, "--partition", "low").under_way()
    with subprocess.Popen(["srun", "-Q", "-p", "high", "-c8", "-t1", "sleep", "1"]) as other:
        assert until(lambda: other.poll() is not None, 120)
        assert other.returncode == 0
    training.wait()
    assert_same_results(folder, local)
    assert training.log().count("stopped by SIGUSR2") == 2
    assert len(list((folder / "results/small/jobs").glob("pm-*"))) == 1, (
        "the job was submitted again instead of requeued"
    )


def test_job_that_exceeds_its_time_limit_resumes(lab, pace, tmp_path):
    """The limit is the shortest, three minutes. The warning signal comes 90 seconds before it, or up to a minute earlier."""
    settings = settings_for(100, pace) | {"checkpoint_every": 100}
    local_folder, slurm_folder = (folder_with(tmp_path / name, **settings) for name in ("local", "slurm"))
    training = Training(slurm_folder, "--run", "seed0", "--minutes", "3")
    assert command("train", "small", "--run", "seed0", folder=local_folder).returncode == 0
    training.wait(seconds=400)
    assert trained_bytes(slurm_folder / "results/small") == trained_bytes(local_folder / "results/small")
    assert "stopped by SIGUSR2" in training.log()
    assert until(lambda: not live_jobs(lab), 60)


def test_requeued_job_resumes(lab, folder, local):
    training = Training(folder).under_way()
    for job in live_jobs(lab):
        subprocess.run(["scontrol", "requeue", job.id], check=True)
    training.wait()
    assert_same_results(folder, local)
    assert len(list((folder / "results/small/jobs").glob("pm-*"))) == 1


def test_canceled_task_is_reported_and_trained_by_the_next_start(lab, folder, local):
    training = Training(folder).under_way()
    (first, _) = sorted(job.id for job in live_jobs(lab))
    subprocess.run(["scancel", first], check=True)
    training.wait(status=2)
    assert re.search(r"seed0: canceled: Slurm state: cancelled", training.output)
    log = re.search(r"log: (\S+)", training.output)[1]
    assert (folder / log).exists()
    assert_same_results(folder, local, ["seed1"])
    Training(folder).wait()
    assert_same_results(folder, local)
    assert len({job.name for job in lab.queue() if folder_jobs(folder) & {job.name}}) == 2


def folder_jobs(folder):
    return {path.name for path in (folder / "results/small/jobs").glob("pm-*")}


def test_jobs_survive_the_daemon_of_the_node(lab, folder, local):
    training = Training(folder).under_way()
    lab.kill_slurmd()
    time.sleep(1)  # the jobs train while the daemon is down
    lab.start_slurmd()
    training.wait()
    assert_same_results(folder, local)


def test_new_launcher_after_kill_9_waits_for_the_same_jobs(lab, folder, local):
    training = Training(folder).under_way()
    ids = {job.id for job in live_jobs(lab)}
    training.process.kill()
    training.process.wait()
    second = Training(folder)
    assert until(lambda: "2 running" in second.output, 60), second.output
    assert {job.id for job in live_jobs(lab)} == ids
    second.wait()
    assert_same_results(folder, local)
    assert len(folder_jobs(folder)) == 1


def test_new_workflow_after_kill_9_waits_for_the_same_jobs(lab, local, recipe, tmp_path):
    """Snakemake and all processes of its session are killed."""
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
    assert live_jobs(lab)
    checkout.make("--unlock").make(*SLURM_PROFILE, trained)
    assert len(list((tmp_path / "results/mainline/jobs").glob("pm-*"))) == 1
    assert until(lambda: not live_jobs(lab), 60), live_jobs(lab)
    for run in RUNS:
        assert trained_bytes(tmp_path / "results/mainline", run) == trained_bytes(local, run)


def test_jobs_are_found_if_their_ids_were_not_recorded(lab, folder, local):
    """The launcher was killed between `sbatch` and recording its output."""
    training = Training(folder).under_way()
    training.process.kill()
    training.process.wait()
    (record,) = (folder / "results/small/jobs").glob("pm-*/submission.json")
    record.write_text(re.sub(r'"ids": \[[^]]*\]', '"ids": [null, null]', record.read_text()))
    Training(folder).wait()
    assert_same_results(folder, local)
    assert len(folder_jobs(folder)) == 1


def test_launcher_leaves_its_jobs_running_on_a_signal(lab, folder, local):
    training = Training(folder).under_way()
    training.process.send_signal(signal.SIGTERM)
    training.wait(status=130)
    assert "Its jobs keep running" in training.output
    assert len(live_jobs(lab)) == 2
    Training(folder).wait()
    assert_same_results(folder, local)


def test_only_jobs_of_the_experiment_are_listed_and_canceled(lab, folder, local):
    training = Training(folder).under_way()
    other_job = subprocess.run(
        ["sbatch", "--parsable", "-o", "/dev/null", "-t1", "--wrap", "sleep 60"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    listed = command("jobs", folder=folder)
    assert all(f"small/{run}" in listed.stderr for run in RUNS)
    assert all(job.id in listed.stderr for job in live_jobs(lab))
    assert other_job not in re.split(r"\W+", listed.stderr)
    ended = command("cancel", "small", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("ended small/") == 2
    training.wait(status=2)
    assert next(job.state for job in lab.queue() if job.id == other_job) in LIVE
    subprocess.run(["scancel", other_job], check=True)
    Training(folder).wait()
    assert_same_results(folder, local)


def test_nothing_trains_after_cancel_while_squeue_fails(lab, tmp_path, monkeypatch):
    """One of four jobs runs. Slurm 22.05 forgets jobs of an array that are canceled before they start."""
    folder = folder_with(tmp_path / "work", epochs=100_000, checkpoint_every=20)  # no machine finishes during the test
    experiment = folder / "config/experiments/small.yaml"
    experiment.write_text(yaml.safe_dump(yaml.safe_load(experiment.read_text()) | {"grid": {"seed": [0, 1, 2, 3]}}))
    faulty = PretendedSlurm(tmp_path / "faulty", real=True)
    monkeypatch.setenv("PATH", str(faulty.bin), prepend=os.pathsep)
    training = Training(folder, "--at-once", "1").under_way(["seed0"])
    faulty.faults("squeue", *["fail"] * 6)
    ended = command("cancel", "small", folder=folder)
    assert ended.returncode == 0, ended.stderr
    training.wait(status=2)
    assert training.output.count(": canceled: ") == 4
    assert until(lambda: not live_jobs(lab), 60), live_jobs(lab)
    assert len(folder_jobs(folder)) == 1
    assert [path.name for path in (folder / "results/small/runs").iterdir()] == ["seed0"]
    assert not list(folder.glob("results/small/runs/*/done.json"))


def test_wrong_answers_lose_and_duplicate_nothing(lab, folder, local, tmp_path_factory, monkeypatch):
    """`sbatch` submits and reports a time-out; `squeue` fails, lists nothing, and prints unexpected lines."""
    faulty = PretendedSlurm(tmp_path_factory.mktemp("faulty") / "slurm", real=True)
    monkeypatch.setenv("PATH", str(faulty.bin), prepend=os.pathsep)
    faulty.faults("sbatch", "late")
    faulty.faults("squeue", *["empty"] * 4, "garbage", *["fail"] * 3, *["right", "empty", "fail", "garbage"] * 4)
    training = Training(folder)
    training.wait()
    assert_same_results(folder, local)
    numbers = {job.id for job in lab.queue() if job.name in folder_jobs(folder)}
    provoked = faulty.provoked()
    print(f"provoked {provoked}; lost 0, duplicated {len(numbers) - len(RUNS)}")
    assert len(numbers) == len(RUNS)
    assert len(faulty.calls("sbatch")) == 1
    assert provoked["sbatch: late"] == 1
    assert min(provoked[f"squeue: {kind}"] for kind in ("empty", "garbage", "fail")) >= 3


NOTES = """
import json, sys, time
from pathlib import Path
from progress_measures.training.launcher.submission import JobSpec
from progress_measures.training.launcher.slurm import SlurmPool, SlurmSettings
from progress_measures.training.launcher.wait import wait
given = json.loads(sys.argv[1])
arguments = [{"path": "log", "text": str(i)} | given["note"] for i in range(given["count"])]
jobs = [JobSpec(f"n{i}", "support.pool_tasks:note", arguments[i]) for i in range(given["count"])]
settings = SlurmSettings(at_once=given["at_once"], memory_mb=200, minutes=5)
pool = SlurmPool(settings, given["poll_seconds"], lambda: given["speed"] * time.monotonic())
wait(pool, Path("jobs"), "notes", lambda in_progress: jobs)
"""
"""A program that waits for jobs without training; its clock goes `speed` times as fast."""


def start_notes(folder, count, at_once, poll_seconds, speed=1.0, **note):
    """Start `NOTES`, and return its process."""
    given = {"count": count, "at_once": at_once, "poll_seconds": poll_seconds, "speed": speed, "note": note}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), FOLDER])}
    line = [sys.executable, "-c", NOTES, json.dumps(given)]
    with (folder / "output").open("w") as output:
        return subprocess.Popen(line, cwd=folder, env=environment, stdout=output, stderr=output)


def test_pending_job_of_an_array_that_somebody_cancels_is_not_submitted_again(lab, tmp_path):
    process = start_notes(tmp_path, 3, 1, 0.5, speed=40, until=str(tmp_path / "go"))
    assert until(lambda: (tmp_path / "log").exists(), 60)
    (pending,) = (job.id for job in live_jobs(lab) if job.id.endswith("_2"))
    assert until(lambda: "2 queued" in (tmp_path / "output").read_text(), 30)
    subprocess.run(["scancel", pending], check=True)
    assert until(lambda: "n2" in (tmp_path / "output").read_text().partition("canceled")[0], 30)
    (tmp_path / "go").touch()
    assert process.wait(120) != 0
    output = (tmp_path / "output").read_text()
    assert "n2: canceled: it left the queue without starting" in output
    assert sorted(line.split()[2] for line in (tmp_path / "log").read_text().splitlines() if " end " in line) == [
        "0",
        "1",
    ]
    assert len(list((tmp_path / "jobs").glob("pm-*"))) == 1


def test_job_without_memory_is_named_and_not_retried(lab, folder):
    training = Training(folder, "--memory-mb", "60", "--run", "seed0")
    training.wait(status=2)
    assert re.search(r"seed0: failed: out of memory", training.output), training.output + training.log()
    assert "Raise shard_mem_mb" in training.output
    assert len(folder_jobs(folder)) == 1


def test_job_that_a_retry_cannot_help_is_reported_at_once(lab, folder):
    """A damaged dataset stays damaged, and the message says what to do."""
    dataset = folder / "results/small/dataset.zarr"
    assert command("dataset", "small", folder=folder).returncode == 0
    for chunk in (dataset / "train/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"rubbish")
    training = Training(folder, "--retries", "1", "--run", "seed0")
    training.wait(status=2)
    assert re.search(r"seed0: failed: \S*dataset\.zarr\S* is missing or damaged", training.output), training.output
    assert len(folder_jobs(folder)) == 1


def test_wrong_partition_is_reported_with_the_message_of_slurm(lab, folder, local):
    training = Training(folder, "--partition", "nowhere")
    training.wait(status=2)
    assert "invalid partition specified: nowhere" in training.output
    assert "Partitions here: low high" in training.output
    assert "profiles/slurm/config.yaml" in training.output
    assert "Traceback" not in training.output
    Training(folder, "--partition", "low").wait()
    assert_same_results(folder, local)


def test_time_limit_above_the_limit_of_the_partition_is_reported(lab, folder):
    """Slurm accepts such a job and never starts it; the table says why, and what to change."""
    training = Training(folder, "--minutes", "9999", "--run", "seed0")
    assert until(lambda: "runtime is more than the partition allows" in training.output or training.ended, 60)
    assert not training.ended, training.output
    assert command("cancel", "small", folder=folder).returncode == 0
    training.wait(status=2)


def test_wrong_account_is_reported_with_the_message_of_slurm(lab, folder, tmp_path, monkeypatch):
    """This Slurm has no accounting and accepts any account, so the test simulates the message of a Slurm with accounting."""
    fake = tmp_path / "bin"
    fake.mkdir()
    message = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
    (fake / "sbatch").write_text(f"#!/bin/sh\necho '{message}' >&2\nexit 1\n")
    (fake / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    training = Training(folder, "--account", "nobody")
    training.wait(status=2)
    assert "Invalid account or account/partition combination specified" in training.output
    assert "account nobody" in training.output


def test_83_jobs_of_two_arrays_run_eight_at_a_time_and_waiting_costs_little(lab, tmp_path):
    """Eight of 83 trivial jobs run at a time, and the waiting process takes less than 200 MiB and 2 % of a core."""
    process = start_notes(tmp_path, 83, 8, 10, seconds=1.0)
    assert until(lambda: live_jobs(lab), 30)
    launcher = psutil.Process(process.pid)
    cpu_seconds, start = sum(launcher.cpu_times()[:4]), time.monotonic()
    most_running = memory = cpu = 0
    while process.poll() is None:
        most_running = max(most_running, sum(job.state == "RUNNING" for job in live_jobs(lab)))
        try:
            memory = max(memory, launcher.memory_info().rss)
            cpu = (sum(launcher.cpu_times()[:4]) - cpu_seconds) / (time.monotonic() - start)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.5)
    assert process.wait() == 0, (tmp_path / "output").read_text()
    ends = (tmp_path / "log").read_text().count(" end ")
    print(
        f"at most {most_running} at a time; {memory / 2**20:.0f} MiB; {cpu:.2%} of a core over {time.monotonic() - start:.0f} s"
    )
    assert ends == 83
    assert len(list((tmp_path / "jobs").glob("pm-*"))) == 2
    assert most_running == 8
    assert memory < 200 * 2**20
    assert cpu < 0.02
