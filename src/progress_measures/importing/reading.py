"""Reads files from elsewhere into plain data, without running anything that is in them.

PyTorch's files are pickles. They are read with `weights_only=True`: tensors and plain containers, and of other things
only those that are named here. A configuration object becomes a `Record` of its fields, whatever class it was of.
"""

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

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_CONFIGS = (  # where configurations of such networks have lived
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
    """The fields of an object whose class is not loaded."""


def read(path: Path) -> Any:
    """What a file holds: nested dictionaries, lists, numbers, texts and NumPy arrays.

    A folder of numbered files, `0.pth`, `100.pth`, …, as the paper's authors left while training, is a dictionary of
    them by name.

    Raises:
        UserError: it is missing, damaged, of another kind, or holds code.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise UserError(f"{path} is a folder without files that end in {', '.join(SUFFIXES)}.")
        for one, other in itertools.pairwise(files):
            if one.stem == other.stem:
                raise UserError(f"{one} and {other} have the same number; take one out.")
        return {"files": {file.stem: read(file) for file in files}}
    if not path.is_file():
        raise UserError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return _plain(load_file(path), path)
        if zipfile.is_zipfile(path):
            check_zip(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _plain({name: arrays[name] for name in arrays.files}, path)
        return _plain(_torch(path), path)
    except UserError:
        raise
    except Exception as error:  # PyTorch, zipfile, NumPy and safetensors each have their own
        text = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise UserError(
            f"{path} cannot be read: it is cut off, damaged, or no file of networks ({type(error).__name__}: "
            f"{text:.200}). Expected what `torch.save` writes, .safetensors or .npz; copy it again if it was once whole."
        ) from None


def load_array(path: Path) -> NDArray[Any]:
    """The array in a .npy file, of numbers or texts.

    Raises:
        ValueError, OSError, EOFError: it holds none, or less than it says.
    """
    # mapped, since only then NumPy looks at the size of the file before it takes memory for what the file says it has
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(found, np.ndarray):
        raise ValueError("it is no single array")
    return np.array(found)


def check_numbers(found: NDArray[Any]) -> None:
    """Refuse what cannot be counted with.

    Raises:
        ValueError: with what there is.
    """
    if found.dtype.kind not in "iuf":
        raise ValueError(f"found {found.dtype}")
    if not np.isfinite(found).all():
        raise ValueError("some are not finite")


def _torch(path: Path) -> Any:
    import torch

    with torch.serialization.safe_globals(_allowed()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickles' protocols
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            refused = [name for name in _named(path) if not _HARMLESS.fullmatch(name) and name not in _CONFIGS]
            if not refused:
                raise
            raise UserError(
                f"{path} holds more than data: loading it would run `{refused[0]:.80}`. Nothing in it was run. Whoever made "
                "it can save the bare tensors instead: torch.save(model.state_dict(), file)."
            ) from None


def _allowed() -> list[Any]:
    """What may stand in a pickle beside PyTorch's own: NumPy's numbers and arrays, and configurations, as records."""
    multiarray = importlib.import_module("numpy._core.multiarray")
    functions = {name: getattr(multiarray, name) for name in ("scalar", "_reconstruct")}
    numbers = [(function, f"{module}.{name}") for name, function in functions.items() for module in _NUMPY]
    kinds = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")]
    return [*numbers, np.ndarray, np.dtype, *kinds, *((Record, name) for name in _CONFIGS)]


_HARMLESS = re.compile(
    r"torch\.\w+|torch\._utils\._rebuild\w+|torch\._tensor\._rebuild\w+|torch\.storage\.\w+|torch\.nn\.parameter\.Parameter|"
    r"numpy\.(dtype|ndarray|dtypes\.\w+|_?core\.multiarray\.(scalar|_reconstruct))|"
    r"collections\.OrderedDict|_codecs\.encode"
)


def _named(path: Path) -> Iterator[str]:
    """The functions and classes that a pickle names, found without loading it."""
    with contextlib.ExitStack() as stack:
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            file: Any = stack.enter_context(archive.open(member))
        else:
            file = stack.enter_context(path.open("rb"))
        texts: list[str] = []
        with contextlib.suppress(ValueError, IndexError):  # the end, or no pickle any more
            while True:
                for opcode, value, _ in pickletools.genops(file):
                    if opcode.name == "GLOBAL":
                        yield str(value).replace(" ", ".")
                    elif opcode.name == "STACK_GLOBAL":
                        yield ".".join(texts[-2:])
                    elif isinstance(value, str):
                        texts.append(value)


def _plain(value: Any, path: Path) -> Any:
    """Tensors as arrays, records as dictionaries, tuples as lists; the same objects inside."""
    import torch

    if isinstance(value, torch.Tensor | np.ndarray):
        return _array(value, path)
    if isinstance(value, Record):
        return {name: _plain(one, path) for name, one in vars(value).items()}
    if isinstance(value, dict):
        named = {str(name): _plain(one, path) for name, one in value.items()}
        if len(named) < len(value):
            raise ValueError("a dictionary has a number and the same number as a text")
        return named
    if isinstance(value, list | tuple | set):
        return [_plain(one, path) for one in value]
    return value


def _array(tensor: Any, path: Path) -> NDArray[Any]:
    """As an array of float32 or float64, where it has floating-point numbers: NumPy knows half precisions, but not all."""
    import torch

    check_size(math.prod(tensor.shape) * tensor.dtype.itemsize, path)
    if isinstance(tensor, np.ndarray):
        kind = tensor.dtype.kind
        known = tensor.dtype.newbyteorder("=") in (np.dtype(np.float32), np.dtype(np.float64))
        return tensor if kind != "f" else tensor.astype(tensor.dtype.newbyteorder("=") if known else np.float64)
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    if dense.is_floating_point() and dense.dtype not in (torch.float32, torch.float64):
        dense = dense.float()
    return dense.cpu().numpy()
