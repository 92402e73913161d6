"""A real Slurm of one node on this machine's loopback interface, for tests and for trying out a command.

    python tests/slurm/lab.py COMMAND [ARGUMENT…]

The configuration is in /etc/slurm, where Slurm's commands read it; all other files are in a folder under /tmp. All
processes of the lab, including jobs, have LAB_OF_SLURM=<folder> in their environment.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

ETC = Path("/etc/slurm")
CONFIGURATION = ("slurm.conf", "gres.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "squeue", "srun")


class Job(NamedTuple):
    """A job, or one task of a job array."""

    id: str
    state: str
    partition: str
    reason: str
    name: str


class Lab:
    """A Slurm that runs inside a `with` block."""

    folder: Path

    def __enter__(self) -> "Lab":
        if reason := unavailable():
            raise RuntimeError(reason)
        self._squeue = shutil.which("squeue") or "squeue"  # a test's PATH may hold commands that give wrong answers
        self._lock = _lock()
        if stale := _last_folder():
            _stop(stale)
        self.folder = Path(
            tempfile.mkdtemp(prefix="slurm-lab-", dir="/tmp")
        )  # short, since paths of sockets are limited
        os.environ["LAB_OF_SLURM"] = str(self.folder)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        _stop(self.folder)
        del os.environ["LAB_OF_SLURM"]
        os.close(self._lock)

    def _start(self) -> None:
        host = socket.gethostname().partition(".")[0]
        for name in CONFIGURATION:
            template = Path(__file__).with_name(name).read_text()
            (ETC / name).write_text(template.format(folder=self.folder, host=host))
        for name in ("slurmctld", "slurmd"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        _daemon(self.folder, "munged", "--force", *(f"--{o}={self.folder}/munge.{end}" for o, end in files.items()))
        _daemon(self.folder, "slurmctld", "-i")
        self.start_slurmd()

    def start_slurmd(self) -> None:
        """Start the node's daemon, and wait until a test job has run. The test job needs one free CPU."""
        _daemon(self.folder, "slurmd", "-N", "localhost")
        # the node's state does not say whether jobs start: it stays the same while the daemon is down
        if not until(lambda: _run(5, "srun", "-Q", "-n1", "-t1", "--immediate=2", "true").returncode == 0, 60):
            logs = {path.name: path.read_text().splitlines()[-10:] for path in sorted(self.folder.glob("*.log"))}
            log_lines = (f"{name}: {line}" for name, lines in logs.items() for line in lines)
            raise RuntimeError("\n".join(["Slurm runs no job.", *log_lines]))

    def kill_slurmd(self) -> None:
        """Kill the node's daemon. Running jobs continue, and no new job starts."""
        pid = int((self.folder / "slurmd.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        if not until(lambda: pid not in _processes(self.folder), 5):
            raise RuntimeError("slurmd is still running")

    def queue(self) -> list[Job]:
        """Return all jobs, including ended ones."""
        done = _run(10, self._squeue, "--states=all", "-r", "-h", "-o", "%i|%T|%P|%r|%j")
        done.check_returncode()
        return [Job(*line.split("|", maxsplit=4)) for line in done.stdout.splitlines()]


def unavailable() -> str | None:
    """Return why a lab cannot start on this machine, or None if it can."""
    if os.geteuid() != 0:
        return "a Slurm lab needs root"
    if not all(map(shutil.which, PROGRAMS)) or not ETC.is_dir():
        return "Slurm is not installed: apt-get install slurm-wlm munge"
    if "LAB_OF_SLURM" in os.environ:
        return "this process runs inside a Slurm lab"
    configured = any((ETC / name).exists() for name in CONFIGURATION)
    if (configured and not _last_folder()) or {"SLURM_CONF", "SLURM_JOB_ID"} & set(os.environ):
        return "this machine belongs to a Slurm cluster"
    try:
        os.close(_lock())
    except BlockingIOError:
        return "another Slurm lab is running on this machine"
    return None


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until a condition is true, or for a number of seconds, and return whether it is true."""
    deadline = time.monotonic() + seconds
    while not (fulfilled := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return fulfilled


def _lock() -> int:
    """Lock Slurm's configuration until the returned descriptor, which no child inherits, is closed."""
    descriptor = os.open(ETC, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _last_folder() -> Path | None:
    """Return the folder of the running or killed lab that Slurm is configured for, or None."""
    with contextlib.suppress(FileNotFoundError):
        if mark := re.match(r"# The Slurm lab in (\S+) wrote", (ETC / "slurm.conf").read_text(errors="replace")):
            return Path(mark[1])
    return None


def _stop(folder: Path) -> None:
    """End the remaining jobs and daemons of a lab, and remove its files."""
    names = set(_processes(folder).values())
    if folder.is_dir() and {"munged", "slurmctld"} <= names:
        if "slurmd" not in names:  # jobs may still run, and only the daemon can end them
            _daemon(folder, "slurmd", "-N", "localhost")
        _run(10, "scancel", "-u", "root")
        until(lambda: not _run(10, "squeue", "-h").stdout, 30)
        _run(10, "scontrol", "shutdown")
        until(lambda: not {"slurmctld", "slurmd"} & set(_processes(folder).values()), 10)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _processes(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        until(lambda: not _processes(folder), 5)
    shutil.rmtree(folder, ignore_errors=True)
    for name in reversed(CONFIGURATION):  # slurm.conf last, since it names the folder of the lab
        (ETC / name).unlink(missing_ok=True)


def _processes(folder: Path) -> dict[int, str]:
    """Return the processes of a lab: names by id."""
    names = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has just ended
            name = (process / "comm").read_text().strip()
            marked = f"LAB_OF_SLURM={folder}".encode() in (process / "environ").read_bytes().split(b"\0")
            # slurmstepd overwrites its environment with its title, but its working directory is the folder
            if marked or (name == "slurmstepd" and (process / "cwd").readlink() == folder):
                names[int(process.name)] = name
    return names


def _daemon(folder: Path, *line: str) -> None:
    """Start a program that daemonizes itself."""
    with (folder / "start.log").open("a") as log:
        environment = os.environ | {"LAB_OF_SLURM": str(folder)}
        subprocess.run(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, check=False)


def _run(seconds: int, *line: str) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands with a time limit, after which SIGTERM lets the command withdraw its request."""
    line = ("timeout", "--kill-after=5", str(seconds), *line)
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _on_signals(handler: Callable[..., object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupted(number: int, frame: object) -> NoReturn:
    _on_signals(signal.SIG_IGN)
    sys.exit(128 + number)


def main(command: list[str]) -> int:
    """Run a command in a lab, and return its exit status."""
    if reason := unavailable() if command else __doc__:
        print(reason, file=sys.stderr)
        return 2
    _on_signals(_interrupted)
    with Lab() as lab:
        print(
            f"Slurm runs in {lab.folder}: partitions low and high, 8 simulated CPUs, 2 simulated GPUs", file=sys.stderr
        )
        process = subprocess.Popen(command)
        try:
            status = process.wait()
        finally:
            _on_signals(signal.SIG_IGN)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
