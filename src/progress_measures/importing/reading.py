"""Read foreign files into plain data without executing anything that is in them.

PyTorch's files are pickles. They are loaded with `weights_only=True`, which admits only tensors, plain containers and the
globals of `_allowed_globals`. A configuration object is loaded as a `Record` of its fields.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import math
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.untrusted import check_size, check_zip

SUFFIXES = (".pth", ".pt", ".pkl", ".bin", ".safetensors", ".npz")

_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_CONFIG_CLASSES = (  # classes of network configurations, under each module path that has defined them
    "transformer_lens.HookedTransformerConfig.HookedTransformerConfig",
    "transformer_lens.config.HookedTransformerConfig.HookedTransformerConfig",
    "transformer_lens.config.hooked_transformer_config.HookedTransformerConfig",
    "transformer_lens.config.transformer_lens_config.TransformerLensConfig",
    "transformer_lens.config.transformer_bridge_config.TransformerBridgeConfig",
    "easy_transformer.EasyTransformerConfig.EasyTransformerConfig",
    "easy_transformer.HookedTransformerConfig.HookedTransformerConfig",
    "transformers.Config",  # the paper's authors' transformers.py, not the library
    "__main__.Config",
)


class Record:
    """Stand-in for a configuration object: its fields without its class."""


def read(path: Path) -> Any:
    """Read a file into nested dictionaries, lists, numbers, strings and NumPy arrays.

    A folder of numbered files, `0.pth`, `100.pth`, …, as the paper's authors saved them during training, is read into
    `{"files": …}` with the data of each file by its name without suffix.

    Raises:
        UserError: the file is missing, damaged or of an unsupported kind, or it contains code.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise UserError(f"{path}: the folder has no file that ends in {', '.join(SUFFIXES)}.")
        for file, next_file in itertools.pairwise(files):
            if file.stem == next_file.stem:
                raise UserError(f"{file} and {next_file} have the same number; remove one of them.")
        return {"files": {file.stem: read(file) for file in files}}
    if not path.is_file():
        raise UserError(f"{path}: {'this is not a regular file' if path.exists() else 'there is no such file'}.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return _plain(load_file(path), path)
        if zipfile.is_zipfile(path):
            check_zip(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _plain({name: arrays[name] for name in arrays.files}, path)
        return _plain(_load_torch(path), path)
    except UserError:
        raise
    except Exception as error:  # PyTorch, zipfile, NumPy and safetensors raise different exceptions
        text = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise UserError(
            f"{path} cannot be read: it is truncated, damaged or not a file of weights ({type(error).__name__}: "
            f"{text:.200}). Expected a file written by `torch.save`, .safetensors or .npz; if it is one, copy it again."
        ) from None


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
        ValueError: the message describes the array.
    """
    if array.dtype.kind not in "iuf":
        raise ValueError(f"found values of dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("some values are NaN or infinite")


def _load_torch(path: Path) -> Any:
    """Load a file written by `torch.save` with tensors, plain containers and the globals of `_allowed_globals` only."""
    import torch

    with torch.serialization.safe_globals(_allowed_globals()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            disallowed = [
                name for name in _named_globals(path) if not _HARMLESS.fullmatch(name) and name not in _CONFIG_CLASSES
            ]
            if not disallowed:
                raise
            raise UserError(
                f"{path} contains code: loading it would run `{disallowed[0]:.80}`. Nothing in it was run. Save only the "
                "tensors where the file was made: torch.save(model.state_dict(), file)."
            ) from None


def _allowed_globals() -> list[Any]:
    """List the globals that a pickle may name besides PyTorch's own: those of NumPy numbers, arrays and configurations."""
    multiarray = importlib.import_module("numpy._core.multiarray")
    functions = {name: getattr(multiarray, name) for name in ("scalar", "_reconstruct")}
    array_functions = [
        (function, f"{module}.{name}") for name, function in functions.items() for module in _NUMPY_MODULES
    ]
    dtypes = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")]
    return [*array_functions, np.ndarray, np.dtype, *dtypes, *((Record, name) for name in _CONFIG_CLASSES)]


_HARMLESS = re.compile(
    r"torch\.\w+|torch\._utils\._rebuild\w+|torch\._tensor\._rebuild\w+|torch\.storage\.\w+|torch\.nn\.parameter\.Parameter|"
    r"numpy\.(dtype|ndarray|dtypes\.\w+|_?core\.multiarray\.(scalar|_reconstruct))|"
    r"collections\.OrderedDict|_codecs\.encode"
)
"""Globals that files of weights need; the error message names the first other global of a file."""


def _named_globals(path: Path) -> Iterator[str]:
    """Yield the functions and classes that a pickle names, without loading it."""
    with contextlib.ExitStack() as stack:
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            file: Any = stack.enter_context(archive.open(member))
        else:
            file = stack.enter_context(path.open("rb"))
        strings: list[str] = []
        with contextlib.suppress(ValueError, IndexError):  # end of the file, or bytes that are not a pickle
            while True:
                for opcode, value, _ in pickletools.genops(file):
                    if opcode.name == "GLOBAL":
                        yield str(value).replace(" ", ".")
                    elif opcode.name == "STACK_GLOBAL":
                        yield ".".join(strings[-2:])
                    elif isinstance(value, str):
                        strings.append(value)


def _plain(value: Any, path: Path) -> Any:
    """Convert tensors to arrays, records to dictionaries, and tuples and sets to lists, recursively."""
    import torch

    if isinstance(value, torch.Tensor | np.ndarray):
        return _array(value, path)
    if isinstance(value, Record):
        return {name: _plain(field, path) for name, field in vars(value).items()}
    if isinstance(value, dict):
        by_name = {str(name): _plain(entry, path) for name, entry in value.items()}
        if len(by_name) < len(value):
            raise ValueError("a dictionary has a number and the same number as a string among its keys")
        return by_name
    if isinstance(value, list | tuple | set):
        return [_plain(entry, path) for entry in value]
    return value


def _array(tensor: Any, path: Path) -> NDArray[Any]:
    """Convert a tensor to an array, of float32 or float64 if its values are floating-point numbers.

    NumPy supports only some of the smaller floating-point formats.
    """
    import torch

    check_size(math.prod(tensor.shape) * tensor.dtype.itemsize, path)
    if isinstance(tensor, np.ndarray):
        kind = tensor.dtype.kind
        is_native = tensor.dtype.newbyteorder("=") in (np.dtype(np.float32), np.dtype(np.float64))
        return tensor if kind != "f" else tensor.astype(tensor.dtype.newbyteorder("=") if is_native else np.float64)
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    if dense.is_floating_point() and dense.dtype not in (torch.float32, torch.float64):
        dense = dense.float()
    return dense.cpu().numpy()
