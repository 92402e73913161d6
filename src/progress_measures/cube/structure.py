"""Structure of a cube: selected epochs, labels of the dimensions, chunks and compression."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from progress_measures.fourier import component_names, frequencies
from progress_measures.measures.registry import DIMENSIONS
from progress_measures.models.architecture import Architecture
from progress_measures.tasks.order import Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run

MAX_MOMENTS = 24  # maximum number of selected epochs
CHUNK_BYTES = 2**17  # largest size, before compression, of a chunk of several runs; a run with more bytes is one chunk
MAX_CHUNKS = 256  # maximum number of chunks of a variable along `run`, even if chunks are then larger than CHUNK_BYTES


def moments(epochs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the selected epochs, at which large maps are kept: at most `MAX_MOMENTS`, with the first and last checkpoint.

    The epochs are evenly spaced by index of the checkpoint: if checkpoints are log-spaced, so are the selected epochs.
    """
    index = np.linspace(0, len(epochs) - 1, min(MAX_MOMENTS, len(epochs))).round().astype(int)
    return epochs[np.unique(index)]


def coordinates(run: Run) -> dict[str, Any]:
    """Return the labels that follow from a run's task and model, by name of the dimension; other dimensions are left out."""
    architecture = Architecture.of(run)
    labels_of_network = {
        "head": np.arange(architecture.heads),
        "layer": np.arange(architecture.layers),
        "neuron": np.arange(architecture.d_mlp),
        "parameter": list(architecture.parameters),
    }
    if run.on_sequences:
        # the label of a skip trigram is the trigram's number, so there are as many trigrams as outputs
        return labels_of_network | {"answer": run.task.answer_names(), "trigram": np.arange(architecture.outputs)}
    order = Order.of(run.task)
    n, positions = len(order.operands), run.task.token_layout.names()
    return labels_of_network | {
        "frequency": frequencies(n),
        "fourier_component": component_names(n),
        "fourier_component_a": component_names(n),
        "fourier_component_b": component_names(n),
        "singular_value": np.arange(1, min(architecture.d_mlp, architecture.outputs) + 1),
        "other_head": np.arange(architecture.heads),
        "residual": np.arange(architecture.d_model),
        "output": order.outputs,
        "token": [str(operand) for operand in order.operands] + ["="],
        "position": positions,
        "query": positions,
        "a": order.operands,
        "b": order.operands,
        "activation": ["pre", "post"],
    }


def describe_dimensions(dataset: xr.Dataset) -> xr.Dataset:
    """Set the attribute `long_name` of every dimension's coordinate, in place, and return the dataset."""
    for name in dataset.coords:
        if name in DIMENSIONS:
            dataset[name].attrs["long_name"] = DIMENSIONS[name]
    return dataset


def with_epochs(dataset: xr.Dataset, epochs: Mapping[str, NDArray[np.int64]]) -> xr.Dataset:
    """Reindex measures to more epochs.

    Args:
        dataset: measures at some of the epochs.
        epochs: all epochs, by dimension; a dimension that the dataset lacks is ignored.

    Returns:
        The measures at all epochs. At the added epochs, floats are NaN and integers 0.
    """
    labels = {dim: values for dim, values in epochs.items() if dim in dataset.dims}
    fill_values = {
        name: values.dtype.type(0) for name, values in dataset.data_vars.items() if values.dtype.kind in "iu"
    }
    return dataset.reindex(labels, fill_value=fill_values)


def encoding(dataset: xr.Dataset, runs: int | None = None) -> dict[str, dict[str, Any]]:
    """Return the encoding of each variable: chunks, byte shuffle, strong compression and a checksum.

    The compression is slow but strong, because cubes are written once and read often. A chunk has all values of a
    variable for one run, or for several runs if the values of one run take few bytes. A variable of a thousand runs is
    thus not stored in a thousand files.

    Args:
        dataset: the cube, or the runs that are written first if it is written in several steps.
        runs: number of runs of the complete cube; by default, the dataset's number of runs.

    Returns:
        Encoding for `xarray.Dataset.to_zarr`, by variable.
    """
    from zarr.codecs import BloscCodec, Crc32cCodec

    run_count = runs or dataset.sizes.get("run", 1)
    compressor = BloscCodec(cname="zstd", clevel=9, shuffle="shuffle")

    def runs_per_chunk(variable: xr.DataArray) -> int:
        bytes_per_run = variable.nbytes // variable.sizes["run"]
        return min(run_count, max(1, CHUNK_BYTES // max(1, bytes_per_run), math.ceil(run_count / MAX_CHUNKS)))

    return {
        str(name): {
            "chunks": tuple(
                runs_per_chunk(variable) if dim == "run" else max(1, size) for dim, size in variable.sizes.items()
            ),
            "compressors": (compressor, Crc32cCodec()),
        }
        for name, variable in dataset.data_vars.items()
    }
