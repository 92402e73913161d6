"""A real Slurm of one node on this machine's loopback, started for a while: for tests, and to try a command in.

    python tests/slurm/lab.py COMMAND [ARGUMENT…]

Its configuration has to stand in /etc/slurm, where Slurm's commands look for it; all else is in a folder under /tmp.
All that starts within it has LAB_OF_SLURM=<that folder> in its environment, and is found again by that, jobs included.
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
    """A Slurm that runs within a `with` block."""

    folder: Path

    def __enter__(self) -> "Lab":
        if reason := unavailable():
            raise RuntimeError(reason)
        self._lock = _lock()
        if stale := _last_folder():
            _stop(stale)
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-lab-", dir="/tmp"))  # short, as paths of sockets must be
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
        """Start the node's daemon, and wait until a job runs. It takes one free CPU to see that."""
        _daemon(self.folder, "slurmd", "-N", "localhost")
        # the node's state is no sign: it stays as it was while the daemon is away
        if not until(lambda: _run(5, "srun", "-Q", "-n1", "-t1", "--immediate=2", "true").returncode == 0, 60):
            logs = {path.name: path.read_text().splitlines()[-10:] for path in sorted(self.folder.glob("*.log"))}
            said = (f"{name}: {line}" for name, lines in logs.items() for line in lines)
            raise RuntimeError("\n".join(["Slurm runs no job.", *said]))

    def kill_slurmd(self) -> None:
        """Kill the node's daemon on the spot. Jobs run on, and nothing new starts."""
        pid = int((self.folder / "slurmd.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        if not until(lambda: pid not in _processes(self.folder), 5):
            raise RuntimeError("slurmd survives")

    def queue(self) -> list[Job]:
        """All jobs, the ones that ended included."""
        listed = _run(10, "squeue", "--states=all", "-r", "-h", "-o", "%i|%T|%P|%r|%j")
        listed.check_returncode()
        return [Job(*line.split("|", maxsplit=4)) for line in listed.stdout.splitlines()]


def unavailable() -> str | None:
    """Why a lab cannot be started here, or None where it can."""
    if os.geteuid() != 0:
        return "a Slurm lab needs root"
    if not all(map(shutil.which, PROGRAMS)) or not ETC.is_dir():
        return "Slurm is not installed: apt-get install slurm-wlm munge"
    if "LAB_OF_SLURM" in os.environ:
        return "this runs within a Slurm lab"
    configured = any((ETC / name).exists() for name in CONFIGURATION)
    if (configured and not _last_folder()) or {"SLURM_CONF", "SLURM_JOB_ID"} & set(os.environ):
        return "this machine belongs to a Slurm cluster"
    try:
        os.close(_lock())
    except BlockingIOError:
        return "another Slurm lab is running on this machine"
    return None


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until something is so, for so many seconds at most. Say whether it is."""
    deadline = time.monotonic() + seconds
    while not (so := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return so


def _lock() -> int:
    """Lock Slurm's configuration for as long as the descriptor is open; no child inherits it."""
    descriptor = os.open(ETC, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _last_folder() -> Path | None:
    """The folder of the lab that Slurm is configured for, if it is a lab: one that runs, or one that was killed."""
    with contextlib.suppress(FileNotFoundError):
        if mark := re.match(r"# The Slurm lab in (\S+) wrote", (ETC / "slurm.conf").read_text(errors="replace")):
            return Path(mark[1])
    return None


def _stop(folder: Path) -> None:
    """End the jobs and the daemons of a lab, whatever is left of them, and remove its files."""
    names = set(_processes(folder).values())
    if folder.is_dir() and {"munged", "slurmctld"} <= names:
        if "slurmd" not in names:  # jobs may run all the same, and it takes the daemon to end them
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
    for name in reversed(CONFIGURATION):  # last the one that tells where the rest is
        (ETC / name).unlink(missing_ok=True)


def _processes(folder: Path) -> dict[int, str]:
    """The processes of a lab: their ids and names."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            name = (process / "comm").read_text().strip()
            marked = f"LAB_OF_SLURM={folder}".encode() in (process / "environ").read_bytes().split(b"\0")
            # slurmstepd writes its title over its environment, but stays in the folder
            if marked or (name == "slurmstepd" and (process / "cwd").readlink() == folder):
                found[int(process.name)] = name
    return found


def _daemon(folder: Path, *line: str) -> None:
    """Start a program that puts itself into the background."""
    with (folder / "start.log").open("a") as log:
        environment = os.environ | {"LAB_OF_SLURM": str(folder)}
        subprocess.run(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, check=False)


def _run(seconds: int, *line: str) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands, and end it after so many seconds in a way that lets it withdraw what it asked for."""
    line = ("timeout", "--kill-after=5", str(seconds), *line)
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _on_signals(handler: Callable[..., object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupted(number: int, frame: object) -> NoReturn:
    _on_signals(signal.SIG_IGN)
    sys.exit(128 + number)


def main(command: list[str]) -> int:
    """Run a command in a lab. The status is the command's."""
    if reason := unavailable() if command else __doc__:
        print(reason, file=sys.stderr)
        return 2
    _on_signals(_interrupted)
    with Lab() as lab:
        print(f"Slurm runs, from {lab.folder}: partitions low and high, 8 CPUs, 2 GPUs, all pretended", file=sys.stderr)
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
