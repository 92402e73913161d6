"""Inject a fault into a process: a kill, a signal or a disk error just before its n-th change of a file in a folder.

Python imports this module when it starts, if PYTHONPATH contains its folder. These variables control it:

    FAULT_IN    the folder; without it nothing happens
    FAULT_OF    a word in the command line of the processes into which the fault is injected
    FAULT       n:KILL kills the process; n:SIGTERM sends this signal; n:ENOSPC raises this error at the n-th and all later
                changes
    FAULT_COUNT a file to which each such process appends its number of changes when it ends
"""

import atexit
import errno
import os
import signal
import sys
import threading
from pathlib import Path

FOLDER = os.environ.get("FAULT_IN")
RELATIVE = ("os.remove", "os.rmdir")  # rmtree names files relative to a folder that it holds open
CHANGES = ("os.rename", "os.mkdir", "os.truncate", *RELATIVE)


def _changes(event, arguments):
    """Return whether an audit event changes a file in the folder."""
    if event == "open":
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
    elif event in CHANGES:
        path = arguments[0]
        if event in RELATIVE and arguments[1] != -1:
            return True
    else:
        return False
    return isinstance(path, str | bytes | os.PathLike) and Path(os.fsdecode(path)).absolute().is_relative_to(FOLDER)


def _install():
    fault_change, _, fault = os.environ.get("FAULT", "0:").partition(":")
    lock, count = threading.Lock(), 0

    def inject(event, arguments):
        nonlocal count
        if event not in ("open", *CHANGES) or not _changes(event, arguments):
            return
        with lock:
            count += 1
            number_of_change = count
        if not fault or number_of_change < int(fault_change):
            return
        if fault.startswith("E"):
            if (
                event in ("open", "os.mkdir") or fault != "ENOSPC"
            ):  # a full disk still permits moving and removing files
                error = getattr(errno, fault)
                raise OSError(error, os.strerror(error), str(arguments[0]))
        elif number_of_change == int(fault_change):
            os.kill(os.getpid(), signal.SIGKILL if fault == "KILL" else getattr(signal, fault))

    sys.addaudithook(inject)
    if count_file := os.environ.get("FAULT_COUNT"):

        def write_count():
            changes = count
            with Path(count_file).open("a") as file:
                file.write(f"{changes}\n")

        atexit.register(write_count)


if FOLDER and os.environ.get("FAULT_OF", "") in " ".join(sys.orig_argv):
    _install()
