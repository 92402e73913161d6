"""Files that appear whole or not at all: written beside their place, then renamed into it."""

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    Files are replaced in one step. Of a folder that exists already the old one is moved aside first, so that what is
    seen is the old, for a moment nothing, then the new; never a half.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        _flush(temporary)
        if path.is_dir():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        _remove(temporary)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented, by rename."""
    with appearing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_store(dataset: "xr.Dataset", path: Path, encoding: dict[str, Any] | None = None) -> None:
    """Write a dataset as a Zarr folder, by rename.

    Fixed-length strings have no place in Zarr's specification, so they are written as strings of any length.
    """
    fixed = {name: values.astype(object) for name, values in dataset.variables.items() if values.dtype.kind == "U"}
    dataset = dataset.assign_coords({name: values for name, values in fixed.items() if name in dataset.coords})
    with appearing(path) as temporary:
        dataset.to_zarr(temporary, mode="w", consolidated=False, encoding=encoding)


def open_store(store: Any) -> "xr.Dataset":
    """Open a Zarr folder, or a Zarr store, lazily.

    Snakemake leaves a time stamp in folders that a rule makes; that Zarr does not know it is no news.
    """
    import xarray as xr

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Object at \.snakemake_timestamp")
        return xr.open_zarr(store, consolidated=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the disk hold the bytes before the name points to them."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
