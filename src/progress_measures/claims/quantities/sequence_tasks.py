"""The three tasks on sequences: fresh data against a fixed few (appendix D.3).

The paper gives them the mainline's settings; its authors' saved runs and notebook have others, and more of them. Claims are
judged on the latter, as far as they are known; what the former give stands beside, under names that end in `_as_stated`.
"""

from typing import Any

import numpy as np

from progress_measures.claims.registry import quantity
from progress_measures.cube.select import first_below

WINDOW = 0.05  # share of the training over which curves are smoothed


def _smooth(curve):
    """Running median of a curve [history_epoch]."""
    width = max(1, int(WINDOW * curve.sizes["history_epoch"])) | 1
    return curve.rolling(history_epoch=width, center=True, min_periods=1).median()


def _beside(values, others, of="as_stated"):
    """Values, and those of other runs under names that say so."""
    return values | {f"{name}_{of}": value for name, value in others.items()}


def _times(train, test):
    """Two epochs, and their ratio where the second comes."""
    return {"train": train, "test": test, "train_over_test": train / test if np.isfinite(test) else np.nan}


@quantity
def fresh_data(cube, as_stated):
    """How far train and test loss of the first run part on fresh data, and how sharply the test loss drops once."""
    return _beside(_fresh(cube), _fresh(as_stated))


def _fresh(cube):
    one = cube.isel(run=0)
    train, test = (np.log10(_smooth(one[f"history_{split}_loss"])) for split in ("train", "test"))
    test_loss = _smooth(one.history_test_loss).values
    fifth = max(1, int(0.2 * len(test_loss)))
    steepest = (test_loss[:-fifth] - test_loss[fifth:]).max()
    return {
        "largest_log10_ratio": float(np.abs(test - train).max()),
        "final_test_loss": float(one.history_test_loss[-1]),
        "final_test_accuracy": float(one.history_test_accuracy[-1]),
        "share_of_drop_in_a_fifth": float(steepest / (test_loss[0] - test_loss.min())),
    }


@quantity
def digits_in_turn(notebook, saved):
    """For each digit of the answer, how deep its test loss falls within a twentieth of the training, and where fastest.

    Where the logarithm falls most over such a window, not from one checkpoint to the next: small losses are noisy.

    Args:
        notebook: the run of the authors' notebook, of which their saved curves of single digits are.
        saved: that of their saved weights.
    """
    return _beside(_turns(notebook), _turns(saved), "of_saved_weights")


def _turns(cube):
    loss = cube.test_loss_by_answer.isel(run=0)
    window = max(1, int(WINDOW * loss.sizes["epoch"]))
    before, after = loss.values[:-window], loss.values[window:]
    start = np.log(before / after).argmax(0)
    middle = (loss.epoch.values[start] + loss.epoch.values[start + window]) / 2
    return {"drop": (before - after).max(0), "steepest_at": middle, "first": middle[0], "second": middle[1]}


@quantity
def gap_on_few(cube, as_stated):
    """First epochs with train and with test loss below 0.1 on a fixed set, and their ratio; of the first run.

    Of the last run, on fewer sequences, too.
    """
    both = _beside(_gap(cube.isel(run=[0])), _gap(cube.isel(run=[-1])), "of_fewer")
    return _beside(both, _gap(as_stated.isel(run=[0])))


def _gap(one):
    return _times(*(first_below(one[f"history_{split}_loss"], 0.1)[0] for split in ("train", "test")))


@quantity
def skip_trigrams_drawn(cube):
    """Of freshly drawn sequences, the share with exactly one token that tells, and with that one's number as label."""
    from progress_measures.experiments import load_experiment
    from progress_measures.tasks import skip_trigram

    run = load_experiment("skip_trigram").runs("skip_trigram")[0]
    sizes = skip_trigram.layout(run.task)
    drawn = next(skip_trigram.batches(run.task, run.seed, 1000))
    number = drawn.tokens - (sizes.vocabulary - sizes.outputs)  # of a token that tells; negative for others
    return {
        "tokens_that_tell": sizes.outputs,
        "with_exactly_one": float(((number >= 0).sum(1) == 1).mean()),
        "labeled_by_it": float((number.max(1) == drawn.labels[:, 0]).mean()),
    }


@quantity
def transition_on_few(cube, as_stated):
    """First epochs with a train loss below 0.1, and with a test loss below a quarter of its largest; of the first run."""
    return _beside(_transition(cube), _transition(as_stated))


def _transition(cube):
    one = cube.isel(run=[0])
    train = first_below(one.history_train_loss, 0.1)[0]
    test_loss = one.history_test_loss
    top = int(test_loss.argmax("history_epoch")[0])
    falling = test_loss.where(test_loss.history_epoch > test_loss.history_epoch[top])
    test = first_below(falling, 0.25 * float(test_loss.max()))[0]
    return {
        "train": train,
        "test": test,
        "test_over_train": test / train if np.isfinite(test) else np.nan,
        "largest_test_loss": float(test_loss.max()),
        "largest_at": float(test_loss.history_epoch[top]),
        "final_test_loss": float(test_loss[0, -1]),
        "final_test_accuracy": float(one.history_test_accuracy[0, -1]),
    }


def halving(one):
    """First epochs at which train and test loss [run, history_epoch] of a single run are below half of their first."""
    curves = (one[f"history_{split}_loss"] for split in ("train", "test"))
    return tuple(first_below(curve / curve.isel(history_epoch=0), 0.5)[0] for curve in curves)


@quantity
def halving_on_few(cube):
    """First epochs at which train and test loss have halved on a fixed set, and their ratio; of the first run."""
    return _times(*halving(cube.isel(run=[0])))


@quantity
def induction_on_fresh_data(cube, as_stated):
    """What `fresh_data` says, and the largest induction score of a head of the last layer; of the last run too."""

    def of(one):
        score = one.induction_score.isel(layer=-1).max("head")
        return _fresh(one) | {
            "induction": float(score.isel(run=0, epoch=-1)),
            "induction_at_first": float(score.isel(run=0, epoch=0)),
        }

    last = of(cube.isel(run=[-1]))
    doubled = {f"{name}_of_last_run": last[name] for name in ("induction", "final_test_loss")}
    return _beside(of(cube) | doubled, of(as_stated))


@quantity
def fresh_against_few(*cubes):
    """Of three tasks, each on fresh data and on a few: the largest log10 ratio of the losses, and what halves when."""
    fresh, few = cubes[::2], cubes[1::2]
    return {
        "largest_log10_ratio_on_fresh_data": [_fresh(cube)["largest_log10_ratio"] for cube in fresh],
        "train_over_test_on_few": [halving_on_few(cube)["train_over_test"] for cube in few],
    }


@quantity
def repeated_sequences(cube):
    """Whether the generator can draw the paper's example, and of 1,000 drawn, the share of answers that the repeat tells.

    The paper's END comes last; our token 0 comes first.
    """
    from progress_measures.experiments import load_experiment
    from progress_measures.tasks import repeated_subsequence

    run: Any = load_experiment("repeated_subsequence").runs("repeated_subsequence")[0]
    example = np.array([[0, 7, 2, 8, 3, 1, 9, 3, 8, 3, 1, 9, 9, 2, 5]])
    starts = np.array([[3, 8]])
    small = run.task.model_copy(update={"vocabulary": 10, "length": 15, "subsequence": 4, "repeats": 2})
    before_it_returns = np.where(np.isin(np.arange(15), np.arange(8, 12)), 1, example)
    made = repeated_subsequence.examples(small, before_it_returns, starts)
    interval = (small.length - 1) // small.repeats
    allowed = [
        1 + interval * i <= start <= 1 + interval * (i + 1) - small.subsequence for i, start in enumerate(starts[0])
    ]

    drawn = next(repeated_subsequence.batches(run.task, run.seed, 1000))
    row = np.arange(1000)[:, None]
    asked = drawn.tokens[row, drawn.positions]
    earlier = np.arange(run.task.length - 1) < drawn.positions[..., None]
    seen = (drawn.tokens[:, None, :-1] == asked[..., None]) & (drawn.tokens[:, None, 1:] == drawn.labels[..., None])
    return {
        "draws_the_example": bool(all(allowed) and (made.tokens == example).all()),
        "asked_of_it": made.labels[0],
        "told_by_the_repeat": float((seen & earlier).any(-1).mean()),
    }
