"""A thousand runs, a hundred thousand epochs: what they take of memory and of files."""

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from small import command, content, folder_with, runs

from progress_measures.cube.open import open_cube
from progress_measures.training.store import RunStore

RUNS, EPOCHS = 1000, 400
RECIPE = {"epochs": EPOCHS, "checkpoint_every": 1, "evaluate_every": 1}

# One run stands for all, so that nothing but the gathering takes long.
GATHER = """
import json, resource, sys
from progress_measures.cube.gather import gather
from progress_measures.experiments import load_experiment
first = load_experiment("small").runs("small")[0]
runs = [first.model_copy(update={"name": f"run{i}"}) for i in range(int(sys.argv[1]))]
for run in runs:
    (Path("results/small/runs") / run.name).symlink_to("seed0")
gather("small", "A thousand runs", runs)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""

DRAW = """
import json, resource
from progress_measures.cli import app
app(standalone_mode=False)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """A folder with a cube of a thousand runs, and the most memory that gathering it took, in bytes."""
    folder = folder_with(tmp_path_factory.mktemp("thousand"), given=content(**RECIPE) | {"grid": {"seed": [0]}})
    for verb in ("train", "measure"):
        done = command(verb, "small", folder=folder)
        assert done.returncode == 0, done.stderr
    line = [sys.executable, "-c", GATHER, str(RUNS)]
    gathered = subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True)
    return folder, json.loads(gathered.stdout)


@pytest.mark.faults
def test_a_thousand_runs_are_gathered_in_little_memory(thousand, monkeypatch):
    folder, memory = thousand
    monkeypatch.chdir(folder)
    cube = open_cube("small")
    assert cube.sizes["run"] == RUNS
    assert cube.sizes["epoch"] == EPOCHS + 1
    for name in ("test_loss", "restricted_loss", "neuron_frequency"):
        first, last = (cube[name].isel(run=i).values for i in (0, -1))
        np.testing.assert_array_equal(first, last)
    assert memory < 2 * 2**30


@pytest.mark.faults
def test_their_cube_is_in_few_files_and_is_read_where_it_is_needed(thousand):
    folder, _ = thousand
    cube = folder / "results/small/cube.zarr"
    assert all(array.nchunks <= 300 for _, array in zarr.open_group(cube, mode="r").arrays())
    line = [sys.executable, "-c", DRAW, "draw", "paper/fig04", "--experiment", "small"]
    drawn = subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True)
    assert json.loads(drawn.stdout) < sum(v.nbytes for v in open_cube(cube).data_vars.values()) / 4


@pytest.mark.faults
def test_a_run_of_many_checkpoints_is_in_few_files(thousand):
    """As many runs again would still be far from what a user may have on a cluster, often a million."""
    folder, _ = thousand
    files = [path for path in (folder / "results/small/runs/seed0").rglob("*") if path.is_file()]
    assert len(files) < 700


def test_a_history_of_a_hundred_thousand_epochs_is_light(tmp_path):
    run = runs(epochs=100_000, evaluate_every=100)[0]
    RunStore(tmp_path, run, "code").write_history(np.linspace(5, 0, 100_001), np.zeros((1001, 4)))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) < 40
    assert sum(path.stat().st_size for path in files) < 2e6
