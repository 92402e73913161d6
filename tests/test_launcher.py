"""The launcher: packing runs, the pool of this machine, waiting, retries, and recovery from kill -9."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from progress_measures.errors import UserError
from progress_measures.experiments.schema import Experiment
from progress_measures.training.launcher import launch, table
from progress_measures.training.launcher.local import LocalPool
from progress_measures.training.launcher.shards import group_by_shape, shards
from progress_measures.training.launcher.submission import JobSpec, Submission
from progress_measures.training.launcher.wait import wait
from support.experiments import folder_with, small_experiment, small_runs, trained_bytes
from support.pool_tasks import FOLDER, MODULE
from support.processes import command

LONG = {"epochs": 3000, "checkpoint_every": 10, "evaluate_every": 100}


@pytest.fixture(autouse=True)
def jobs_can_import_support(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", FOLDER, prepend=os.pathsep)


def run_tasks(tasks, folder, at_once=2, retries=2):
    """Submit tasks to this machine's pool and wait for them."""
    wait(LocalPool(at_once, poll_seconds=0.05), folder / "jobs", "notes", lambda in_hand: tasks, retries)


# Packing


def test_like_shaped_runs_are_packed_evenly():
    runs = Experiment.model_validate(small_experiment() | {"grid": {"seed": [0, 1, 2, 3, 4, 5, 6]}}).runs("small")
    assert [len(shard.runs) for shard in shards(runs, 3)] == [3, 2, 2]
    assert [shard.name for shard in shards(runs, 3)] == ["seed0 … seed2 (3)", "seed3 … seed4 (2)", "seed5 … seed6 (2)"]
    assert [run for shard in shards(runs, 3) for run in shard.runs] == runs
    assert [shard.name for shard in shards(runs, 1)] == [run.name for run in runs]


def test_runs_of_other_shape_or_recipe_are_not_packed_together():
    grid = {"split.train_fraction": [0.3, 0.6], "training.weight_decay": [0.1, 1.0], "training.precision": ["float32"]}
    runs = Experiment.model_validate(small_experiment() | {"grid": grid}).runs("small")
    assert [[run.name for run in group] for group in group_by_shape(runs)] == [
        [f"train_fraction{fraction}_weight_decay{decay}_precisionfloat32" for decay in (0.1, 1.0)]
        for fraction in (0.3, 0.6)
    ]


# The pool of this machine, with tasks in place of training


def test_number_of_concurrent_tasks_is_limited(tmp_path):
    tasks = [
        JobSpec(f"n{i}", f"{MODULE}:note", {"path": str(tmp_path / "log"), "text": str(i), "seconds": 0.3})
        for i in range(7)
    ]
    run_tasks(tasks, tmp_path, at_once=3)
    events = sorted(line.split()[:2] for line in (tmp_path / "log").read_text().splitlines())
    running = most_running = 0
    for _, event in events:
        running += 1 if event == "begin" else -1
        most_running = max(most_running, running)
    assert most_running == 3
    assert len(events) == 14


def test_each_gpu_has_one_task_at_a_time(tmp_path):
    """The test simulates two GPUs, one named by number and one by UUID."""
    tasks = [JobSpec(f"n{i}", f"{MODULE}:note_gpu", {"path": str(tmp_path / "log"), "seconds": 0.3}) for i in range(6)]
    wait(LocalPool(4, poll_seconds=0.05, gpus=["3", "GPU-5d"]), tmp_path / "jobs", "notes", lambda in_hand: tasks)
    events = sorted(line.split() for line in (tmp_path / "log").read_text().splitlines())
    of_gpu = {gpu: [event for _, event, name in events if name == gpu] for gpu in ("3", "GPU-5d")}
    assert sum(map(len, of_gpu.values())) == 12
    for gpu_events in of_gpu.values():
        assert gpu_events == ["begin", "end"] * (len(gpu_events) // 2)
        assert len(gpu_events) >= 4, "one GPU ran nearly all tasks"


@pytest.mark.parametrize("without_command_line", [0, 1, 3])
def test_two_experiments_do_not_use_one_gpu_at_once(tmp_path, monkeypatch, without_command_line):
    """Two launchers wait independently, as two rules of a workflow do.

    A new process has no command line until Linux has replaced its program.
    """
    calls, command_line = Counter(), psutil.Process.cmdline

    def delayed_command_line(process):
        words = command_line(process)
        calls[process.pid] += f"{tmp_path}" in " ".join(words)
        return [] if 0 < calls[process.pid] <= without_command_line else words

    monkeypatch.setattr(psutil.Process, "cmdline", delayed_command_line)
    waiting = []
    for name in ("one", "other"):
        task = JobSpec(name, f"{MODULE}:note_gpu", {"path": str(tmp_path / "log"), "seconds": 0.5})
        pool, submission = LocalPool(1, gpus=["7"]), Submission.new(tmp_path / name, "notes", "local", [task])
        pool.submit([submission])
        waiting.append((pool, submission))

    def states():
        return [pool.poll([submission])[submission.name, 0].state for pool, submission in waiting]

    assert states() == ["running", "queued"]
    eventually(lambda: states() == ["exited", "exited"])
    events = sorted(line.split() for line in (tmp_path / "log").read_text().splitlines())
    assert [event for _, event, _ in events] == ["begin", "end"] * 2


def test_failed_task_is_retried(tmp_path):
    run_tasks([JobSpec("n", f"{MODULE}:fail", {"path": str(tmp_path / "tries"), "times": 2})], tmp_path, retries=2)
    assert (tmp_path / "tries").read_text() == "xxx"


def test_permanent_failure_names_its_log_and_other_tasks_continue(tmp_path):
    tasks = [
        JobSpec("bad", f"{MODULE}:fail", {"path": str(tmp_path / "tries"), "times": 9}),
        JobSpec("good", f"{MODULE}:note", {"path": str(tmp_path / "log"), "text": "good", "seconds": 1}),
    ]
    with pytest.raises(UserError) as error:
        run_tasks(tasks, tmp_path, retries=1)
    assert "bad: failed, tried 2 times: RuntimeError: the disk is on fire" in str(error.value)
    assert "1 of its shards" in str(error.value)
    log = Path(re.search(r"log: (\S+)", str(error.value))[1])
    assert "Traceback" in log.read_text()
    assert "end good" in (tmp_path / "log").read_text()


def test_user_error_is_not_retried(tmp_path):
    with pytest.raises(UserError, match="no such prime"):
        run_tasks([JobSpec("n", f"{MODULE}:refuse", {"path": str(tmp_path / "tries")})], tmp_path)
    assert (tmp_path / "tries").read_text() == "x"


def test_killed_process_is_retried(tmp_path):
    """The operating system kills processes when memory runs out."""
    path = tmp_path / "log"
    waiting = start_waiting(tmp_path)
    (victim,) = workers(tmp_path)
    victim.kill()
    (tmp_path / "go").touch()
    assert waiting.wait(60) == 0
    assert path.read_text().count("begin") == 2
    assert path.read_text().count("end") == 1
    assert "signal 9" in (tmp_path / "output").read_text()


def start_waiting(folder):
    """Start a process that waits for one `note`, which ends when the file `go` exists; return when the note runs."""
    path = folder / "log"
    arguments = {"path": str(path), "text": "n", "until": str(folder / "go")}
    with (folder / "output").open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(folder / "jobs"), json.dumps(arguments)], stderr=output, stdout=output
        )
    eventually(lambda: (path.exists() and "begin" in path.read_text()) or process.poll() is not None)
    return process


def wait_for_adoption(folder):
    """Wait until a second process has reported that the note runs."""
    eventually(lambda: (folder / "output").read_text().count("1 running") >= 2)


def eventually(condition, seconds=60):
    """Wait until a condition is true; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def workers(folder):
    """Return the processes that run tasks of a folder."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "progress_measures.training.launcher" in process.cmdline() and str(folder) in " ".join(
                [process.cwd(), *process.cmdline()]
            ):
                processes.append(process)
    return processes


def test_new_launcher_after_kill_9_waits_for_running_tasks(tmp_path):
    first = start_waiting(tmp_path)
    first.kill()
    first.wait()
    assert len(workers(tmp_path)) == 1
    second = start_waiting(tmp_path)
    wait_for_adoption(tmp_path)
    (tmp_path / "go").touch()
    assert second.wait(60) == 0
    assert (tmp_path / "log").read_text().count("begin") == 1
    assert len(list((tmp_path / "jobs").glob("pm-*"))) == 1
    eventually(lambda: not workers(tmp_path))  # its result is read before it exits


def test_process_is_found_if_its_id_was_not_recorded(tmp_path):
    """The launcher that started it was killed before it recorded the id."""
    first = start_waiting(tmp_path)
    first.kill()
    first.wait()
    (record,) = (tmp_path / "jobs").glob("pm-*/submission.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"ids": [None]}))
    second = start_waiting(tmp_path)
    wait_for_adoption(tmp_path)
    (tmp_path / "go").touch()
    assert second.wait(60) == 0
    assert (tmp_path / "log").read_text().count("begin") == 1


def test_second_launcher_waits_for_the_first(tmp_path):
    first = start_waiting(tmp_path)
    second = start_waiting(tmp_path)
    eventually(lambda: "another process waits" in (tmp_path / "output").read_text())
    first.kill()
    first.wait()
    wait_for_adoption(tmp_path)
    (tmp_path / "go").touch()
    assert second.wait(60) == 0
    assert (tmp_path / "log").read_text().count("begin") == 1


def test_reused_process_id_is_not_mistaken_for_a_task(tmp_path):
    submission = Submission.new(tmp_path / "jobs", "notes", "local", [JobSpec("n", f"{MODULE}:note", {})])
    with subprocess.Popen(["sleep", "60"]) as other:
        submission.ids = [str(other.pid)]
        pool = LocalPool(1)
        assert pool.poll([submission])[submission.name, 0].state == "exited"
        pool.cancel([(submission, 0)])
        assert other.poll() is None
        other.kill()


def test_tasks_of_another_machine_in_the_same_folder_are_waited_for(tmp_path):
    """The machines share a disk: the process is not visible from here, but its progress file is."""
    submission = Submission.new(tmp_path / "jobs", "notes", "local", [JobSpec("n", f"{MODULE}:note", {})])
    submission.host, submission.ids = "elsewhere", ["1"]
    progress, pool = submission.file(0, "progress"), LocalPool(1)
    progress.write_text(json.dumps({"time": time.time() - 10}))
    status = pool.poll([submission])[submission.name, 0]
    assert (status.state, status.reason, status.machine) == ("running", "last progress 10 s ago", "elsewhere")
    assert pool.stop([submission])  # stopping does not wait for it
    with pytest.raises(UserError, match="n runs on elsewhere; cancel it there"):
        pool.cancel([(submission, 0)])
    progress.write_text(json.dumps({"time": time.time() - 3600}))
    assert pool.poll([submission])[submission.name, 0].state == "exited"


# Training


def start_training(folder, *arguments):
    """Start `progress-measures train small`, and return when it has saved the state of a run."""
    line = [sys.executable, "-m", "progress_measures", "train", "small", *arguments]
    states = folder / "results/small/runs"
    earlier = set(states.glob("*/resume/*.npz"))
    with (folder / "output").open("a") as output:
        process = subprocess.Popen(line, cwd=folder, stderr=output, stdout=output)
    eventually(lambda: set(states.glob("*/resume/*.npz")) - earlier or process.poll() is not None)
    return process


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Results of both runs, trained in one shard without interruption."""
    folder = folder_with(tmp_path_factory.mktemp("packed"), **LONG)
    done = command("train", "small", "--runs-per-shard", "2", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "results/small"


def runs_in_batch(results):
    """Return with how many runs each run of the small experiment trained."""
    return [run["runs_in_batch"] for run in json.loads((results / "trained.json").read_text())["runs"].values()]


def test_launcher_stops_its_processes_on_a_signal_and_they_save(tmp_path, packed):
    """Both runs, each in a shard of its own and stopped twice, equal the packed and undisturbed ones to the bit."""
    folder = folder_with(tmp_path, **LONG)
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start_training(folder)
        process.send_signal(number)
        assert process.wait(60) == 130
        assert not workers(folder)
        assert f"stopped by {number.name}. The training state is saved." in (folder / "output").read_text()
        assert not list(folder.glob("results/small/runs/*/done.json"))
    again = command("train", "small", folder=folder)
    assert again.returncode == 0, again.stderr
    assert (runs_in_batch(folder / "results/small"), runs_in_batch(packed)) == ([1, 1], [2, 2])
    for name in ("seed0", "seed1"):
        assert trained_bytes(folder / "results/small", name) == trained_bytes(packed, name)


def test_only_jobs_of_the_experiment_are_listed_and_canceled(tmp_path):
    folder = folder_with(tmp_path, **LONG | {"epochs": 100_000})  # no machine finishes them during the test
    assert "No training jobs" in command("jobs", folder=folder).stdout
    process = start_training(folder, "--at-once", "2")
    listed = command("jobs", folder=folder)
    assert "small/seed0" in listed.stderr
    assert "2 running" in listed.stderr
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=folder) as other:
        ended = command("cancel", "small", folder=folder)
        assert ended.stdout.count("ended small/seed") == 2
        assert process.wait(60) == 2
        assert other.poll() is None
        other.kill()
    assert "seed0: canceled: stopped" in (folder / "output").read_text()
    assert not workers(folder)
    assert list(folder.glob("results/small/runs/*/resume/*.npz"))


def test_jobs_that_have_not_started_are_canceled_too(tmp_path):
    folder = folder_with(tmp_path, **LONG | {"epochs": 100_000})
    process = start_training(folder, "--at-once", "1")
    assert command("cancel", "small", folder=folder).stdout.count("ended small/seed") == 1
    assert process.wait(60) == 2
    output = (folder / "output").read_text()
    assert "seed0: canceled: stopped" in output
    assert "seed1: canceled: canceled before it started" in output
    assert not (folder / "results/small/runs/seed1").exists()


def test_job_that_an_earlier_process_started_is_not_retried_after_cancel(tmp_path):
    first = start_waiting(tmp_path)
    first.kill()
    first.wait()
    second = start_waiting(tmp_path)
    wait_for_adoption(tmp_path)
    (submission,) = Submission.all(tmp_path / "jobs")
    submission.request_cancel(0)
    LocalPool(0).cancel([(submission, 0)])
    assert second.wait(60) != 0
    assert "n: canceled" in (tmp_path / "output").read_text()
    assert (tmp_path / "log").read_text().count("begin") == 1


def test_runs_are_spread_over_all_gpus(tmp_path, monkeypatch):
    """On a workstation with two GPUs, each with memory for all runs, both are used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "gpus", lambda: [launch.Gpu("0", 80 * 10**9), launch.Gpu("1", 24 * 10**9)])
    submitted = []
    monkeypatch.setattr(launch, "wait", lambda pool, jobs, label, left, retries: submitted.extend(left(set())))
    runs = Experiment.model_validate(small_experiment() | {"grid": {"seed": [0, 1, 2, 3, 4]}}).runs("small")
    plan = launch.local_plan(runs, "auto", None, None, 1)
    with pytest.raises(UserError, match=r"ended without done\.json"):
        launch.train("small", runs, plan)
    assert plan.pool.gpus == ["0", "1"]
    assert plan.pool.at_once == 2
    assert [len(task.runs) for task in submitted] == [3, 2]
    assert {task.arguments["device"] for task in submitted} == {"cuda"}
    assert launch.local_plan(runs, "auto", 1, None, 1).spread_over == 1
    assert launch.local_plan(runs, "cpu", None, None, 1).pool.gpus == ()


@pytest.mark.parametrize(("visible", "names"), [(None, ["0", "1"]), ("4,GPU-5d", ["4", "GPU-5d"])])
def test_gpus_are_named_as_cuda_names_them(monkeypatch, visible, names):
    """In this test torch detects two GPUs."""
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(launch.shutil, "which", lambda name: f"/usr/bin/{name}")
    answer = subprocess.CompletedProcess([], 0, "80000 24000\n", "")
    monkeypatch.setattr(launch.subprocess, "run", lambda *_, **__: answer)
    assert launch.gpus() == [launch.Gpu(names[0], 80000), launch.Gpu(names[1], 24000)]


def test_waiting_process_imports_no_torch(tmp_path):
    code = "import sys, progress_measures.training.launcher.launch; " \
        "print([name for name in ('torch', 'zarr', 'xarray', 'matplotlib') if name in sys.modules])"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# The table


def test_table_shows_the_progress_of_each_shard():
    progress = {"epoch": 1500, "epochs": 40000, "ms_per_epoch": 10.0, "time": time.time()}
    rows = [
        table.JobRow("seed0", "12_0", "running", progress, "", "node7"),
        table.JobRow("seed1", "12_1", "queued", None, "Priority"),
    ]
    assert table.summary(rows) == "1 queued, 1 running; the running jobs need 6 min 25 s more"
    from rich.console import Console

    console = Console(width=150, record=True, file=io.StringIO())
    console.print(table.table("mainline", rows))
    text = console.export_text()
    assert re.search(r"seed0 +12_0 +running +node7 +1,500/40,000 +10.0 +6 min 25 s", text)
    assert re.search(r"seed1 +12_1 +queued +Priority", text)
    assert small_runs()


def running(name, epoch):
    return table.JobRow(
        name, "1", "running", {"epoch": epoch, "epochs": 400, "train_loss": 0.25, "test_loss": 12.5}, ""
    )


def test_log_gets_one_line_with_epochs_and_losses(capsys):
    display = table.Display("small", every=(0.0, 0.0))
    display.show([running("seed0", 100), table.JobRow("seed1", "", "queued", None, "1 at a time")])
    line = "small: seed0 epoch 100/400, train loss 0.25, test loss 12; 1 queued, 1 running\n"
    assert capsys.readouterr().err == line
    display.show([running("seed0", 100), table.JobRow("seed1", "", "queued", None, "1 at a time")])
    assert capsys.readouterr().err == ""  # nothing has changed
    display.show([running(f"seed{i}", 100 + i) for i in range(5)])
    assert capsys.readouterr().err == "small: epochs 100 to 104 of 400; 5 running\n"


def test_log_gets_a_line_when_a_shard_fails_or_is_retried(capsys):
    display = table.Display("small", every=(60.0, 60.0))
    display.show([running("seed0", 100)])
    capsys.readouterr()
    display.show([running("seed0", 101)])
    assert capsys.readouterr().err == ""
    display.show([running("seed0", 101)._replace(note="try 2 after killed by signal 9")])
    assert capsys.readouterr().err == "small: seed0 running: try 2 after killed by signal 9\n"
    failed = running("seed0", 101)._replace(state="failed", note="killed by signal 9")
    display.show([failed])
    assert capsys.readouterr().err.splitlines() == ["small: seed0 failed: killed by signal 9", "small: 1 failed"]


def test_log_gets_a_line_when_a_job_will_never_start(capsys):
    display = table.Display("small", every=(60.0, 60.0))
    waiting = table.JobRow("seed0", "7", "queued", None, "Resources")
    display.show([waiting])
    assert capsys.readouterr().err == "small: 1 queued\n"
    display.show([waiting._replace(note="runtime is more than the partition allows (PartitionTimeLimit)")])
    note = "small: seed0 queued: runtime is more than the partition allows (PartitionTimeLimit)\n"
    assert capsys.readouterr().err == note
