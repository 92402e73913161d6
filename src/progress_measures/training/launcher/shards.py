"""Which runs train together: like-shaped ones, as many as the memory of a device holds."""

from typing import Any, NamedTuple

from progress_measures.training import cost


class Shard(NamedTuple):
    """Runs that train as one batch."""

    name: str
    runs: list[Any]


def alike(runs: list[Any]) -> list[list[Any]]:
    """Runs in groups that can train as one: alike but for seeds, weight decay and the choice of training pairs."""
    groups: dict[str, list[Any]] = {}
    for run in runs:
        recipe = run.training.model_copy(update={"weight_decay": 0.0})
        size = (run.split.train_fraction, run.split.examples, run.split.test_examples)
        key = repr((run.task, size, run.model, recipe))
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def shards(runs: list[Any], most: int) -> list[Shard]:
    """Pack each group of like-shaped runs into as few shards as hold them, evenly filled.

    Args:
        runs: of one experiment.
        most: runs a shard.
    """
    packed = []
    for group in alike(runs):
        number = -(-len(group) // max(1, most))
        size, larger = divmod(len(group), number)
        start = 0
        for i in range(number):
            part = group[start : start + size + (i < larger)]
            start += len(part)
            packed.append(Shard(_name(part), part))
    return packed


def fitting(runs: list[Any], device_memory: float, margin: float = 0.8) -> int:
    """How many of these runs fit onto a device at once, at least 1: its memory in bytes, less a margin."""
    return max(1, min(cost.capacity(run, device_memory, margin) for run in runs))


def _name(runs: list[Any]) -> str:
    return runs[0].name if len(runs) == 1 else f"{runs[0].name} … {runs[-1].name} ({len(runs)})"
