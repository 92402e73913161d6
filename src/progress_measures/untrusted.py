"""What is asked of a file that comes from anywhere, before it is read."""

import stat
import zipfile
from collections import Counter
from pathlib import Path

LARGE = 10**8  # bytes that such a file may hold, however small it is itself
SWOLLEN = 100  # times its own size that it may hold where that is more; our cubes hold five times theirs


def check_zip(path: Path) -> None:
    """Read an archive that comes from anywhere through; refuse what is damaged, or what none of ours would have.

    Nothing is ever unpacked into files, so a member that leads elsewhere can do no harm; but whoever made it meant some.

    Raises:
        ValueError: with the member and the reason.
        zipfile.BadZipFile: it is cut off.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_size(sum(member.file_size for member in members), path)
        names = Counter(member.filename for member in members)
        for member in members:
            parts = member.filename.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{member.filename!r:.80} leads out of it")
            if names[member.filename] > 1:
                raise ValueError(f"{member.filename!r:.80} is there twice")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} fails its checksum")


def check_size(size: int, path: Path) -> None:
    """Refuse what would take far more memory than its file: nothing but zeros, or a size that is made up.

    Raises:
        ValueError: with the size.
    """
    if size > max(LARGE, SWOLLEN * path.stat().st_size):
        raise ValueError(f"what it says it holds would take {size / 1e9:.3g} GB")
