"""Pack the parts of a cube that the explorer shows: a header that describes the arrays, and their compressed bytes.

The explorer is an HTML page that replays trainings. Arrays are rounded to the precision that the page displays. The
bytes of each array are grouped by significance, which improves compression, and all arrays are compressed together. The
page decompresses the bytes of an experiment once, and decodes an array when one of the page's views (interactive plots)
first reads it (`web/data.js`).
"""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.analysis.runs import group_sign, key_frequencies_of, operand_count, task_of
from progress_measures.analysis.select import cut_to_run
from progress_measures.claims.describe import summaries
from progress_measures.cube.rounding import rounded
from progress_measures.cube.stops import last_epoch
from progress_measures.tasks import TASKS
from progress_measures.tasks.order import Order

EXACT, FINE, COARSE = 23, 12, 10
"""Numbers of mantissa bits that are stored: all those of float32 for curves, 12 for values that are shown with three digits, 10
for the colors of maps and for the embedding at the selected epochs, the few checkpoints at which large maps are kept."""

VARIABLES = {
    "train_loss": EXACT,
    "test_loss": EXACT,
    "restricted_loss": EXACT,
    "excluded_loss": EXACT,
    "train_accuracy": EXACT,
    "test_accuracy": EXACT,
    "gini_W_E": EXACT,
    "gini_W_L": EXACT,
    "sum_of_squared_weights": EXACT,
    "logit_fraction_explained_cosines": EXACT,
    "W_E_fourier_norm": FINE,
    "W_L_fourier_norm": FINE,
    "cosine_coefficient": FINE,
    "mean_attention": FINE,
    "neuron_frequency": None,
    "neuron_fraction_explained": None,
    "attention_score_token": FINE,
    "attention_score_position": FINE,
    "attention_frequency": None,
    "neuron_value_token": FINE,
    "neuron_value_position": FINE,
    "neuron_offset": FINE,
    "moment_attention_score_token": FINE,
    "moment_attention_score_position": FINE,
    "moment_neuron_value_token": FINE,
    "moment_neuron_value_position": FINE,
    "moment_neuron_offset": FINE,
    "W_E": FINE,
    "moment_W_E": COARSE,
    "logit_fourier_norm_2d": COARSE,
    "moment_logit_fourier_norm_2d": COARSE,
}
"""Variables that the page shows if the cube has them, with the number of mantissa bits that are stored. None for small integers
and for fractions in thousandths, which are stored as 16-bit integers."""

FRACTIONS = {"neuron_fraction_explained"}
"""Variables that are stored in thousandths."""

UNKNOWN = 2**16 - 1
"""The 16-bit integer that stands for NaN; `web/data.js` has it too."""

MAX_CHECKPOINTS = 2500
"""Maximum number of packed checkpoints, summed over runs; see `thinned`."""


class Packed(NamedTuple):
    """One experiment in the form that the page contains.

    Attributes:
        header: texts and coordinates of the experiment, a description of each run, and the place of each array in `data`
            after decompression.
        data: the bytes of all arrays, compressed together.
    """

    header: dict[str, Any]
    data: bytes


def pack(cube: xr.Dataset) -> Packed:
    """Pack the parts of a cube that the page shows.

    Variables that the cube lacks are left out; a view that needs such a variable states that it is missing.
    """
    thinned_cube = thinned(cube)
    arrays, packed_bytes, offset = {}, [], 0
    for name in VARIABLES:
        if name in thinned_cube:
            variable = thinned_cube[name]
            if "moment" in variable.dims:
                # `publish --renew` can compute a new measure at only some of the selected epochs; the others are NaN.
                variable = variable.dropna("moment", how="all")
            values, scale = _compact(variable)
            arrays[name] = {
                "dims": list(variable.dims),
                "shape": list(values.shape),
                "type": values.dtype.name,
                "scale": scale,
                "offset": offset,
                "moments": variable.moment.values.tolist() if "moment" in variable.dims else [],
                "label": variable.attrs.get("long_name", name),
                "units": variable.attrs.get("units", "1"),
            }
            packed_bytes.append(_byte_planes(values))
            offset += values.nbytes
    return Packed(_header(cube, thinned_cube) | {"arrays": arrays}, zlib.compress(b"".join(packed_bytes), 9))


def thinned(cube: xr.Dataset) -> xr.Dataset:
    """Select every n-th checkpoint and the last: at most `MAX_CHECKPOINTS` over all runs, or two per run if that is more."""
    last = cube.sizes["epoch"] - 1
    return cube.isel(epoch=np.unique(np.r_[np.arange(0, last, _interval(cube)), last]))


def _interval(cube: xr.Dataset) -> int:
    """Return n for `thinned`, which selects every n-th checkpoint."""
    per_run = max(2, MAX_CHECKPOINTS // cube.sizes["run"])
    return -(-(cube.sizes["epoch"] - 1) // (per_run - 1)) or 1  # rounded up; 1 for a single checkpoint


def _compact(variable: xr.DataArray) -> tuple[NDArray[Any], float]:
    """Convert the values of a variable to float32 with rounded mantissa or to 16-bit integers, as `VARIABLES` states.

    Returns:
        The values, and the factor by which the page multiplies them.
    """
    values, bits = variable.values, VARIABLES[str(variable.name)]
    if bits is not None:
        return rounded(values.astype("<f4"), bits), 1
    parts = 1000 if variable.name in FRACTIONS else 1
    # integers too can be NaN: a cube of networks of different sizes has NaN at the neurons that a smaller network lacks
    return np.where(np.isnan(values), UNKNOWN, np.round(parts * values)).astype("<u2"), 1 / parts


def _byte_planes(values: NDArray[Any]) -> bytes:
    """Return the bytes of an array grouped by significance: the first byte of each value, then the second byte of each, …."""
    return np.frombuffer(values.tobytes(), np.uint8).reshape(-1, values.itemsize).T.tobytes()


def _header(cube: xr.Dataset, thinned_cube: xr.Dataset) -> dict[str, Any]:
    """Return the header without the descriptions of the arrays: names, coordinates, and a description of each run."""
    run_summaries = summaries(cube)
    return {
        "name": str(cube.attrs.get("experiment", "cube")),
        "title": str(cube.attrs.get("title", cube.attrs.get("experiment", "cube"))),
        "task": str(cube.attrs.get("task", "")),
        "doubts": json.loads(cube.attrs.get("imported", "{}")).get("doubts", []),
        "first_run": _first_run(cube),
        "epochs": thinned_cube.epoch.values.tolist(),
        "interval": _interval(cube),  # n, if the page has every n-th checkpoint of the cube and the last
        "kept_neurons": cube.kept_neuron.values.tolist() if "kept_neuron" in cube else [],
        "cluster_fraction": float(cube.attrs.get("key_cluster_fraction", 0.85)),
        "runs": [_run(cut_to_run(cube, run).sel(run=run), run_summaries[run]) for run in map(str, cube.run.values)],
    }


def _is_table(cube: xr.Dataset) -> bool:
    """Return whether the task is given as a table of answers; it cannot be constructed from the cube, which lacks the table."""
    task_class = TASKS.get(str(cube.attrs.get("task", "")))
    return task_class is not None and "answers" in task_class.model_fields


def _tokens(run_cube: xr.Dataset) -> list[int]:
    """Return the indices along `token` of a run's operand values, in the order in which it is measured, and of `=`.

    The list is empty if these are all tokens of the cube, which has those of its largest task.
    """
    has_all = "token" not in run_cube.sizes or run_cube.sizes["token"] == operand_count(run_cube) + 1
    if has_all or _is_table(run_cube):
        return []
    labels = run_cube.token.values.tolist()
    return [labels.index(str(token)) for token in (*Order.of(task_of(run_cube)).operands, "=")]


def _first_run(cube: xr.Dataset) -> int:
    """Return the index of the experiment's first run; -1 if the cube lacks it. Variables without `run` belong to this run."""
    runs = cube.run.values.tolist()
    first = cube.attrs.get("first_run", runs[0])
    return runs.index(first) if first in runs else -1


def _run(run_cube: xr.Dataset, summary: str) -> dict[str, Any]:
    """Return the description of a run in the header. The end of a phase is None if it was not found."""
    ends = [float(run_cube[name]) if name in run_cube else np.nan for name in PHASE_ENDS]
    keys = key_frequencies_of(run_cube).tolist() if "key_frequency" in run_cube else []
    return {
        "name": str(run_cube.run.values),
        "summary": summary,
        "last_epoch": last_epoch(run_cube),
        "sign": group_sign(run_cube),
        # number of operand values in the Fourier basis (p for sums, p - 1 for products mod p); 0 without such a basis
        "basis_size": operand_count(run_cube) if "frequency" in run_cube.sizes else 0,
        "operand_count": operand_count(run_cube) if "token" in run_cube.sizes else 0,
        "tokens": _tokens(run_cube),
        "head_count": run_cube.sizes.get("head", 0),
        "neuron_count": run_cube.sizes.get("neuron", 0),
        "keys": keys,
        "phase_ends": [end if np.isfinite(end) else None for end in ends],
    }
