"""Describe each run of a cube in words: losses, key frequencies, ends of phases, and which headline claims hold."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.phases import PHASE_ENDS, PHASES
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.analysis.select import cut_to_run
from progress_measures.claims.judge import HOLDS, judge
from progress_measures.claims.registry import load_quantity
from progress_measures.claims.schema import headline_claims
from progress_measures.cube.stops import until_stop
from progress_measures.measures.phases import STAYS


def describe(cube: xr.Dataset) -> str:
    """Return one paragraph per run, preceded by the origin of the network if it was imported."""
    paragraphs = [f"{name}: {paragraph}" for name, paragraph in summaries(cube).items()]
    return "\n\n".join([*_provenance(cube), *paragraphs])


def _provenance(cube: xr.Dataset) -> list[str]:
    """Return one paragraph on the origin of an imported network, or an empty list if the cube was not imported."""
    if "imported" not in cube.attrs:
        return []
    origin = json.loads(cube.attrs["imported"])
    lines = [f"Imported from {origin['file']}, with the tensor names of {origin['format']}."]
    lines += [f"DOUBTFUL: {doubt}." for doubt in origin.get("doubts", [])]
    lines += [f"{title.capitalize()}: {line}." for title in ("recognized", "assumed") for line in origin[title]]
    return ["\n".join(lines)]


def summaries(cube: xr.Dataset) -> dict[str, str]:
    """Return one paragraph per run, by name of the run: losses, key frequencies, phases, and which headline claims hold."""
    return {name: _paragraph(until_stop(cut_to_run(cube, name).sel(run=[name]))) for name in map(str, cube.run.values)}


def _paragraph(run_cube: xr.Dataset) -> str:
    """Return the paragraph on a run.

    Args:
        run_cube: cube with a single run, with the dimension `run`.
    """
    run = run_cube.isel(run=0)
    last = run.isel(epoch=-1)
    stop = " (stopped early by `stop_when`)" if "stopped_at" in run and np.isfinite(run.stopped_at) else ""
    sentences = [f"after {int(last.epoch):,} epochs{stop}, {_losses(last)}."]
    grokking = [_grokking(run)] if "grok_time" in run else []
    if "key_frequency" not in run:
        return " ".join([*sentences, *grokking, *_claims(run_cube)])
    keys = key_frequencies_of(run)
    if keys.size:
        excluded = f" and the excluded loss {_number(last.excluded_loss)}" if "excluded_loss" in last else ""
        sentences += [
            _key_frequencies(run, keys),
            f"The restricted loss is {_number(last.restricted_loss)}{excluded}; the key cosines explain "
            f"{100 * float(last.logit_fraction_explained_cosines):.1f} % of the sum of squared logits.",
        ]
    else:
        sentences.append(f"No key frequencies: {_why(run, 'key_frequency')}.")
    phases = [_phases(run)] if grokking else []
    return " ".join([*sentences, *phases, *grokking, *_claims(run_cube)])


def _key_frequencies(run: xr.Dataset, keys: NDArray[np.int64]) -> str:
    """Return a sentence with the key frequencies, and the neurons in their clusters if the neurons are known."""
    if "cluster_size" not in run:
        return f"Key frequencies of the logits (its neurons are not known): {', '.join(map(str, keys))}."
    sizes = run.cluster_size.sel(frequency=keys).values
    key_list = ", ".join(f"{k} ({size})" for k, size in zip(keys, sizes, strict=True))
    return (
        f"Key frequencies (neurons in their clusters): {key_list}; {run.sizes['neuron'] - sizes.sum()} neurons in none."
    )


def _losses(last: xr.Dataset) -> str:
    if "train_loss" not in last:
        overall = (
            f"; over all pairs, the loss is {_number(last.loss)} and the accuracy {100 * float(last.accuracy):.2f} %"
            if "loss" in last
            else ""
        )
        return f"it has no train and test loss, because its training pairs are not known{overall}"
    return (
        f"the train loss is {_number(last.train_loss)}, the test loss {_number(last.test_loss)} and the test accuracy "
        f"{100 * float(last.test_accuracy):.2f} %"
    )


def _phases(run: xr.Dataset) -> str:
    """Return a sentence with the epoch at which each phase ends, or the reason why the rule finds no end."""
    names = dict(zip(PHASES, PHASE_ENDS, strict=False))
    ends = {phase: _epoch(run, name) for phase, name in names.items()}
    ends_found = [f"{phase} ends at epoch {end:,.0f}" for phase, end in ends.items() if np.isfinite(end)]
    reasons: dict[str, list[str]] = {}
    for phase, end in ends.items():
        if not np.isfinite(end):
            reasons.setdefault(_why(run, names[phase]), []).append(phase)
    not_found = [f"no end of {' or '.join(phases)} ({why})" for why, phases in reasons.items()]
    return f"Phases by rule: {'; '.join(ends_found + not_found)}."


def _grokking(run: xr.Dataset) -> str:
    epoch = _epoch(run, "grok_time")
    if np.isfinite(epoch):
        return f"It generalizes: from epoch {epoch:,.0f} the test loss stays below 1e-2 for {STAYS} epochs."
    return f"It does not generalize (test loss below 1e-2: {_why(run, 'grok_time')})."


def judge_headlines(run_cube: xr.Dataset) -> dict[str, bool]:
    """Judge the headline claims on one run.

    A rule about several runs is applied to this run alone. A claim is left out if the cube lacks a variable that its
    quantity reads, or if a value that its rule names is NaN.

    Args:
        run_cube: cube with a single run, with the dimension `run`.

    Returns:
        For the statement of each claim, without its final period: whether the claim holds on the run.
    """
    # `judge` gives no verdict if the attributes list missing runs of the experiment, but these do not affect this run
    run_cube = run_cube.drop_attrs(deep=False)
    verdicts = {}
    for claim in headline_claims():
        quantity = load_quantity(claim.quantity or "")
        if not all(name in run_cube for name in quantity.variables):
            continue
        rule = [condition.model_copy(update={"in_runs": None}) for condition in claim.accept]
        judgment = judge(claim.model_copy(update={"runs": None, "accept": rule}), lambda _: run_cube)
        values = [judgment.measured.get(condition.value) for condition in rule]
        if not any(np.isnan(np.asarray(value, dtype=float)).any() for value in values):
            verdicts[claim.statement.rstrip(".")] = judgment.verdict == HOLDS
    return verdicts


def _claims(run_cube: xr.Dataset) -> list[str]:
    """Return a sentence with the claims that hold and one with those that do not, or one that none can be judged."""
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
    """Return an epoch found by rule; NaN if the rule found none or the run lacks the variable."""
    return float(run[name]) if name in run else np.nan


def _number(value: xr.DataArray) -> str:
    return f"{float(value):.3g}"


def _why(run: xr.Dataset, name: str) -> str:
    """Return the reason why a rule found no value."""
    if name not in run:
        return "it was not measured"
    return str(run[name].attrs.get("not_found", {}).get(str(run.run.values), "unknown"))
