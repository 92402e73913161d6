"""A small experiment that trains in seconds, and folders to run the command line in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest
import yaml

from progress_measures.cube.open import cube_if_any
from progress_measures.experiments.schema import Experiment
from progress_measures.paths import published_cube

ROOT = Path(__file__).parents[1]

CONTENT = {
    "title": "Small networks for tests",
    "task": {"kind": "modular_addition", "prime": 13},
    "split": {"train_fraction": 0.6},
    "model": {"d_model": 32, "heads": 2, "d_head": 16, "d_mlp": 64},
    "training": {"epochs": 400, "checkpoint_every": 20, "evaluate_every": 20},
    "grid": {"seed": [0, 1]},
}

INTEGERS = {
    "title": "Small networks that add integers, for tests",
    "task": {"kind": "integer_addition", "operands": 6, "outputs": 12},
    "split": {"train_fraction": 0.7},
    "model": {"d_model": 24, "heads": 2, "d_head": 8, "d_mlp": 40, "mlp_biases": False},
    "training": {"epochs": 600, "checkpoint_every": 100, "evaluate_every": 20},
}


def content(**training):
    """The small experiment with other training settings."""
    return CONTENT | {"training": CONTENT["training"] | training}


def runs(**training):
    """Its runs."""
    return Experiment.model_validate(content(**training)).runs("small")


def folder_with(folder: Path, name="small", given=None, **training) -> Path:
    """A folder that has an experiment, by default the small one, to run the command line in."""
    experiments = folder / "config/experiments"
    experiments.mkdir(parents=True, exist_ok=True)
    (experiments / f"{name}.yaml").write_text(yaml.safe_dump(given or content(**training)))
    return folder


def command(*arguments, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run `progress-measures` in a folder, to the end."""
    line = ("progress_measures", *map(str, arguments))
    return forked.run(*line, folder=folder, environment=os.environ | environment, seconds=300)


ONE_BY_ONE = """\
import json, sys
from progress_measures.cli import app
for line in json.loads(sys.argv[1]):
    print("#", *line, flush=True)
    app(line, standalone_mode=False)
"""


def commands(*lines: str, folder: Path, within: tuple[str, ...] = (), **environment: str) -> None:
    """Run lines of `progress-measures` in a folder, one after the other in one process, which must end well.

    Args:
        within: a command that starts the process, if another is to.
    """
    asked = [*within, sys.executable, "-c", ONE_BY_ONE, json.dumps([line.split() for line in lines])]
    done = subprocess.run(
        asked, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def trained_folder(folder: Path, **training) -> Path:
    """Train the small experiment in a folder, undisturbed, by the command line; gives its results."""
    done = command("train", "small", folder=folder_with(folder, **training))
    assert done.returncode == 0, done.stderr
    return folder / "results/small"


def own_cubes(declared):
    """The published cubes that a figure or table is made of; skips the test where one has not been published."""
    found = [cube_if_any(ROOT / published_cube(name)) for name in declared.experiments]
    missing = [name for name, cube in zip(declared.experiments, found, strict=True) if cube is None]
    if missing and not getattr(declared, "partial", False):
        pytest.skip(f"no published cube of {', '.join(missing)}")
    return found


def suited(declared, cubes):
    """The first of some cubes that has all variables that a figure or table reads; the first of all where none has."""
    return next((cube for cube in cubes if set(declared.variables) <= set(cube.data_vars)), cubes[0])
