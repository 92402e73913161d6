"""Errors shown to the user, and their messages."""

import errno
import os
import sys
import traceback
import zipfile
from pathlib import Path

INVALID_PATH_ERRORS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
"""Error numbers of the operating system for invalid paths."""


class UserError(Exception):
    """An error that the user can fix: printed as one message without a traceback, with exit status 2.

    The message states what is wrong, in which file and field, what was expected and what to do.
    """


def user_message(error: Exception) -> str | None:
    """Return the message for an error that the user can fix, or None for any other error, which is a bug."""
    try:
        Path.cwd()
    except FileNotFoundError:  # the current folder is gone, which explains an error of any type
        return "the current folder is gone: change to the repository's folder and run the command again."
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.EACCES:  # raised when a file is read, too
        return (
            f"{error.filename or 'a file'} could not be read or written: {error.strerror}. Earlier results are unchanged. "
            "Correct the permissions, then run the same command again."
        )
    if isinstance(error, OSError) and error.errno in (errno.EDQUOT, errno.ENOSPC, errno.EROFS):
        return (
            f"{error.filename or 'a file'} could not be written: {error.strerror}. Earlier results are unchanged. "
            "Free disk space, or write to another file system, then run the same command again."
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return (
            f"{error.filename or 'a file'}: {error.strerror}. The disk reports errors. Check it, then run the same command "
            "again."
        )
    if isinstance(error, OSError) and error.errno in INVALID_PATH_ERRORS:
        return f"{os.fsdecode(error.filename or 'a path'):.200} cannot be read or written: {error.strerror}."
    if isinstance(error, MemoryError):
        return "out of memory: this command needs more memory than is available."
    damaged_array = _damaged_array(error)
    if damaged_array:
        return (
            f"{damaged_array} has a damaged chunk ({type(error).__name__}: {error}). Delete the store that contains "
            "this array, then create or download the store again."
        )
    return None


def _damaged_array(error: Exception) -> str | None:
    """Return the path of the stored array that could not be read, or None if the error has another cause.

    Arrays are read long after their store was opened, so only local variables in the traceback show the array.
    """
    if "zarr" not in sys.modules or not isinstance(error, ValueError | RuntimeError | OSError | zipfile.BadZipFile):
        return None
    import zarr

    for frame, _ in traceback.walk_tb(error.__traceback__):
        array = frame.f_locals.get("self")
        if isinstance(array, zarr.Array):
            return str(array.store_path).removeprefix("file://").removeprefix("zip://")
    return None
