"""Checks training on a GPU in at most four minutes: the GPU tests, the benchmark, and the mainline's five runs as one batch.

The batch is compared with the published mainline, which was trained on CPUs: train losses, and the epochs at which the test loss
of each run is first below 0.01. Rounding differs between devices, and training amplifies the differences, so only early losses
must agree.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from progress_measures.cube.open import open_cube
from progress_measures.data.dataset import write_dataset
from progress_measures.experiments import load_experiment
from progress_measures.files import write_json
from progress_measures.training.loop import train
from progress_measures.training.machine import describe_machine, set_up
from progress_measures.training.signals import Interrupted

ROOT = Path(__file__).parents[1]
LIMIT = 240.0  # seconds for everything
TESTS_LIMIT, BENCH_LIMIT = 70.0, 45.0  # seconds for the tests and the benchmark
MARGIN = 15.0  # seconds for the comparison after training
COMPARED_EPOCHS = (50, 100, 1000)  # train losses are compared from epoch 0 up to each of these
TOLERANCE = 1e-3  # relative, up to the first of `COMPARED_EPOCHS`; two kinds of CPU differ by 0.2 % at epoch 100
GROKKED_LOSS = 0.01  # nat; a run counts as grokked at the first evaluation with a test loss below this


def output_of(command: list[str], limit: float) -> dict[str, Any]:
    """Run Python with arguments; return the exit status, the output and the seconds. The status is None after `limit` seconds."""
    start = time.monotonic()
    try:
        process = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=limit)
        status, output = process.returncode, process.stdout.strip() or process.stderr.strip()
    except subprocess.TimeoutExpired:
        status, output = None, f"not finished after {limit:.0f} s"
    return {"status": status, "output": output, "seconds": round(time.monotonic() - start, 1)}


def train_batch(folder: Path, limit: float) -> tuple[dict[str, Any], list[xr.Dataset]]:
    """Train the mainline's five runs as one batch on the GPU, for as long as the limit allows.

    Args:
        folder: An empty folder.
        limit: Seconds after which training is interrupted.

    Returns:
        Number of runs, epochs, seconds and milliseconds per epoch of the batch; and each run's history (losses by epoch).
    """
    runs = load_experiment("mainline").runs("mainline")
    write_dataset(runs, folder / "dataset.zarr")
    timer = threading.Timer(limit, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    start = time.monotonic()
    try:
        train(runs, folder / "dataset.zarr", folder / "runs", "cuda")
    except Interrupted:
        pass
    finally:
        timer.cancel()
    seconds = time.monotonic() - start
    histories = [xr.open_zarr(folder / "runs" / run.name / "history.zarr", consolidated=False).load() for run in runs]
    epochs = int(histories[0].epoch[-1]) if histories[0].sizes["epoch"] else 0
    result = {"runs": len(runs), "epochs": epochs, "seconds": round(seconds, 1)}
    return result | {"ms_per_epoch": round(seconds / max(epochs, 1) * 1e3, 3)}, histories


def compared_with_cpu(histories: list[xr.Dataset], published: xr.Dataset) -> dict[str, Any]:
    """Compare histories of runs with those of a cube whose runs were trained on CPUs.

    Args:
        histories: The history of each run, as training writes it.
        published: The cube, with the same runs in the same order.

    Returns:
        The largest relative difference of the train loss up to each of `COMPARED_EPOCHS`, and the epochs at which the test
        loss is first below `GROKKED_LOSS` on both devices (None if it never is).
    """
    differences = dict.fromkeys(COMPARED_EPOCHS, 0.0)
    grokked: dict[str, list[int | None]] = {"gpu": [], "cpu": []}
    for i, history in enumerate(histories):
        reference = published.isel(run=i)
        reference_loss = reference.history_train_loss.rename(history_epoch="epoch")
        for last in COMPARED_EPOCHS:
            ours, theirs = xr.align(history.loss.sel(epoch=slice(0, last)), reference_loss)
            differences[last] = max(differences[last], float((abs(ours - theirs) / theirs).max()))
        grokked["gpu"].append(_first_epoch_below(history.test_loss, "evaluated_epoch"))
        grokked["cpu"].append(_first_epoch_below(reference.history_test_loss, "history_epoch"))
    return {"train_loss_relative_difference": differences, "grokked": grokked}


def _first_epoch_below(loss: xr.DataArray, dim: str) -> int | None:
    """Return the first epoch, a coordinate along `dim`, at which a loss is below `GROKKED_LOSS`; None if it never is."""
    epochs = loss[dim][(loss < GROKKED_LOSS).values]
    return int(epochs[0]) if epochs.size else None


def main() -> int:
    """Run the check, write results/gpu_check.json, and return the exit status: 0, 1 for a failure, or 2 without a GPU."""
    if not torch.cuda.is_available():
        print("gpu-check: torch finds no GPU on this machine.", file=sys.stderr)
        return 2
    deadline = time.monotonic() + LIMIT
    os.chdir(ROOT)
    tests = output_of(["-m", "pytest", "tests/test_gpu.py"], TESTS_LIMIT)
    bench = output_of(["benchmarks/bench.py", "train", "--threads", "1", "--json"], BENCH_LIMIT)
    if bench["status"] == 0:
        bench["output"] = json.loads(bench["output"])
    set_up(threads=1)
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        batch, histories = train_batch(Path(folder), deadline - time.monotonic() - MARGIN)
    comparison = compared_with_cpu(histories, open_cube("mainline", published=True))
    early = comparison["train_loss_relative_difference"][COMPARED_EPOCHS[0]]
    checks = {
        "the GPU tests fail or are not finished": tests["status"] == 0,
        "the benchmark fails or is not finished": bench["status"] == 0,
        f"train losses up to epoch {COMPARED_EPOCHS[0]} differ from the CPU's by {early:.1e}": early <= TOLERANCE,
    }
    failures = [failure for failure, passed in checks.items() if not passed]
    result = {"machine": describe_machine(torch.device("cuda")), "tests": tests, "bench": bench, "batch": batch}
    write_json(Path("results/gpu_check.json"), result | {"compared_with_cpu": comparison, "failures": failures})
    print(json.dumps(result | {"compared_with_cpu": comparison}, indent=2))
    print(*(f"gpu-check: {failure}" for failure in failures), "written to results/gpu_check.json", sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
