"""A fuse: has a process die, be told to stop, or find the disk full, just before its n-th change of a folder's files.

Python runs this module as it starts, where PYTHONPATH names the folder that it is in.

    FUSE_IN    the folder, without which nothing happens
    FUSE_OF    a word that stands in the command line of the processes to which it happens
    FUSE       n:KILL kills, n:SIGTERM or another signal sends that, n:ENOSPC or another error fails from then on
    FUSE_COUNT a file to which each such process, at its end, writes how many changes it has made
"""

import atexit
import errno
import os
import signal
import sys
import threading
from pathlib import Path

FOLDER = os.environ.get("FUSE_IN")
FOLDERLESS = ("os.remove", "os.rmdir")  # rmtree names files within folders that it has open
CHANGES = ("os.rename", "os.mkdir", "os.truncate", *FOLDERLESS)


def _changes(event, arguments):
    """Whether an event is a change of a file in the folder."""
    if event == "open":
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
    elif event in CHANGES:
        path = arguments[0]
        if event in FOLDERLESS and arguments[1] != -1:
            return True
    else:
        return False
    return isinstance(path, str | bytes | os.PathLike) and Path(os.fsdecode(path)).absolute().is_relative_to(FOLDER)


def _light():
    when, _, what = os.environ.get("FUSE", "0:").partition(":")
    lock, made = threading.Lock(), 0

    def burn(event, arguments):
        nonlocal made
        if event not in ("open", *CHANGES) or not _changes(event, arguments):
            return
        with lock:
            made += 1
            now = made
        if not what or now < int(when):
            return
        if what.startswith("E"):
            if event in ("open", "os.mkdir") or what != "ENOSPC":  # a full disk lets files be moved and removed
                number = getattr(errno, what)
                raise OSError(number, os.strerror(number), str(arguments[0]))
        elif now == int(when):
            os.kill(os.getpid(), signal.SIGKILL if what == "KILL" else getattr(signal, what))

    sys.addaudithook(burn)
    if count := os.environ.get("FUSE_COUNT"):

        def note():
            changes = made
            with Path(count).open("a") as file:
                file.write(f"{changes}\n")

        atexit.register(note)


if FOLDER and os.environ.get("FUSE_OF", "") in " ".join(sys.orig_argv):
    _light()
