"""Quantities of training curves: threshold crossings and phases (paper, sections 3, 5, C.1.5 and C.2.1).

A quantity returns values by which claims are judged. Values are lists with one entry per run, unless a docstring says
otherwise. Lists that a docstring calls "run by run" have one entry per key frequency of each run: first all entries of
the first run, then all of the second, and so on. The first epoch of an event that does not occur is infinite. The
phases are memorization, circuit formation and cleanup. A value at the end of a phase is NaN if the rule for phases
(`measures.phases`) does not find this end.

The key frequencies' directions are cos w(a + b) and sin w(a + b) with w = 2 pi k / p, for each key frequency k; p is
the modulus. Restricted loss and accuracy are over all pairs, with only these directions and each output's mean kept in
the logits. The excluded loss is the train loss with these directions removed. Gini coefficients are of the norms of the
Fourier components of W_E, or of W_L = W_out W_U, which maps neurons to logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.crossings import (
    at_epochs,
    count_slingshots,
    first_below,
    first_reaching,
    lead,
    lead_where_known,
)
from progress_measures.analysis.phases import PHASE_ENDS, phase_slopes
from progress_measures.analysis.runs import key_frequency_curves, uniform_loss
from progress_measures.claims.registry import Values, quantity

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


@quantity(
    variables=("history_test_accuracy", "history_train_accuracy", "memorization_end", "test_accuracy", "test_loss")
)
def grokking(cube: xr.Dataset) -> Values:
    """Return the epochs at which train accuracy reaches 99.9 % and test accuracy 99 %, and their ratio (test / train).

    Also return the ratio of the test loss at the end of memorization to the loss of a uniform guess, and the final test
    accuracy. The ratio of the epochs is NaN if both are infinite.
    """
    train = first_reaching(cube.history_train_accuracy, 0.999)
    test = first_reaching(cube.history_test_accuracy, 0.99)
    with np.errstate(invalid="ignore"):  # infinity divided by infinity, if neither threshold is reached
        ratio = test / train
    return {
        "train_accuracy_epoch": train,
        "test_accuracy_epoch": test,
        "ratio": ratio,
        "test_loss_over_chance_when_memorized": at_epochs(cube.test_loss, cube.memorization_end) / uniform_loss(cube),
        "final_test_accuracy": cube.test_accuracy.isel(epoch=-1),
    }


@quantity(variables=("history_test_accuracy",))
def generalization_time(cube: xr.Dataset) -> Values:
    """Return each run's first epoch with 99 % test accuracy, and the median, minimum and maximum over runs."""
    epochs = first_reaching(cube.history_test_accuracy, 0.99)
    return {"epochs": epochs, "median": float(np.median(epochs)), "lowest": epochs.min(), "highest": epochs.max()}


@quantity(variables=("restricted_accuracy", "test_accuracy"))
def restricted_accuracy_leads(cube: xr.Dataset) -> Values:
    """Return the number of epochs from 99 % restricted accuracy to 99 % test accuracy."""
    *_, leads = lead_where_known(
        late=cube.test_accuracy, early=cube.restricted_accuracy, crossing=lambda curve: first_reaching(curve, 0.99)
    )
    return {"lead": leads}


@quantity(variables=("memorization_end", "restricted_loss", "test_loss"))
def restricted_loss_leads(cube: xr.Dataset) -> Values:
    """Return the epochs at which restricted and test loss halve, and by how many epochs the restricted loss leads.

    A loss halves at the first checkpoint after its peak at which it is below half of the peak. The peak is the
    maximum of the loss from the end of memorization on.
    """

    def halving_epoch(curve: xr.DataArray) -> NDArray[np.float64]:
        after_memorization = curve.where(curve.epoch >= cube.memorization_end)
        peak = after_memorization.fillna(-np.inf).argmax("epoch")
        after_peak = after_memorization.where(curve.epoch > curve.epoch[peak])
        return first_below(after_peak, 0.5 * after_memorization.max("epoch"))

    test, restricted, leads = lead_where_known(late=cube.test_loss, early=cube.restricted_loss, crossing=halving_epoch)
    return {"restricted": restricted, "test": test, "lead": leads}


@quantity(variables=(*PHASE_ENDS, "excluded_loss", "test_loss", "train_loss"))
def loss_changes_by_phase(cube: xr.Dataset) -> Values:
    """Return the excluded loss at the end of memorization, and how losses change in circuit formation and cleanup.

    For circuit formation, the values are the factor by which the excluded loss rises, the factor by which the train loss
    changes, and the number of powers of ten by which the test loss changes. For cleanup, the value is the factor by
    which the excluded loss changes. `train_loss_factor_from_1400` is the factor by which the train loss changes from
    epoch 1,400, where the paper's memorization ends, to the end of circuit formation. A factor by which a loss changes
    is at least 1, whether the loss rises or falls.
    """
    ends = (cube.memorization_end, cube.circuit_formation_end, cube.cleanup_end)
    excluded, train, test = (
        [at_epochs(cube[f"{name}_loss"], end) for end in ends] for name in ("excluded", "train", "test")
    )
    at_1400 = at_epochs(cube.train_loss, [1400] * cube.sizes["run"])
    return {
        "excluded_when_memorized": excluded[0],
        "rise_in_circuit_formation": excluded[1] / excluded[0],
        "train_loss_factor": np.maximum(train[1] / train[0], train[0] / train[1]),
        "train_loss_factor_from_1400": np.maximum(train[1] / at_1400, at_1400 / train[1]),
        "test_loss_decades": np.abs(np.log10(test[1] / test[0])),
        "excluded_factor_in_cleanup": np.maximum(excluded[2] / excluded[1], excluded[1] / excluded[2]),
    }


@quantity(variables=(*PHASE_ENDS, "gini_W_E", "gini_W_L"))
def gini_slopes(cube: xr.Dataset) -> Values:
    """Return the mean slope of the Gini coefficient in cleanup, divided by its mean slope in circuit formation.

    The values are for W_E and for W_L. Also return the final Gini coefficients.
    """
    result: Values = {}
    for name in ("W_E", "W_L"):
        formation, cleanup = phase_slopes(cube, cube[f"gini_{name}"])
        result[f"{name}_cleanup_over_formation"] = cleanup / formation
        result[f"{name}_final"] = cube[f"gini_{name}"].isel(epoch=-1)
    return result


@quantity(variables=(*PHASE_ENDS, "sum_of_squared_weights"))
def weight_slopes(cube: xr.Dataset) -> Values:
    """Return the mean slope per 1,000 epochs of log(sum of squared weights) in circuit formation and in cleanup.

    Also return the ratio of the slope in cleanup to the slope in circuit formation.
    """
    formation, cleanup = phase_slopes(cube, np.log(cube.sum_of_squared_weights))
    return {
        "circuit_formation": 1000 * formation,
        "cleanup": 1000 * cleanup,
        "cleanup_over_formation": cleanup / formation,
    }


@quantity(variables=PHASE_ENDS)
def phase_ends(cube: xr.Dataset) -> Values:
    """Return the epochs at which the phases end, and the ratio of the first two (circuit formation / memorization)."""
    return {
        "memorization": cube.memorization_end,
        "circuit_formation": cube.circuit_formation_end,
        "cleanup": cube.cleanup_end,
        "formation_over_memorization": cube.circuit_formation_end / cube.memorization_end,
    }


@quantity(variables=("gini_W_E", "gini_W_L", "memorization_end", "restricted_loss", "test_loss"))
def memorized_state(cube: xr.Dataset) -> Values:
    """Return restricted and test loss at the end of memorization, both divided by the loss of a uniform guess.

    Also return the absolute changes of the Gini coefficients of W_E and W_L from epoch 0 to the end of memorization.
    """
    end = cube.memorization_end
    change = [
        np.abs(at_epochs(cube[f"gini_{name}"], end) - cube[f"gini_{name}"].isel(epoch=0).values)
        for name in ("W_E", "W_L")
    ]
    return {
        "restricted_over_chance": at_epochs(cube.restricted_loss, end) / uniform_loss(cube),
        "test_over_chance": at_epochs(cube.test_loss, end) / uniform_loss(cube),
        "gini_W_E_change": change[0],
        "gini_W_L_change": change[1],
    }


@quantity(variables=("grok_time", "history_train_loss", "memorization_end"))
def memorization_times(cube: xr.Dataset) -> Values:
    """Return memorization and grokking times of the runs, and the relative spread of each over runs.

    The memorization time is, here only, the first epoch with train loss below 1e-6. The spread is the standard
    deviation divided by the mean; NaN for a single run, or if a time is NaN or infinite. Also return the spread of
    memorization times divided by the spread of grokking times, and the end of memorization by the rule for phases
    (`excluded_loss_turns`).
    """
    memorization_epochs, grok_epochs = first_below(cube.history_train_loss, 1e-6), cube.grok_time.values
    with np.errstate(invalid="ignore"):  # infinity minus infinity, if a time is infinite
        spreads = [
            times.std(ddof=1) / times.mean() if len(times) > 1 else np.nan
            for times in (memorization_epochs, grok_epochs)
        ]
    return {
        "memorization": memorization_epochs,
        "memorization_spread": spreads[0],
        "grok_time": grok_epochs,
        "grok_spread": spreads[1],
        "memorization_spread_over_grok_spread": spreads[0] / spreads[1],
        "excluded_loss_turns": cube.memorization_end,
    }


@quantity(variables=("circuit_formation_end", "memorization_end", "restricted_accuracy_test", "test_accuracy"))
def restricted_accuracy_on_test_pairs(cube: xr.Dataset) -> Values:
    """Return by how many epochs restricted accuracy on test pairs reaches 90 % before test accuracy does.

    Also return by how much restricted accuracy on test pairs exceeds test accuracy at the checkpoint nearest to the
    middle of circuit formation.
    """
    middle = ((cube.memorization_end + cube.circuit_formation_end) / 2).values
    nearest = cube.epoch.values[np.abs(cube.epoch.values[:, None] - middle).argmin(0)]
    nearest = np.where(np.isfinite(middle), nearest, np.nan)  # no middle if the rule does not find an end of a phase
    test, restricted = (first_reaching(cube[name], 0.9) for name in ("test_accuracy", "restricted_accuracy_test"))
    return {
        "lead": lead(test, restricted),
        "excess_in_mid_formation": at_epochs(cube.restricted_accuracy_test, nearest)
        - at_epochs(cube.test_accuracy, nearest),
    }


@quantity(variables=("circuit_formation_end", "cosine_coefficient", "key_frequency", "memorization_end"))
def cosine_growth(cube: xr.Dataset) -> Values:
    """Return the growth of the logits' coefficient on each key cosine, run by run.

    A key cosine is cos w(a + b - c) at a key frequency, for pair (a, b) and output c. Values are the final coefficient
    divided by the coefficient at the end of memorization, and the coefficient at the end of circuit formation divided
    by the final coefficient.
    """
    growth, fraction_of_final = [], []
    for run_cube, curve in key_frequency_curves(cube, "cosine_coefficient"):
        final = float(curve[-1])
        ends = (float(run_cube.memorization_end), float(run_cube.circuit_formation_end))
        at_memorization_end, at_formation_end = curve.reindex(epoch=ends).values.tolist()
        growth.append(final / at_memorization_end)
        fraction_of_final.append(at_formation_end / final)
    return {"final_over_memorized": growth, "fraction_at_start_of_cleanup": fraction_of_final}


@quantity(
    variables=("circuit_formation_end", "excluded_loss_by_frequency", "key_frequency", "memorization_end", "train_loss")
)
def excluded_singly(cube: xr.Dataset) -> Values:
    """Return the final excluded loss of each key frequency alone, divided by the final train loss, run by run.

    For this loss, only the directions of the one frequency are removed. Also return the epoch at which this excluded
    loss has its minimum before cleanup, divided by the epoch at which memorization ends.
    """
    final_ratios, minimum_ratios = [], []
    for run_cube, curve in key_frequency_curves(cube, "excluded_loss_by_frequency"):
        final_ratios.append(float(curve[-1] / run_cube.train_loss[-1]))
        before_cleanup = curve.sel(epoch=slice(0, float(run_cube.circuit_formation_end)))
        minimum_ratios.append(
            float(before_cleanup.epoch[before_cleanup.values.argmin()]) / float(run_cube.memorization_end)
        )
    return {"final_over_train_loss": final_ratios, "least_over_memorization_end": minimum_ratios}


@quantity(variables=("circuit_formation_end", "excluded_loss", "maximal_excluded_loss", "memorization_end"))
def maximal_excluded_agrees(cube: xr.Dataset) -> Values:
    """Return two rank correlations, over checkpoints, between the maximal excluded loss and the excluded loss.

    The maximal excluded loss is the maximum over frequencies of the excluded loss of a single frequency. `spearman` is
    over the checkpoints from the end of memorization to the end of training. `spearman_to_end_of_circuit_formation` is
    over those from the end of memorization to the end of circuit formation.
    """
    from scipy.stats import spearmanr  # takes half a second; planning a workflow does not need it

    def correlation(run_cube: xr.Dataset, last_epoch: float | None) -> float:
        after_memorization = run_cube.sel(epoch=slice(float(run_cube.memorization_end), last_epoch))
        return float(spearmanr(after_memorization.maximal_excluded_loss, after_memorization.excluded_loss).statistic)

    run_cubes = [cube.sel(run=run) for run in cube.run.values]
    return {
        "spearman": [correlation(run_cube, None) for run_cube in run_cubes],
        "spearman_to_end_of_circuit_formation": [
            correlation(run_cube, float(run_cube.circuit_formation_end)) for run_cube in run_cubes
        ],
    }


@quantity(variables=("test_accuracy", "test_loss", "train_accuracy"))
def no_generalization(cube: xr.Dataset) -> Values:
    """Return test loss, test accuracy and train accuracy at the last checkpoint."""
    last = cube.isel(epoch=-1)
    return {"test_loss": last.test_loss, "test_accuracy": last.test_accuracy, "train_accuracy": last.train_accuracy}


@quantity(variables=("grok_time", "history_train_loss_max", "memorization_end"))
def slingshots_before_grokking(cube: xr.Dataset) -> Values:
    """Count the slingshots of each run between the end of memorization and the grokking time; return the grokking time.

    A slingshot is a rise of the train loss to ten times its running minimum or more.
    """
    run_cubes = [cube.isel(run=i) for i in range(cube.sizes["run"])]
    return {
        "slingshots": [
            count_slingshots(run_cube, float(run_cube.memorization_end), float(run_cube.grok_time))
            for run_cube in run_cubes
        ],
        "grok_time": cube.grok_time,
    }


@quantity(variables=("circuit_formation_end", "memorization_end", "train_loss"))
def train_loss_levels(cube: xr.Dataset) -> Values:
    """Return the mean train losses in circuit formation and in the last 1,000 epochs; their ratio (second / first)."""
    epoch = cube.epoch
    in_circuit_formation = (epoch >= cube.memorization_end) & (epoch <= cube.circuit_formation_end)
    plateau = cube.train_loss.where(in_circuit_formation).mean("epoch")
    final = cube.train_loss.where(epoch >= epoch[-1] - 1000).mean("epoch")
    return {"plateau": plateau, "final": final, "final_over_plateau": final / plateau}


@quantity(variables=("circuit_formation_end", "test_loss", "train_loss"))
def losses_diverge(cube: xr.Dataset) -> Values:
    """Return the ratios of the largest test loss before cleanup to the initial test loss and to the train loss.

    The train loss is taken at the checkpoint with the largest test loss, whose epoch is also returned. Before cleanup
    means up to the end of circuit formation, or up to the end of training for a run without this end.
    """
    before_cleanup = cube.epoch <= cube.circuit_formation_end.fillna(np.inf)
    peak = cube.test_loss.where(before_cleanup).fillna(-np.inf).argmax("epoch")
    largest = cube.test_loss.isel(epoch=peak)
    return {
        "largest_over_initial": largest / cube.test_loss.isel(epoch=0),
        "test_over_train": largest / cube.train_loss.isel(epoch=peak),
        "at_epoch": cube.epoch[peak],
    }


@quantity(variables=(*PHASE_ENDS, "sum_of_squared_weights"))
def weights_inflections(cube: xr.Dataset) -> Values:
    """Return the mean slope per 1,000 epochs of log(sum of squared weights) in each phase and after cleanup.

    Also count at how many ends of phases the slope changes its sign, or its absolute value by a factor of 2 or more.
    """
    curve = np.log(cube.sum_of_squared_weights)
    last = cube.epoch.values[-1]
    ends = [np.zeros(cube.sizes["run"]), *(cube[name].values for name in PHASE_ENDS), np.full(cube.sizes["run"], last)]
    values = [at_epochs(curve, end) for end in ends]
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 divided by 0, if cleanup ends at the last epoch
        slopes = np.array([1000 * (values[i + 1] - values[i]) / (ends[i + 1] - ends[i]) for i in range(4)])
        ratios = slopes[1:] / slopes[:-1]
    names = ("memorization", "circuit_formation", "cleanup", "afterwards")
    return dict(zip(names, slopes, strict=True)) | {"inflections": ((ratios <= 0.5) | (ratios >= 2)).sum(0)}


@quantity(variables=("memorization_end", "sum_of_squared_weights"))
def weights_levels(cube: xr.Dataset) -> Values:
    """Return the sum of squared weights at the end of memorization and at the last checkpoint.

    Also return their ratio (second / first).
    """
    at_memorization_end = at_epochs(cube.sum_of_squared_weights, cube.memorization_end)
    final = cube.sum_of_squared_weights.isel(epoch=-1).values
    return {
        "when_memorized": at_memorization_end,
        "final": final,
        "final_over_memorized": final / at_memorization_end,
    }


@quantity(variables=("circuit_formation_end", "memorization_end", "restricted_loss"))
def hidden_progress(cube: xr.Dataset) -> Values:
    """Return the restricted loss at the ends of memorization and circuit formation, and the ratio (second / first)."""
    ends = (cube.memorization_end, cube.circuit_formation_end)
    at_memorization_end, at_formation_end = (at_epochs(cube.restricted_loss, end) for end in ends)
    return {
        "when_memorized": at_memorization_end,
        "at_start_of_cleanup": at_formation_end,
        "ratio": at_formation_end / at_memorization_end,
    }
