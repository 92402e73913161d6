"""Read from a cube: the task, the split, the key frequencies, and losses and accuracies after interventions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.cube.stops import last_checkpoint
from progress_measures.tasks import TASKS, PairTask
from progress_measures.tasks.order import Order
from progress_measures.tasks.split import train_order

GENERALIZATION_ACCURACY = 0.95
"""Test accuracy from which a network counts as generalizing, in claims and in comparisons of training recipes."""


def task_of(cube: xr.Dataset) -> Any:
    """Construct the task of a cube's first run from the coordinates, which have the task's fields.

    Args:
        cube: cube of a task on pairs. A task that is given as a table of answers is not supported, because the cube does not
            have the table.
    """
    kind = str(np.ravel(cube.task)[0])
    task = TASKS[kind]
    fields = {name: np.ravel(cube[name])[:1].item() for name in task.model_fields if name in cube.coords}
    return task(**fields | {"kind": kind})


def operand_count(cube: xr.Dataset) -> int:
    """Return n, the number of operand values in the measures of the first run: p for sums mod p, p - 1 for products mod p.

    Measures of a product mod p leave out the operand value 0, which is not in the cyclic group. If the task is given as a
    table and an earlier version gathered the cube, the cube does not state n. The number of all operand values is then
    returned, including those that the measures leave out.
    """
    if "measured_operands" in cube.attrs:  # a task that is given as a table
        return int(cube.attrs["measured_operands"])
    return _stated_operand_count(cube) or len(Order.of(task_of(cube)).operands)


def all_operands(cube: xr.Dataset) -> int:
    """Return the number of all operand values of the first run's task, including those that measures leave out."""
    return _stated_operand_count(cube) or int(task_of(cube).operand_count)


def _stated_operand_count(cube: xr.Dataset) -> int | None:
    """Return the number of all operand values if a coordinate of the cube states it.

    Sums and differences mod p have the coordinate `prime`; integer addition and tables have `operands`; others have
    neither.
    """
    return next((int(np.ravel(cube[name])[0]) for name in ("prime", "operands") if name in cube.coords), None)


def group_sign(cube: xr.Dataset) -> int:
    """Return 1 if the right answers of the first run are functions of a + b, -1 if they are functions of a - b.

    For products and quotients, a and b are places in the task's cyclic group. The sign is 1 for tasks without such a group,
    and for a task that is given as a table, which the cube does not have.
    """
    kind = str(np.ravel(cube.task)[0])
    on_pairs = issubclass(TASKS[kind], PairTask)
    group = task_of(cube).group if on_pairs and kind != "pair_table" else None
    return 1 if group is None else int(group.sign)


def uniform_loss(cube: xr.Dataset) -> float:
    """Return the loss, in nat, of a network that gives all outputs the same probability: log of their number in the first run."""
    return float(np.log(cube["outputs" if "outputs" in cube.coords else "prime"].values[0]))


class SplitSizes(NamedTuple):
    """Numbers of pairs in a task and in its split.

    Attributes:
        pairs: number of all pairs for which the task defines an answer.
        train: number of training pairs.
        test: number of test pairs, which are all other pairs with an answer.
        train_fraction: the setting `split.train_fraction`. The number of training pairs is the number of all pairs times this
            fraction, rounded down.
    """

    pairs: int
    train: int
    test: int
    train_fraction: float


def split_sizes(cube: xr.Dataset) -> SplitSizes:
    """Return the numbers of all pairs, training pairs and test pairs of the first run."""
    pairs, fraction = int(_defined(cube).sum()), float(np.ravel(cube.train_fraction)[0])
    train = int(fraction * pairs)
    return SplitSizes(pairs=pairs, train=train, test=pairs - train, train_fraction=fraction)


def _defined(cube: xr.Dataset) -> NDArray[np.bool_]:
    """Return whether the task defines an answer for each pair: [a, b]."""
    if n := _stated_operand_count(cube):  # these tasks have an answer for every pair
        return np.ones((n, n), dtype=bool)
    defined: NDArray[np.bool_] = task_of(cube).defined()
    return defined


def split_pairs(run_cube: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the training pairs and of the test pairs of one run, in the order in which the split shuffles them.

    Args:
        run_cube: the cube of one run.

    Returns:
        Indices a * n + b of the training pairs [pair] and of the test pairs [pair]; n is the number of all operand values of the
        task, which is p for products mod p, where `operand_count` returns p - 1.
    """
    defined = _defined(run_cube)
    order = train_order(str(run_cube.split_method.values), int(run_cube.split_seed), len(defined))
    train, test = np.split(order[defined.ravel()[order]], [split_sizes(run_cube).train])
    return train, test


def labeled_inputs(cube: xr.Dataset, pairs: NDArray[np.int64]) -> tuple[list[list[int]], list[int]]:
    """Return the input tokens and the labels of pairs.

    Args:
        cube: cube of a task on pairs.
        pairs: indices a * n + b [pair], where n is the number of operand values of the task; a negative index counts from the
            last pair.

    Returns:
        The input tokens of each pair, such as those of a, b and `=`, and the label of each pair.
    """
    task = task_of(cube)
    n = task.sizes.operand_count
    a, b = np.divmod(pairs % n**2, n)
    return task.token_layout.sequences(a, b).tolist(), task.label_table().ravel()[pairs].tolist()


def by_run(cube: xr.Dataset, function: Callable[[xr.Dataset], Any]) -> list[Any]:
    """Apply a function to the last checkpoint of every run.

    Args:
        cube: cube with one or more runs.
        function: function of the cube of one run at its last checkpoint.

    Returns:
        The results of the function, one per run.
    """
    return [function(last_checkpoint(cube.sel(run=run))) for run in cube.run.values]


def key_frequencies_of(run_cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the key frequencies of one run, ascending: [key]."""
    return run_cube.frequency.values[run_cube.key_frequency.values]


def key_frequency_curves(cube: xr.Dataset, name: str) -> Iterator[tuple[xr.Dataset, xr.DataArray]]:
    """Iterate over the curves of a measure at the key frequencies of each run.

    Args:
        cube: cube with `key_frequency`.
        name: name of a variable [run, epoch, frequency].

    Yields:
        For each run and each of its key frequencies: the cube of the run and the curve [epoch].
    """
    for run in cube.run.values:
        run_cube = cube.sel(run=run)
        for k in key_frequencies_of(run_cube):
            yield run_cube, run_cube[name].sel(frequency=k)


def after_intervention(cube: xr.Dataset, name: str, measure: str = "loss", split: str = "test") -> NDArray[np.floating]:
    """Read loss or accuracy of every run after an intervention.

    Args:
        cube: cube with `intervention_loss` or `intervention_accuracy`.
        name: name of the intervention, which removes or replaces a part of the network's computation: an entry of the
            coordinate `intervention`; `none` for the unchanged network.
        measure: `loss` or `accuracy`.
        split: the pairs over which the mean is taken: `test`, `train` or `all`.

    Returns:
        The values [run]; NaN for a run to which the intervention does not apply.
    """
    return cube[f"intervention_{measure}"].sel(intervention=name, split=split).values
