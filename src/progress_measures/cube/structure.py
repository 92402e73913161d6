"""What a cube looks like: coordinates of each dimension, chunks and compression; all from the registry."""

from typing import Any

import numpy as np
import xarray as xr

from progress_measures.fourier import component_names, frequencies
from progress_measures.measures.registry import DERIVED, DIMENSIONS, ONE_LAYER, Measure
from progress_measures.models.architecture import Architecture
from progress_measures.tasks import layout, task_module

MOMENTS = 24
CHUNK = 2**17  # bytes, before compression, below which a chunk takes in more runs
CHUNKS = 256  # of a variable, at most

SUMS_OF_LOGITS = ("restricted_loss_neurons", "excluded_loss_neurons")
"""Measures that add up the parts of the logits, in families that do not."""


def applies(measure: Measure, run: Any) -> bool:
    """Whether a measure can be taken of a run."""
    if (measure.family in DERIVED and run.split_unknown) or (measure.name in SUMS_OF_LOGITS and run.layer_norm):
        return False
    if measure.needs in ("any", run.task.kind):
        return True
    if run.on_sequences:
        return measure.needs == "answers" and len(_answers(run)) > 1
    one_layer = run.one_layer
    if measure.needs == "pairs":
        return one_layer
    modular = hasattr(task_module(run.task.kind), "SIGN")
    of_any_depth = measure.family not in ONE_LAYER and not run.model.attention_only
    return measure.needs == "modular" and modular and (one_layer or of_any_depth)


def _answers(run: Any) -> list[str]:
    """What is answered in each sequence."""
    names: list[str] = task_module(run.task.kind).answer_names(run.task)
    return names


def moments(epochs: np.ndarray) -> np.ndarray:
    """The epochs at which maps are kept: evenly spaced checkpoints, the first and last among them."""
    index = np.linspace(0, len(epochs) - 1, min(MOMENTS, len(epochs))).round().astype(int)
    return epochs[np.unique(index)]


def coordinates(run: Any) -> dict[str, Any]:
    """The values along each dimension, for a run's task and model."""
    architecture, sizes = Architecture.of(run), layout(run.task)
    n = sizes.operands
    of_network = {
        "head": np.arange(architecture.heads),
        "layer": np.arange(architecture.layers),
        "neuron": np.arange(architecture.d_mlp),
        "parameter": list(architecture.parameters),
    }
    if run.on_sequences:
        return of_network | {"answer": _answers(run), "trigram": np.arange(sizes.outputs)}
    return of_network | {
        "frequency": frequencies(n),
        "fourier_component": component_names(n),
        "fourier_component_a": component_names(n),
        "fourier_component_b": component_names(n),
        "singular_value": np.arange(1, min(architecture.d_mlp, architecture.outputs) + 1),
        "other_head": np.arange(architecture.heads),
        "residual": np.arange(architecture.d_model),
        "output": np.arange(architecture.outputs),
        "token": [str(number) for number in range(n)] + ["="],
        "position": ["a", "b", "="],
        "query": ["a", "b", "="],
        "a": np.arange(n),
        "b": np.arange(n),
        "activation": ["pre", "post"],
    }


def describe(dataset: xr.Dataset) -> xr.Dataset:
    """Give every dimension's coordinate the sentence that explains it."""
    for name in dataset.coords:
        if name in DIMENSIONS:
            dataset[name].attrs["long_name"] = DIMENSIONS[name]
    return dataset


def encoding(dataset: xr.Dataset, runs: int | None = None) -> dict[str, dict[str, Any]]:
    """Byte-shuffled, compressed hard, with a checksum: cubes are written once and read often.

    A chunk is all of a variable for one run; for so many, where they are small, that no variable of a thousand runs is
    in a thousand files.

    Args:
        runs: how many the cube will have when it is whole; by default, those that it has.
    """
    from zarr.codecs import BloscCodec, Crc32cCodec

    total = runs or dataset.sizes.get("run", 1)
    shuffled = BloscCodec(cname="zstd", clevel=9, shuffle="shuffle")

    def runs_a_chunk(variable: xr.DataArray) -> int:
        one = variable.nbytes // variable.sizes["run"]
        return min(total, max(1, CHUNK // max(1, one), -(-total // CHUNKS)))

    return {
        str(name): {
            "chunks": tuple(
                runs_a_chunk(variable) if dim == "run" else max(1, size) for dim, size in variable.sizes.items()
            ),
            "compressors": (shuffled, Crc32cCodec()),
        }
        for name, variable in dataset.data_vars.items()
    }
