"""Quantities of the three tasks on sequences: fresh data compared with a fixed training set (appendix D.3).

The paper states the mainline's settings. The authors' saved runs and notebook use different and more detailed settings.
Claims are judged on the latter, as far as they are known. Values for the stated settings have names that end in
`_as_stated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.claims.registry import Values, quantity
from progress_measures.cube.select import first_below

if TYPE_CHECKING:
    import xarray as xr

WINDOW = 0.05  # share of the training that a smoothing window covers


def _smooth(curve: xr.DataArray) -> xr.DataArray:
    """Compute the running median of a curve [history_epoch]."""
    width = max(1, int(WINDOW * curve.sizes["history_epoch"])) | 1
    return curve.rolling(history_epoch=width, center=True, min_periods=1).median()


def _beside(values: Values, others: Values, suffix: str = "as_stated") -> Values:
    """Return values, merged with those of other runs, whose names get a suffix."""
    return values | {f"{name}_{suffix}": value for name, value in others.items()}


def _times(train: float, test: float) -> Values:
    """Return two epochs and the ratio train over test; NaN if the test loss never reaches its level."""
    return {"train": train, "test": test, "train_over_test": train / test if np.isfinite(test) else np.nan}


@quantity
def fresh_data(cube: xr.Dataset, as_stated: xr.Dataset) -> Values:
    """Return how far train and test loss of the first run differ on fresh data, and how sharply the test loss drops.

    `cube` has the settings of the saved runs, `as_stated` those that the paper states.
    """
    return _beside(_fresh(cube), _fresh(as_stated))


def _fresh(cube: xr.Dataset) -> Values:
    """Return the quantities of `fresh_data` for the first run of one cube."""
    run_cube = cube.isel(run=0)
    train, test = (np.log10(_smooth(run_cube[f"history_{split}_loss"])) for split in ("train", "test"))
    test_loss = _smooth(run_cube.history_test_loss).values
    fifth = max(1, int(0.2 * len(test_loss)))
    steepest = (test_loss[:-fifth] - test_loss[fifth:]).max()
    return {
        "largest_log10_ratio": float(np.abs(test - train).max()),
        "final_test_loss": float(run_cube.history_test_loss[-1]),
        "final_test_accuracy": float(run_cube.history_test_accuracy[-1]),
        "share_of_drop_in_a_fifth": float(steepest / (test_loss[0] - test_loss.min())),
    }


@quantity
def digits_in_turn(notebook: xr.Dataset, saved: xr.Dataset) -> Values:
    """Return, for each digit of the answer, the fall of its test loss within 5 % of the training, and its epoch.

    The epoch is the center of the window over which the logarithm falls most. Differences of adjacent checkpoints would
    be too noisy at small losses.

    Args:
        notebook: the run of the authors' notebook, which is the run of their saved per-digit curves.
        saved: the run of their saved weights.

    Returns:
        Values by name; those of `saved` have names that end in `_of_saved_weights`.
    """
    return _beside(_turns(notebook), _turns(saved), "of_saved_weights")


def _turns(cube: xr.Dataset) -> Values:
    """Return the quantities of `digits_in_turn` for the first run of one cube."""
    loss = cube.test_loss_by_answer.isel(run=0)
    window = max(1, int(WINDOW * loss.sizes["epoch"]))
    before, after = loss.values[:-window], loss.values[window:]
    start = np.log(before / after).argmax(0)
    middle = (loss.epoch.values[start] + loss.epoch.values[start + window]) / 2
    return {"drop": (before - after).max(0), "steepest_at": middle, "first": middle[0], "second": middle[1]}


@quantity
def gap_on_few(cube: xr.Dataset, as_stated: xr.Dataset) -> Values:
    """Return the first epochs with train and test loss below 0.1 on a fixed training set, and their ratio.

    Values are of the first run; those of the last run, on fewer sequences, have names that end in `_of_fewer`.
    """
    values = _beside(_gap(cube.isel(run=[0])), _gap(cube.isel(run=[-1])), "of_fewer")
    return _beside(values, _gap(as_stated.isel(run=[0])))


def _gap(run_cube: xr.Dataset) -> Values:
    """Return the epochs at which train and test loss of a single run fall below 0.1, and their ratio."""
    return _times(*(first_below(run_cube[f"history_{split}_loss"], 0.1)[0] for split in ("train", "test")))


@quantity
def skip_trigrams_drawn(cube: xr.Dataset) -> Values:
    """Check freshly drawn skip-trigram sequences.

    Return the share of sequences with exactly one token that determines the answer, and the share whose label is the
    index of this token.
    """
    from progress_measures.experiments import load_experiment

    run = load_experiment("skip_trigram").runs("skip_trigram")[0]
    task: Any = run.task  # one of several task models; here that of skip_trigram
    task_layout = task.layout
    drawn = next(task.batches(run.seed, 1000))
    # index of a token that determines the answer; negative for other tokens
    index = drawn.tokens - (task_layout.vocabulary - task_layout.outputs)
    return {
        "tokens_that_tell": task_layout.outputs,
        "with_exactly_one": float(((index >= 0).sum(1) == 1).mean()),
        "labeled_by_it": float((index.max(1) == drawn.labels[:, 0]).mean()),
    }


@quantity
def transition_on_few(cube: xr.Dataset, as_stated: xr.Dataset) -> Values:
    """Return the first epochs with train loss below 0.1 and with test loss below a quarter of its maximum.

    Both are of the first run.
    """
    return _beside(_transition(cube), _transition(as_stated))


def _transition(cube: xr.Dataset) -> Values:
    """Return the quantities of `transition_on_few` for the first run of one cube."""
    run_cube = cube.isel(run=[0])
    train = first_below(run_cube.history_train_loss, 0.1)[0]
    test_loss = run_cube.history_test_loss
    peak = int(test_loss.argmax("history_epoch")[0])
    falling = test_loss.where(test_loss.history_epoch > test_loss.history_epoch[peak])
    test = first_below(falling, 0.25 * float(test_loss.max()))[0]
    return {
        "train": train,
        "test": test,
        "test_over_train": test / train if np.isfinite(test) else np.nan,
        "largest_test_loss": float(test_loss.max()),
        "largest_at": float(test_loss.history_epoch[peak]),
        "final_test_loss": float(test_loss[0, -1]),
        "final_test_accuracy": float(run_cube.history_test_accuracy[0, -1]),
    }


def halving(run_cube: xr.Dataset) -> tuple[float, float]:
    """Return the first epochs at which train and test loss of a single run are below half of their first value.

    Losses are [run, history_epoch].
    """
    curves = (run_cube[f"history_{split}_loss"] for split in ("train", "test"))
    return tuple(first_below(curve / curve.isel(history_epoch=0), 0.5)[0] for curve in curves)


@quantity
def halving_on_few(cube: xr.Dataset) -> Values:
    """Return the epochs at which train and test loss have halved on a fixed training set, and their ratio."""
    return _times(*halving(cube.isel(run=[0])))


@quantity
def induction_on_fresh_data(cube: xr.Dataset, as_stated: xr.Dataset) -> Values:
    """Return the quantities of `fresh_data` and the largest induction score of a head of the last layer.

    Induction score and test loss of the last run are given too.
    """

    def with_induction(runs: xr.Dataset) -> Values:
        score = runs.induction_score.isel(layer=-1).max("head")
        return _fresh(runs) | {
            "induction": float(score.isel(run=0, epoch=-1)),
            "induction_at_first": float(score.isel(run=0, epoch=0)),
        }

    last = with_induction(cube.isel(run=[-1]))
    of_last_run = {f"{name}_of_last_run": last[name] for name in ("induction", "final_test_loss")}
    return _beside(with_induction(cube) | of_last_run, with_induction(as_stated))


@quantity
def fresh_against_few(*cubes: xr.Dataset) -> Values:
    """Compare fresh data with a fixed training set on three tasks.

    Cubes alternate: fresh data, fixed set. Values are the largest log10 ratio of the losses on fresh data, and the
    ratio of the epochs at which the losses have halved on the fixed set.
    """
    fresh, few = cubes[::2], cubes[1::2]
    return {
        "largest_log10_ratio_on_fresh_data": [_fresh(cube)["largest_log10_ratio"] for cube in fresh],
        "train_over_test_on_few": [halving_on_few(cube)["train_over_test"] for cube in few],
    }


@quantity
def repeated_sequences(cube: xr.Dataset) -> Values:
    """Check whether the generator can draw the paper's example, and the answers of 1,000 drawn sequences.

    The share of answers that the earlier occurrence of the repeat determines is given too. The paper's END token comes
    last; our token 0 comes first.
    """
    from progress_measures.experiments import load_experiment

    run = load_experiment("repeated_subsequence").runs("repeated_subsequence")[0]
    task: Any = run.task  # one of several task models; here that of repeated_subsequence
    example = np.array([[0, 7, 2, 8, 3, 1, 9, 3, 8, 3, 1, 9, 9, 2, 5]])
    starts = np.array([[3, 8]])
    small_task = task.model_copy(update={"vocabulary": 10, "length": 15, "subsequence": 4, "repeats": 2})
    before_it_returns = np.where(np.isin(np.arange(15), np.arange(8, 12)), 1, example)
    generated = small_task.examples(before_it_returns, starts)
    interval = (small_task.length - 1) // small_task.repeats
    allowed = [
        1 + interval * i <= start <= 1 + interval * (i + 1) - small_task.subsequence
        for i, start in enumerate(starts[0])
    ]

    drawn = next(task.batches(run.seed, 1000))
    sequence = np.arange(1000)[:, None]
    queries = drawn.tokens[sequence, drawn.positions]
    earlier = np.arange(task.length - 1) < drawn.positions[..., None]
    repeats = (drawn.tokens[:, None, :-1] == queries[..., None]) & (
        drawn.tokens[:, None, 1:] == drawn.labels[..., None]
    )
    return {
        "draws_the_example": bool(all(allowed) and (generated.tokens == example).all()),
        "asked_of_it": generated.labels[0],
        "told_by_the_repeat": float((repeats & earlier).any(-1).mean()),
    }
