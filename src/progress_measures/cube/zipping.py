"""Write published cubes and runs as zip files: the content of a Zarr folder, at the root of the zip file."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def zip_store(store: Path, path: Path) -> None:
    """Write a Zarr folder as a zip file; equal folders give equal bytes.

    Args:
        store: the Zarr folder.
        path: the zip file to write.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in store.rglob("*") if file.is_file()):
            # a fixed date (the earliest that a zip file can have), so that equal folders give equal bytes
            info = zipfile.ZipInfo(file.relative_to(store).as_posix(), (1980, 1, 1, 0, 0, 0))
            # The root's `zarr.json` is a long text, because it repeats the metadata of every array. Other large files
            # are already compressed.
            compression = zipfile.ZIP_DEFLATED if info.filename == "zarr.json" else zipfile.ZIP_STORED
            archive.writestr(info, file.read_bytes(), compression)
