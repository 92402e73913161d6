"""Quantities for other train fractions, primes, weight decays, dropout and losses (paper, sections 5.3, C.2, D).

A quantity returns values by which claims are judged. Values are lists with one entry per run, unless a docstring says
otherwise. The first epoch of an event that does not occur is infinite; a delay between two such events is NaN. The
mainline is the experiment with the paper's main settings: p = 113, train fraction 0.3, weight decay 1. The cubes `low`
and `high` have smaller and larger train fractions.

W_L = W_out W_U maps neurons to logits. For frequency k, cos_k and sin_k have the entries cos w_k c and sin w_k c over
outputs c, with w_k = 2 pi k / p.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from progress_measures.analysis.crossings import (
    count_slingshots,
    first_below,
    first_reaching,
    lead,
    loss_delays,
    median_smooth,
)
from progress_measures.analysis.paper_tables import TABLE_5_VARIABLES, table_5_row, table_6_row
from progress_measures.analysis.runs import (
    GENERALIZATION_ACCURACY,
    after_intervention,
    key_frequencies_of,
    uniform_loss,
)
from progress_measures.analysis.select import first_runs_by_fraction, runs_with
from progress_measures.claims.registry import Values, quantity
from progress_measures.measures.numerics import gini

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def _by_fraction(runs: list[tuple[float, xr.Dataset]], function: Callable[[xr.Dataset], float]) -> dict[str, float]:
    """Apply a function to the run of each train fraction; return the results by fraction."""
    return {f"{fraction:g}": float(function(run)) for fraction, run in runs}


@quantity(variables=("history_test_loss", "history_train_loss"))
def delay_by_fraction(low: xr.Dataset, mainline: xr.Dataset, high: xr.Dataset) -> Values:
    """Return the delay by train fraction: the number of epochs from train loss below 1e-2 to test loss below 1e-2.

    Delays are of the first run with each fraction. Also return whether the delay falls from fraction 0.3 to 0.4 and
    from 0.4 to 0.5, and the largest delay at fractions of at least 0.6, in epochs and divided by the delay at 0.3.
    """
    delays = _by_fraction(first_runs_by_fraction(low, mainline, high), lambda run: loss_delays(run)[0])
    delay_at = {float(name): delay for name, delay in delays.items()}
    delays_03_to_05 = [delay_at[0.3], delay_at[0.4], delay_at[0.5]]
    delays_from_06 = [delay for fraction, delay in delay_at.items() if fraction >= 0.6]
    return {
        "delay": delays,
        "at_0.3": delays_03_to_05[0],
        "at_0.4": delays_03_to_05[1],
        "at_0.5": delays_03_to_05[2],
        "falls_from_0.3_to_0.5": bool(delays_03_to_05[0] > delays_03_to_05[1] > delays_03_to_05[2]),
        "largest_from_0.6": max(delays_from_06),
        "largest_from_0.6_over_0.3": max(delays_from_06) / delays_03_to_05[0],
    }


@quantity(variables=("test_accuracy", "test_loss"))
def little_data(cube: xr.Dataset) -> Values:
    """Return train fractions, final test accuracies, and the ratio of the final test loss to the loss of a uniform guess."""
    last = cube.isel(epoch=-1)
    return {
        "fractions": cube.train_fraction,
        "test_accuracy": last.test_accuracy,
        "test_loss_over_chance": last.test_loss / uniform_loss(cube),
    }


@quantity(variables=("history_test_loss", "history_train_loss"))
def steps_to_a_millionth(low: xr.Dataset, mainline: xr.Dataset, high: xr.Dataset) -> Values:
    """Return the first epochs with train and with test loss below 1e-6, by train fraction.

    The delay of a run is the number of epochs from train loss below 1e-6 to test loss below 1e-6. `latest_train` is the
    latest of the epochs of the train loss. `rises` and `rises_of_delay` compare each fraction whose test loss falls
    below 1e-6 with the next smaller such fraction: `rises` counts the fractions with a later epoch of the test loss,
    `rises_of_delay` those with a larger delay. `largest_delay_from_06` is the largest delay at fractions of at least
    0.6. Also return the first epochs with test loss below 1e-4 and 1e-2.
    """
    runs = first_runs_by_fraction(low, mainline, high)

    def epochs_below(split: str, level: float) -> dict[str, float]:
        return _by_fraction(runs, lambda run: first_below(run[f"history_{split}_loss"], level)[0])

    train, test = epochs_below("train", 1e-6), epochs_below("test", 1e-6)
    finite_epochs = [epoch for epoch in test.values() if np.isfinite(epoch)]
    delays = [test[name] - train[name] for name in test if np.isfinite(test[name])]
    return {
        "train": train,
        "test": test,
        "latest_train": max(train.values()),
        "rises": int((np.diff(finite_epochs) > 0).sum()),
        "rises_of_delay": int((np.diff(delays) > 0).sum()),
        "largest_delay_from_06": max(test[name] - train[name] for name in test if float(name) >= 0.6),
        "test_below_1e-4": epochs_below("test", 1e-4),
        "test_below_1e-2": epochs_below("test", 1e-2),
    }


@quantity(variables=("history_train_loss",))
def memorization_epochs(low: xr.Dataset, mainline: xr.Dataset, high: xr.Dataset) -> Values:
    """Return the first epochs with train loss below 1e-2 for train fractions up to 0.5, and the ratio of largest to smallest."""
    runs = [(fraction, run) for fraction, run in first_runs_by_fraction(low, mainline, high) if fraction <= 0.5]
    epochs = _by_fraction(runs, lambda run: first_below(run.history_train_loss, 1e-2)[0])
    return {"epochs": epochs, "ratio": max(epochs.values()) / min(epochs.values())}


@quantity(variables=(*TABLE_5_VARIABLES, "test_accuracy"))
def structure(cube: xr.Dataset) -> Values:
    """Return the columns of Table 5, the number of key frequencies and the test accuracy of each run.

    Values are at the last checkpoint. `analysis.paper_tables.table_5_row` defines the columns.
    """
    rows = [table_5_row(cube.isel(run=i, epoch=-1)) for i in range(cube.sizes["run"])]
    columns = {name.replace(" ", "_"): [row[name] for row in rows] for name in rows[0]}
    return columns | {
        "key_frequencies": [len(key_frequencies_of(cube.isel(run=i))) for i in range(cube.sizes["run"])],
        "test_accuracy": cube.test_accuracy.isel(epoch=-1),
    }


@quantity(variables=(*TABLE_5_VARIABLES, "test_accuracy"))
def structure_of_generalizing(*cubes: xr.Dataset) -> Values:
    """Return two columns of Table 5 for all runs with at least 95 % final test accuracy, and the number of these runs.

    `Gini_W_L` is the Gini coefficient of the norms of W_L's Fourier components. For `MLP_FVE`, the neurons are
    projected on the vectors W_L cos_k and W_L sin_k of each key frequency k. `MLP_FVE` is the fraction of a
    projection's variance that cos or sin of w_k(a + b) explains, averaged over the projections of a run.
    """
    tables = [structure(cube) for cube in cubes]
    columns = {
        name: np.concatenate([table[name] for table in tables]) for name in ("Gini_W_L", "MLP_FVE", "test_accuracy")
    }
    generalize = columns.pop("test_accuracy") >= GENERALIZATION_ACCURACY
    return {name: values[generalize] for name, values in columns.items()} | {"runs": int(generalize.sum())}


@quantity(variables=("intervention_accuracy", "intervention_loss"))
def row_of_table_6(cube: xr.Dataset) -> Values:
    """Return the row of Table 6 for the runs of one cube: means of loss and accuracy, and standard deviations of losses.

    Means and standard deviations are over the runs. Loss and accuracy are over all pairs, of the original network and
    with the skip connection around the MLP replaced by its mean over pairs (`ablated`). Also return the change of the
    mean accuracy by the ablation, and the ratio of the mean ablated loss to the mean loss.
    """
    row = {name.replace(" ", "_").replace("SD", "sd"): value for name, value in table_6_row(cube).items()}
    change, ratio = row["ablated_accuracy"] - row["accuracy"], row["ablated_loss"] / row["loss"]
    return row | {"accuracy_change": change, "ratio": ratio}


@quantity(variables=("intervention_accuracy", "intervention_loss", "test_accuracy"))
def skip_zeroed_if_generalizing(*cubes: xr.Dataset) -> Values:
    """Return what changes if the skip connection around the MLP is set to zero, for runs with at least 95 % test accuracy.

    Loss and accuracy are over all pairs. Values are the change of the accuracy from the original network, and the ratio
    of the loss with the connection at zero to the loss with the connection replaced by its mean over pairs. Also return
    the median of this ratio over runs.
    """
    changes, ratios = [], []
    for cube in cubes:
        generalizes = cube.test_accuracy.values[:, -1] >= GENERALIZATION_ACCURACY
        accuracy, original_accuracy = (
            after_intervention(cube, name, "accuracy", split="all") for name in ("MLP skip zeroed", "none")
        )
        loss_at_zero, loss_at_mean = (
            after_intervention(cube, name, "loss", split="all") for name in ("MLP skip zeroed", "MLP skip at its mean")
        )
        changes += (accuracy - original_accuracy)[generalizes].tolist()
        ratios += (loss_at_zero / loss_at_mean)[generalizes].tolist()
    return {
        "accuracy_change": changes,
        "over_mean_ablation": ratios,
        "median": float(np.median(ratios)) if ratios else np.nan,
    }


@quantity(variables=("W_L_fourier", "gini_W_L"))
def sparsity_with_l1(cube: xr.Dataset, mainline: xr.Dataset) -> Values:
    """Return how sparse W_L is over neurons and Fourier components, with an l1 penalty (`cube`) and in the mainline.

    W_L is that of the first run at its last checkpoint. Sparsity over neurons is the Gini coefficient of the norms of
    W_L's rows, one per neuron; sparsity over Fourier components is the Gini coefficient of the components' norms. Also
    return by how much each Gini coefficient is larger with the penalty.
    """

    def over_neurons(runs: xr.Dataset) -> float:
        return gini(np.linalg.norm(runs.W_L_fourier.values, axis=1))

    with_l1, without_l1 = over_neurons(cube), over_neurons(mainline)
    fourier, fourier_of_mainline = (float(runs.gini_W_L[0, -1]) for runs in (cube, mainline))
    return {
        "neurons": with_l1,
        "neurons_of_mainline": without_l1,
        "neurons_more": with_l1 - without_l1,
        "fourier": fourier,
        "fourier_of_mainline": fourier_of_mainline,
        "fourier_more": fourier - fourier_of_mainline,
    }


@quantity(variables=("history_test_accuracy", "history_train_accuracy", "test_accuracy"))
def generalization(cube: xr.Dataset) -> Values:
    """Return the final test accuracy and the number of epochs from 100 % train accuracy to 99 % test accuracy."""
    train = first_reaching(cube.history_train_accuracy, 1)
    test = first_reaching(cube.history_test_accuracy, 0.99)
    return {"test_accuracy": cube.test_accuracy.isel(epoch=-1), "delay": lead(test, train)}


@quantity(variables=("maximal_excluded_loss", "test_loss", "train_accuracy"))
def maximal_excluded_without_decay(cube: xr.Dataset, mainline: xr.Dataset) -> Values:
    """Return the rise of the maximal excluded loss, for runs without weight decay and for the mainline's first run.

    The maximal excluded loss is the maximum over frequencies of the train loss with this single frequency's directions
    removed from the logits. The rise is the final value of the maximal excluded loss divided by its minimum from 100 %
    train accuracy on. Also return, for the runs without weight decay, the ratio of the final test loss to the loss of a
    uniform guess.
    """

    def rise(runs: xr.Dataset) -> xr.DataArray:
        memorization_epochs = xr.DataArray(first_reaching(runs.train_accuracy, 1), dims="run")
        loss = runs.maximal_excluded_loss
        return loss.isel(epoch=-1) / loss.where(runs.epoch >= memorization_epochs).min("epoch")

    return {
        "test_loss_over_chance": cube.test_loss.isel(epoch=-1) / uniform_loss(cube),
        "rise": rise(cube),
        "rise_of_mainline": rise(mainline.isel(run=[0])),
    }


@quantity(variables=("grok_time",))
def grok_times_by_decay(cube: xr.Dataset, mainline: xr.Dataset) -> Values:
    """Return the grokking times by weight decay, with means and medians; the time is infinite for a run that has none.

    Means and medians are over the seeds, for weight decays 0.3, 1 and 3. `less_is_slower` is true if the medians fall
    in this order.
    """
    times = {}
    for runs in (cube, mainline):
        grok_times = runs.grok_time.fillna(np.inf)
        for decay in np.unique(runs.weight_decay):
            times[f"{decay:g}"] = grok_times.values[runs.weight_decay.values == decay].tolist()
    median_by_decay = {decay: float(np.median(values)) for decay, values in times.items()}
    medians = [median_by_decay[decay] for decay in ("0.3", "1", "3")]
    return {
        "times": times,
        "mean_0.3": float(np.mean(times["0.3"])),
        "mean_1": float(np.mean(times["1"])),
        "mean_3": float(np.mean(times["3"])),
        "medians": medians,
        "less_is_slower": bool(medians[0] > medians[1] > medians[2]),
    }


@quantity(variables=("history_train_accuracy", "history_train_loss_max"))
def slingshots(cube: xr.Dataset) -> Values:
    """Count the slingshots after 100 % train accuracy with the loss in float32 and in float64, and return the difference.

    There is one run with each precision. A slingshot is a rise of the train loss to ten times its running minimum or more. A
    number is NaN for a run that does not reach 100 % train accuracy.
    """
    memorization_epochs = first_reaching(cube.history_train_accuracy, 1)
    counts = {
        str(precision): count_slingshots(cube.isel(run=i), memorization_epochs[i])
        for i, precision in enumerate(cube.precision.values)
    }
    difference = counts["float32"] - counts["float64"]
    return {"float32": counts["float32"], "float64": counts["float64"], "more_in_float32": difference}


@quantity(variables=(*TABLE_5_VARIABLES, "test_accuracy"))
def structure_with_count(cube: xr.Dataset) -> Values:
    """Return the columns of Table 5 for each run, and the number of runs with the structure that the paper describes.

    A run has this structure if its final test accuracy is at least 95 %, the Gini coefficient of the norms of W_L's
    Fourier components is at least 0.6, and cos or sin of w_k(a + b) explains on average at least 0.7 of the variance of
    the neurons' projections on W_L cos_k and W_L sin_k. `seeds` is the number of these runs.
    """
    values = structure(cube)
    conditions = (
        np.asarray(values["test_accuracy"]) >= GENERALIZATION_ACCURACY,
        np.asarray(values["Gini_W_L"]) >= 0.6,
        np.asarray(values["MLP_FVE"]) >= 0.7,
    )
    return values | {"seeds": int(np.all(conditions, axis=0).sum())}


@quantity(variables=("history_test_loss", "history_train_accuracy", "history_train_loss_max"))
def grokking_with_slingshots(cube: xr.Dataset) -> Values:
    """Count the runs that generalize late, and those with slingshots after memorization.

    A run has memorized at 100 % train accuracy. It generalizes late if its test loss first falls below half the loss of
    a uniform guess at least 1,000 epochs after memorization. `delay` is the number of epochs from memorization to this
    fall. A slingshot is a rise of the train loss to ten times its running minimum or more; `slingshots` is their
    number in each run after memorization, NaN for a run that does not memorize.
    """
    memorization_epochs = first_reaching(cube.history_train_accuracy, 1)
    generalization_epochs = first_below(cube.history_test_loss, 0.5 * uniform_loss(cube))
    delay = lead(generalization_epochs, memorization_epochs)
    counts = [count_slingshots(cube.isel(run=i), memorization_epochs[i]) for i in range(cube.sizes["run"])]
    late = (delay >= 1000) & np.isfinite(generalization_epochs)
    return {
        "delay": delay,
        "slingshots": counts,
        "late": int(late.sum()),
        "with_slingshots": sum(count > 0 for count in counts),
    }


@quantity(variables=("excluded_loss", "grok_time", "test_loss"))
def excluded_rises_first(cube: xr.Dataset) -> Values:
    """Return by how many epochs the minimum of the excluded loss precedes the halving of the test loss.

    Values are of the first run; NaN if it has no grokking time. The test loss halves at the first epoch, after its
    maximum, at which it is below half of this maximum. The maximum is taken up to the grokking time, because a later
    slingshot may exceed it. The minimum of the excluded loss is taken up to the halving. Both curves are running
    medians over five checkpoints.
    """
    run_cube = cube.isel(run=[0])
    test_loss = median_smooth(run_cube.test_loss)
    until_grokking = test_loss.where(run_cube.epoch <= run_cube.grok_time)
    if until_grokking.isnull().all():
        return {"excluded_turns": np.nan, "test_loss_halves": np.nan, "lead": np.nan}
    peak = run_cube.epoch[int(until_grokking.argmax("epoch")[0])]
    halving_epoch = float(first_below(test_loss.where(run_cube.epoch > peak), 0.5 * until_grokking.max("epoch"))[0])
    excluded_loss = median_smooth(run_cube.excluded_loss).where(run_cube.epoch <= halving_epoch)
    minimum_epoch = (
        np.nan if excluded_loss.isnull().all() else float(run_cube.epoch[int(excluded_loss.argmin("epoch")[0])])
    )
    return {
        "excluded_turns": minimum_epoch,
        "test_loss_halves": halving_epoch,
        "lead": lead(halving_epoch, minimum_epoch),
    }


@quantity(variables=("history_test_loss", "history_train_loss", "test_accuracy"))
def delay_of_memorizing_runs(cube: xr.Dataset) -> Values:
    """Return the delay from train to test loss below 1e-2, and the final test accuracy, of the runs that memorize.

    A run memorizes if its train loss falls below 1e-2. Other runs are left out; `failed_to_train_at` has their weight decays.
    """
    has_memorized = np.isfinite(first_below(cube.history_train_loss, 1e-2))
    return {
        "delay": loss_delays(cube)[has_memorized],
        "test_accuracy": cube.test_accuracy.isel(epoch=-1).values[has_memorized],
        "failed_to_train_at": cube.weight_decay.values[~has_memorized],
    }


@quantity(variables=("history_test_loss", "history_train_loss", "test_accuracy"))
def little_data_of_a_large_prime(cube: xr.Dataset) -> Values:
    """Return the final test accuracies of runs with train fractions 0.05 and 0.1, and of runs with train fraction 0.2.

    Also return the delay from train loss below 1e-2 to test loss below 1e-2 of the runs with train fraction 0.2.
    """
    accuracy, delay, fraction = cube.test_accuracy.isel(epoch=-1).values, loss_delays(cube), cube.train_fraction.values
    at_20_percent = np.isclose(fraction, 0.2)
    return {
        "accuracy_at_0.05_and_0.1": accuracy[~at_20_percent],
        "accuracy_at_0.2": accuracy[at_20_percent],
        "delay_at_0.2": delay[at_20_percent],
    }


def _generalizing(cube: xr.Dataset) -> xr.Dataset:
    """Select the runs with at least 95 % final test accuracy."""
    return cube.isel(run=cube.test_accuracy.values[:, -1] >= GENERALIZATION_ACCURACY)


def _by_dropout(cube: xr.Dataset, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Group values [run] by dropout rate."""
    return {f"{rate:g}": values[np.isclose(cube.dropout.values, rate)] for rate in np.unique(cube.dropout.values)}


def _mean(values: NDArray[Any]) -> float:
    """Return the mean of the values, or NaN if there are none."""
    return float(values.mean()) if values.size else np.nan


@quantity(variables=("history_test_accuracy", "history_train_accuracy", "test_accuracy"))
def generalization_by_dropout(cube: xr.Dataset) -> Values:
    """Return final test accuracy by dropout rate, and the number of runs that generalize late.

    A run generalizes late if it reaches 95 % test accuracy more than 500 epochs after 99.9 % train accuracy. Accuracies
    are evaluated without dropout.
    """
    train = first_reaching(cube.history_train_accuracy, 0.999)
    test = first_reaching(cube.history_test_accuracy, GENERALIZATION_ACCURACY)
    late = np.isfinite(test) & (lead(test, train) > 500)
    return {
        "test_accuracy": {
            rate: values.tolist() for rate, values in _by_dropout(cube, cube.test_accuracy.values[:, -1]).items()
        },
        **{f"late_at_{rate}": int(values.sum()) for rate, values in _by_dropout(cube, late).items()},
    }


@quantity(variables=(*TABLE_5_VARIABLES, "test_accuracy"))
def structure_by_dropout(dropout: xr.Dataset, *decayed: xr.Dataset) -> Values:
    """Return columns of Table 5 for runs with dropout and at least 95 % final test accuracy.

    Test accuracies are listed by dropout rate. `logit_FVE_at_…`, the fraction of the logits' variance that the cosines
    cos w(a + b - c) at the key frequencies explain, is a mean over the runs of a dropout rate, NaN without such runs.
    The Gini coefficient of W_E is that of the norms of W_E's Fourier components. Also return its smallest final value
    among runs with weight decay and at least 95 % test accuracy, and the ratio of its largest value with dropout to
    this smallest value.

    Args:
        dropout: runs with dropout.
        decayed: cubes of runs with weight decay.
    """
    generalizes = dropout.test_accuracy.values[:, -1] >= GENERALIZATION_ACCURACY
    columns = {name: np.asarray(column)[generalizes] for name, column in structure(dropout).items()}
    at_rate = {rate: np.isclose(dropout.dropout.values[generalizes], float(rate)) for rate in ("0.2", "0.5")}
    explained = {rate: _mean(columns["logit_FVE"][matches]) for rate, matches in at_rate.items()}
    last_checkpoints = [runs.isel(epoch=-1) for runs in decayed]
    smallest_gini = min(
        float(runs.gini_W_E.where(runs.test_accuracy >= GENERALIZATION_ACCURACY).min()) for runs in last_checkpoints
    )
    return {
        "accuracy_at_0.2": columns["test_accuracy"][at_rate["0.2"]],
        "accuracy_at_0.5": columns["test_accuracy"][at_rate["0.5"]],
        "Gini_W_E": columns["Gini_W_E"],
        "Gini_W_L": columns["Gini_W_L"],
        "least_Gini_W_E_with_decay": smallest_gini,
        "largest_Gini_over_decayed": float(columns["Gini_W_E"].max()) / smallest_gini if generalizes.any() else np.nan,
        "logit_FVE_at_0.2": explained["0.2"],
        "logit_FVE_at_0.5": explained["0.5"],
        "more_explained_at_0.5": explained["0.2"] < explained["0.5"],
    }


@quantity(variables=("intervention_accuracy", "intervention_loss", "test_accuracy"))
def skip_at_mean_by_dropout(cube: xr.Dataset) -> Values:
    """Return the rows of Table 6 for dropout rates 0.2 and 0.5, from runs with at least 95 % final test accuracy.

    Also return, as lists with one entry per rate, the absolute change of the mean accuracy if the skip connection
    around the MLP is replaced by its mean, and the ratio of the mean loss after this replacement to the mean loss
    before it.
    """
    cube = _generalizing(cube)
    by_dropout = {rate: row_of_table_6(runs_with(cube, dropout=float(rate))) for rate in ("0.2", "0.5")}
    return {
        "by_dropout": by_dropout,
        "accuracy_change": [abs(values["accuracy_change"]) for values in by_dropout.values()],
        "ratio": [values["ratio"] for values in by_dropout.values()],
    }


@quantity(variables=("test_accuracy",))
def accuracies_of_table_5(
    dropout: xr.Dataset, fractions: xr.Dataset, prime_53: xr.Dataset, prime_109: xr.Dataset
) -> Values:
    """Return the final test accuracies of the runs that correspond to networks of Table 5; networks of two layers are left out.

    `dropout_0.2` has the accuracies of the runs with dropout 0.2. `others` has the accuracies of the runs with other
    train fractions, with prime 53 and weight decay 5, with prime 109, and with dropout 0.5. Runs with dropout and a
    test accuracy of less than 95 % are left out.
    """
    generalizing = _generalizing(dropout)
    accuracy = {rate: runs_with(generalizing, dropout=rate).test_accuracy.values[:, -1] for rate in (0.2, 0.5)}
    others = [
        fractions.test_accuracy.values[:, -1],
        runs_with(prime_53, weight_decay=5).test_accuracy.values[:, -1],
        prime_109.test_accuracy.values[:, -1],
        accuracy[0.5],
    ]
    return {"dropout_0.2": accuracy[0.2], "others": np.concatenate(others)}
