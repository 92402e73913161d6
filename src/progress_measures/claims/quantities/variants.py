"""Other data, decays, primes and losses (sections 5.3, C.2.2, C.2.3 and D). Values are lists of one a run."""

import numpy as np
import xarray as xr

from progress_measures.claims.quantities.curves import chance, first_epoch, lead
from progress_measures.claims.quantities.mechanism import after, keys_of, readout_rows
from progress_measures.claims.registry import quantity
from progress_measures.cube.select import by_fraction


def delays(cube, reached=1e-2):
    """Epochs from where the train loss falls below a loss to where the test loss does: [run]."""
    train, test = (first_epoch(cube[f"history_{split}_loss"], lambda x: x < reached) for split in ("train", "test"))
    return lead(test, train)


def _listed(found, function):
    return {f"{fraction:g}": float(function(run)) for fraction, run in found}


@quantity
def gap_by_fraction(low, mainline, high):
    """Delay of generalisation, in epochs from train to test loss below 1e-2, by train fraction."""
    found = _listed(by_fraction(low, mainline, high), lambda run: delays(run)[0])
    values = {float(name): delay for name, delay in found.items()}
    middle = [values[0.3], values[0.4], values[0.5]]
    much = [delay for fraction, delay in values.items() if fraction >= 0.6]
    return {
        "delay": found,
        "at_0.3": middle[0],
        "at_0.4": middle[1],
        "at_0.5": middle[2],
        "falls_from_0.3_to_0.5": bool(middle[0] > middle[1] > middle[2]),
        "largest_from_0.6": max(much),
        "largest_from_0.6_over_0.3": max(much) / middle[0],
    }


@quantity
def little_data(cube):
    """Test loss and accuracy at the end, of runs on little data."""
    last = cube.isel(epoch=-1)
    return {
        "fractions": cube.train_fraction,
        "test_accuracy": last.test_accuracy,
        "test_loss_over_chance": last.test_loss / chance(cube),
    }


@quantity
def steps_to_a_millionth(low, mainline, high):
    """First epochs with train and test loss below 1e-6, by train fraction."""
    found = by_fraction(low, mainline, high)
    train, test = (
        _listed(found, lambda run, split=split: first_epoch(run[f"history_{split}_loss"], lambda x: x < 1e-6)[0])
        for split in ("train", "test")
    )
    reached = [epoch for epoch in test.values() if np.isfinite(epoch)]
    return {
        "train": train,
        "test": test,
        "latest_train": max(train.values()),
        "rises": int((np.diff(reached) > 0).sum()),
    }


@quantity
def memorisation_rates(low, mainline, high):
    """First epoch with a train loss below 1e-2, by train fraction up to .5."""
    found = [(fraction, run) for fraction, run in by_fraction(low, mainline, high) if fraction <= 0.5]
    epochs = _listed(found, lambda run: first_epoch(run.history_train_loss, lambda x: x < 1e-2)[0])
    return {"epochs": epochs, "ratio": max(epochs.values()) / min(epochs.values())}


def table_5_row(one):
    """Table 5's columns of one run at its last checkpoint."""
    explained = [row[-1] for row in readout_rows(one)]
    return {
        "test loss": float(one.test_loss),
        "Gini W_E": float(one.gini_W_E),
        "Gini W_L": float(one.gini_W_L),
        "keys": ", ".join(map(str, keys_of(one))),
        "logit FVE": float(one.logit_fraction_explained_cosines_centered_over_pairs),
        "MLP FVE": float(np.mean(explained)) if explained else np.nan,
        "MLP FVE SD": float(np.std(explained, ddof=1)) if explained else np.nan,
    }


@quantity
def structure(cube):
    """What Table 5 says of each run."""
    rows = [table_5_row(cube.isel(run=i, epoch=-1)) for i in range(cube.sizes["run"])]
    columns = {name.replace(" ", "_"): [row[name] for row in rows] for name in rows[0]}
    return columns | {
        "key_frequencies": [len(keys_of(cube.isel(run=i))) for i in range(cube.sizes["run"])],
        "test_accuracy": cube.test_accuracy.isel(epoch=-1),
    }


@quantity
def skip_at_mean_by_type(cube):
    """Table 6: loss and accuracy over all pairs with the path around the MLP at its mean, averaged over runs."""

    def of(name, what):
        values = after(cube, name, what, split="all")
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else np.nan

    loss, loss_sd = of("none", "loss")
    ablated, ablated_sd = of("MLP skip at its mean", "loss")
    accuracy, _ = of("none", "accuracy")
    ablated_accuracy, _ = of("MLP skip at its mean", "accuracy")
    return {
        "loss": loss,
        "loss_sd": loss_sd,
        "accuracy": accuracy,
        "ablated_loss": ablated,
        "ablated_loss_sd": ablated_sd,
        "ablated_accuracy": ablated_accuracy,
        "accuracy_change": ablated_accuracy - accuracy,
        "ratio": ablated / loss,
    }


@quantity
def generalisation(cube):
    """Final test accuracy, and epochs from 100 % train to 99 % test accuracy."""
    train = first_epoch(cube.history_train_accuracy, lambda x: x >= 1)
    test = first_epoch(cube.history_test_accuracy, lambda x: x >= 0.99)
    return {"test_accuracy": cube.test_accuracy.isel(epoch=-1), "delay": lead(test, train)}


@quantity
def maximal_excluded_without_decay(cube, mainline):
    """Largest excluded loss of any frequency: at the end over its least after memorisation, beside the mainline's."""

    def rise(one):
        memorised = xr.DataArray(first_epoch(one.train_accuracy, lambda x: x >= 1), dims="run")
        loss = one.maximal_excluded_loss
        return loss.isel(epoch=-1) / loss.where(one.epoch >= memorised).min("epoch")

    return {
        "test_loss_over_chance": cube.test_loss.isel(epoch=-1) / chance(cube),
        "rise": rise(cube),
        "rise_of_mainline": rise(mainline.isel(run=[0])),
    }


@quantity
def grok_times_by_decay(cube, mainline):
    """Grok times by weight decay: of each run, and their medians; never is infinity."""
    times = {}
    for one in (cube, mainline):
        found = one.grok_time.fillna(np.inf)
        for decay in np.unique(one.weight_decay):
            times[f"{decay:g}"] = found.values[one.weight_decay.values == decay].tolist()
    median = {decay: float(np.median(values)) for decay, values in times.items()}
    ordered = [median[decay] for decay in ("0.3", "1", "3")]
    return {
        "times": times,
        "mean_0.3": float(np.mean(times["0.3"])),
        "mean_1": float(np.mean(times["1"])),
        "mean_3": float(np.mean(times["3"])),
        "medians": ordered,
        "less_is_slower": bool(ordered[0] > ordered[1] > ordered[2]),
    }


@quantity
def slingshots(cube):
    """Train loss spikes of ten times its running minimum or more after memorisation, by precision of the loss."""
    counts = {}
    for i, precision in enumerate(cube.precision.values):
        one = cube.isel(run=i)
        start = first_epoch(cube.isel(run=[i]).history_train_accuracy, lambda x: x >= 1)[0]
        loss = one.history_train_loss_max.sel(history_epoch=slice(start, None)).values
        above = loss >= 10 * np.minimum.accumulate(np.maximum(loss, 1e-12))
        counts[str(precision)] = int((above[1:] & ~above[:-1]).sum())
    more = counts["float32"] - counts["float64"]
    return {"float32": counts["float32"], "float64": counts["float64"], "more_in_float32": more}
