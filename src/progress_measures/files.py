"""Files that appear whole or not at all: written beside their place, then renamed into it."""

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
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    Files are replaced in one step. Of a folder that exists already the old one is moved aside first, so that what is
    seen is the old, for a moment nothing, then the new; never a half. Of two processes that write the same at once, the
    last one's stays. What a process left beside it that was killed is removed by the next.
    """
    if not path.name:  # this folder itself, or that of all
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = _beside(path, "tmp")
    try:
        yield temporary
        _flush(temporary)
        _put(temporary, path)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, on the same disk, for as long as the block takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    folder = _beside(path, "scratch")
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented, by rename."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_store(dataset: "xr.Dataset", path: Path, encoding: dict[str, Any] | None = None) -> None:
    """Write a dataset as a Zarr folder, by rename; every chunk with a checksum."""
    with atomic_path(path) as temporary:
        create_store(dataset, temporary, encoding)


def create_store(dataset: "xr.Dataset", path: Path, encoding: dict[str, Any] | None = None) -> None:
    """Write a dataset as a new Zarr folder; every chunk with a checksum."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    checked: dict[str, Any] = {str(name): {"compressors": (ZstdCodec(), Crc32cCodec())} for name in dataset.variables}
    _storable(dataset).to_zarr(path, mode="w", consolidated=False, encoding=checked | (encoding or {}))


def append_to_store(dataset: "xr.Dataset", path: Path, dim: str) -> None:
    """Write more along a dimension of a Zarr folder that was laid out; what does not have it is there already.

    The dataset's attributes take the place of the folder's.
    """
    more = dataset.drop_vars([name for name, variable in dataset.variables.items() if dim not in variable.dims])
    _storable(more).to_zarr(path, append_dim=dim, consolidated=False)


def _storable(dataset: "xr.Dataset") -> "xr.Dataset":
    """Fixed-length strings have no place in Zarr's specification, so they are written as strings of any length."""
    fixed = {name: values.astype(object) for name, values in dataset.variables.items() if values.dtype.kind == "U"}
    return dataset.assign_coords({name: values for name, values in fixed.items() if name in dataset.coords})


def open_store(store: Any) -> "xr.Dataset":
    """Open a Zarr folder, or a Zarr store, lazily.

    Snakemake leaves a time stamp in folders that a rule makes; that Zarr does not know it is no news.
    """
    import xarray as xr

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Object at \.snakemake_timestamp")
        return xr.open_zarr(store, consolidated=False, zarr_format=3)  # format 2 may hold pickles


def _beside(path: Path, kind: str) -> Path:
    """A hidden name next to `path` that is this process's own, on whatever machine."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{kind}")


def _sweep(path: Path) -> None:
    """Remove what processes of this machine left beside `path` that are no more."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{socket.gethostname()}.*.*"):
        import psutil  # seldom needed, and every command imports this module

        pid = left.name.split(".")[-2]
        if pid.isdigit() and int(pid) != os.getpid() and not psutil.pid_exists(int(pid)):
            _remove(left)


def _put(temporary: Path, path: Path) -> None:
    """Rename a file or folder to its place; a folder goes first that is there, but not for a file."""
    if path.is_dir() and not temporary.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    old = _beside(path, "old")
    try:
        while True:
            if path.is_dir():
                with contextlib.suppress(FileNotFoundError):  # another process has just moved it
                    path.rename(old)
            try:
                temporary.rename(path)
                return
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR):  # another process has just put its own
                    _remove(old)
                    continue
                if old.exists() and not path.exists():
                    old.rename(path)
                raise
    finally:
        _remove(old)


def _remove(path: Path) -> None:
    """Remove what is temporary; what cannot be of a folder is left to the next process's sweep.

    Zarr writes in a thread of its own, which goes on for a moment after an interrupt has ended the wait for it: names
    come and go in the folder meanwhile.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the disk hold the bytes before the name points to them."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
