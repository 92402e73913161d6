"""A cube in words: what each run learned, and when."""

import numpy as np
import xarray as xr


def describe(cube: xr.Dataset) -> str:
    """One paragraph a run: key frequencies, phases, grok time, final losses."""
    return "\n\n".join(_describe_run(cube.sel(run=run)) for run in cube.run.values)


def _describe_run(run: xr.Dataset) -> str:
    name, last = str(run.run.values), run.isel(epoch=-1)
    sentences = [
        f"{name}: after {int(last.epoch):,} epochs train loss {_number(last.train_loss)}, test loss "
        f"{_number(last.test_loss)}, test accuracy {float(last.test_accuracy):.2%}."
    ]
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
    sentences.append(
        f"Restricted loss {_number(last.restricted_loss)}, excluded loss {_number(last.excluded_loss)}; the key cosines "
        f"explain {float(last.logit_fraction_explained_cosines):.1%} of the logits."
    )
    for name_of, says in (
        ("memorization_end", "memorisation ends at"),
        ("circuit_formation_end", "circuit formation at"),
        ("cleanup_end", "cleanup at"),
        ("grok_time", "test loss below 1e-2 for good from"),
    ):
        epoch = float(run[name_of])
        sentences.append(f"{says} {epoch:,.0f}" if np.isfinite(epoch) else f"no {says}: {_why(run, name_of, name)}")
    return " ".join(sentences[:3]) + " By the rules, " + "; ".join(sentences[3:]) + "."


def _number(value: xr.DataArray) -> str:
    return f"{float(value):.3g}"


def _why(run: xr.Dataset, name: str, run_name: str) -> str:
    return str(run[name].attrs.get("not_found", {}).get(run_name, "unknown"))
