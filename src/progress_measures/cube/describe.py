"""A cube in words: what each run learned, and when."""

import json

import numpy as np
import xarray as xr


def describe(cube: xr.Dataset) -> str:
    """One paragraph a run: key frequencies, phases, grok time, final losses; before it, where an imported one is from."""
    paragraphs = [_describe_run(cube.sel(run=run)) for run in cube.run.values]
    return "\n\n".join([*_provenance(cube), *paragraphs])


def _provenance(cube: xr.Dataset) -> list[str]:
    if "imported" not in cube.attrs:
        return []
    told = json.loads(cube.attrs["imported"])
    lines = [f"Imported from {told['file']}, by the names of {told['format']}."]
    lines += [f"{title.capitalize()}: {line}." for title in ("recognised", "assumed") for line in told[title]]
    return ["\n".join(lines)]


def _describe_run(run: xr.Dataset) -> str:
    name, last = str(run.run.values), run.isel(epoch=-1)
    sentences = [f"{name}: after {int(last.epoch):,} epochs {_losses(last)}."]
    if "key_frequency" not in run:
        return sentences[0]
    keys = run.frequency.values[run.key_frequency.values]
    if not keys.size:
        return f"{sentences[0]} No key frequencies: {_why(run, 'key_frequency', name)}."
    clusters = run.cluster_size.sel(frequency=keys).values
    listed = ", ".join(f"{k} ({n})" for k, n in zip(keys, clusters, strict=True))
    sentences.append(
        f"Key frequencies (neurons in their clusters): {listed}; {run.sizes['neuron'] - clusters.sum()} neurons in none."
    )
    excluded = f", excluded loss {_number(last.excluded_loss)}" if "excluded_loss" in last else ""
    sentences.append(
        f"Restricted loss {_number(last.restricted_loss)}{excluded}; the key cosines explain "
        f"{float(last.logit_fraction_explained_cosines):.1%} of the logits."
    )
    phases = []
    for name_of, says in (
        ("memorization_end", "memorisation ends at"),
        ("circuit_formation_end", "circuit formation at"),
        ("cleanup_end", "cleanup at"),
        ("grok_time", "test loss below 1e-2 for good from"),
    ):
        if name_of in run:
            epoch = float(run[name_of])
            found = np.isfinite(epoch)
            phases.append(f"{says} {epoch:,.0f}" if found else f"no {says}: {_why(run, name_of, name)}")
    return " ".join(sentences) + (f" By the rules, {'; '.join(phases)}." if phases else "")


def _losses(last: xr.Dataset) -> str:
    if "train_loss" not in last:
        return "(its training pairs are not known, so no train and test losses)"
    return (
        f"train loss {_number(last.train_loss)}, test loss {_number(last.test_loss)}, test accuracy "
        f"{float(last.test_accuracy):.2%}"
    )


def _number(value: xr.DataArray) -> str:
    return f"{float(value):.3g}"


def _why(run: xr.Dataset, name: str, run_name: str) -> str:
    return str(run[name].attrs.get("not_found", {}).get(run_name, "unknown"))
