"""Read files of networks trained elsewhere into plain data, without executing anything that is in the files.

Pickles, including those of PyTorch, are read by the modules `inert` and `plain`. An object in a pickle, such as a
configuration, becomes a `Record` of the object's fields.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.importing.inert import CodeFoundError
from progress_measures.importing.plain import plain_array, read_pickle, read_torch_archive
from progress_measures.untrusted import check_zip

SUFFIXES = (".pth", ".pt", ".pkl", ".pickle", ".bin", ".ckpt", ".safetensors", ".npz")
"""Endings of the files that are read if the path is a folder."""


def read(path: Path) -> Any:
    """Read a file into nested dictionaries, lists, numbers, strings and NumPy arrays.

    A folder of files, `0.pth`, `100.pth`, …, as training programs save them, is read into `{"files": …}` with the data of
    each file by its name.

    Raises:
        UserError: the file is missing, damaged or of an unsupported kind, or it contains code.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise UserError(f"{path}: the folder has no file that ends in {', '.join(SUFFIXES)}.")
        return {"files": {file.name: read(file) for file in files}}
    if not path.is_file():
        raise UserError(f"{path}: {'this is not a regular file' if path.exists() else 'there is no such file'}.")
    if path.suffix == ".msgpack":
        raise UserError(
            f"{path}: files of msgpack are not read. Save the arrays where the file was made: numpy.savez('weights.npz', "
            "**{'/'.join(k): v for k, v in flax.traverse_util.flatten_dict(params).items()})."
        )
    try:
        return _read_file(path)
    except CodeFoundError as error:
        raise UserError(
            f"{path} contains code: loading it would run `{error!s:.80}`. Nothing in it was run. Save only the "
            "tensors where the file was made: torch.save(model.state_dict(), file)."
        ) from None
    except Exception as error:  # zipfile, NumPy, PyTorch and safetensors raise different exceptions
        text = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise UserError(
            f"{path} cannot be read: it is truncated, damaged or not a file of weights ({type(error).__name__}: "
            f"{text:.200}). Expected a file written by `torch.save` or `pickle.dump`, .safetensors or .npz; if it is one, "
            "copy it again."
        ) from None


def _read_file(path: Path) -> Any:
    """Read a file. A .safetensors or .npz file is recognized by its name, any other file by its content."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return {name: plain_array(tensor, path) for name, tensor in load_file(path).items()}
    if zipfile.is_zipfile(path):
        check_zip(path)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: plain_array(arrays[name], path) for name in arrays.files}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return read_torch_archive(archive, path)
    return read_pickle(path.read_bytes(), path)


def load_array(path: Path) -> NDArray[Any]:
    """Read the array of numbers or strings in a .npy file.

    Raises:
        ValueError, OSError, EOFError: the file does not contain an array, or is shorter than its header declares.
    """
    # With a memory map, NumPy compares the size of the file with its header before it allocates memory.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is not a single array")
    return np.array(array)


def check_numbers(array: NDArray[Any]) -> None:
    """Check that an array is numeric and finite.

    Raises:
        ValueError: the array is not numeric, or not finite; the message says what was found.
    """
    if array.dtype.kind not in "iuf":
        raise ValueError(f"found values of dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("some values are NaN or infinite")
