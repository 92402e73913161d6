"""Atomic writing of files and Zarr folders, and reading of Zarr folders with a check for lost chunks.

Files and folders are written to a sibling path, then renamed to their final path.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import math
import os
import shutil
import socket
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from progress_measures.errors import UserError

if TYPE_CHECKING:
    import xarray as xr


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary sibling, at which the block creates a file or folder; rename it to `path` at the end.

    If the block fails, the sibling is removed. A file at `path` is replaced in one step. An existing folder is first
    renamed, so readers find the old folder, for a moment no folder, then the new folder, but never a partial one. If
    two processes write the same path at once, the path has the content of the one that renames last. The next process
    on the same machine that writes the path removes the temporary files of killed processes.
    """
    if not path.name:  # the current folder or the root
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = _beside(path, "tmp")
    try:
        yield temporary
        _flush(temporary)
        _move_into_place(temporary, path)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield an empty sibling folder of `path`, on the same disk, that is removed when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    folder = _beside(path, "scratch")
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically.

    Args:
        path: The file to write.
        content: A value that `json` can serialize.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


ALL_CHUNKS_STORED = "all_chunks_stored"
"""Attribute of a store that contains all its chunks, so that an absent chunk is a lost one. Stores of earlier versions lack the
attribute: they omit chunks that contain only the fill value."""


def write_store(dataset: xr.Dataset, path: Path, encoding: dict[str, Any] | None = None) -> None:
    """Write a dataset atomically as a complete Zarr folder with a checksum on every chunk.

    Args:
        dataset: The dataset.
        path: The folder to write.
        encoding: Encoding of variables, which overrides the default compressors.
    """
    with atomic_path(path) as temporary:
        create_store(dataset, temporary, encoding)
        complete_store(temporary)


def create_store(dataset: xr.Dataset, path: Path, encoding: dict[str, Any] | None = None) -> None:
    """Write a dataset as a new Zarr folder with a checksum on every chunk; `complete_store` must follow.

    Args:
        dataset: The dataset.
        path: The folder to create or overwrite.
        encoding: Encoding of variables, which overrides the default compressors.
    """
    from zarr.codecs import Crc32cCodec, ZstdCodec

    compressors: dict[str, Any] = {
        str(name): {"compressors": (ZstdCodec(), Crc32cCodec())} for name in dataset.variables
    }
    _storable(dataset).to_zarr(
        path, mode="w", consolidated=False, encoding=compressors | (encoding or {}), write_empty_chunks=True
    )


def append_to_store(dataset: xr.Dataset, path: Path, dim: str) -> None:
    """Append a dataset along a dimension to a Zarr folder that `create_store` wrote; `complete_store` must follow.

    Variables without the dimension are skipped. The dataset's attributes replace the attributes of the folder.

    Args:
        dataset: The dataset to append.
        path: The Zarr folder.
        dim: The dimension along which the dataset is appended, such as `run`.
    """
    appended = dataset.drop_vars([name for name, variable in dataset.variables.items() if dim not in variable.dims])
    _storable(appended).to_zarr(path, append_dim=dim, consolidated=False, write_empty_chunks=True)


def complete_store(path: Path) -> None:
    """Record in a Zarr folder that all its chunks are stored, and consolidate its metadata.

    This is the last step of writing: changes that follow would not be in the consolidated metadata, which readers use.

    Args:
        path: The Zarr folder.
    """
    import zarr
    from zarr.errors import ZarrUserWarning

    zarr.open_group(path, mode="r+", use_consolidated=False).attrs[ALL_CHUNKS_STORED] = True
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", ZarrUserWarning)
        zarr.consolidate_metadata(path)


def _storable(dataset: xr.Dataset) -> xr.Dataset:
    """Convert coordinates of fixed-length strings to variable-length ones, the only strings in Zarr's specification."""
    converted = {name: values.astype(object) for name, values in dataset.variables.items() if values.dtype.kind == "U"}
    return dataset.assign_coords({name: values for name, values in converted.items() if name in dataset.coords})


def open_store(path: Path) -> xr.Dataset:
    """Open a Zarr folder, or a zip file with a Zarr folder as its root, lazily.

    Stores of earlier versions of this project have no consolidated metadata. In such stores, Zarr warns of unknown
    files, such as the time stamp that Snakemake adds to every output folder. This warning is suppressed.

    Args:
        path: The folder or zip file.

    Returns:
        The dataset, without the attribute `ALL_CHUNKS_STORED`, which does not hold for copies of the dataset.

    Raises:
        FileNotFoundError: The store does not exist or lacks a chunk.
        Exception: The store is damaged; Zarr and xarray raise errors of many types.
    """
    import xarray as xr

    complete = check_chunks(path)
    store: Any = path
    if path.suffix == ".zip":
        from zarr.storage import ZipStore

        store = ZipStore(path, mode="r")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Object at \.snakemake_timestamp")
        dataset = xr.open_zarr(store, consolidated=complete, zarr_format=3)  # format 2 may hold pickles, which run code
    dataset.attrs.pop(ALL_CHUNKS_STORED, None)
    return dataset


STORE_ERRORS = (AttributeError, KeyError, TypeError, ValueError, OSError, RuntimeError, zipfile.BadZipFile)
"""Errors that reading a missing or damaged store raises."""


@contextlib.contextmanager
def damage_reported(path: Path, remedy: str) -> Iterator[None]:
    """Convert errors of reading a store into a `UserError`.

    Args:
        path: The store, for the message.
        remedy: What the user can do, for the message.

    Yields:
        Once; the block reads the store.

    Raises:
        UserError: Reading in the block failed: the store is missing or damaged.
    """
    try:
        yield
    except STORE_ERRORS as error:
        raise UserError(f"{path} is missing or damaged ({type(error).__name__}: {error}); {remedy}") from None


def check_chunks(path: Path) -> bool:
    """Check that every chunk of a complete store exists.

    Without this check, a chunk that was deleted would be read as the fill value, such as 0, False or NaN. The check is fast: it
    reads only the root's metadata and the names of files, and imports neither xarray nor Zarr.

    Args:
        path: A Zarr folder, or a zip file with a Zarr folder as its root.

    Returns:
        Whether `complete_store` completed the store; false for other stores, such as those of earlier versions, which are not
        checked.

    Raises:
        FileNotFoundError: The store does not exist or lacks a chunk.
        AttributeError, KeyError, TypeError, ValueError: The store's metadata are damaged.
        zipfile.BadZipFile: The zip file is damaged.
    """
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            root, files = json.loads(archive.read("zarr.json")), set(archive.namelist())
    else:
        root, files = json.loads((path / "zarr.json").read_bytes()), None
    if root["attributes"].get(ALL_CHUNKS_STORED) is not True or "consolidated_metadata" not in root:
        return False  # a copy by another program may have the attribute, but no consolidated metadata
    if files is None:
        files = _files_below(str(path))
    for name, node in root["consolidated_metadata"]["metadata"].items():
        if node["node_type"] == "array":
            for chunk in _chunks(name, node):
                if chunk not in files:
                    raise FileNotFoundError(f"its chunk {chunk} is missing")
    return True


def _chunks(name: str, array: dict[str, Any]) -> Iterator[str]:
    """Yield the paths of an array's chunks, relative to the store.

    Paths are computed one by one, because damaged metadata may state any number of chunks.
    """
    chunk_shape = array["chunk_grid"]["configuration"]["chunk_shape"]
    separator = array["chunk_key_encoding"]["configuration"]["separator"]
    if not all(chunk_shape):
        raise ValueError(f"the array {name} has chunks without entries")
    counts = [-(-size // chunk) for size, chunk in zip(array["shape"], chunk_shape, strict=True)]
    for flat_index in range(math.prod(counts)):
        index: list[str] = []
        for count in reversed(counts):
            flat_index, position = divmod(flat_index, count)
            index.insert(0, str(position))
        yield f"{name}/{separator.join(['c', *index])}"


def _files_below(folder: str) -> set[str]:
    """Return the paths of all files below a folder, relative to this folder."""
    return {f"{parent}/{name}"[len(folder) + 1 :] for parent, _, names in os.walk(folder) for name in names}


def _beside(path: Path, kind: str) -> Path:
    """Return the path of a hidden sibling of `path`, whose name contains the machine, the process id and `kind`."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{kind}")


def _remove_leftovers(path: Path) -> None:
    """Remove temporary siblings of `path` that terminated processes of this machine left."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.{socket.gethostname()}.*.*"):
        import psutil  # here, because every command imports this module but few need psutil

        pid = leftover.name.split(".")[-2]
        if pid.isdigit() and int(pid) != os.getpid() and not psutil.pid_exists(int(pid)):
            _remove(leftover)


def _move_into_place(temporary: Path, path: Path) -> None:
    """Rename a file or folder to its final path. An existing folder is replaced by a folder, but never by a file."""
    if path.is_dir() and not temporary.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    old = _beside(path, "old")
    try:
        while True:
            if path.is_dir():
                with contextlib.suppress(FileNotFoundError):  # another process moved it
                    path.rename(old)
            try:
                temporary.rename(path)
                return
            except OSError as error:
                # another process moved its version into place
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR):
                    _remove(old)
                    continue
                if old.exists() and not path.exists():
                    old.rename(path)
                raise
    finally:
        _remove(old)


def _remove(path: Path) -> None:
    """Remove a temporary file or folder, as far as possible.

    After an interrupt, Zarr's writing thread briefly continues to create files in the folder, so some may remain. The next
    process on the same machine that writes the path removes them.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Flush a file, or all files of a folder, to disk before it is renamed."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
