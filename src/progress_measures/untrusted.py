"""Checks of files from untrusted sources before they are read."""

import stat
import zipfile
from collections import Counter
from pathlib import Path

MIN_SIZE_LIMIT = 10**8  # bytes; uncompressed content up to this size is always accepted
MAX_EXPANSION = 100  # larger content may be this many times as large as its file; published cubes reach 5


def check_zip(path: Path) -> None:
    """Read an untrusted archive completely and reject damaged or suspicious members.

    A member is suspicious if its path leads outside the archive, if it is a symbolic link, or if its name occurs twice. Nothing
    is unpacked into files, so such a member does no harm; it is rejected because it indicates malicious intent.

    Raises:
        ValueError: A member is damaged or suspicious, or the content is too large; the message names the reason.
        zipfile.BadZipFile: The archive is truncated or not a ZIP file.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_size(sum(member.file_size for member in members), path)
        names = Counter(member.filename for member in members)
        for member in members:
            parts = member.filename.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{member.filename!r:.80} leads outside the archive or is a symbolic link")
            if names[member.filename] > 1:
                raise ValueError(f"{member.filename!r:.80} occurs twice in the archive")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} fails its checksum")


def check_size(size: int, path: Path) -> None:
    """Reject content that is far larger than its file, such as compressed zeros or a false size in the header.

    Args:
        size: Size of the content in bytes, as the file states it.
        path: The file.

    Raises:
        ValueError: The content is too large; the message contains the size.
    """
    if size > max(MIN_SIZE_LIMIT, MAX_EXPANSION * path.stat().st_size):
        raise ValueError(f"its content would take {size / 1e9:.3g} GB, far more than the file")
