"""Small experiments that train in seconds, and folders in which the command line finds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from progress_measures.experiments.schema import Experiment
from support.processes import command

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

SMALL = {
    "title": "Small networks for tests",
    "task": {"kind": "modular_addition", "prime": 13},
    "split": {"train_fraction": 0.6},
    "model": {"d_model": 32, "heads": 2, "d_head": 16, "d_mlp": 64},
    "training": {"epochs": 400, "checkpoint_every": 20, "evaluate_every": 20},
    "grid": {"seed": [0, 1]},
}

INTEGERS = {
    "title": "Small networks that add integers, for tests",
    "task": {"kind": "integer_addition", "operands": 6, "outputs": 12},
    "split": {"train_fraction": 0.7},
    "model": {"d_model": 24, "heads": 2, "d_head": 8, "d_mlp": 40, "mlp_biases": False},
    "training": {"epochs": 600, "checkpoint_every": 100, "evaluate_every": 20},
}

SEQUENCE_SIZES = {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 24}
SEQUENCES = {
    "five_digit_addition": {"task": {"digits": 2}, "model": SEQUENCE_SIZES | {"initialization": "authors"}},
    "repeated_subsequence": {
        "task": {"vocabulary": 11, "length": 19, "subsequence": 4},
        "model": SEQUENCE_SIZES | {"layers": 2, "attention_only": True, "initialization": "authors_by_head"},
    },
    "skip_trigram": {
        "task": {"noise": 4, "answers": 3, "length": 7},
        "model": SEQUENCE_SIZES | {"attention_only": True, "initialization": "authors"},
    },
}
"""Task and model of a small experiment for each task on sequences."""

P = 17
"""The modulus p of the modular tasks of `pair_run`."""


# ---- experiments on pairs


def small_experiment(**training: Any) -> dict[str, Any]:
    """Return the small experiment with some training settings replaced."""
    return SMALL | {"training": SMALL["training"] | training}


def small_runs(**training: Any) -> list[Run]:
    """Return the runs of the small experiment with some training settings replaced."""
    return Experiment.model_validate(small_experiment(**training)).runs("small")


def pair_run(kind: str, **model: Any) -> Run:
    """Return a run of a small network on pairs, with 17 numbers for a modular task and 7 for integer addition."""
    task = {"kind": kind} | ({"operands": 7} if kind == "integer_addition" else {"prime": P})
    sizes = {"d_model": 16, "heads": 2, "d_head": 6, "d_mlp": 54} | model
    settings = {"title": "small", "seed": 3, "task": task, "model": sizes, "training": {"epochs": 100}}
    settings["learning_coefficient"] = {"chains": 2, "burn_in": 2, "draws": 4, "step_size": 1e-4}
    return Experiment.model_validate(settings).runs("small")[0]


def pair_runs(kind: str = "modular_addition", precision: str = "float64", count: int = 2, **model: Any) -> list[Run]:
    """Return runs on pairs that differ in their seeds, with 13 numbers for a modular task and 9 for integer addition."""
    sizes = {"d_model": 24, "heads": 3, "d_head": 8, "d_mlp": 40} | model
    experiment = {
        "title": "small",
        "task": {"kind": kind, **({"operands": 9} if kind == "integer_addition" else {"prime": 13})},
        "model": sizes,
        "training": {"epochs": 100, "precision": precision},
        "grid": {"seed": list(range(count))},
    }
    return Experiment.model_validate(experiment).runs("small")


# ---- experiments on sequences


def sequence_runs(
    kind: str,
    count: int = 1,
    task: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    examples: int | None = None,
    batch: int | None = None,
    **training: Any,
) -> list[Run]:
    """Return runs on sequences that differ in their seeds.

    Args:
        kind: the task.
        count: number of runs.
        task: settings of the task, in place of the settings in `SEQUENCES`.
        model: settings of the model to add to the settings in `SEQUENCES`.
        examples: number of fixed training examples; by default each update draws fresh examples.
        batch: number of examples per update; by default 24 fresh examples, or all fixed examples.
        **training: training settings to replace.
    """
    small = SEQUENCES[kind]
    recipe = {"epochs": 60, "checkpoint_every": 10, "evaluate_every": 10} | training
    settings = {
        "title": "small",
        "task": {"kind": kind} | (small["task"] if task is None else task),
        "split": {"test_examples": 40} | ({} if examples is None else {"examples": examples}),
        "model": small["model"] | (model or {}),
        "training": recipe | ({"batch": batch or 24} if batch or examples is None else {}),
        "grid": {"seed": list(range(count))},
    }
    return Experiment.model_validate(settings).runs("small")


def sequence_run(kind: str, **options: Any) -> Run:
    """Return one run on sequences; the options are passed to `sequence_runs`."""
    return sequence_runs(kind, **options)[0]


# ---- folders


def folder_with(folder: Path, name: str = "small", content: dict[str, Any] | None = None, **training: Any) -> Path:
    """Write an experiment, by default the small one, into a folder where the command line finds it.

    Args:
        folder: where to write; created if it is missing.
        name: the name of the experiment.
        content: the content of its file; by default, the small experiment.
        **training: training settings of the small experiment to replace.

    Returns:
        The folder.
    """
    experiments = folder / "config/experiments"
    experiments.mkdir(parents=True, exist_ok=True)
    (experiments / f"{name}.yaml").write_text(yaml.safe_dump(content or small_experiment(**training)))
    return folder


def trained_folder(folder: Path, **training: Any) -> Path:
    """Train the small experiment in a folder by the command line, without interruption, and return its results."""
    done = command("train", "small", folder=folder_with(folder, **training))
    assert done.returncode == 0, done.stderr
    return folder / "results/small"


def trained_bytes(folder: Path, name: str = "seed0") -> dict[str, bytes]:
    """Return all weights and losses of a trained run as bytes, by name, for bitwise comparison.

    Args:
        folder: the folder that contains `runs`.
        name: the run.
    """
    import xarray as xr
    import zarr

    group = zarr.open_group(folder / "runs" / name / "checkpoints.zarr", mode="r")
    history = xr.open_zarr(folder / "runs" / name / "history.zarr", consolidated=False)
    arrays = {key: array[:] for key, array in group.arrays()}
    return {key: value.tobytes() for key, value in (arrays | {k: v.values for k, v in history.items()}).items()}
