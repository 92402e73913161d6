"""Where things are below `results/` and `published/`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

RESULTS = Path("results")
PUBLISHED = Path("published")


@contextlib.contextmanager
def results_in(folder: Path) -> Iterator[None]:
    """Have another folder stand for `results/` meanwhile."""
    global RESULTS
    before, RESULTS = RESULTS, folder
    try:
        yield
    finally:
        RESULTS = before


def dataset_store(experiment: str) -> Path:
    """Every pair, its label, and which runs train on it."""
    return RESULTS / experiment / "dataset.zarr"


def runs_folder(experiment: str) -> Path:
    """One folder a run."""
    return RESULTS / experiment / "runs"


def checkpoints(experiment: str, run: str) -> Path:
    """Weights over epochs."""
    return runs_folder(experiment) / run / "checkpoints.zarr"


def family_store(experiment: str, run: str, family: str) -> Path:
    """What one family of measures found in one run."""
    return runs_folder(experiment) / run / "measures" / f"{family}.zarr"


def cube_store(experiment: str) -> Path:
    """The gathered cube."""
    return RESULTS / experiment / "cube.zarr"


def published_cube(experiment: str) -> Path:
    """The cube as published."""
    return PUBLISHED / f"{experiment}.zarr.zip"


def published_weights(experiment: str) -> Path:
    """Final weights of every run, and those of run 0 at some epochs, as published."""
    return PUBLISHED / f"{experiment}.weights.zarr.zip"


def explorer_page(experiment: str | None = None) -> Path:
    """The page on which an experiment can be explored, or several."""
    return RESULTS / (experiment or "") / "explorer" / "index.html"


def jobs_folder(experiment: str) -> Path:
    """What was submitted to train its runs: records and logs."""
    return RESULTS / experiment / "jobs"


def trained_record(experiment: str) -> Path:
    """Says that all runs are trained, by which code, on which machines."""
    return RESULTS / experiment / "trained.json"
