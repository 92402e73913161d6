"""The data of an experiment: every pair, its label, and which runs train on it; or the examples that were drawn."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.files import open_store, write_store
from progress_measures.fingerprint import fingerprint
from progress_measures.tasks import Examples, label_table, layout, task_module
from progress_measures.tasks.examples import DrawnExamples
from progress_measures.tasks.split import train_mask

if TYPE_CHECKING:
    import xarray as xr


def dataset(runs: list[Any]) -> "xr.Dataset":
    """Labels and splits of runs of one task.

    Returns:
        `label` [a, b] and `train` [run, a, b], true for training pairs. Of tasks on sequences the fixed training
        examples, if there are such, and the test examples: `tokens` [run, example, position], `answer_position` and
        `label` [run, example, answer] and `train` [run, example]. They are for readers: training draws them again.
    """
    import xarray as xr

    if runs[0].on_sequences:
        return _drawn(runs)
    n = layout(runs[0].task).operands
    masks = np.stack([train_mask(run, n) for run in runs])
    return xr.Dataset(
        {
            "label": (("a", "b"), label_table(runs[0].task), {"long_name": "Right answer", "units": "1"}),
            "train": (("run", "a", "b"), masks, {"long_name": "Whether the run trains on the pair", "units": "1"}),
        },
        {"run": [run.name for run in runs], "a": np.arange(n), "b": np.arange(n)},
        _attributes(runs),
    )


def _drawn(runs: list[Any]) -> "xr.Dataset":
    import xarray as xr

    drawn = [DrawnExamples(run) for run in runs]
    parts = [[one.fixed, one.test()] if one.fixed else [one.test()] for one in drawn]
    joined = [Examples(*map(np.concatenate, zip(*part, strict=True))) for part in parts]
    longest = max(len(one.tokens) for one in joined)
    # runs of fewer examples are filled up with -1
    filled = [[np.pad(a, ((0, longest - len(a)), (0, 0)), constant_values=-1) for a in one] for one in joined]
    tokens, positions, labels = map(np.stack, zip(*filled, strict=True))
    fixed = [len(one.fixed.tokens) if one.fixed else 0 for one in drawn]
    train = np.arange(longest) < np.array(fixed)[:, None]
    by_answer = ("run", "example", "answer")
    return xr.Dataset(
        {
            "tokens": (("run", "example", "position"), tokens, {"long_name": "Sequences", "units": "1"}),
            "answer_position": (by_answer, positions, {"long_name": "Where the network is read", "units": "1"}),
            "label": (by_answer, labels, {"long_name": "Right answer", "units": "1"}),
            "train": (("run", "example"), train, {"long_name": "Whether the run trains on the example", "units": "1"}),
        },
        {"run": [run.name for run in runs], "answer": task_module(runs[0].task.kind).answer_names(runs[0].task)},
        _attributes(runs),
    )


def _attributes(runs: list[Any]) -> dict[str, str]:
    return {"experiment": runs[0].experiment, "task": runs[0].task.kind, **_made_by(runs)}


def write_dataset(runs: list[Any], path: Path) -> None:
    """Write `results/<experiment>/dataset.zarr`, unless it is there, of these settings and by this code."""
    if _present(path) != _made_by(runs):
        write_store(dataset(runs), path)


def train_masks(path: Path, names: list[str]) -> NDArray[np.bool_]:
    """The training pairs of runs: [run, a, b]; of tasks on sequences, the examples: [run, example].

    Raises:
        UserError: the data are not there, or not of these runs.
    """
    advice = f"make it: progress-measures dataset {path.parent.name}"
    if not path.exists():
        raise UserError(f"{path}, which says what each run trains on, is missing; {advice}")
    train = open_store(path).train
    unknown = sorted(set(names) - set(train.run.values.tolist()))
    if unknown:
        raise UserError(f"{path} was made when there was no run {unknown[0]}; {advice}")
    return train.sel(run=names).values.astype(bool)


def _settings(runs: list[Any]) -> str:
    """What the data depend on, in one line."""
    if runs[0].on_sequences:
        splits = [f"{run.name}: {run.split.examples}, {run.split.test_examples}, {run.split_seed}" for run in runs]
    else:
        splits = [f"{run.name}: {run.split.method}, {run.split.train_fraction}, {run.split_seed}" for run in runs]
    return f"{runs[0].task!r}; " + "; ".join(splits)


def _made_by(runs: list[Any]) -> dict[str, str]:
    return {"settings": _settings(runs), "code": fingerprint(__name__, task_module(runs[0].task.kind).__name__)}


def _present(path: Path) -> dict[str, str]:
    """What the data that are there were made by. Read without xarray, since most often there is nothing to write."""
    try:
        attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return {name: attributes[name] for name in ("settings", "code")}
    except (OSError, ValueError, KeyError):
        return {}
