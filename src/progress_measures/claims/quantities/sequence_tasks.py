"""Quantities of the three tasks on sequences: fresh data compared with a fixed training set (paper, appendix D.3).

A quantity returns values by which claims are judged. With fresh data, every update samples new sequences. The paper
states that these tasks use the settings of its main experiment. The authors' saved runs and notebook use other
settings. Claims are judged with the settings of the saved runs and notebook, as far as they are known, otherwise with
those that the paper states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.analysis.crossings import first_below
from progress_measures.claims.registry import Values, quantity

if TYPE_CHECKING:
    import xarray as xr

WINDOW = 0.05  # length of a window as a fraction of the evaluations or checkpoints of the training


def _smooth(curve: xr.DataArray) -> xr.DataArray:
    """Compute the running median of a curve [history_epoch] over 5 % of the training."""
    width = max(1, int(WINDOW * curve.sizes["history_epoch"])) | 1  # odd, to be centered
    return curve.rolling(history_epoch=width, center=True, min_periods=1).median()


def _with_other_cube(values: Values, other_values: Values, suffix: str = "as_stated") -> Values:
    """Merge `values` with the values of another cube, and add a suffix to the names of the other cube's values."""
    return values | {f"{name}_{suffix}": value for name, value in other_values.items()}


def _epochs_and_ratio(train: float, test: float) -> Values:
    """Return two epochs, found from train and test loss, and their ratio, NaN if the second epoch is infinite."""
    return {"train": train, "test": test, "train_over_test": train / test if np.isfinite(test) else np.nan}


@quantity(variables=("history_test_accuracy", "history_test_loss", "history_train_loss"))
def fresh_data(cube: xr.Dataset) -> Values:
    """Return how far train and test loss of the first run differ, and how sharply the test loss drops.

    Values are the largest absolute log10 ratio of train and test loss, the final test loss and accuracy, and the
    largest drop of the test loss within a fifth of the training, as a fraction of the total drop from its first value
    to its minimum. For all but the final values, the losses are smoothed by a running median over 5 % of the training.
    """
    return _fresh(cube)


def _fresh(cube: xr.Dataset) -> Values:
    """Return the values of `fresh_data` for the first run of one cube."""
    run_cube = cube.isel(run=0)
    train, test = (np.log10(_smooth(run_cube[f"history_{split}_loss"])) for split in ("train", "test"))
    test_loss = _smooth(run_cube.history_test_loss).values
    fifth = max(1, int(0.2 * len(test_loss)))
    largest_drop, total_drop = (test_loss[:-fifth] - test_loss[fifth:]).max(), test_loss[0] - test_loss.min()
    return {
        "largest_log10_ratio": float(np.abs(test - train).max()),
        "final_test_loss": float(run_cube.history_test_loss[-1]),
        "final_test_accuracy": float(run_cube.history_test_accuracy[-1]),
        "fraction_of_drop_in_a_fifth": float(largest_drop / total_drop) if total_drop else np.nan,
    }


@quantity(variables=("test_loss_by_answer",))
def digits_in_turn(notebook: xr.Dataset, saved: xr.Dataset) -> Values:
    """Return, for each digit of the answer, by how much and when its test loss falls.

    `largest_drop` is the largest drop of the loss within a window of 5 % of the training. `steepest_at` is the epoch at
    the center of the window of this length within which the logarithm of the loss falls most; `steepest_at_first_digit`
    and `steepest_at_second_digit` are the entries of `steepest_at` for the first two digits. A window is used because
    differences of adjacent checkpoints are noisy at small losses. `fraction_in_a_fifth` is the largest drop within a
    fifth of the training, as a fraction of the total drop from the first value to the minimum.

    Args:
        notebook: runs with the settings of the authors' notebook, which plots the curves of single digits.
        saved: runs with the settings of the authors' saved weights.

    Returns:
        Values of `notebook`, and values of `saved` with names that end in `_of_saved_weights`.
    """
    return _with_other_cube(_digit_drops(notebook), _digit_drops(saved), "of_saved_weights")


def _digit_drops(cube: xr.Dataset) -> Values:
    """Return the values of `digits_in_turn` for the first run of one cube."""
    loss = cube.test_loss_by_answer.isel(run=0)
    window = max(1, int(WINDOW * loss.sizes["epoch"]))
    at_window_start, at_window_end = loss.values[:-window], loss.values[window:]
    start = np.log(at_window_start / at_window_end).argmax(0)
    fifth = max(1, int(0.2 * loss.sizes["epoch"]))
    drop_in_a_fifth = (loss.values[:-fifth] - loss.values[fifth:]).max(0)
    center = (loss.epoch.values[start] + loss.epoch.values[start + window]) / 2
    return {
        "largest_drop": (at_window_start - at_window_end).max(0),
        "fraction_in_a_fifth": drop_in_a_fifth / (loss.values[0] - loss.values.min(0)),
        "steepest_at": center,
        "steepest_at_first_digit": center[0],
        "steepest_at_second_digit": center[1],
    }


@quantity(variables=("history_test_loss", "history_train_loss"))
def epochs_on_fixed_set(cube: xr.Dataset) -> Values:
    """Return the first epochs with train loss and with test loss below 0.1, and their ratio, train over test.

    Values are of the first run. The epoch of a loss that never falls below 0.1 is infinite. The ratio is NaN if the
    epoch of the test loss is infinite.
    """
    run_cube = cube.isel(run=[0])
    return _epochs_and_ratio(*(first_below(run_cube[f"history_{split}_loss"], 0.1)[0] for split in ("train", "test")))


@quantity(variables=())
def skip_trigrams_drawn(cube: xr.Dataset) -> Values:
    """Sample 1,000 skip-trigram sequences; return the fraction with exactly one signal token, which determines the answer.

    Also return the number of signal tokens in the vocabulary, and the fraction of sequences whose label is the index of their
    signal token. The values do not depend on the cube.
    """
    from progress_measures.experiments import load_experiment

    run = load_experiment("skip_trigram").runs("skip_trigram")[0]
    task: Any = run.task  # one of several task models; here that of skip_trigram
    task_sizes = task.sizes
    examples = next(task.batches(run.seed, 1000))
    # index of each token among the signal tokens; negative for all other tokens
    index = examples.tokens - (task_sizes.vocabulary - task_sizes.outputs)
    return {
        "signal_tokens": task_sizes.outputs,
        "with_exactly_one": float(((index >= 0).sum(1) == 1).mean()),
        "labeled_by_signal_token": float((index.max(1) == examples.labels[:, 0]).mean()),
    }


@quantity(variables=("history_test_accuracy", "history_test_loss", "history_train_loss"))
def transition_on_fixed_set(cube: xr.Dataset) -> Values:
    """Return when the train loss falls below 0.1 (`train`), and the test loss below a quarter of its maximum (`test`).

    `train` is the first such epoch, `test` the first such epoch after the maximum; an epoch is infinite if there is
    none. Also return the ratio `test` / `train`, which is NaN if `test` is infinite; the largest test loss and its
    epoch; and final test loss and accuracy. Values are of the first run.
    """
    run_cube = cube.isel(run=[0])
    train = first_below(run_cube.history_train_loss, 0.1)[0]
    test_loss = run_cube.history_test_loss
    peak = int(test_loss.argmax("history_epoch")[0])
    after_peak = test_loss.where(test_loss.history_epoch > test_loss.history_epoch[peak])
    test = first_below(after_peak, 0.25 * float(test_loss.max()))[0]
    return {
        "train": train,
        "test": test,
        "test_over_train": test / train if np.isfinite(test) else np.nan,
        "largest_test_loss": float(test_loss.max()),
        "largest_at": float(test_loss.history_epoch[peak]),
        "final_test_loss": float(test_loss[0, -1]),
        "final_test_accuracy": float(run_cube.history_test_accuracy[0, -1]),
    }


def _halving(run_cube: xr.Dataset) -> tuple[float, float]:
    """Return the first epochs at which train and test loss are below half of their first value.

    Args:
        run_cube: a cube with a single run, with the dimension `run`.
    """
    curves = (run_cube[f"history_{split}_loss"] for split in ("train", "test"))
    return tuple(first_below(curve / curve.isel(history_epoch=0), 0.5)[0] for curve in curves)


@quantity(variables=("history_test_loss", "history_train_loss"))
def halving_on_fixed_set(cube: xr.Dataset) -> Values:
    """Return the epochs at which train and test loss of the first run have halved, and their ratio, train over test.

    A loss has halved when it is first below half of its first value; the epoch is infinite if this never happens. The
    ratio is NaN if the epoch of the test loss is infinite.
    """
    return _epochs_and_ratio(*_halving(cube.isel(run=[0])))


@quantity(variables=("history_test_accuracy", "history_test_loss", "history_train_loss", "induction_score"))
def induction_on_fresh_data(cube: xr.Dataset, as_stated: xr.Dataset) -> Values:
    """Return the values of `fresh_data`, and the largest induction score of a head of the last layer.

    An induction score is a head's attention to tokens that equal the answer and follow a copy of the current token.
    Values are of the first run; the score is returned at the last and at the first checkpoint. Also return, for the
    last run of `cube`, the score at the last checkpoint and the values of `fresh_data` except the accuracy. (In
    `repeated_subsequence`, the last run adds the residual stream twice in each layer, as the authors' code does by
    error.)

    Args:
        cube: runs with the settings by which the claims are judged.
        as_stated: runs with the settings that the paper states.

    Returns:
        Values of `cube`, and values of `as_stated` with names that end in `_as_stated`.
    """

    def with_induction(runs: xr.Dataset) -> Values:
        score = runs.induction_score.isel(layer=-1).max("head")
        return _fresh(runs) | {
            "induction": float(score.isel(run=0, epoch=-1)),
            "induction_at_first": float(score.isel(run=0, epoch=0)),
        }

    last_run = with_induction(cube.isel(run=[-1]))
    names = ("induction", "final_test_loss", "largest_log10_ratio", "fraction_of_drop_in_a_fifth")
    values_of_last_run = {f"{name}_of_last_run": last_run[name] for name in names}
    return _with_other_cube(with_induction(cube) | values_of_last_run, with_induction(as_stated))


@quantity(variables=("induction_score", "previous_token_score"))
def induction_circuit(cube: xr.Dataset) -> Values:
    """Return the largest previous-token score in the first layer and the largest induction score in the last layer.

    The maxima are over the heads of the layer. A previous-token score is a head's attention to the previous token;
    `induction_on_fresh_data` defines the induction score. Values are at the last checkpoint, in lists with one entry
    per run.
    """
    last = cube.isel(epoch=-1)
    return {
        "previous_token": last.previous_token_score.isel(layer=0).max("head"),
        "induction": last.induction_score.isel(layer=-1).max("head"),
    }


@quantity(variables=("history_test_accuracy", "history_test_loss", "history_train_loss"))
def fresh_against_fixed_set(*cubes: xr.Dataset) -> Values:
    """Return how far train and test loss are apart on fresh data and on a fixed training set, for three tasks.

    On fresh data, the value is the largest absolute log10 ratio of the two losses. On the fixed set, it is the ratio of
    the epoch at which the train loss has halved to the epoch at which the test loss has halved. Values are of the first
    run of each cube.

    Args:
        cubes: for each task, the cube with fresh data, then the cube with the fixed training set.
    """
    fresh_cubes, fixed_set_cubes = cubes[::2], cubes[1::2]
    return {
        "largest_log10_ratio_on_fresh_data": [_fresh(cube)["largest_log10_ratio"] for cube in fresh_cubes],
        "train_over_test_on_fixed_set": [halving_on_fixed_set(cube)["train_over_test"] for cube in fixed_set_cubes],
    }


@quantity(variables=())
def repeated_sequences(cube: xr.Dataset) -> Values:
    """Return whether the task can sample the paper's example of a sequence with a repeat, and the labels of this example.

    Also sample 1,000 sequences, and return the fraction of answer positions whose token occurs earlier in the sequence
    with the label right after it. The paper's example ends with an END token. Our sequences have token 0 at their
    beginning instead, so the example is compared in this form. The values do not depend on the cube.
    """
    from progress_measures.experiments import load_experiment

    run = load_experiment("repeated_subsequence").runs("repeated_subsequence")[0]
    task: Any = run.task  # one of several task models; here that of repeated_subsequence
    example = np.array([[0, 7, 2, 8, 3, 1, 9, 3, 8, 3, 1, 9, 9, 2, 5]])
    starts = np.array([[3, 8]])  # positions at which the two copies of 8 3 1 9 begin
    small_task = task.model_copy(update={"vocabulary": 10, "length": 15, "subsequence": 4, "repeats": 2})
    # the second copy is overwritten by an arbitrary token, 1; `examples` must restore it
    without_repeat = np.where(np.isin(np.arange(15), np.arange(8, 12)), 1, example)
    generated = small_task.examples(without_repeat, starts)
    interval = (small_task.length - 1) // small_task.repeats
    starts_allowed = [
        1 + interval * i <= start <= 1 + interval * (i + 1) - small_task.subsequence
        for i, start in enumerate(starts[0])
    ]

    examples = next(task.batches(run.seed, 1000))
    sequence = np.arange(1000)[:, None]
    queries = examples.tokens[sequence, examples.positions]
    earlier = np.arange(task.length - 1) < examples.positions[..., None]
    repeats = (examples.tokens[:, None, :-1] == queries[..., None]) & (
        examples.tokens[:, None, 1:] == examples.labels[..., None]
    )
    return {
        "draws_the_example": bool(all(starts_allowed) and (generated.tokens == example).all()),
        "labels_of_example": generated.labels[0],
        "fraction_determined_by_repeat": float((repeats & earlier).any(-1).mean()),
    }
