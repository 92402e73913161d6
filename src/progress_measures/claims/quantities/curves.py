"""What curves over training show: when thresholds are passed, what phases do (sections 3, 5 and C.1.5, C.2.1)."""

import numpy as np

from progress_measures.claims.registry import quantity
from progress_measures.cube.select import first_below, first_reaching


def chance(cube):
    """Loss of a uniform guess: the logarithm of the number of outputs, p in modular tasks."""
    return float(np.log(cube["prime" if "prime" in cube.coords else "outputs"].values[0]))


def lead(late, early):
    """Epochs from one time to another, of every run; NaN where neither comes."""
    with np.errstate(invalid="ignore"):  # infinity less infinity
        return late - early


def at(curve, epochs):
    """A curve [run, epoch] at one epoch a run; NaN where the epoch is."""
    return np.array(
        [
            float(curve.sel(run=run).sel(epoch=epoch)) if np.isfinite(epoch) else np.nan
            for run, epoch in zip(curve.run.values, np.asarray(epochs), strict=True)
        ]
    )


def median_smooth(curve):
    """Running median of five checkpoints, so that one spike is no turn."""
    return curve.rolling(epoch=5, center=True, min_periods=1).median()


@quantity
def grokking(cube):
    """Whether runs fit their training pairs long before they answer the others."""
    train = first_reaching(cube.history_train_accuracy, 0.999)
    test = first_reaching(cube.history_test_accuracy, 0.99)
    with np.errstate(invalid="ignore"):  # neither comes
        ratio = test / train
    return {
        "train_accuracy_epoch": train,
        "test_accuracy_epoch": test,
        "ratio": ratio,
        "test_loss_over_chance_when_memorized": at(cube.test_loss, cube.memorization_end) / chance(cube),
        "final_test_accuracy": cube.test_accuracy.isel(epoch=-1),
    }


@quantity
def generalization_time(cube):
    """First epoch with 99 % test accuracy."""
    epochs = first_reaching(cube.history_test_accuracy, 0.99)
    return {"epochs": epochs, "median": float(np.median(epochs)), "lowest": epochs.min(), "highest": epochs.max()}


@quantity
def restricted_accuracy_leads(cube):
    """How long before the test accuracy the restricted accuracy reaches 99 %."""
    test, restricted = (first_reaching(cube[f"{name}_accuracy"], 0.99) for name in ("test", "restricted"))
    return {"gap": lead(test, restricted)}


@quantity
def restricted_loss_leads(cube):
    """Epochs from where the restricted loss falls below half of its largest value after memorization to the test loss's."""

    def halved(curve):
        after = curve.where(curve.epoch >= cube.memorization_end)
        top = after.fillna(-np.inf).argmax("epoch")
        falling = after.where(curve.epoch > curve.epoch[top])
        return first_below(falling, 0.5 * after.max("epoch"))

    restricted, test = halved(cube.restricted_loss), halved(cube.test_loss)
    return {"restricted": restricted, "test": test, "lead": lead(test, restricted)}


@quantity
def excluded_loss_story(cube):
    """The excluded loss at the phases' ends, beside train and test loss."""
    ends = (cube.memorization_end, cube.circuit_formation_end, cube.cleanup_end)
    excluded, train, test = ([at(cube[f"{name}_loss"], end) for end in ends] for name in ("excluded", "train", "test"))
    return {
        "excluded_when_memorized": excluded[0],
        "rise_in_circuit_formation": excluded[1] / excluded[0],
        "train_loss_factor": np.maximum(train[1] / train[0], train[0] / train[1]),
        "test_loss_decades": np.abs(np.log10(test[1] / test[0])),
        "excluded_factor_in_cleanup": np.maximum(excluded[2] / excluded[1], excluded[1] / excluded[2]),
    }


def slopes(cube, curve):
    """Mean slope of a curve in circuit formation and in cleanup, per epoch."""
    ends = [cube.memorization_end.values, cube.circuit_formation_end.values, cube.cleanup_end.values]
    values = [at(curve, end) for end in ends]
    return [(values[i + 1] - values[i]) / (ends[i + 1] - ends[i]) for i in (0, 1)]


@quantity
def gini_story(cube):
    """How fast the Fourier spectra grow sparse, by phase."""
    result = {}
    for name in ("W_E", "W_L"):
        formation, cleanup = slopes(cube, cube[f"gini_{name}"])
        result[f"{name}_cleanup_over_formation"] = cleanup / formation
        result[f"{name}_final"] = cube[f"gini_{name}"].isel(epoch=-1)
    return result


@quantity
def weights_story(cube):
    """How fast the logarithm of the sum of squared weights falls, by phase, per 1,000 epochs."""
    formation, cleanup = slopes(cube, np.log(cube.sum_of_squared_weights))
    return {
        "circuit_formation": 1000 * formation,
        "cleanup": 1000 * cleanup,
        "cleanup_over_formation": cleanup / formation,
    }


@quantity
def phase_ends(cube):
    """Where the rule puts the phases' ends."""
    return {
        "memorization": cube.memorization_end,
        "circuit_formation": cube.circuit_formation_end,
        "cleanup": cube.cleanup_end,
        "formation_over_memorization": cube.circuit_formation_end / cube.memorization_end,
    }


@quantity
def memorized_state(cube):
    """Losses and sparsity where memorization ends."""
    end = cube.memorization_end
    change = [
        np.abs(at(cube[f"gini_{name}"], end) - cube[f"gini_{name}"].isel(epoch=0).values) for name in ("W_E", "W_L")
    ]
    return {
        "restricted_over_chance": at(cube.restricted_loss, end) / chance(cube),
        "test_over_chance": at(cube.test_loss, end) / chance(cube),
        "gini_W_E_change": change[0],
        "gini_W_L_change": change[1],
    }


@quantity
def memorization_times(cube):
    """When train loss falls below 1e-6, and how that varies beside when the runs grok; where excluded loss turns, too."""
    memorized, grokked = first_below(cube.history_train_loss, 1e-6), cube.grok_time.values
    with np.errstate(invalid="ignore"):  # of times that never come
        spreads = [times.std(ddof=1) / times.mean() for times in (memorized, grokked)]
    return {
        "memorization": memorized,
        "memorization_spread": spreads[0],
        "grok_time": grokked,
        "grok_spread": spreads[1],
        "memorization_spread_over_grok_spread": spreads[0] / spreads[1],
        "excluded_loss_turns": cube.memorization_end,
    }


@quantity
def restricted_accuracy_story(cube):
    """Restricted accuracy beside test accuracy, both on test pairs."""
    middle = ((cube.memorization_end + cube.circuit_formation_end) / 2).values
    nearest = cube.epoch.values[np.abs(cube.epoch.values[:, None] - middle).argmin(0)]
    test, restricted = (first_reaching(cube[name], 0.9) for name in ("test_accuracy", "restricted_accuracy_test"))
    return {
        "lead": lead(test, restricted),
        "excess_in_mid_formation": at(cube.restricted_accuracy_test, nearest) - at(cube.test_accuracy, nearest),
    }


def of_keys(cube, name):
    """A measure's curves at the key frequencies of each run: one [epoch] array a run and frequency, with the run."""
    for run in cube.run.values:
        one = cube.sel(run=run)
        for k in one.frequency.values[one.key_frequency.values]:
            yield one, one[name].sel(frequency=k)


@quantity
def cosine_growth(cube):
    """Growth of each key cosine's coefficient: of the first run's keys, then the next's."""
    growth, share = [], []
    for one, curve in of_keys(cube, "cosine_coefficient"):
        final = float(curve[-1])
        growth.append(final / float(curve.sel(epoch=float(one.memorization_end))))
        share.append(float(curve.sel(epoch=float(one.circuit_formation_end))) / final)
    return {"final_over_memorized": growth, "share_at_start_of_cleanup": share}


@quantity
def excluded_singly(cube):
    """Excluded loss of each key frequency: at the end, and where it is least before the cleanup."""
    final, least = [], []
    for one, curve in of_keys(cube, "excluded_loss_by_frequency"):
        final.append(float(curve[-1] / one.train_loss[-1]))
        before = curve.sel(epoch=slice(0, float(one.circuit_formation_end)))
        least.append(float(before.epoch[before.values.argmin()]) / float(one.memorization_end))
    return {"final_over_train_loss": final, "least_over_memorization_end": least}


@quantity
def maximal_excluded_agrees(cube):
    """Rank correlation, after memorization, of the largest single-frequency excluded loss with the excluded loss."""
    from scipy.stats import spearmanr  # half a second that planning a workflow need not take

    def correlation(one, last):
        after = one.sel(epoch=slice(float(one.memorization_end), last))
        return float(spearmanr(after.maximal_excluded_loss, after.excluded_loss).statistic)

    runs = [cube.sel(run=run) for run in cube.run.values]
    return {
        "spearman": [correlation(one, None) for one in runs],
        "spearman_to_end_of_circuit_formation": [correlation(one, float(one.circuit_formation_end)) for one in runs],
    }


@quantity
def no_generalization(cube):
    """Losses and accuracies at the end."""
    last = cube.isel(epoch=-1)
    return {"test_loss": last.test_loss, "test_accuracy": last.test_accuracy, "train_accuracy": last.train_accuracy}


def spikes(one, start, end=None):
    """How often a run's train loss passes ten times its running minimum, between two epochs; NaN where no epoch is.

    What training noted largest since its last note; losses below 1e-12 are as good as that.
    """
    loss = one.history_train_loss_max.sel(history_epoch=slice(start, end)).values
    above = loss >= 10 * np.minimum.accumulate(np.maximum(loss, 1e-12))
    return int((above[1:] & ~above[:-1]).sum()) if above.size else np.nan


@quantity
def spikes_before_grokking(cube):
    """Slingshots between memorization and grokking: train loss jumping to ten times its running minimum or more."""
    runs = [cube.isel(run=i) for i in range(cube.sizes["run"])]
    return {
        "spikes": [spikes(one, float(one.memorization_end), float(one.grok_time)) for one in runs],
        "grok_time": cube.grok_time,
    }


@quantity
def train_loss_levels(cube):
    """Mean train loss while circuits form, and over the last 1,000 epochs."""
    epoch = cube.epoch
    forming = (epoch >= cube.memorization_end) & (epoch <= cube.circuit_formation_end)
    plateau = cube.train_loss.where(forming).mean("epoch")
    final = cube.train_loss.where(epoch >= epoch[-1] - 1000).mean("epoch")
    return {"plateau": plateau, "final": final, "final_over_plateau": final / plateau}


@quantity
def weights_levels(cube):
    """Sum of squared weights where memorization ends, and at the end."""
    memorized = at(cube.sum_of_squared_weights, cube.memorization_end)
    final = cube.sum_of_squared_weights.isel(epoch=-1).values
    return {"when_memorized": memorized, "final": final, "final_over_memorized": final / memorized}


@quantity
def hidden_progress(cube):
    """Restricted loss where circuit formation ends over its value where memorization does."""
    ends = (cube.memorization_end, cube.circuit_formation_end)
    memorized, formed = (at(cube.restricted_loss, end) for end in ends)
    return {"when_memorized": memorized, "at_start_of_cleanup": formed, "ratio": formed / memorized}
