"""The dataset of an experiment: every pair with its label and split, or the sequences sampled for each run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from progress_measures.data.examples import SampledExamples
from progress_measures.data.label_noise import training_labels
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.files import STORE_ERRORS, check_chunks, damage_reported, open_store, write_store
from progress_measures.fingerprint import DERIVED, fingerprint
from progress_measures.tasks import Examples

if TYPE_CHECKING:
    import xarray as xr

    from progress_measures.experiments.schema import Run


def dataset(runs: list[Run]) -> xr.Dataset:
    """Build the examples, labels and splits of an experiment's runs, whose tasks are of one kind.

    Returns:
        For tasks on pairs: `label` [a, b], -1 for a pair without a right answer, and `train` [run, a, b], true for training
        pairs. With label noise, also `training_label` [run, a, b], the label that the run trains on: wrong for some
        training pairs, -1 for a pair without a right answer. If the runs have different tasks, such as different
        primes, `label` is [run, a, b]. If the tasks differ in the number of operand values, `operands` [run] has the
        numbers, and arrays are padded with -1 or false.
        For tasks on sequences: `tokens` [run, example, position], `answer_position` and `label` [run, example, answer]
        and `train` [run, example], true for training examples. If a run has a fixed training set, the training
        examples come first and the test examples follow. A run that trains on fresh examples has only test examples
        here. A run with fewer examples than others is padded with -1. Training does not read these sequences; it
        samples them again, with the same seeds.
    """
    import xarray as xr

    if runs[0].on_sequences:
        return _sequence_dataset(runs)
    by_run = ("run", "a", "b")
    masks = [train_mask(run) for run in runs]
    tasks = {repr(run.task): run.task for run in runs}
    operands = [run.task.sizes.operand_count for run in runs]
    n = max(operands)
    task_labels = _padded([np.where(task.defined(), task.label_table(), -1) for task in tasks.values()], n, padding=-1)
    labels = task_labels[[list(tasks).index(repr(run.task)) for run in runs]]
    variables: dict[str, Any] = {
        "label": (
            *((("a", "b"), labels[0]) if len(tasks) == 1 else (by_run, labels)),
            {"long_name": "Right answer", "units": "1"},
        ),
        "train": (
            by_run,
            _padded(masks, n, padding=False),
            {"long_name": "Whether the run trains on the pair", "units": "1"},
        ),
    }
    if any(run.split.label_noise for run in runs):
        noisy = _padded([training_labels(run, mask) for run, mask in zip(runs, masks, strict=True)], n, padding=-1)
        attributes = {"long_name": "Label that the run trains on, wrong for some training pairs", "units": "1"}
        variables["training_label"] = (by_run, np.where(labels < 0, -1, noisy), attributes)
    if len(set(operands)) > 1:
        variables["operands"] = ("run", operands, {"long_name": "Number of operand values", "units": "1"})
    return xr.Dataset(
        variables,
        {"run": [run.name for run in runs], "a": np.arange(n), "b": np.arange(n)},
        _attributes(runs),
    )


def _padded(tables: list[NDArray[Any]], n: int, padding: int) -> NDArray[Any]:
    """Stack square tables of at most n rows: [table, n, n], with the value `padding` where a table has no entry."""
    return np.stack([np.pad(table, ((0, n - len(table)),) * 2, constant_values=padding) for table in tables])


def _sequence_dataset(runs: list[Run]) -> xr.Dataset:
    import xarray as xr

    sources = [SampledExamples(run) for run in runs]
    train_and_test = [[source.fixed, source.test()] if source.fixed else [source.test()] for source in sources]
    examples_of_runs = [Examples(*map(np.concatenate, zip(*sets, strict=True))) for sets in train_and_test]
    most_examples = max(len(examples.tokens) for examples in examples_of_runs)
    # runs with fewer examples are padded with -1
    padded = [
        [np.pad(array, ((0, most_examples - len(array)), (0, 0)), constant_values=-1) for array in examples]
        for examples in examples_of_runs
    ]
    tokens, positions, labels = map(np.stack, zip(*padded, strict=True))
    train_sizes = [len(source.fixed.tokens) if source.fixed else 0 for source in sources]
    train = np.arange(most_examples) < np.array(train_sizes)[:, None]
    by_answer = ("run", "example", "answer")
    return xr.Dataset(
        {
            "tokens": (("run", "example", "position"), tokens, {"long_name": "Sequences", "units": "1"}),
            "answer_position": (by_answer, positions, {"long_name": "Answer position", "units": "1"}),
            "label": (by_answer, labels, {"long_name": "Right answer", "units": "1"}),
            "train": (("run", "example"), train, {"long_name": "Whether the run trains on the example", "units": "1"}),
        },
        {"run": [run.name for run in runs], "answer": runs[0].task.answer_names()},
        _attributes(runs),
    )


def _attributes(runs: list[Run]) -> dict[str, str]:
    return {"experiment": runs[0].experiment, "task": runs[0].task.kind, **_provenance(runs)}


def write_dataset(runs: list[Run], path: Path) -> None:
    """Write the dataset of an experiment, unless a complete one with the same settings and code is stored already.

    Args:
        runs: All runs of an experiment.
        path: The store, `results/<experiment>/dataset.zarr`.
    """
    if _stored_provenance(path) != _provenance(runs):
        write_store(dataset(runs), path)


def train_masks(path: Path, names: list[str]) -> NDArray[np.bool_]:
    """Read the training masks of runs.

    Args:
        path: The experiment's `dataset.zarr`.
        names: Names of the runs.

    Returns:
        True for training pairs [run, a, b] or, for tasks on sequences, training examples [run, example]. If the named
        runs have different numbers of operand values, a and b have the length of the largest number, and masks are
        padded with false.

    Raises:
        UserError: The dataset is missing or damaged, or lacks one of the runs.
    """
    advice = f"write it with: progress-measures dataset {path.parent.name}"
    if not path.exists():
        raise UserError(f"{path}, which records what each run trains on, is missing; {advice}")
    with damage_reported(path, advice):
        stored = open_store(path)
        train = stored.train
        unknown = sorted(set(names) - set(train.run.values.tolist()))
        if unknown:
            raise UserError(f"{path} does not contain run {unknown[0]}, which was added later; {advice}")
        masks: NDArray[np.bool_] = train.sel(run=names).values.astype(bool)
        if "operands" not in stored:
            return masks
        n = int(stored.operands.sel(run=names).max())
        return masks[:, :n, :n]


def _settings(runs: list[Run]) -> str:
    """Return the settings that determine the data of the runs, as one line of text."""
    if runs[0].on_sequences:
        splits = [f"{run.name}: {run.split.examples}, {run.split.test_examples}, {run.split_seed}" for run in runs]
    else:
        splits = [f"{run.name}: {run.split.method}, {run.split.train_fraction}, {run.split_seed}" for run in runs]
        splits += [f"{run.name}: label noise {run.split.label_noise}" for run in runs if run.split.label_noise]
    tasks = {run.name: repr(run.task) for run in runs}
    if len(set(tasks.values())) == 1:
        return f"{runs[0].task!r}; " + "; ".join(splits)
    return "; ".join([f"{name}: {task}" for name, task in tasks.items()] + splits)


def _provenance(runs: list[Run]) -> dict[str, str]:
    """Return the settings and the fingerprint of the code on which the dataset of the runs depends."""
    return {
        "settings": _settings(runs),
        "code": fingerprint(__name__, type(runs[0].task).__module__, DERIVED),
    }


def _stored_provenance(path: Path) -> dict[str, str]:
    """Return the settings and the code fingerprint of the stored dataset; empty if there is none, or if it is damaged.

    The attributes are read without xarray, whose import is slow, because usually nothing has to be written.
    """
    try:
        check_chunks(path)
        attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return {name: attributes[name] for name in ("settings", "code")}
    except STORE_ERRORS:
        return {}
