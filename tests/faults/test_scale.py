"""Memory and number of files for a thousand runs and for a hundred thousand epochs."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import zarr

from progress_measures.cube.open import open_cube
from progress_measures.training.store import RunStore
from support.experiments import folder_with, small_experiment, small_runs
from support.processes import command

# All runs link to one trained run, so that only gathering takes long.
GATHER = """
import sys
from pathlib import Path
from progress_measures.training.machine import peak_memory_mib
from progress_measures.cube.gather import gather
from progress_measures.experiments import load_experiment
first = load_experiment("small").runs("small")[0]
runs = [first.model_copy(update={"name": f"run{i}"}) for i in range(int(sys.argv[1]))]
for run in runs:
    (Path("results/small/runs") / run.name).symlink_to("seed0")
gather("small", "A thousand runs", runs)
print(peak_memory_mib())
"""

DRAW = """
from progress_measures.training.machine import peak_memory_mib
from progress_measures.cli import app
app(standalone_mode=False)
print(peak_memory_mib())
"""


@pytest.mark.faults
def test_a_thousand_runs(tmp_path, request):
    """Gathering takes little memory and writes few files; drawing takes hardly more memory than for a single run.

    A run has fewer than 700 files, since clusters often have a quota of a million files. With --trials 1 there are 100 runs;
    their cube is still much larger than random differences in the memory of processes.
    """
    run_count, epochs = 1000 if request.config.getoption("--trials") > 1 else 100, 400
    recipe = {"epochs": epochs, "checkpoint_every": 1, "evaluate_every": 1}
    single, thousand = tmp_path / "one", tmp_path / "thousand"
    folder_with(single, content=small_experiment(**recipe) | {"grid": {"seed": [0]}})
    for verb in ("train", "measure"):
        done = command(verb, "small", folder=single)
        assert done.returncode == 0, done.stderr
    assert len([path for path in (single / "results/small/runs/seed0").rglob("*") if path.is_file()]) < 700
    shutil.copytree(single, thousand)
    peak_memory(single, GATHER, 1)
    assert peak_memory(thousand, GATHER, run_count) < 2 * 2**10

    path = thousand / "results/small/cube.zarr"
    assert all(array.nchunks <= 300 for _, array in zarr.open_group(path, mode="r").arrays())
    cube = open_cube(path)
    assert cube.sizes["run"] == run_count
    assert cube.sizes["epoch"] == epochs + 1
    for name in ("test_loss", "restricted_loss", "neuron_frequency"):
        first, last = (cube[name].isel(run=i).values for i in (0, -1))
        np.testing.assert_array_equal(first, last)
    # minima over three processes, because their memory differs by chance
    one_run_peak, all_runs_peak = (
        min(peak_memory(folder, DRAW, "draw", "paper/fig04", "--experiment", "small") for _ in range(3))
        for folder in (single, thousand)
    )
    assert all_runs_peak - one_run_peak < sum(variable.nbytes for variable in cube.data_vars.values()) / 2**20 / 4


def peak_memory(folder, code, *arguments):
    """Run code in another process, and return the peak memory of the process in MiB."""
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return float(subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1])


def test_history_of_a_hundred_thousand_epochs_is_small(tmp_path):
    run = small_runs(epochs=100_000, evaluate_every=100)[0]
    RunStore(tmp_path, run, "code").write_history(np.linspace(5, 0, 100_001), np.zeros((1001, 4)))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) < 40
    assert sum(path.stat().st_size for path in files) < 2e6
