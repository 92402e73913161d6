"""Atomic writing of files and stores: they are written to a sibling path, then renamed to their final path."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that is renamed to `path` if the block succeeds, and removed otherwise.

    A file is replaced in one step. An existing folder is first moved aside, so readers find the old folder, briefly
    nothing, then the new folder, but never a partial one. If two processes write the same path at once, the one that renames
    last wins. The next process that writes the path removes the temporary files of killed processes.
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


def write_store(dataset: xr.Dataset, path: Path, encoding: dict[str, Any] | None = None) -> None:
    """Write a dataset atomically as a Zarr folder with a checksum on every chunk.

    Args:
        dataset: The dataset.
        path: The folder to write.
        encoding: Encoding of variables, which overrides the default compressors.
    """
    with atomic_path(path) as temporary:
        create_store(dataset, temporary, encoding)


def create_store(dataset: xr.Dataset, path: Path, encoding: dict[str, Any] | None = None) -> None:
    """Write a dataset as a new Zarr folder with a checksum on every chunk.

    Args:
        dataset: The dataset.
        path: The folder to create or overwrite.
        encoding: Encoding of variables, which overrides the default compressors.
    """
    from zarr.codecs import Crc32cCodec, ZstdCodec

    compressors: dict[str, Any] = {
        str(name): {"compressors": (ZstdCodec(), Crc32cCodec())} for name in dataset.variables
    }
    _storable(dataset).to_zarr(path, mode="w", consolidated=False, encoding=compressors | (encoding or {}))


def append_to_store(dataset: xr.Dataset, path: Path, dim: str) -> None:
    """Append a dataset along a dimension to a Zarr folder that `create_store` wrote.

    Variables without the dimension are skipped. The dataset's attributes replace the attributes of the folder.

    Args:
        dataset: The dataset to append.
        path: The Zarr folder.
        dim: The dimension along which the dataset is appended, such as `run`.
    """
    appended = dataset.drop_vars([name for name, variable in dataset.variables.items() if dim not in variable.dims])
    _storable(appended).to_zarr(path, append_dim=dim, consolidated=False)


def _storable(dataset: xr.Dataset) -> xr.Dataset:
    """Convert fixed-length strings to variable-length strings; Zarr's specification has no fixed-length strings."""
    converted = {name: values.astype(object) for name, values in dataset.variables.items() if values.dtype.kind == "U"}
    return dataset.assign_coords({name: values for name, values in converted.items() if name in dataset.coords})


def open_store(store: Any) -> xr.Dataset:
    """Open a Zarr folder or Zarr store lazily.

    Zarr's warning about Snakemake's time stamp, a file that Snakemake adds to every output folder, is suppressed.
    """
    import xarray as xr

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Object at \.snakemake_timestamp")
        return xr.open_zarr(store, consolidated=False, zarr_format=3)  # format 2 may hold pickles


def _beside(path: Path, kind: str) -> Path:
    """Return the path of a hidden sibling of `path`; its name contains the machine and the process id."""
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
                if error.errno in (
                    errno.ENOTEMPTY,
                    errno.EEXIST,
                    errno.EISDIR,
                ):  # another process moved its version into place
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
    process that writes the path removes them.
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
