"""A Python that has this folder on its path speaks with no other machine.

In the folder $OFFLINE the file `guarded` lists the processes that were so kept, and `attempts` what they tried all the same.
"""

import os
import sys
from pathlib import Path

HERE = ("", "localhost", "127.0.0.1", "::1")


def _note(name, text):
    with Path(os.environ["OFFLINE"], name).open("a") as file:
        file.write(f"{text}: {' '.join(sys.orig_argv)}\n")


def _asked(event, arguments):
    """The machine that an event of the socket module is about; None where it is about none."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        return arguments[0]
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        return address[0] if isinstance(address, tuple) else None  # else a socket of this machine, a path
    return None


def _refuse(event, arguments):
    machine = _asked(event, arguments)
    machine = machine.decode() if isinstance(machine, bytes) else machine
    if machine is not None and machine not in HERE:
        _note("attempts", f"{event} {machine}")
        raise PermissionError(f"no network here: {event} {machine}")


sys.addaudithook(_refuse)
_note("guarded", os.getpid())
