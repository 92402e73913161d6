"""The command line: user errors give one message and exit status 2, and light commands import no heavy library."""

import errno
import json
import os
import sys

import pytest

from progress_measures.cli import app
from progress_measures.errors import UserError, user_message
from progress_measures.paths import runs_folder, trained_record
from support.experiments import folder_with
from support.processes import command

MISTAKES = {
    "unknown experiment": (["train", "smal"], "There is no experiment 'smal'. Did you mean 'small'?"),
    "unknown run": (["train", "small", "--run", "seed9"], "small has no run seed9; its runs are: seed0, seed1"),
    "unknown family": (
        ["measure", "small", "--family", "colors"],
        "no family of measures colors; available: ablations",
    ),
    "unknown figure": (["draw", "paper/fig7"], "There is no figure 'paper/fig7'. Did you mean 'paper/fig07'?"),
    "no cube": (["draw", "paper/fig07", "--experiment", "small"], "There is no cube 'small'"),
    "no checkpoints": (
        ["measure", "small", "--run", "seed0", "--family", "weights"],
        "checkpoints.zarr is missing or damaged",
    ),
    "no training": (["gather", "small"], "no finished training with the current settings for seed0, seed1"),
    "wrong format": (
        ["draw", "paper/fig07", "--to", "a.gif"],
        "--to a.gif: paper/fig07 is written as .pdf, .png, .svg",
    ),
    "no GPU": (["train", "small", "--device", "cuda"], "--device cuda: torch finds no usable GPU"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = folder_with(tmp_path_factory.mktemp("cli"))
    assert command("dataset", "small", folder=folder).returncode == 0
    return folder


@pytest.mark.parametrize("mistake", MISTAKES)
def test_user_errors_end_with_one_message(folder, mistake):
    arguments, expected = MISTAKES[mistake]
    if mistake == "no GPU":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    done = command(*arguments, folder=folder)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_usage_errors_have_exit_status_2(folder):
    assert command("train", folder=folder).returncode == 2
    assert command("train", "small", "--device", "abacus", folder=folder).returncode == 2


def test_runs_are_listed(folder):
    listed = command("runs", folder=folder)
    assert listed.returncode == 0
    assert "small: Small networks for tests" in listed.stdout
    assert "seed1" in listed.stdout


def test_several_runs_train_in_separate_processes(tmp_path):
    folder = folder_with(tmp_path, epochs=40)
    done = command("train", "small", "--device", "cpu", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("small: 2 done\n")
    trained = [json.loads((folder / f"results/small/runs/seed{seed}/done.json").read_text()) for seed in (0, 1)]
    assert [record["epochs"] for record in trained] == [40, 40]
    again = command("train", "small", "--device", "cpu", folder=folder)
    assert again.returncode == 0
    assert "epoch" not in again.stderr


def test_light_modules_import_without_torch():
    """The registries import with torch, pyplot and zarr blocked, and the figures and the cube import without torch."""
    import subprocess

    blocked = "import sys\nfor name in {names}: sys.modules[name] = None\n{imports}"
    light_modules = tuple(f"progress_measures.{name}" for name in ("experiments", "explorer", "figures", "measures"))
    for names, modules in (
        (["torch", "matplotlib.pyplot", "zarr"], light_modules),
        (
            ["torch"],
            (
                "progress_measures.cube",
                "progress_measures.figures.drawing",
                "progress_measures.cube.gather",
                "progress_measures.explorer.page",
            ),
        ),
    ):
        imports = "\n".join(f"import {module}" for module in modules)
        imports += "\nfrom progress_measures.figures import *\n[load_figure(name) for name in figure_ids()]"
        imports += "\nfrom progress_measures.measures import *\nmeasures()"
        code = blocked.format(names=names, imports=imports)
        subprocess.run([sys.executable, "-c", code], check=True)


def test_restart_removes_the_record_that_all_runs_are_trained(tmp_path, monkeypatch):
    """The record is removed even if the new training fails at once."""

    def fails(*_):
        raise UserError("no")

    monkeypatch.chdir(folder_with(tmp_path))
    monkeypatch.setattr("progress_measures.training.launcher.launch.train", fails)
    record, runs = trained_record("small"), runs_folder("small")
    for run in ("seed0", "seed1"):
        (runs / run).mkdir(parents=True)
    record.touch()
    with pytest.raises(UserError, match="no"):
        app(["train", "small", "--run", "seed1", "--restart", "--device", "cpu"], standalone_mode=False)
    assert not record.exists()
    assert [run.name for run in runs.iterdir()] == ["seed0"]


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EACCES, "could not be read or written: "), (errno.ENOSPC, "could not be written: ")]
)
def test_file_without_permission_may_be_one_that_is_read(number, text):
    message = user_message(OSError(number, os.strerror(number), "networks.pth"))
    assert message.startswith(f"networks.pth {text}{os.strerror(number)}.")
    assert ("disk space" in message) == (number == errno.ENOSPC)
