"""Convert what the module `inert` has read from a pickle to plain values, arrays and records.

`inert` follows a pickle's instructions, but imports no function or class that the pickle names: it records each import as a
`Global`, and each call as a `Call` with its arguments and with what the pickle then sets or appends. This module converts
these records.

Tensors, arrays, containers, paths and dates become plain values. Any other object becomes a `Record` of its fields, with the
exceptions in `Builder._record`. The `Record` of a configuration of omegaconf or ml_collections has the configuration's
fields, without the library's wrapper.
"""

from __future__ import annotations

import datetime
import io
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Sized
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from progress_measures.importing.inert import TENSOR_CALLS, Call, CodeFoundError, Global, Machine, Storage, UnhashedDict
from progress_measures.untrusted import check_size

if TYPE_CHECKING:
    import torch

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # the first object in a file of `torch.save` before PyTorch 1.6
ENTRY_SIZE = 100  # bytes of memory that an entry of a list or dictionary takes, roughly
# The type of the numbers in a storage, by the name of its class.
_STORAGES = {
    **{"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8"},
    **{"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"},
}
_DTYPE = re.compile(r"[biufcSU]\d{1,5}|\?")  # NumPy's types of numbers and text


class Record(dict[str, Any]):
    """The fields of an object whose class was not imported.

    Attributes:
        kind: the full name of the class.
    """

    def __init__(self, kind: str, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.kind = kind


def read_torch_archive(archive: zipfile.ZipFile, path: Path) -> Any:
    """Read an archive of `torch.save` into plain values and arrays.

    Args:
        archive: the open archive.
        path: its file, whose size limits the size of the arrays.

    Returns:
        The saved object, built of dictionaries with text as keys, lists, numbers, text, `Record` and NumPy arrays.

    Raises:
        CodeFoundError: the archive contains code.
        ValueError, LookupError, RecursionError: the archive is damaged, or contains something that is not supported.
    """
    names = archive.namelist()
    # archives of TorchScript, which contain code, have this member
    if any(name.rpartition("/")[2] == "constants.pkl" for name in names):
        raise CodeFoundError("torch.jit")
    member = next((name for name in names if name.rpartition("/")[2] == "data.pkl"), None)
    if member is None:
        raise ValueError("the archive has no data.pkl")
    folder = member.removesuffix("data.pkl")
    order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in names else b"little"
    machine = Machine(io.BytesIO(archive.read(member)))
    root = machine.load()
    builder = Builder(path, lambda key: archive.read(f"{folder}data/{key}"), order == b"big")
    return builder.value(root)


def read_pickle(content: bytes, path: Path) -> Any:
    """Read a pickle, or a file of `torch.save` from before PyTorch 1.6, into plain values and arrays.

    Args:
        content: the file's bytes.
        path: the file, whose size limits the size of the arrays.

    Returns:
        The saved object, built of dictionaries with text as keys, lists, numbers, text, `Record` and NumPy arrays.

    Raises:
        CodeFoundError: the pickle contains code.
        ValueError, LookupError, RecursionError: the pickle is damaged, or contains something that is not supported.
    """
    stream = io.BytesIO(content)
    machine = Machine(stream)
    first = machine.load()
    if isinstance(first, int) and first == TORCH_MAGIC:
        builder, root = _old_torch_file(stream, machine, path)
        return builder.value(root)
    return Builder(path, _no_storage, False).value(first)


def _no_storage(key: str) -> bytes:
    raise ValueError(f"the file has no values for the tensor {key:.40}")


def _old_torch_file(stream: io.BytesIO, machine: Machine, path: Path) -> tuple[Builder, Any]:
    """Read what follows the magic number in an old file of `torch.save`.

    The magic number is followed by the version, the system with its byte order, the saved object, the names of the
    storages, and the numbers in each storage.

    Returns:
        A `Builder` with the storages, and the object, not yet converted.
    """
    machine.load()
    system = Builder(path, _no_storage, False).value(machine.load())
    root = machine.load()
    is_big = isinstance(system, dict) and system.get("little_endian") is False
    number_sizes = {str(pid[2]): _storage_dtype(pid[1])[1] for pid in machine.persistent if len(pid) > 2}
    storages: dict[str, bytes] = {}
    for key in machine.load():
        count = int.from_bytes(stream.read(8), "big" if is_big else "little", signed=True)
        size = count * number_sizes[str(key)]
        storages[str(key)] = stream.read(size) if size >= 0 else b""
        if len(storages[str(key)]) != size:
            raise ValueError("the file ends within the numbers of a tensor")
    return Builder(path, lambda key: storages[key], is_big), root


def _storage_dtype(kind: Any) -> tuple[torch.dtype, int]:
    """Return the type of the numbers in a storage, and the number of bytes that each takes."""
    import torch

    name = kind.name if isinstance(kind, Global) else ""
    if name not in _STORAGES:
        raise ValueError(f"tensors of the kind {name or kind!r:.60} are not supported")
    dtype: torch.dtype = getattr(torch, _STORAGES[name])
    return dtype, dtype.itemsize


class Builder:
    """Converts nodes to plain values and arrays; a node is an object that `Machine` has loaded, or a part of one.

    Args:
        path: the file, whose size limits the size of all arrays together.
        storage: function that returns the bytes of the storage with a given name.
        is_big: whether the bytes of numbers are in big-endian order.
    """

    def __init__(self, path: Path, storage: Callable[[str], bytes], is_big: bool) -> None:
        self._path = path
        self._storage = storage
        self._is_big = is_big
        self._size = 0  # of all arrays so far, in bytes
        self._storages: dict[str, torch.Tensor] = {}  # by name, as they were first read
        self._values: dict[int, Any] = {}  # by the id of the node: shared nodes are converted once
        self._open: set[int] = set()  # ids of the nodes that contain the node being converted
        # How known calls are converted, by the name of the called function. Each conversion takes the converted
        # arguments of the call, and the call itself.
        self._makers: dict[str, Callable[[list[Any], Call], Any]] = {
            "_codecs.encode": self._bytes,
            "torch.storage._load_from_bytes": self._storage_in_bytes,
            "torch._tensor._rebuild_from_type_v2": self._tensor_of_type,
            "torch._utils._rebuild_tensor": lambda args, _: self._tensor(args[0], args[1], args[2], args[3]),
            "torch._utils._rebuild_tensor_v2": lambda args, _: self._tensor(args[0], args[1], args[2], args[3]),
            "torch._utils._rebuild_tensor_v3": lambda args, _: self._tensor(
                args[0], args[1], args[2], args[3], args[6]
            ),
            "torch._utils._rebuild_parameter": lambda args, _: args[0],
            "torch._utils._rebuild_parameter_with_state": lambda args, _: args[0],
            "torch.nn.parameter.Parameter": lambda args, _: args[0],
            "torch._utils._rebuild_device_tensor_from_numpy": lambda args, _: args[0],
            "torch._utils._rebuild_device_tensor_from_cpu_tensor": lambda args, _: args[0],
            "torch._utils._rebuild_sparse_tensor": self._sparse_tensor,
            "torch.serialization._get_layout": lambda args, _: args[0],
            "torch.Size": lambda args, _: args[0],
            "torch.device": lambda args, _: ":".join(map(_text, args)),
            "numpy.dtype": self._dtype,
            "numpy._core.multiarray.scalar": self._scalar,
            "numpy._core.multiarray._reconstruct": self._reconstructed,
            "numpy._core.numeric._frombuffer": lambda args, _: self._numbers(args[0], args[1], args[2], args[3] == "F"),
            "jax._src.array._reconstruct_array": lambda args, _: self._array_of_state(args[2]),
            "builtins.getattr": lambda args, _: args[1],  # the name of an enumeration's member; see `inert.record_call`
            "builtins.complex": lambda args, _: complex(*args),
            "builtins.bytearray": self._bytes,
            "builtins.bytes": self._bytes,
            **dict.fromkeys(("builtins.set", "builtins.frozenset", "builtins.list", "builtins.tuple"), self._list),
            "collections.deque": self._list,
            **dict.fromkeys(("builtins.dict", "collections.OrderedDict", "collections.Counter"), self._dict),
            "collections.defaultdict": lambda args, call: self._dict(args[1:], call),
            **dict.fromkeys(
                (f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")), self._time
            ),
        }

    def value(self, node: Any) -> Any:
        """Convert a node. Where a node contains itself, the inner one becomes None."""
        if isinstance(node, Global):
            return node.full.removeprefix("builtins.")
        if not isinstance(node, list | tuple | bytearray | UnhashedDict | Call | Storage):
            return node
        key = id(node)
        if key in self._values:
            return self._values[key]
        if key in self._open:
            return None
        self._open.add(key)
        value: Any
        if isinstance(node, UnhashedDict):
            value = self._with_text_keys(node.items)
        elif isinstance(node, Call):
            value = self._object(node)
        elif isinstance(node, Storage):
            value = self._flat_tensor(node.pid)
        elif isinstance(node, bytearray):
            value = bytes(node)
        else:
            value = [self.value(entry) for entry in node]
        self._open.remove(key)
        self._values[key] = value
        return value

    def _with_text_keys(self, pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        """Return a dictionary whose keys are text, from the nodes of its keys and values."""
        by_key: dict[Any, Any] = {}
        for node, entry in pairs:
            key = self.value(node)
            by_key[key if isinstance(key, str | int | float | None) else _text(key)] = self.value(entry)
        by_name = {str(key): entry for key, entry in by_key.items()}
        if len(by_name) < len(by_key):
            raise ValueError("two keys of a dictionary are the same text, such as 1 and '1'")
        return by_name

    def _object(self, call: Call) -> Any:
        """Convert a call: by `_makers` if it is known, a path to text, and any other object to a `Record`."""
        name = call.function.full
        arguments = [self.value(argument) for argument in call.arguments]
        if name in self._makers:
            return self._makers[name](arguments, call)
        if TENSOR_CALLS.fullmatch(name):
            raise ValueError(f"tensors of the kind {name} are not supported")
        if call.function.module.partition(".")[0] == "pathlib":
            kind = PureWindowsPath if "Windows" in name else PurePosixPath
            return str(kind(*map(_text, arguments)))
        return self._record(name, arguments, call)

    def _record(self, name: str, arguments: list[Any], call: Call) -> Any:
        """Return an object as a `Record` of its fields, and of the arguments of the call that makes it, by their index.

        An object without fields becomes the list of its entries, if it has any. If it has no entries either, its call
        has one argument, and `call.is_new` is false, it becomes this argument: a member of an enumeration becomes its
        value. Configurations of omegaconf and ml_collections become their content.
        """
        fields: dict[str, Any] = {}
        for node in call.states:
            # the state of an object with `__slots__` is a pair: its fields or None, and its slots
            parts = (
                node
                if isinstance(node, tuple) and all(isinstance(part, UnhashedDict | None) for part in node)
                else [node]
            )
            for part in map(self.value, parts):
                if isinstance(part, dict):
                    fields |= part
                elif part is not None:
                    fields |= {str(i): entry for i, entry in enumerate(part if isinstance(part, list) else [part])}
        fields |= self._with_text_keys(call.items)
        appended = self.value(call.appended)
        self._count_bytes(ENTRY_SIZE * len(fields))
        for wrapped in ("_content", "_val", "_fields", "_value"):  # of omegaconf, then of ml_collections
            if wrapped in fields and name.startswith(("omegaconf.", "ml_collections.")):
                content = fields[wrapped]
                return Record(name, content) if isinstance(content, dict) else content
        if not fields:
            if appended:
                return appended
            if len(arguments) == 1 and not call.is_new:
                return arguments[0]
        return Record(name, {str(i): argument for i, argument in enumerate(arguments)} | fields)

    def _list(self, arguments: list[Any], call: Call) -> list[Any]:
        content = arguments[0] if arguments else []
        self._count_bytes(ENTRY_SIZE * len(content))
        return [*content, *self.value(call.appended)]

    def _dict(self, arguments: list[Any], call: Call) -> dict[str, Any]:
        content = arguments[0] if arguments else {}
        self._count_bytes(ENTRY_SIZE * len(content))
        pairs = content.items() if isinstance(content, dict) else content
        return {str(key): entry for key, entry in pairs} | self._with_text_keys(call.items)

    def _bytes(self, arguments: list[Any], _: Call) -> bytes:
        """Return bytes that the pickle has as bytes, as a list of numbers, or as text with an encoding."""
        content = arguments[0] if arguments else b""
        if isinstance(content, str):
            if len(arguments) < 2 or arguments[1] not in ("latin1", "latin-1", "utf-8", "ascii"):
                raise ValueError("the pickle has bytes in an unknown encoding")
            self._count_bytes(len(content))
            return content.encode(arguments[1])
        if not isinstance(content, bytes | list):
            raise ValueError("the pickle has bytes of an unknown form")
        self._count_bytes(len(content))
        return bytes(content)

    def _time(self, arguments: list[Any], call: Call) -> Any:
        """Return a date, time or duration as text."""
        if call.function.name in ("timedelta", "timezone"):
            return " ".join(map(_text, arguments)) if call.function.name == "timezone" else str(_duration(arguments))
        kind: Any = getattr(datetime, call.function.name)
        content = arguments[0] if arguments else None
        packed = content.encode("latin-1") if isinstance(content, str) else content
        if not isinstance(packed, bytes):
            raise ValueError("the pickle has a date of an unknown form")
        text = str(kind(packed).isoformat())
        return " ".join([text, *map(_text, arguments[1:])])

    # Arrays of NumPy

    def _dtype(self, arguments: list[Any], call: Call) -> Any:
        """Return a NumPy type of numbers or text, or the name of another type."""
        name = arguments[0] if arguments else None
        state = self.value(call.states[0]) if call.states else None
        order: Any = state[1] if isinstance(state, list) and len(state) > 1 else "="
        if not (isinstance(name, str) and _DTYPE.fullmatch(name) and order in ("<", ">", "=", "|")):
            return _text(name)
        return np.dtype(name).newbyteorder(order)

    def _scalar(self, arguments: list[Any], _: Call) -> Any:
        dtype, content = (*arguments, None)[:2]
        if not isinstance(dtype, np.dtype):
            return content if not isinstance(content, bytes) else f"a number of type {dtype}"
        return self._numbers(content, dtype, [], False).item()

    def _reconstructed(self, _: list[Any], call: Call) -> Any:
        if not call.states:
            raise ValueError("an array has no numbers")
        return self._array_of_state(self.value(call.states[-1]))

    def _array_of_state(self, state: Any) -> Any:
        """Return the array of NumPy's pickled state: (version, shape, type, whether in Fortran order, numbers)."""
        shape, dtype, is_fortran, content = state[-4:]
        return self._numbers(content, dtype, shape, bool(is_fortran))

    def _numbers(self, content: Any, dtype: Any, shape: Any, is_fortran: bool) -> Any:
        """Return an array; a list if its values are objects; a text if the type of its values is not supported."""
        if isinstance(content, list):
            return content
        if not isinstance(dtype, np.dtype):
            return f"an array of type {dtype}"
        data = content.encode("latin-1") if isinstance(content, str) else content
        _check_integers(shape)
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError("an array has more or fewer numbers than its shape requires")
        array = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
        return self.plain(array.reshape(shape, order="F" if is_fortran else "C"))

    # Tensors of PyTorch

    def _storage_in_bytes(self, arguments: list[Any], _: Call) -> Any:
        """Return a storage that is saved as a complete `torch.save` file inside the pickle, as by `pickle.dump` of a tensor."""
        stream = io.BytesIO(arguments[0])
        machine = Machine(stream)
        if machine.load() != TORCH_MAGIC:
            raise ValueError("a storage is not in PyTorch's form")
        builder, root = _old_torch_file(stream, machine, self._path)
        if not isinstance(root, Storage):
            raise ValueError("a storage is not in PyTorch's form")
        return builder.value(root)

    def _flat_tensor(self, pid: tuple[Any, ...]) -> torch.Tensor:
        """Return the numbers of a storage, or of the part that its id names, as a tensor [number]. A storage is read once.

        `pid` is the id, with the entries that `inert.Storage` describes. The sixth, if any, gives a part's name, first
        number and count of numbers.
        """
        import torch

        kind, key = pid[1], str(pid[2])
        dtype, size = _storage_dtype(kind)
        if key not in self._storages:
            content = bytearray(self._storage(key))
            check_size(self._size + len(content), self._path)
            if self._is_big and size > 1:
                part = size // 2 if dtype.is_complex else size
                content = bytearray(np.frombuffer(content, f"u{part}").byteswap().tobytes())
            if len(content) % size:
                raise ValueError("a storage ends within a number")
            self._storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        flat = self._storages[key]
        if flat.dtype != dtype:
            raise ValueError("a storage has two types of numbers")
        view = self.value(pid[5]) if len(pid) > 5 else None
        if isinstance(view, list) and len(view) == 3:
            _check_integers(view[1:])
            flat = flat[view[1] : view[1] + view[2]]
        return flat

    def _tensor(self, flat: Any, offset: Any, shape: Any, strides: Any, dtype: Any = None) -> NDArray[Any]:
        """Return a tensor as an array, after a check that it lies within its storage."""
        import torch

        if not isinstance(flat, torch.Tensor):
            raise ValueError("a tensor has no storage")
        if dtype is not None:
            kind = getattr(torch, str(dtype).removeprefix("torch."), None)
            if not isinstance(kind, torch.dtype):
                raise ValueError(f"tensors of the type {dtype!r:.40} are not supported")
            flat = flat.view(kind)
        _check_integers([offset])
        _check_integers(shape)
        _check_integers(strides)
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if math.prod(shape) and last >= len(flat):
            raise ValueError("a tensor exceeds its storage")
        return self.plain(flat.as_strided(shape, strides, offset if math.prod(shape) else 0))

    def _tensor_of_type(self, arguments: list[Any], call: Call) -> Any:
        """Return a tensor of a class derived from `torch.Tensor`, which is pickled as a call that makes the plain tensor."""
        function = call.arguments[0]
        if (
            not isinstance(function, Global)
            or not TENSOR_CALLS.fullmatch(function.full)
            or not isinstance(call.arguments[2], tuple)
        ):
            raise ValueError("a tensor is not in PyTorch's form")
        return self._object(Call(function, call.arguments[2]))

    def _sparse_tensor(self, arguments: list[Any], _: Call) -> Any:
        """Return a sparse tensor as a dense array, after a check of its size."""
        import torch

        layout, (indices, values, shape, *_) = arguments
        if layout != "torch.sparse_coo":
            raise ValueError(f"tensors of the layout {layout!r:.40} are not supported")
        _check_integers(shape)
        check_size(math.prod(shape) * values.dtype.itemsize, self._path)
        tensor = torch.sparse_coo_tensor(
            torch.from_numpy(indices), torch.from_numpy(values), shape, check_invariants=True
        )
        return self.plain(tensor)

    def plain(self, tensor: Any) -> NDArray[Any]:
        """Convert a tensor or array as `plain_array` does, after a check of the size of all arrays together."""
        self._count_bytes(math.prod(tensor.shape) * tensor.dtype.itemsize)
        return plain_array(tensor, self._path)

    def _count_bytes(self, size: int) -> None:
        """Add `size` bytes to the total and check it, because a small pickle can make many copies of one object."""
        self._size += size
        check_size(self._size, self._path)


def plain_array(tensor: Any, path: Path) -> NDArray[Any]:
    """Convert a tensor or array to a NumPy array, whose floating-point numbers are float32 or float64.

    Floating-point numbers of other formats become float32 in a tensor and float64 in an array. NumPy lacks some formats of
    tensors, such as bfloat16.

    Args:
        tensor: a tensor of PyTorch, or an array of NumPy.
        path: the file that contains it.

    Returns:
        The values, with the tensor's shape.

    Raises:
        ValueError: the values take far more memory than the file.
    """
    import torch

    check_size(math.prod(tensor.shape) * tensor.dtype.itemsize, path)
    if isinstance(tensor, np.ndarray):
        native = tensor.astype(tensor.dtype.newbyteorder("="))
        return native if native.dtype.kind != "f" or native.dtype.itemsize in (4, 8) else native.astype(np.float64)
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    if dense.is_floating_point() and dense.dtype not in (torch.float32, torch.float64):
        dense = dense.float()
    array: NDArray[Any] = dense.cpu().numpy()
    return array


def _text(value: Any) -> str:
    """Return a value as text, or only its type and size if it is nested or long."""
    entries = value if isinstance(value, list) else [value]
    if len(entries) <= 20 and all(isinstance(entry, str | int | float | None) for entry in entries):
        return str(value)
    return type(value).__name__ + (f" with {len(value)} entries" if isinstance(value, Sized) else "")


def _duration(arguments: list[Any]) -> datetime.timedelta:
    """Return a duration, given as up to three numbers: of days, seconds and microseconds."""
    if not all(type(number) is int for number in arguments) or len(arguments) > 3:
        raise ValueError("the pickle has a duration of an unknown form")
    return datetime.timedelta(*arguments)


def _check_integers(numbers: Any) -> None:
    """Check that sizes, strides or offsets are non-negative integers."""
    if not (isinstance(numbers, list) and all(type(number) is int and 0 <= number < 2**62 for number in numbers)):
        raise ValueError("a tensor or array has an impossible shape, stride or offset")
