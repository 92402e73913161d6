"""Facts of a run, read from its cube: its task, key frequencies, and outcomes of interventions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.tasks import TASKS
from progress_measures.tasks.split import train_order


def task_of(cube: xr.Dataset) -> Any:
    """Return the task of a cube on pairs."""
    kind = str(cube.task.values[0])
    task = TASKS[kind]
    return task(kind=kind, **{name: int(cube[name].values[0]) for name in task.model_fields if name in cube.coords})


def operands(cube: xr.Dataset) -> int:
    """Return n, the number of operands of a task on pairs, which is p for modular tasks."""
    return int(np.ravel(cube["prime" if "prime" in cube.coords else "operands"])[0])


def chance(cube: xr.Dataset) -> float:
    """Return the loss of a uniform guess: the logarithm of the number of outputs, which is p for modular tasks."""
    return float(np.log(cube["prime" if "prime" in cube.coords else "outputs"].values[0]))


class SplitSizes(NamedTuple):
    """Numbers of pairs of a task and its split.

    Attributes:
        pairs: number of all pairs.
        train: number of training pairs.
        test: number of test pairs.
        share: fraction of training pairs, as set.
    """

    pairs: int
    train: int
    test: int
    share: float


def split_sizes(cube: xr.Dataset) -> SplitSizes:
    """Return the numbers of all pairs, training pairs and test pairs of the first run."""
    pairs, fraction = operands(cube) ** 2, float(np.ravel(cube.train_fraction)[0])
    train = int(fraction * pairs)
    return SplitSizes(pairs, train, pairs - train, fraction)


def split_pairs(run_cube: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the training pairs and of the test pairs of one run, in the order of the split.

    Args:
        run_cube: the cube of one run.

    Returns:
        Indices a * n + b of the training pairs [pair] and of the test pairs [pair].
    """
    order = train_order(str(run_cube.split_method.values), int(run_cube.split_seed), operands(run_cube))
    train, test = np.split(order, [split_sizes(run_cube).train])
    return train, test


def labeled_inputs(cube: xr.Dataset, pairs: NDArray[np.int64]) -> tuple[list[list[int]], list[int]]:
    """Return the inputs and the labels of pairs.

    Args:
        cube: cube of a task on pairs.
        pairs: indices a * n + b [pair]; a negative index counts from the last pair.

    Returns:
        The tokens a, b, `=` of each pair, and the labels.
    """
    task = task_of(cube)
    n = task.layout.operands
    inputs = [[*divmod(int(index) % n**2, n), task.layout.vocabulary - 1] for index in pairs]
    return inputs, task.label_table().ravel()[pairs].tolist()


def by_run(cube: xr.Dataset, function: Callable[[xr.Dataset], Any]) -> list[Any]:
    """Apply a function to the last checkpoint of every run.

    Args:
        cube: the cube.
        function: takes the cube of one run at its last checkpoint.

    Returns:
        The results, one per run.
    """
    return [function(cube.sel(run=run).isel(epoch=-1)) for run in cube.run.values]


def key_frequencies_of(run_cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the key frequencies of one run, ascending: [key]."""
    return run_cube.frequency.values[run_cube.key_frequency.values]


def key_frequency_curves(cube: xr.Dataset, name: str) -> Iterator[tuple[xr.Dataset, xr.DataArray]]:
    """Iterate over the curves of a measure at the key frequencies of each run.

    Args:
        cube: cube with `key_frequency`.
        name: a variable [run, epoch, frequency].

    Yields:
        The cube of one run and a curve [epoch], for each run and key frequency.
    """
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        for k in key_frequencies_of(run_cube):
            yield run_cube, run_cube[name].sel(frequency=k)


def after_intervention(cube: xr.Dataset, name: str, measure: str = "loss", split: str = "test") -> NDArray[np.floating]:
    """Read loss or accuracy of every run after an intervention.

    Args:
        cube: the cube.
        name: the intervention, an entry of the coordinate `intervention`.
        measure: `loss` or `accuracy`.
        split: `test`, `train` or `all`.

    Returns:
        The values [run].
    """
    return cube[f"intervention_{measure}"].sel(intervention=name, split=split).values
