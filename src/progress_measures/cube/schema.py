"""What a cube looks like: coordinates of each dimension, chunks and compression; all from the registry."""

from typing import Any

import numpy as np
import xarray as xr

from progress_measures.fourier import component_names, frequencies
from progress_measures.measures.registry import DIMENSIONS, Measure
from progress_measures.models.architecture import Architecture
from progress_measures.tasks import layout, task_module

MOMENTS = 24


def applies(measure: Measure, run: Any) -> bool:
    """Whether a measure can be taken of a run."""
    one_layer = run.model.layers == 1 and not run.model.attention_only
    modular = hasattr(task_module(run.task.kind), "SIGN")
    return one_layer and (modular or measure.needs == "pairs")


def moments(epochs: np.ndarray) -> np.ndarray:
    """The epochs at which maps are kept: evenly spaced checkpoints, the first and last among them."""
    index = np.linspace(0, len(epochs) - 1, min(MOMENTS, len(epochs))).round().astype(int)
    return epochs[np.unique(index)]


def coordinates(run: Any) -> dict[str, Any]:
    """The values along each dimension, for a run's task and model."""
    architecture, sizes = Architecture.of(run), layout(run.task)
    n = sizes.operands
    return {
        "frequency": frequencies(n),
        "fourier_component": component_names(n),
        "fourier_component_a": component_names(n),
        "fourier_component_b": component_names(n),
        "singular_value": np.arange(1, min(architecture.d_mlp, architecture.outputs) + 1),
        "head": np.arange(architecture.heads),
        "other_head": np.arange(architecture.heads),
        "residual": np.arange(architecture.d_model),
        "layer": np.arange(architecture.layers),
        "neuron": np.arange(architecture.d_mlp),
        "token": [str(number) for number in range(n)] + ["="],
        "position": ["a", "b", "="],
        "parameter": list(architecture.parameters),
        "activation": ["pre", "post"],
    }


def describe(dataset: xr.Dataset) -> xr.Dataset:
    """Give every dimension's coordinate the sentence that explains it."""
    for name in dataset.coords:
        if name in DIMENSIONS:
            dataset[name].attrs["long_name"] = DIMENSIONS[name]
    return dataset


def encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """One chunk a run and variable, byte-shuffled and compressed hard: cubes are written once and read often."""
    from zarr.codecs import BloscCodec

    shuffled = BloscCodec(cname="zstd", clevel=9, shuffle="shuffle")
    return {
        str(name): {
            "chunks": tuple(1 if dim == "run" else max(1, size) for dim, size in variable.sizes.items()),
            "compressors": (shuffled,),
        }
        for name, variable in dataset.data_vars.items()
    }
