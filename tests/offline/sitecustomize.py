"""A Python process with this folder on its path cannot connect to other machines.

In the folder $OFFLINE, the file `guarded` lists the restricted processes, and the file `attempts` lists the connections that
they tried.
"""

import os
import sys
from pathlib import Path

LOCAL = ("", "localhost", "127.0.0.1", "::1")


def _note(name, text):
    with Path(os.environ["OFFLINE"], name).open("a") as file:
        file.write(f"{text}: {' '.join(sys.orig_argv)}\n")


def _machine_of(event, arguments):
    """Return the machine that an audit event of the socket module names, or None if it names none."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        return arguments[0]
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        return address[0] if isinstance(address, tuple) else None  # otherwise a Unix socket, which is a path
    return None


def _refuse(event, arguments):
    machine = _machine_of(event, arguments)
    machine = machine.decode() if isinstance(machine, bytes) else machine
    if machine is not None and machine not in LOCAL:
        _note("attempts", f"{event} {machine}")
        raise PermissionError(f"no network here: {event} {machine}")


sys.addaudithook(_refuse)
_note("guarded", os.getpid())
