"""The comparison of two revisions, and the check on a GPU: their parts that need no second revision and no GPU."""

import subprocess
import sys
import time

import against
import gpu_check
import numpy as np
import pytest
import revision
import torch
import xarray as xr
from revision import Revision

from progress_measures.errors import UserError
from progress_measures.experiments.schema import Experiment
from progress_measures.yaml_files import read_yaml
from support import ROOT

DRY_RUN = """
Shell command: progress-measures dataset bench > results/logs/dataset/bench.log 2>&1
    Shell command: progress-measures train bench --pool local --at-once 1 2>&1 | tee results/logs/train/bench.log
Shell command: progress-measures measure bench --run seed0 --family keys > results/logs/keys.log 2>&1
Shell command: progress-measures measure bench --run 'weight_decay=0.5' --run seed1
Shell command: progress-measures gather bench > results/logs/gather/bench.log 2>&1
"""


def test_commands_of_a_dry_run():
    assert against.planned_commands(DRY_RUN) == [
        ["progress-measures", "dataset", "bench"],
        ["progress-measures", "train", "bench", "--pool", "local", "--at-once", "1"],
        ["progress-measures", "measure", "bench", "--run", "seed0", "--family", "keys"],
        ["progress-measures", "measure", "bench", "--run", "weight_decay=0.5", "--run", "seed1"],
    ]


@pytest.mark.parametrize("name", [*against.TIMED_UPDATES, "quickstart"])
def test_experiment_of_one_run(name):
    settings = read_yaml(ROOT / f"config/experiments/{name}.yaml")
    derived = against.single_run_settings(settings, epochs=30, checkpoint_every=30, evaluate_every=30)
    (run,) = Experiment.model_validate(derived).runs("bench")
    first = Experiment.model_validate(settings).runs(name)[0]
    assert run.training.epochs == 30
    assert run.model_dump(include={"task", "model"}) == first.model_dump(include={"task", "model"})
    assert run.training.batch == first.training.batch


def test_rows_have_medians_ratios_and_targets():
    other = {"measure_cpu": [0.6], "disk": [350.0], "update_mainline": [40.0, 90.0, 44.0], "plan_cpu": [13.6]}
    here = {"measure_cpu": [0.15], "disk": [21.0], "update_mainline": [40.0, 41.0, 38.0]}
    rows = {row["row"]: row for row in against.comparison_rows(other, here)}
    assert list(rows) == ["measure_cpu", "disk", "update_mainline"]
    assert rows["update_mainline"]["ratio"] == pytest.approx(44 / 40)
    assert [row["met"] for row in rows.values()] == [True, False, False]
    assert [row["target"] for row in rows.values()] == ["ratio ≥ 3", "≤ 20 MB", "ratio ≥ 1.15"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process inherit orphaned processes")
def test_usage_includes_processes_that_outlive_their_parent(tmp_path):
    busy = "import time\nblock = bytearray(200_000_000)\nwhile time.process_time() < 0.6: pass"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}], start_new_session=True)"
    usage = Revision("abc", tmp_path).usage(sys.executable, "-c", start)
    assert usage["cpu"] > 0.6
    assert usage["memory"] > 200


def test_failed_command_shows_its_output(tmp_path):
    with pytest.raises(UserError, match=r"(?s)abc: .* exits with 3:\nno such field"):
        Revision("abc", tmp_path).usage(sys.executable, "-c", "print('no such field'); raise SystemExit(3)")


def test_peak_size_includes_deleted_files(tmp_path):
    with against.peak_size(tmp_path / "runs") as peak:
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs/block").write_bytes(np.random.default_rng(0).bytes(3_000_000))
        while peak[0] < 3:
            time.sleep(0.05)
        (tmp_path / "runs/block").unlink()
    assert 3 <= peak[0] < 4


def test_copies_run_their_own_code(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    package = repository / "src/progress_measures/__init__.py"
    package.parent.mkdir(parents=True)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    package.write_text("value = 1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    package.write_text("value = 2")  # not committed
    (package.parent / "new.py").touch()  # not tracked
    monkeypatch.setattr(revision, "ROOT", repository)
    sides = revision.copies("HEAD", tmp_path)
    code = "import progress_measures; print(progress_measures.value)"
    assert [side.output(sys.executable, "-c", code) for side in sides] == ["1\n", "2\n"]
    assert [(side.folder / "src/progress_measures/new.py").exists() for side in sides] == [False, True]
    assert sides[1].name == f"{sides[0].name}-dirty"


def test_unknown_revision_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no-such-revision: git finds no such revision"):
        revision.copies("no-such-revision", tmp_path)


def history(train_loss, test_loss):
    return xr.Dataset(
        {"loss": ("epoch", train_loss), "test_loss": ("evaluated_epoch", test_loss)},
        {"epoch": np.arange(len(train_loss)), "evaluated_epoch": np.arange(len(test_loss)) * 50},
    )


def test_batch_is_compared_with_the_published_runs():
    published = xr.Dataset(
        {"history_train_loss": (("run", "history_epoch"), np.ones((2, 5)))}
        | {"history_test_loss": (("run", "history_epoch"), [[5, 4, 3, 0.009, 0.001], [5, 4, 3, 2, 1]])},
        {"history_epoch": np.arange(5) * 50},
    )
    train_loss = np.ones(151)
    train_loss[[50, 100, 150]] = 1.0002, 1.01, 0.9
    same = history(np.ones(151), [5, 4, 3, 2])
    comparison = gpu_check.compared_with_cpu([history(train_loss, [5, 4, 0.005, 0.001]), same], published)
    assert comparison["train_loss_relative_difference"] == pytest.approx({50: 2e-4, 100: 0.01, 1000: 0.1})
    assert comparison["grokked"] == {"gpu": [100, None], "cpu": [150, None]}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_check_without_a_gpu_prints_one_line():
    process = subprocess.run([sys.executable, "benchmarks/gpu_check.py"], cwd=ROOT, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "gpu-check: torch finds no GPU on this machine.\n"
