"""Other data, decays, primes and losses (sections 5.3, C.2.2, C.2.3 and D). Values are lists of one a run."""

import numpy as np
import xarray as xr

from progress_measures.claims.quantities.curves import chance, lead, median_smooth, spikes
from progress_measures.claims.quantities.mechanism import after, keys_of, readout_rows
from progress_measures.claims.registry import quantity
from progress_measures.cube.select import by_fraction, first_below, first_reaching, runs_with


def delays(cube, reached=1e-2):
    """Epochs from where the train loss falls below a loss to where the test loss does: [run]."""
    train, test = (first_below(cube[f"history_{split}_loss"], reached) for split in ("train", "test"))
    return lead(test, train)


def _listed(found, function):
    return {f"{fraction:g}": float(function(run)) for fraction, run in found}


@quantity
def gap_by_fraction(low, mainline, high):
    """Delay of generalization, in epochs from train to test loss below 1e-2, by train fraction."""
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
    """First epochs with train and test loss below 1e-6, by train fraction; of test loss below 1e-4 and 1e-2, too."""
    found = by_fraction(low, mainline, high)

    def first(split, level):
        return _listed(found, lambda run: first_below(run[f"history_{split}_loss"], level)[0])

    train, test = first("train", 1e-6), first("test", 1e-6)
    reached = [epoch for epoch in test.values() if np.isfinite(epoch)]
    return {
        "train": train,
        "test": test,
        "latest_train": max(train.values()),
        "rises": int((np.diff(reached) > 0).sum()),
        "largest_lag_from_06": max(test[name] - train[name] for name in test if float(name) >= 0.6),
        "test_below_1e-4": first("test", 1e-4),
        "test_below_1e-2": first("test", 1e-2),
    }


@quantity
def memorization_rates(low, mainline, high):
    """First epoch with a train loss below 1e-2, by train fraction up to .5."""
    found = [(fraction, run) for fraction, run in by_fraction(low, mainline, high) if fraction <= 0.5]
    epochs = _listed(found, lambda run: first_below(run.history_train_loss, 1e-2)[0])
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
def structure_of_all(*cubes):
    """The sparsity of W_L, and the share that one wave explains, of all runs of all cubes that generalize."""
    found = [structure(cube) for cube in cubes]
    columns = {name: np.concatenate([one[name] for one in found]) for name in ("Gini_W_L", "MLP_FVE", "test_accuracy")}
    generalize = columns.pop("test_accuracy") >= 0.95
    return {name: values[generalize] for name, values in columns.items()} | {"runs": int(generalize.sum())}


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
def generalization(cube):
    """Final test accuracy, and epochs from 100 % train to 99 % test accuracy."""
    train = first_reaching(cube.history_train_accuracy, 1)
    test = first_reaching(cube.history_test_accuracy, 0.99)
    return {"test_accuracy": cube.test_accuracy.isel(epoch=-1), "delay": lead(test, train)}


@quantity
def maximal_excluded_without_decay(cube, mainline):
    """Largest excluded loss of any frequency: at the end over its least after memorization, beside the mainline's."""

    def rise(one):
        memorized = xr.DataArray(first_reaching(one.train_accuracy, 1), dims="run")
        loss = one.maximal_excluded_loss
        return loss.isel(epoch=-1) / loss.where(one.epoch >= memorized).min("epoch")

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
    """Train loss spikes of ten times its running minimum or more after memorization, by precision of the loss."""
    starts = first_reaching(cube.history_train_accuracy, 1)
    counts = {str(precision): spikes(cube.isel(run=i), starts[i]) for i, precision in enumerate(cube.precision.values)}
    more = counts["float32"] - counts["float64"]
    return {"float32": counts["float32"], "float64": counts["float64"], "more_in_float32": more}


@quantity
def structure_of_generalizing(cube):
    """Table 5 for deeper networks: how many seeds generalize, read the logits off sparsely, and by one wave each."""
    values = structure(cube)
    met = (
        np.asarray(values["test_accuracy"]) >= 0.95,
        np.asarray(values["Gini_W_L"]) >= 0.6,
        np.asarray(values["MLP_FVE"]) >= 0.7,
    )
    return values | {"seeds": int(np.all(met, axis=0).sum())}


@quantity
def grokking_with_slingshots(cube):
    """How many runs generalize late, and how many have spikes of the train loss after they have memorized."""
    memorized = first_reaching(cube.history_train_accuracy, 1)
    generalized = first_below(cube.history_test_loss, 0.5 * chance(cube))
    delay = lead(generalized, memorized)
    counts = [spikes(cube.isel(run=i), memorized[i]) for i in range(cube.sizes["run"])]
    late = (delay >= 1000) & np.isfinite(generalized)
    return {
        "delay": delay,
        "spikes": counts,
        "late": int(late.sum()),
        "with_spikes": sum(count > 0 for count in counts),
    }


@quantity
def excluded_rises_first(cube):
    """Epochs from where the excluded loss of the first run turns to rise to where its test loss has halved.

    Halved from the greatest that it had before the network grokked; slingshots later on do not count. Both curves are
    running medians of five checkpoints.
    """
    one = cube.isel(run=[0])
    test_loss = median_smooth(one.test_loss)
    plateau = test_loss.where(one.epoch <= one.grok_time)
    if plateau.isnull().all():
        return {"excluded_turns": np.nan, "test_loss_halves": np.nan, "lead": np.nan}
    top = one.epoch[int(plateau.argmax("epoch")[0])]
    halved = float(first_below(test_loss.where(one.epoch > top), 0.5 * plateau.max("epoch"))[0])
    before = median_smooth(one.excluded_loss).where(one.epoch <= halved)
    turns = np.nan if before.isnull().all() else float(one.epoch[int(before.argmin("epoch")[0])])
    return {"excluded_turns": turns, "test_loss_halves": halved, "lead": lead(halved, turns)}


@quantity
def immediate(cube):
    """Delay from train to test loss below 1e-2, of the runs that train, and their final test accuracy."""
    trained = np.isfinite(first_below(cube.history_train_loss, 1e-2))
    return {
        "delay": delays(cube)[trained],
        "test_accuracy": cube.test_accuracy.isel(epoch=-1).values[trained],
        "failed_to_train_at": cube.weight_decay.values[~trained],
    }


@quantity
def little_data_of_a_large_prime(cube):
    """Final test accuracy and delay of runs on 5 and 10 % of the data, and on 20 %."""
    accuracy, delay, fraction = cube.test_accuracy.isel(epoch=-1).values, delays(cube), cube.train_fraction.values
    much = np.isclose(fraction, 0.2)
    return {
        "accuracy_at_0.05_and_0.1": accuracy[~much],
        "accuracy_at_0.2": accuracy[much],
        "delay_at_0.2": delay[much],
    }


def _by_dropout(cube, values):
    return {f"{rate:g}": values[np.isclose(cube.dropout.values, rate)] for rate in np.unique(cube.dropout.values)}


@quantity
def generalization_by_dropout(cube):
    """Final test accuracy by dropout, and how many runs reach 95 % more than 500 epochs after they have memorized.

    Memorized is 99.9 % of the training pairs without dropout.
    """
    train = first_reaching(cube.history_train_accuracy, 0.999)
    test = first_reaching(cube.history_test_accuracy, 0.95)
    late = np.isfinite(test) & (lead(test, train) > 500)
    return {
        "test_accuracy": {
            rate: values.tolist() for rate, values in _by_dropout(cube, cube.test_accuracy.values[:, -1]).items()
        },
        **{f"late_at_{rate}": int(values.sum()) for rate, values in _by_dropout(cube, late).items()},
    }


@quantity
def structure_by_dropout(dropout, *decayed):
    """Table 5's columns of runs with dropout, by rate; their sparsity beside that of runs that weight decay generalized."""
    values = {name: np.asarray(column) for name, column in structure(dropout).items() if name != "keys"}
    accuracy, explained = (_by_dropout(dropout, values[name]) for name in ("test_accuracy", "logit_FVE"))
    last = [one.isel(epoch=-1) for one in decayed]
    least = min(float(one.gini_W_E.where(one.test_accuracy >= 0.95).min()) for one in last)
    return {
        "accuracy_at_0.2": accuracy["0.2"],
        "accuracy_at_0.5": accuracy["0.5"],
        "Gini_W_E": values["Gini_W_E"],
        "Gini_W_L": values["Gini_W_L"],
        "least_Gini_W_E_with_decay": least,
        "largest_Gini_over_decayed": float(values["Gini_W_E"].max() / least),
        "logit_FVE_at_0.2": float(explained["0.2"].mean()),
        "logit_FVE_at_0.5": float(explained["0.5"].mean()),
        "more_explained_at_0.5": bool(explained["0.2"].mean() < explained["0.5"].mean()),
    }


@quantity
def skip_at_mean_by_dropout(cube):
    """Table 6 for each rate of dropout that generalizes."""
    found = {rate: skip_at_mean_by_type(runs_with(cube, dropout=float(rate))) for rate in ("0.2", "0.5")}
    return {
        "by_dropout": found,
        "accuracy_change": [abs(one["accuracy_change"]) for one in found.values()],
        "ratio": [one["ratio"] for one in found.values()],
    }


@quantity
def accuracy_by_type(dropout, fractions, prime_53, prime_109):
    """Final test accuracies of the networks of Table 5, by kind."""
    last = _by_dropout(dropout, dropout.test_accuracy.values[:, -1])
    others = [
        fractions.test_accuracy.values[:, -1],
        runs_with(prime_53, weight_decay=5).test_accuracy.values[:, -1],
        prime_109.test_accuracy.values[:, -1],
        last["0.5"],
    ]
    return {"dropout_0.2": last["0.2"], "others": np.concatenate(others)}
