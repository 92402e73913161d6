"""Describe each run of a cube in words: losses, key frequencies, ends of phases, and which of the paper's findings hold."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import xarray as xr

from progress_measures.analysis.crossings import first_below
from progress_measures.analysis.select import cut_to_run
from progress_measures.measures.phases import STAYS


def describe(cube: xr.Dataset) -> str:
    """Return one paragraph per run, preceded by the origin of the network if it was imported."""
    paragraphs = [f"{name}: {paragraph}" for name, paragraph in summaries(cube).items()]
    return "\n\n".join([*_provenance(cube), *paragraphs])


def _provenance(cube: xr.Dataset) -> list[str]:
    """Return a paragraph on the origin of an imported network; no paragraph for other cubes."""
    if "imported" not in cube.attrs:
        return []
    origin = json.loads(cube.attrs["imported"])
    lines = [f"Imported from {origin['file']}, with the tensor names of {origin['format']}."]
    lines += [f"{title.capitalize()}: {line}." for title in ("recognized", "assumed") for line in origin[title]]
    return ["\n".join(lines)]


def summaries(cube: xr.Dataset) -> dict[str, str]:
    """Return one paragraph per run, by name of the run: losses, key frequencies, phases, and which findings hold."""
    return {name: _paragraph(cut_to_run(cube, name).sel(run=name)) for name in map(str, cube.run.values)}


def _paragraph(run: xr.Dataset) -> str:
    last = run.isel(epoch=-1)
    sentences = [f"after {int(last.epoch):,} epochs, {_losses(last)}."]
    grokking = [_grokking(run)] if "grok_time" in run else []
    if "key_frequency" not in run:
        return " ".join([*sentences, *grokking])
    keys = run.frequency.values[run.key_frequency.values]
    if keys.size:
        clusters = run.cluster_size.sel(frequency=keys).values
        excluded = f" and the excluded loss {_number(last.excluded_loss)}" if "excluded_loss" in last else ""
        listed = ", ".join(f"{k} ({n})" for k, n in zip(keys, clusters, strict=True))
        sentences += [
            f"Key frequencies (neurons in their clusters): {listed}; "
            f"{run.sizes['neuron'] - clusters.sum()} neurons in none.",
            f"The restricted loss is {_number(last.restricted_loss)}{excluded}; the key cosines explain "
            f"{100 * float(last.logit_fraction_explained_cosines):.1f} % of the sum of squared logits.",
        ]
    else:
        sentences.append(f"No key frequencies: {_why(run, 'key_frequency')}.")
    phases = [_phases(run)] if grokking else []
    return " ".join([*sentences, *phases, *grokking, *_findings(run)])


def _losses(last: xr.Dataset) -> str:
    if "train_loss" not in last:
        return "it has no train and test loss, because its training pairs are not known"
    return (
        f"the train loss is {_number(last.train_loss)}, the test loss {_number(last.test_loss)} and the test accuracy "
        f"{100 * float(last.test_accuracy):.2f} %"
    )


def _phases(run: xr.Dataset) -> str:
    """Return a sentence with the epoch at which each phase ends by rule, or the reason why none was found."""
    names = {"memorization": "memorization_end", "circuit formation": "circuit_formation_end", "cleanup": "cleanup_end"}
    ends = {phase: _epoch(run, name) for phase, name in names.items()}
    found = [f"{phase} ends at epoch {end:,.0f}" for phase, end in ends.items() if np.isfinite(end)]
    reasons: dict[str, list[str]] = {}
    for phase, end in ends.items():
        if not np.isfinite(end):
            reasons.setdefault(_why(run, names[phase]), []).append(phase)
    not_found = [f"no end of {' or '.join(phases)} ({why})" for why, phases in reasons.items()]
    return f"Phases by rule: {'; '.join(found + not_found)}."


def _grokking(run: xr.Dataset) -> str:
    epoch = _epoch(run, "grok_time")
    if np.isfinite(epoch):
        return f"It generalizes: from epoch {epoch:,.0f} the test loss stays below 1e-2 for {STAYS} epochs."
    return f"It does not generalize (test loss below 1e-2: {_why(run, 'grok_time')})."


Finding = Callable[[xr.Dataset], bool | None]


def _restricted_leads(run: xr.Dataset) -> bool | None:
    return _earlier(_falls_below(run, "restricted_loss", 1), _falls_below(run, "test_loss", 1))


def _excluded_rises(run: xr.Dataset) -> bool | None:
    start, end = _at(run, "memorization_end", "excluded_loss"), _at(run, "circuit_formation_end", "excluded_loss")
    return None if np.isnan(start + end) else end > 2 * start


def _weights_shrink(run: xr.Dataset) -> bool | None:
    start, end = (_at(run, name, "sum_of_squared_weights") for name in ("circuit_formation_end", "cleanup_end"))
    return None if np.isnan(start + end) else end < start


def _gini_rises(run: xr.Dataset) -> bool | None:
    if run.sizes["epoch"] == 1:
        return None
    return all(float(run[name][-1]) > float(run[name][0]) + 0.1 for name in ("gini_W_E", "gini_W_L"))


def _keys_suffice(run: xr.Dataset) -> bool | None:
    names = ("restricted_loss_test", "test_loss")
    return _of_last(run, names, lambda restricted, test: restricted < test)


def _keys_are_needed(run: xr.Dataset) -> bool | None:
    return _of_last(run, ("excluded_loss",), lambda loss: loss > np.log(2 * run.sizes["frequency"] + 1))


def _cosines_explain(run: xr.Dataset) -> bool | None:
    return _of_last(run, ("logit_fraction_explained_cosines",), lambda fraction: fraction >= 0.95)


FINDINGS: dict[str, Finding] = {
    "the restricted loss falls below 1 before the test loss": _restricted_leads,
    "the excluded loss more than doubles during circuit formation": _excluded_rises,
    "the weights shrink during the cleanup": _weights_shrink,
    "W_E and W_L become sparse in the Fourier basis (Gini coefficients rise by more than 0.1)": _gini_rises,
    "on test pairs, the restricted loss is lower than the test loss": _keys_suffice,
    "without the key frequencies, the loss is worse than that of a uniform guess (excluded loss above log n)": _keys_are_needed,
    "the key cosines explain at least 95 % of the sum of squared logits": _cosines_explain,
}
"""Tests of a run, by statement: findings of the paper about its networks (sections 4 and 5); None if a test does not apply."""


def _findings(run: xr.Dataset) -> list[str]:
    """Return a sentence with the findings that hold and one with the findings that do not."""
    verdicts = {statement: finding(run) for statement, finding in FINDINGS.items()}
    sentences = []
    for word, verdict in (("Holds", True), ("Does not hold", False)):
        statements = [statement for statement, holds in verdicts.items() if holds is verdict]
        if statements:
            sentences.append(f"{word}: {'; '.join(statements)}.")
    return sentences


def _of_last(run: xr.Dataset, names: tuple[str, ...], condition: Callable[..., bool]) -> bool | None:
    """Evaluate a condition on measures at the last checkpoint; None without key frequencies or if a measure is missing."""
    if not run.key_frequency.any() or not set(names) <= set(run.data_vars):
        return None
    values = [float(run[name][-1]) for name in names]
    return bool(condition(*values)) if np.isfinite(values).all() else None


def _at(run: xr.Dataset, end: str, name: str) -> float:
    """Return a curve's value at the end of a phase; NaN if the end is unknown or has no checkpoint."""
    epoch = _epoch(run, end)
    return float(run[name].sel(epoch=epoch)) if name in run and epoch in run.epoch else np.nan


def _falls_below(run: xr.Dataset, name: str, level: float) -> float:
    """Return the first epoch at which a curve is below a level; infinity if it never is, NaN without the curve."""
    if name not in run or run[name].isnull().all():
        return np.nan
    return float(first_below(run[name], level))


def _earlier(first: float, second: float) -> bool | None:
    """Return whether the first epoch is before the second; None if one is NaN or both are infinite."""
    return None if np.isnan(first) or not np.isfinite(min(first, second)) else first < second


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
