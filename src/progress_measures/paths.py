"""Paths of files and folders below `results/` and `published/`; a store is a Zarr folder, an archive a zip file of one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

RESULTS = Path("results")
PUBLISHED = Path("published")


@contextlib.contextmanager
def use_results_folder(folder: Path) -> Iterator[None]:
    """Use another folder in place of `results/` inside a `with` statement."""
    global RESULTS
    previous, RESULTS = RESULTS, folder
    try:
        yield
    finally:
        RESULTS = previous


def dataset_store(experiment: str) -> Path:
    """Return the store of an experiment's labels and splits, or of its sampled sequences."""
    return RESULTS / experiment / "dataset.zarr"


def runs_folder(experiment: str) -> Path:
    """Return the folder that contains one folder per run."""
    return RESULTS / experiment / "runs"


def checkpoints(experiment: str, run: str) -> Path:
    """Return the path of a run's weights at all stored epochs.

    Args:
        experiment: name of the experiment.
        run: name of the run.

    Returns:
        The path of a Zarr store.
    """
    return runs_folder(experiment) / run / "checkpoints.zarr"


def family_store(experiment: str, run: str, family: str) -> Path:
    """Return the path of one family's measures of one run.

    Args:
        experiment: name of the experiment.
        run: name of the run.
        family: name of the family.

    Returns:
        The path of a Zarr store.
    """
    return runs_folder(experiment) / run / "measures" / f"{family}.zarr"


def measured_record(experiment: str, part: str) -> Path:
    """Return the path of the file that records that a part of an experiment is measured.

    Args:
        experiment: name of the experiment.
        part: name of the part; `cube.parts` defines the parts.

    Returns:
        The path.
    """
    return RESULTS / experiment / "measured" / part


def cube_store(experiment: str) -> Path:
    """Return the store of an experiment's cube."""
    return RESULTS / experiment / "cube.zarr"


def published_cube(experiment: str) -> Path:
    """Return the archive of an experiment's published cube."""
    return PUBLISHED / f"{experiment}.zarr.zip"


def published_weights(experiment: str) -> Path:
    """Return the archive of published weights: the last ones of every run, and possibly earlier ones of the first run."""
    return PUBLISHED / f"{experiment}.weights.zarr.zip"


def explorer_page(experiment: str | None = None) -> Path:
    """Return the explorer page of one experiment; without a name, the page of several experiments."""
    return RESULTS / (experiment or "") / "explorer" / "index.html"


def jobs_folder(experiment: str) -> Path:
    """Return the folder with the records and logs of an experiment's training jobs."""
    return RESULTS / experiment / "jobs"


def trained_record(experiment: str) -> Path:
    """Return the file that states that all runs are trained, and which code and machines trained them."""
    return RESULTS / experiment / "trained.json"
