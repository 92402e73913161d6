"""Pack runs into shards: runs of the same shape that train together, as many as fit into the memory of a device.

Runs have the same shape if they have the same settings, except those that `group_by_shape` lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from progress_measures.training import cost

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class Shard(NamedTuple):
    """Runs that train together in one job."""

    name: str
    runs: list[Run]


def group_by_shape(runs: list[Run]) -> list[list[Run]]:
    """Group runs by shape: runs of a group can train together.

    Runs of a group differ only in seeds, weight decay, the norm at which weights are kept (`training.fixed_norm`, set
    in all runs or in none), the trained weights from which they start (`start_from`), the scale of the initial weights,
    label noise and the choice of training pairs.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        has_fixed_norm = run.training.fixed_norm is not None
        recipe = run.training.model_copy(update={"weight_decay": 0.0, "fixed_norm": has_fixed_norm})
        model = run.model.model_copy(update={"initial_scale": 1.0})
        example_counts = (run.split.train_fraction, run.split.examples, run.split.test_examples)
        key = repr((run.task, example_counts, model, recipe))
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def shards(runs: list[Run], max_runs: int) -> list[Shard]:
    """Pack the runs of each shape into as few shards as possible, each with nearly the same number of runs.

    Args:
        runs: runs of one experiment.
        max_runs: largest number of runs per shard.

    Returns:
        The shards, shape by shape; within a shape, runs keep their order.
    """
    packed = []
    for group in group_by_shape(runs):
        shard_count = -(-len(group) // max(1, max_runs))
        minimum_runs, larger_shards = divmod(len(group), shard_count)
        start = 0
        for i in range(shard_count):
            shard_runs = group[start : start + minimum_runs + (i < larger_shards)]
            start += len(shard_runs)
            packed.append(Shard(_name(shard_runs), shard_runs))
    return packed


def runs_that_fit(runs: list[Run], device_memory: float, usable_fraction: float = 0.8) -> int:
    """Return how many runs of any of the given shapes fit into the memory of a device at once: at least 1.

    Args:
        runs: runs of one experiment.
        device_memory: memory of the device, in bytes.
        usable_fraction: fraction of this memory that may be used.

    Returns:
        Number of runs, as if every run needed as much memory as the largest; it may exceed the number of `runs`.
    """
    return max(1, min(cost.same_shape_runs_that_fit(run, device_memory, usable_fraction) for run in runs))


def _name(runs: list[Run]) -> str:
    """Return the name of a shard: that of its only run, or the first and last run and their number."""
    return runs[0].name if len(runs) == 1 else f"{runs[0].name} … {runs[-1].name} ({len(runs)})"
