"""A cube in words: what each run learned, when, and which of the paper's findings hold of it."""

import json
from collections.abc import Callable

import numpy as np
import xarray as xr

from progress_measures.cube.select import first_below, of_size
from progress_measures.measures.phases import STAYS


def describe(cube: xr.Dataset) -> str:
    """One paragraph a run, each begun by its name; before them, where an imported network is from."""
    paragraphs = [f"{name}: {words}" for name, words in summaries(cube).items()]
    return "\n\n".join([*_provenance(cube), *paragraphs])


def _provenance(cube: xr.Dataset) -> list[str]:
    if "imported" not in cube.attrs:
        return []
    told = json.loads(cube.attrs["imported"])
    lines = [f"Imported from {told['file']}, by the names of {told['format']}."]
    lines += [f"{title.capitalize()}: {line}." for title in ("recognized", "assumed") for line in told[title]]
    return ["\n".join(lines)]


def summaries(cube: xr.Dataset) -> dict[str, str]:
    """One paragraph for each run, by its name: losses, key frequencies, phases, what holds and what does not."""
    return {name: _paragraph(of_size(cube, name).sel(run=name)) for name in map(str, cube.run.values)}


def _paragraph(run: xr.Dataset) -> str:
    last = run.isel(epoch=-1)
    sentences = [f"after {int(last.epoch):,} epochs {_losses(last)}."]
    grokking = [_grokking(run)] if "grok_time" in run else []
    if "key_frequency" not in run:
        return " ".join([*sentences, *grokking])
    keys = run.frequency.values[run.key_frequency.values]
    if keys.size:
        clusters = run.cluster_size.sel(frequency=keys).values
        excluded = f", excluded loss {_number(last.excluded_loss)}" if "excluded_loss" in last else ""
        listed = ", ".join(f"{k} ({n})" for k, n in zip(keys, clusters, strict=True))
        sentences += [
            f"Key frequencies (neurons in their clusters): {listed}; "
            f"{run.sizes['neuron'] - clusters.sum()} neurons in none.",
            f"Restricted loss {_number(last.restricted_loss)}{excluded}; the key cosines explain "
            f"{100 * float(last.logit_fraction_explained_cosines):.1f} % of the logits.",
        ]
    else:
        sentences.append(f"No key frequencies: {_why(run, 'key_frequency')}.")
    phases = [_phases(run)] if grokking else []
    return " ".join([*sentences, *phases, *grokking, *_findings(run)])


def _losses(last: xr.Dataset) -> str:
    if "train_loss" not in last:
        return "(its training pairs are not known, so no train and test losses)"
    return (
        f"train loss {_number(last.train_loss)}, test loss {_number(last.test_loss)}, test accuracy "
        f"{100 * float(last.test_accuracy):.2f} %"
    )


def _phases(run: xr.Dataset) -> str:
    """Where the rules see the phases end, or why they do not."""
    names = {"memorization": "memorization_end", "circuit formation": "circuit_formation_end", "cleanup": "cleanup_end"}
    ends = {says: _epoch(run, name) for says, name in names.items()}
    found = [f"{says} ends at {end:,.0f}" for says, end in ends.items() if np.isfinite(end)]
    reasons: dict[str, list[str]] = {}
    for says, end in ends.items():
        if not np.isfinite(end):
            reasons.setdefault(_why(run, names[says]), []).append(says)
    lacking = [f"no end of {' or '.join(lacks)}: {why}" for why, lacks in reasons.items()]
    return f"By the rules, {'; '.join(found + lacking)}."


def _grokking(run: xr.Dataset) -> str:
    epoch = _epoch(run, "grok_time")
    if np.isfinite(epoch):
        return f"It generalizes: test loss below 1e-2 from epoch {epoch:,.0f}, and for the {STAYS} epochs after it."
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
    return _of_last(run, ("logit_fraction_explained_cosines",), lambda share: share >= 0.95)


FINDINGS: dict[str, Finding] = {
    "the restricted loss falls below 1 before the test loss": _restricted_leads,
    "the excluded loss more than doubles during circuit formation": _excluded_rises,
    "the weights shrink in the cleanup": _weights_shrink,
    "W_E and W_L grow sparse in the Fourier basis (Gini coefficients up by .1)": _gini_rises,
    "on test pairs the key frequencies alone do better than the whole network": _keys_suffice,
    "without the key frequencies it does worse than chance": _keys_are_needed,
    "the key cosines explain 95 % of the logits": _cosines_explain,
}
"""What the paper finds of its networks (sections 4 and 5), as questions to a run; None where they make no sense."""


def _findings(run: xr.Dataset) -> list[str]:
    answers = {says: finding(run) for says, finding in FINDINGS.items()}
    sentences = []
    for word, answer in (("Holds", True), ("Does not hold", False)):
        chosen = [says for says, given in answers.items() if given is answer]
        if chosen:
            sentences.append(f"{word}: {'; '.join(chosen)}.")
    return sentences


def _of_last(run: xr.Dataset, names: tuple[str, ...], question: Callable[..., bool]) -> bool | None:
    """An answer that numbers of the last checkpoint give; None without key frequencies, or without those numbers."""
    if not run.key_frequency.any() or not set(names) <= set(run.data_vars):
        return None
    values = [float(run[name][-1]) for name in names]
    return bool(question(*values)) if np.isfinite(values).all() else None


def _at(run: xr.Dataset, end: str, name: str) -> float:
    """A curve at the end of a phase; NaN where there is none, or no checkpoint of it."""
    epoch = _epoch(run, end)
    return float(run[name].sel(epoch=epoch)) if name in run and epoch in run.epoch else np.nan


def _falls_below(run: xr.Dataset, name: str, level: float) -> float:
    """The first epoch at which a curve is below a level; infinite if none is, NaN for an unknown curve."""
    if name not in run or run[name].isnull().all():
        return np.nan
    return float(first_below(run[name], level))


def _earlier(one: float, other: float) -> bool | None:
    return None if np.isnan(one) or not np.isfinite(min(one, other)) else one < other


def _epoch(run: xr.Dataset, name: str) -> float:
    """An epoch that was found; NaN if it was not, or not looked for."""
    return float(run[name]) if name in run else np.nan


def _number(value: xr.DataArray) -> str:
    return f"{float(value):.3g}"


def _why(run: xr.Dataset, name: str) -> str:
    if name not in run:
        return "it was not looked for"
    return str(run[name].attrs.get("not_found", {}).get(str(run.run.values), "unknown"))
