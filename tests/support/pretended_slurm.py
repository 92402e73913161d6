"""A pretended Slurm: commands that keep their jobs in a file, and give wrong answers on demand.

The commands `sbatch`, `squeue`, `scancel`, `sacct`, `scontrol`, `sinfo` and `srun` are this file under other names. Nothing
runs by itself: a test starts, ends and forgets jobs. A started job does what submitit does on a real node, in this process.
With `real`, the commands call those of a real Slurm, and give wrong answers all the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "scancel", "sacct", "scontrol", "sinfo", "srun")
LIVE = ("PENDING", "RUNNING")
TIMED_OUT = "Batch job submission failed: Socket timed out on send/recv operation"


class PretendedSlurm:
    """The commands in `folder/bin`, and what a test does with their jobs.

    Args:
        folder: folder of the commands and their state.
        accounting: whether `sacct` responds.
        max_array_size: largest number of jobs in an array.
        real: whether `sbatch`, `squeue` and `scancel` call the real ones; the other commands are not replaced.
    """

    def __init__(self, folder: Path, accounting: bool = False, max_array_size: int = 1001, real: bool = False) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        for name in COMMANDS[:3] if real else COMMANDS:
            program = self.bin / name
            program.write_text(f"#!{sys.executable} -SE\n{Path(__file__).read_text()}")
            program.chmod(0o755)
        settings = {"accounting": accounting, "max_array_size": max_array_size, "real": real}
        empty = {"number": 0, "jobs": {}, "faults": {}, "provoked": {}, "calls": []}
        (folder / "state.json").write_text(json.dumps(empty | settings))

    def faults(self, command: str, *kinds: str) -> None:
        """Let the next calls of a command go wrong, one each.

        Args:
            command: name of the command.
            *kinds: `fail`: it fails, and does nothing. `late`: it does its work, and then fails. `empty`: it lists nothing.
                `garbage`: it prints unexpected lines, too. `right`: it does what it should.
        """
        with _state(self.folder) as state:
            state["faults"].setdefault(command, []).extend(kinds)

    def clear_faults(self) -> None:
        """Let all commands work."""
        with _state(self.folder) as state:
            state["faults"] = {}

    def provoked(self) -> dict[str, int]:
        """Return how often each kind of wrong answer was given, by command and kind."""
        with _state(self.folder) as state:
            return state["provoked"]

    def calls(self, command: str) -> list[list[str]]:
        """Return the arguments of each call of a command."""
        with _state(self.folder) as state:
            return [arguments for name, *arguments in state["calls"] if name == command]

    def jobs(self, *states: str) -> list[str]:
        """Return the numbers of jobs in some states, by default of those that wait or run."""
        with _state(self.folder) as state:
            return [number for number, job in state["jobs"].items() if job["state"] in (states or LIVE)]

    def set(self, number: str, state_name: str, reason: str = "None") -> None:
        """Set the state of a job."""
        with _state(self.folder) as state:
            state["jobs"][number] |= {"state": state_name, "reason": reason}

    def forget(self, number: str) -> None:
        """Remove a job from the records: `squeue` never lists it again, unless `remember` is called."""
        with _state(self.folder) as state:
            state["jobs"][number]["forgotten"] = True

    def remember(self, number: str) -> None:
        """Undo `forget`."""
        with _state(self.folder) as state:
            state["jobs"][number]["forgotten"] = False

    def log(self, number: str, text: str = "") -> None:
        """Append to the log of a job, as Slurm does when it starts the job."""
        with (self.slurm_folder(number) / f"{number}_0_log.err").open("a") as log:
            log.write(text)

    def slurm_folder(self, number: str) -> Path:
        """Return the folder of submitit's files for a job."""
        with _state(self.folder) as state:
            return Path(state["jobs"][number]["folder"])

    def progress(self, number: str, epoch: int) -> None:
        """Write the progress of a job."""
        index = number.partition("_")[2] or "0"
        path = self.slurm_folder(number).parent / f"{index}.progress"
        path.write_text(json.dumps({"epoch": epoch, "epochs": 100, "ms_per_epoch": 1.0, "time": 0.0}))

    def run(self, number: str) -> None:
        """Run a job to its end: a job without its file fails, as with submitit after a minute."""
        from submitit.core.utils import DelayedSubmission

        self.log(number)
        pickle = self.slurm_folder(number) / f"{number}_submitted.pkl"
        try:
            DelayedSubmission.load(pickle).result()
        except Exception:  # as on a node: the job's exit status is all that Slurm learns
            self.set(number, "FAILED", "NonZeroExitCode")
        else:
            self.set(number, "COMPLETED")

    def run_all(self) -> None:
        """Run all jobs that wait or run."""
        for number in self.jobs():
            self.run(number)


@contextmanager
def _state(folder: Path):
    with (folder / "state.json").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        yield state
        file.seek(0)
        file.truncate()
        json.dump(state, file)


def sbatch(state: dict, script: str) -> None:
    """Take a job or an array from the script that submitit wrote."""
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", Path(script).read_text(), re.M))
    array = re.match(r"0-(\d+)%", options.get("array", ""))
    size = int(array[1]) + 1 if array else 1
    if options.get("partition") == "nowhere":
        sys.exit("sbatch: error: invalid partition specified: nowhere")
    if size > state["max_array_size"]:
        sys.exit("sbatch: error: Batch job submission failed: Invalid job array specification")
    state["number"] += 1
    for i in range(size):
        number = f"{state['number']}_{i}" if array else str(state["number"])
        state["jobs"][number] = {
            "name": options["job-name"],
            "state": "PENDING",
            "reason": "Priority",
            "folder": str(Path(options["output"]).parent),
            "array": options.get("array", ""),
        }
    print(f"Submitted batch job {state['number']}")


def squeue(state: dict, *arguments: str) -> None:
    """List the jobs with the given names."""
    names = next(word for word in arguments if word.startswith("--name="))[7:].split(",")
    for number, job in state["jobs"].items():
        if job["name"] in names and not job.get("forgotten"):
            node = "node1" if job["state"] == "RUNNING" else ""
            print(f"{number}|{job['state']}|{node}|{job['name']}|{job['reason']}")
    for array in {number.partition("_")[0] for number in state["jobs"] if "_" in number}:
        jobs = [job for number, job in state["jobs"].items() if number.startswith(f"{array}_") and job["name"] in names]
        states = [(job["state"], job.get("forgotten", False)) for job in jobs]
        if ("CANCELLED", True) in states and ("PENDING", False) not in states:
            print(
                f"{array}|CANCELLED||{jobs[0]['name']}|JobArrayTaskLimit"
            )  # stands for all forgotten jobs, and names none


def sacct(state: dict, *arguments: str) -> None:
    """List the jobs with the given names, if there is accounting."""
    if not state["accounting"]:
        sys.exit("Slurm accounting storage is disabled")
    names = next(word for word in arguments if word.startswith("--name="))[7:].split(",")
    for number, job in state["jobs"].items():
        if job["name"] in names:
            by = " by 0" if job["state"] == "CANCELLED" else ""
            print(f"{number}|{job['state']}{by}|node1|{job['name']}")


def scancel(state: dict, *arguments: str) -> None:
    """Cancel jobs: as Slurm 22.05 does, forget jobs of an array that have not started."""
    for number, job in state["jobs"].items():
        named = f"--name={job['name']}" in arguments
        whole = number.partition("_")[0] in arguments
        if (named or whole or number in arguments) and job["state"] in LIVE:
            job["forgotten"] = job["state"] == "PENDING" and "_" in number and not whole
            job["state"] = "CANCELLED"


def main() -> None:
    """Be the command under whose name this file is called."""
    command, arguments, status = Path(sys.argv[0]).name, sys.argv[1:], 0
    with _state(Path(sys.argv[0]).parents[1]) as state:
        state["calls"].append([command, *arguments])
        kinds = state["faults"].get(command, [])
        kind = kinds.pop(0) if kinds else "right"
        if kind != "right":
            state["provoked"][f"{command}: {kind}"] = state["provoked"].get(f"{command}: {kind}", 0) + 1
        if kind == "garbage":
            print("slurm: notice: maintenance on Monday\n\n|||\nx_y|RUNNING|||\n12")
        if kind not in ("fail", "empty"):
            if state["real"]:
                own = str(Path(sys.argv[0]).parent)
                path = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own)
                status = subprocess.run([shutil.which(command, path=path), *arguments], check=False).returncode
            elif command == "scontrol":
                print(f"MaxArraySize            = {state['max_array_size']}")
            elif command == "sinfo":
                print("low high")
            elif command in globals():
                globals()[command](state, *arguments)
    if status:
        sys.exit(status)
    if kind in ("fail", "late"):
        sys.exit(f"{command}: error: {TIMED_OUT}")


if __name__ == "__main__" and Path(sys.argv[0]).name in COMMANDS:
    main()
