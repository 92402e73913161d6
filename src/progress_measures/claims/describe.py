"""Describe the runs of a cube: losses, key frequencies, ends of phases, and which headline claims hold."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.phases import PHASE_ENDS, PHASES
from progress_measures.analysis.runs import key_frequencies_of, operand_count
from progress_measures.analysis.select import cut_to_run
from progress_measures.claims.judge import rule_holds, values_of
from progress_measures.claims.registry import load_quantity
from progress_measures.claims.schema import headline_claims
from progress_measures.cube.stops import until_stop
from progress_measures.fourier import harmonics
from progress_measures.measures.learning_coefficient import MAX_RHAT
from progress_measures.measures.phases import LASTING_EPOCHS
from progress_measures.plain_text import text_table

COLUMNS = {
    "train loss": "train_loss",
    "test loss": "test_loss",
    "test accuracy": "test_accuracy",
    "loss": "loss",
    "accuracy": "accuracy",
    "restricted loss": "restricted_loss",
    "excluded loss": "excluded_loss",
    # here and below, `strict=False` leaves out the last of `PHASES`, the state after cleanup, which has no end
    **{f"{phase} ends": name for phase, name in zip(PHASES, PHASE_ENDS, strict=False)},
    "generalizes": "grok_time",
}
"""Variables of the table in `describe`, by column title. Those with the dimension `epoch` are shown at the last checkpoint."""

FAR_ABOVE = 10
"""The restricted loss is far above the loss over all pairs if it is at least this many times as large."""

REQUIRED_RATIO = 2
"""The test loss depends on a frequency if removing it from the logits raises the loss by at least this factor."""


def describe(cube: xr.Dataset) -> str:
    """Return the text of the command `describe`: a table with one row per run, and below it one sentence per run.

    A run gets further sentences if its restricted loss is far above its loss over all pairs, if its test loss depends on a
    frequency without a neuron cluster, or if its local learning coefficient is estimated. Above the table is the origin of an
    imported network.
    """
    runs = _single_runs(cube)
    sentences = [
        f"{name}: {' '.join([_sentence(run), *_remarks(run.isel(run=0)), *_learning_coefficient(run.isel(run=0))])}"
        for name, run in runs.items()
    ]
    return "\n\n".join([*_origin(cube), _table(cube, runs), "\n".join(sentences)])


def _single_runs(cube: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the cube of each run, by name, with the dimension `run`.

    Each is cut to the measures, neurons, heads and layers that the run's network has, and to the epochs at which the run trained.
    """
    return {name: until_stop(cut_to_run(cube, name).sel(run=[name])) for name in map(str, cube.run.values)}


def _remarks(run: xr.Dataset) -> list[str]:
    """Return the sentences of `_harmonics` and `_frequencies_without_cluster`; none for a run without key frequencies."""
    last, keys = run.isel(epoch=-1), key_frequencies_of(run) if "key_frequency" in run else np.zeros(0, dtype=np.int64)
    return [*_harmonics(last), *_frequencies_without_cluster(last, keys)] if keys.size else []


def _table(cube: xr.Dataset, runs: dict[str, xr.Dataset]) -> str:
    """Return the table of runs and numbers; `—` stands for NaN, infinity, no measure or no key frequency."""
    columns = {title: name for title, name in COLUMNS.items() if name in cube}
    if "train_loss" in cube:  # loss and accuracy over all pairs matter only if the training pairs are unknown
        columns = {title: name for title, name in columns.items() if name not in ("loss", "accuracy")}
    header = ["run", "epochs", *columns] + (["key frequencies"] if "key_frequency" in cube else [])
    rows = []
    for name, run_cube in runs.items():
        run = run_cube.isel(run=0)
        last = run.isel(epoch=-1)
        cells = [_cell(variable, last[variable]) if variable in last else "—" for variable in columns.values()]
        row = [name, f"{int(last.epoch):,}", *cells]
        if "key_frequency" in cube:
            row.append(" ".join(map(str, key_frequencies_of(run) if "key_frequency" in run else [])) or "—")
        rows.append(row)
    return text_table(header, rows, align_right=True)


def _cell(name: str, value: xr.DataArray) -> str:
    """Return a value as text: accuracies in percent, epochs without decimals, other numbers with three digits."""
    if not np.isfinite(value):
        return "—"
    if name.endswith("accuracy"):
        return f"{100 * float(value):.2f} %"
    return f"{float(value):,.0f}" if name in (*PHASE_ENDS, "grok_time") else _number(value)


def _sentence(run_cube: xr.Dataset) -> str:
    """Return one sentence on a run, for the terminal.

    It says whether the run generalizes, whether training stopped early, which ends of phases are not found, why there
    are no key frequencies, and which headline claims fail. If the training pairs are unknown, it states the loss over
    all pairs.

    Args:
        run_cube: cube with a single run, with the dimension `run`.
    """
    run = run_cube.isel(run=0)
    clauses = [_grokking(run).rstrip(".")] if "grok_time" in run else []
    if _stopped_early(run):
        clauses.append("training stopped early by `stop_when`")
    if "train_loss" not in run:
        clauses.append(_losses(run.isel(epoch=-1)))
    if "key_frequency" in run and not run.key_frequency.any():
        clauses.append(f"no key frequencies ({_reason_not_found(run, 'key_frequency')})")
    if "grok_time" in run and "key_frequency" in run:
        clauses += _missing_phase_ends(run)
    verdicts = judge_headlines(run_cube)
    if verdicts:
        failing = [statement for statement, holds in verdicts.items() if not holds]
        count = f"{len(verdicts) - len(failing)} of {len(verdicts)} headline claims hold"
        clauses.append(f"{count}, but not: {'; '.join(failing)}" if failing else count)
    else:
        clauses.append("no headline claim can be judged")
    sentence = "; ".join(clauses)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _origin(cube: xr.Dataset) -> list[str]:
    """Return a list with one paragraph on the origin of an imported network; it is empty if the cube was not imported."""
    if "imported" not in cube.attrs:
        return []
    origin = json.loads(cube.attrs["imported"])
    lines = [f"Imported from {origin['file']}, with the tensor names of {origin['format']}."]
    lines += [f"DOUBTFUL: {doubt}." for doubt in origin.get("doubts", [])]
    lines += [f"{title.capitalize()}: {line}." for title in ("recognized", "assumed") for line in origin[title]]
    return ["\n".join(lines)]


def summaries(cube: xr.Dataset) -> dict[str, str]:
    """Return one paragraph per run, by name of the run, for the explorer.

    A paragraph states the run's losses, key frequencies, ends of phases, and which headline claims hold.
    """
    return {name: _paragraph(run) for name, run in _single_runs(cube).items()}


def _stopped_early(run: xr.Dataset) -> bool:
    """Return whether training of a run stopped early."""
    return "stopped_at" in run and bool(np.isfinite(run.stopped_at))


def _paragraph(run_cube: xr.Dataset) -> str:
    """Return the paragraph on a run.

    It begins in lower case, because the explorer shows it after the run's name.

    Args:
        run_cube: cube with a single run, with the dimension `run`.
    """
    run = run_cube.isel(run=0)
    last = run.isel(epoch=-1)
    stop = " (stopped early by `stop_when`)" if _stopped_early(run) else ""
    sentences = [f"after {int(last.epoch):,} epochs{stop}, {_losses(last)}."]
    grokking = [_grokking(run)] if "grok_time" in run else []
    if "key_frequency" not in run:
        return " ".join([*sentences, *grokking, *_learning_coefficient(run), *_claims(run_cube)])
    keys = key_frequencies_of(run)
    if keys.size:
        excluded = f" and the excluded loss {_number(last.excluded_loss)}" if "excluded_loss" in last else ""
        sentences += [
            _key_frequencies(run, keys),
            f"The restricted loss is {_number(last.restricted_loss)}{excluded}; the key cosines explain "
            f"{100 * float(last.logit_fraction_explained_cosines):.1f} % of the sum of squared logits.",
        ]
        sentences += _remarks(run)
    else:
        sentences.append(f"No key frequencies: {_reason_not_found(run, 'key_frequency')}.")
    phases = [_phases(run)] if grokking else []
    return " ".join([*sentences, *phases, *grokking, *_learning_coefficient(run), *_claims(run_cube)])


def _key_frequencies(run: xr.Dataset, keys: NDArray[np.int64]) -> str:
    """Return a sentence with the key frequencies and, if the neurons are known, the number of neurons in each cluster."""
    if "cluster_size" not in run:
        return f"Key frequencies, found from the logits (neurons unknown or absent): {', '.join(map(str, keys))}."
    sizes = run.cluster_size.sel(frequency=keys).values
    key_list = ", ".join(f"{k} ({size})" for k, size in zip(keys, sizes, strict=True))
    return (
        f"Key frequencies (neurons in their clusters): {key_list}; {run.sizes['neuron'] - sizes.sum()} neurons in no "
        "cluster."
    )


def _harmonics(last: xr.Dataset) -> list[str]:
    """Return a sentence on the restricted loss with and without harmonics, or none.

    There is a sentence only if the restricted loss is far above the loss over all pairs. With harmonics, the logits
    also keep the frequencies 2k and 3k of each key frequency k.
    """
    if not {"loss", "restricted_loss_with_harmonics"} <= set(last):
        return []
    ratio, loss_with_harmonics = float(last.restricted_loss / last.loss), last.restricted_loss_with_harmonics
    if not (ratio >= FAR_ABOVE and np.isfinite(loss_with_harmonics)):
        return []
    return [
        f"The restricted loss is {ratio:.3g} times the loss over all pairs. If the logits also keep the harmonics 2k and 3k of "
        f"the key frequencies k, the restricted loss is {_number(loss_with_harmonics)}."
    ]


def _frequencies_without_cluster(last: xr.Dataset, keys: NDArray[np.int64]) -> list[str]:
    """Return one sentence for each frequency that has no neuron cluster but on which the test loss depends.

    The harmonics 2k and 3k of key frequencies are skipped, because a ReLU adds them to a wave of frequency k. The list
    is empty for a task without `prime` or `modulus`, such as a table of labels: the harmonics depend on the size of its
    cyclic group, which follows from the table, and a cube does not contain the table.
    """
    variables = {"ablated_loss_by_frequency", "cluster_size", "test_loss"}
    if not (variables <= set(last) and {"prime", "modulus"} & set(last.coords)):
        return []
    ratio = last.ablated_loss_by_frequency / last.test_loss
    is_required = (ratio >= REQUIRED_RATIO) & (last.cluster_size == 0)
    is_required &= ~last.frequency.isin(harmonics(operand_count(last), keys))
    return [
        f"Frequency {int(k)} has no neuron cluster, and the test loss is {float(ratio.sel(frequency=k)):.3g} times as large "
        "without this frequency."
        for k in last.frequency[is_required]
    ]


def _learning_coefficient(run: xr.Dataset) -> list[str]:
    """Return a sentence on the local learning coefficient at the last checkpoint, and a warning if chains have not converged.

    Chains are simulations of Langevin dynamics. The list is empty if the coefficient is not estimated.
    """
    if "learning_coefficient" not in run:
        return []
    last, rhat = run.isel(moment=-1), run.learning_coefficient_rhat
    value, error = float(last.learning_coefficient), float(last.learning_coefficient_error)
    sentences = [
        f"The local learning coefficient of the last checkpoint is {value:.3g} ± {error:.2g} (standard error)."
    ]
    if unconverged := int((~(rhat <= MAX_RHAT)).sum()):  # counts NaN too, from chains that diverge
        sentences.append(
            f"WARNING: at {unconverged} of {run.sizes['moment']} selected epochs the chains have not converged (R̂ above "
            f"{MAX_RHAT}); raise `draws` or `burn_in` in the section `learning_coefficient` of the experiment."
        )
    return sentences


def _losses(last: xr.Dataset) -> str:
    """Return a clause with the losses and accuracies of the last checkpoint."""
    if "train_loss" not in last:
        over_all_pairs = (
            f"; over all pairs, the loss is {_number(last.loss)} and the accuracy {100 * float(last.accuracy):.2f} %"
            if "loss" in last
            else ""
        )
        return f"it has no train and test loss, because its training pairs are not known{over_all_pairs}"
    return (
        f"the train loss is {_number(last.train_loss)}, the test loss {_number(last.test_loss)} and the test accuracy "
        f"{100 * float(last.test_accuracy):.2f} %"
    )


def _phases(run: xr.Dataset) -> str:
    """Return a sentence with the epoch at which each phase ends, or the reason why its rule finds no end."""
    names = dict(zip(PHASES, PHASE_ENDS, strict=False))
    ends = {phase: _epoch(run, name) for phase, name in names.items()}
    ends_found = [f"{phase} ends at epoch {end:,.0f}" for phase, end in ends.items() if np.isfinite(end)]
    return f"Ends of the phases, found by rules: {'; '.join(ends_found + _missing_phase_ends(run))}."


def _missing_phase_ends(run: xr.Dataset) -> list[str]:
    """Return one clause per reason why the rules find no end of a phase."""
    reasons: dict[str, list[str]] = {}
    for phase, name in zip(PHASES, PHASE_ENDS, strict=False):
        if not np.isfinite(_epoch(run, name)):
            reasons.setdefault(_reason_not_found(run, name), []).append(phase)
    return [f"no end of {' or '.join(phases)} ({why})" for why, phases in reasons.items()]


def _grokking(run: xr.Dataset) -> str:
    """Return a sentence that says whether the run generalizes, and from which epoch on."""
    epoch, last = _epoch(run, "grok_time"), int(run.epoch[-1])
    if np.isfinite(epoch):
        lasting = (
            f"for {LASTING_EPOCHS} epochs" if epoch + LASTING_EPOCHS <= last else f"until the last epoch, {last:,}"
        )
        return f"It generalizes: from epoch {epoch:,.0f} the test loss stays below 1e-2 {lasting}."
    reason = f"(test loss below 1e-2: {_reason_not_found(run, 'grok_time')})"
    if "test_loss" in run and float(run.test_loss[-1]) < 1e-2:
        return f"It generalizes, from an epoch that is not known {reason}."
    return f"It does not generalize {reason}."


def judge_headlines(run_cube: xr.Dataset) -> dict[str, bool]:
    """Judge the headline claims on one run.

    A claim is left out if the cube lacks a variable from which the claim's values are computed, or if a value that the
    claim's rule bounds is NaN.

    Args:
        run_cube: cube with a single run, with the dimension `run`.

    Returns:
        Whether each claim holds on the run, by the claim's statement without its final period.
    """
    verdicts = {}
    for claim in headline_claims():
        quantity = load_quantity(claim.quantity or "")
        if not all(name in run_cube for name in quantity.variables):
            continue
        values = values_of(quantity, [run_cube])
        if not any(np.isnan(np.asarray(values.get(condition.value), dtype=float)).any() for condition in claim.accept):
            verdicts[claim.statement.rstrip(".")] = rule_holds(claim, values)
    return verdicts


def _claims(run_cube: xr.Dataset) -> list[str]:
    """Return sentences with the headline claims that hold and that do not hold, or one sentence if none can be judged."""
    verdicts = judge_headlines(run_cube)
    if not verdicts:
        return ["None of the headline claims can be judged on this run."]
    sentences = []
    for word, verdict in (("Holds", True), ("Does not hold", False)):
        statements = [statement for statement, holds in verdicts.items() if holds is verdict]
        if statements:
            sentences.append(f"{word}: {'; '.join(statements)}.")
    return sentences


def _epoch(run: xr.Dataset, name: str) -> float:
    """Return the value of a variable that is an epoch found by a rule; NaN if the rule found none or the variable is missing."""
    return float(run[name]) if name in run else np.nan


def _number(value: xr.DataArray) -> str:
    """Return a number with three significant digits."""
    return f"{float(value):.3g}"


def _reason_not_found(run: xr.Dataset, name: str) -> str:
    """Return the reason why a rule found no value of a variable; `unknown` if the cube does not state it."""
    if name not in run:
        return "it was not measured"
    return str(run[name].attrs.get("not_found", {}).get(str(run.run.values), "unknown"))
