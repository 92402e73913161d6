"""Errors that are for people."""

import errno
import os
import sys
import traceback
import zipfile
from pathlib import Path

NO_SUCH_PATH = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
"""What the system says of paths that cannot be."""


class UserError(Exception):
    """Something that the user can mend: shown as one message, without a traceback, with exit status 2.

    The message says what is wrong, in which file and field, what was expected and what to do.
    """


def user_message(error: Exception) -> str | None:
    """What to say of an error that the user can mend; None if the project has to."""
    try:
        Path.cwd()
    except FileNotFoundError:  # whatever the error says, this is why
        return "the folder in which this was started is gone: go to where the repository is, and run it again there."
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS):
        return (
            f"{error.filename or 'a file'} could not be written: {error.strerror}. Earlier results are untouched; "
            "free space or permissions, and run the same command again."
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return f"{error.filename or 'a file'}: {error.strerror}. Its disk fails; see to that, and run the same command again."
    if isinstance(error, OSError) and error.errno in NO_SUCH_PATH:
        return f"{os.fsdecode(error.filename or 'a path'):.200} cannot be read or written: {error.strerror}."
    if isinstance(error, MemoryError):
        return "this needs more memory than there is."
    array = _damaged_array(error)
    if array:
        return (
            f"{array} has a damaged chunk ({type(error).__name__}: {error}). Remove the store that it is in, and "
            "have it made, or fetched, again."
        )
    return None


def _damaged_array(error: Exception) -> str | None:
    """The stored array, with its path, in reading which an error was raised; None if it was raised elsewhere.

    Arrays are read long after their store was opened, wherever their values are first needed.
    """
    if "zarr" not in sys.modules or not isinstance(error, ValueError | RuntimeError | OSError | zipfile.BadZipFile):
        return None
    import zarr

    for frame, _ in traceback.walk_tb(error.__traceback__):
        array = frame.f_locals.get("self")
        if isinstance(array, zarr.Array):
            return str(array.store_path).removeprefix("file://").removeprefix("zip://")
    return None
