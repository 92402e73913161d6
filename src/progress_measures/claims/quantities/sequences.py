"""The three tasks on sequences: fresh data against a fixed few (appendix D.3)."""

import numpy as np

from progress_measures.claims.quantities.curves import first_epoch
from progress_measures.claims.registry import quantity

WINDOW = 0.05  # share of the training over which curves are smoothed


def _smooth(curve):
    """Running median of a curve [history_epoch]."""
    width = max(1, int(WINDOW * curve.sizes["history_epoch"])) | 1
    return curve.rolling(history_epoch=width, center=True, min_periods=1).median()


@quantity
def fresh_data(cube):
    """How far train and test loss of the first run part on fresh data, and how sharply the test loss drops once."""
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
def digits_in_turn(cube):
    """For each digit of the answer, how deep its test loss falls within a twentieth of the training, and where fastest.

    Where the logarithm falls most over such a window, not from one checkpoint to the next: small losses are noisy.
    """
    loss = cube.test_loss_by_answer.isel(run=0)
    window = max(1, int(WINDOW * loss.sizes["epoch"]))
    before, after = loss.values[:-window], loss.values[window:]
    start = np.log(before / after).argmax(0)
    middle = (loss.epoch.values[start] + loss.epoch.values[start + window]) / 2
    return {"drop": (before - after).max(0), "steepest_at": middle, "first": middle[0], "second": middle[1]}


@quantity
def gap_on_few(cube):
    """First epochs with train and with test loss below 0.1 on a fixed set, and their ratio; of the first run."""
    one = cube.isel(run=[0])
    train, test = (first_epoch(one[f"history_{split}_loss"], lambda x: x < 0.1)[0] for split in ("train", "test"))
    return {"train": train, "test": test, "train_over_test": train / test if np.isfinite(test) else np.nan}


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
        "labelled_by_it": float((number.max(1) == drawn.labels[:, 0]).mean()),
    }
