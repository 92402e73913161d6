"""Runs a command and all processes that it starts to their ends, and writes what they used: `usage.py FILE COMMAND …`

FILE receives JSON: `cpu`, the user and system time of all processes in s, and `memory`, the peak memory of the largest
process in MB. This small program has a process of its own, because on Linux the peak memory of a new process includes the memory
of its parent at the start.
"""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

SET_CHILD_SUBREAPER = 36  # of prctl


def main(file: str, *command: str) -> int:
    """Run the command, write the file, and return the command's exit status."""
    # Training processes are not waited for by the command that starts them. This process inherits and waits for them.
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1)
    process = subprocess.Popen(command)
    cpu = memory = 0.0
    with contextlib.suppress(ChildProcessError):  # raised when no process is left
        while True:
            pid, status, usage = os.wait4(-1, 0)
            cpu, memory = cpu + usage.ru_utime + usage.ru_stime, max(memory, usage.ru_maxrss * 1024 / 1e6)
            if pid == process.pid:
                process.returncode = os.waitstatus_to_exitcode(status)
    Path(file).write_text(json.dumps({"cpu": cpu, "memory": memory}))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
