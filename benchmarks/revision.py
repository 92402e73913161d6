"""Copies of the source trees of revisions of this project, in which their commands run in this Python environment."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from progress_measures.errors import UserError
from progress_measures.yaml_files import read_yaml, yaml_text

ROOT = Path(__file__).parents[1]


class Revision(NamedTuple):
    """A copy of the source tree of a revision."""

    name: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return environment variables with which commands run this revision's code, on one thread and without a GPU."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = {"PATH": path, "PYTHONPATH": str(self.folder / "src")}
        return os.environ | variables | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def output(self, *command: str) -> str:
        """Run a command, and return its standard output and error; raise a UserError if it fails."""
        process = subprocess.run(
            command, cwd=self.folder, env=self.environment(), text=True, capture_output=True, errors="replace"
        )
        output = process.stdout + process.stderr
        if process.returncode:
            end = "\n".join(output.splitlines()[-15:])
            raise UserError(f"{self.name}: `{shlex.join(command)}` exits with {process.returncode}:\n{end}")
        return output

    def usage(self, *command: str) -> dict[str, float]:
        """Run a command; return the CPU time `cpu` in s and the peak `memory` in MB, as benchmarks/usage.py measures them."""
        file = self.folder.parent / f"{self.folder.name}.json"
        self.output(sys.executable, str(ROOT / "benchmarks/usage.py"), str(file), *command)
        return json.loads(file.read_text())

    def settings(self, experiment: str) -> dict[str, Any]:
        """Return the settings of an experiment of this revision."""
        return read_yaml(self.folder / f"config/experiments/{experiment}.yaml")

    def write(self, name: str, settings: dict[str, Any]) -> None:
        """Write the file of an experiment, and delete the experiment's results."""
        (self.folder / f"config/experiments/{name}.yaml").write_text(yaml_text(settings))
        shutil.rmtree(self.folder / "results" / name, ignore_errors=True)

    def training_fields(self) -> set[str]:
        """Return the names of the settings of training in this revision's experiments."""
        schema = json.loads((self.folder / "config/experiment.schema.json").read_text())
        return set(schema["$defs"]["Training"]["properties"])


def copies(revision: str, folder: Path) -> tuple[Revision, Revision]:
    """Copy another revision and this working tree, both without `published/`; the working tree with changes not committed.

    Args:
        revision: name of the other revision, as git accepts it.
        folder: folder for the copies.

    Returns:
        The other revision and the working tree.

    Raises:
        UserError: git finds no such revision, or Python does not import the copied code.
    """
    git = ("git", "-C", str(ROOT))
    commit = subprocess.run([*git, "rev-parse", "--short", f"{revision}^{{commit}}"], capture_output=True, text=True)
    if commit.returncode:
        raise UserError(f"{revision}: git finds no such revision; in a shallow clone, run `git fetch --unshallow`.")
    name = subprocess.check_output([*git, "describe", "--always", "--dirty"], text=True).strip()
    other, here = Revision(commit.stdout.strip(), folder / "other"), Revision(name, folder / "here")
    other.folder.mkdir()
    archive = subprocess.check_output([*git, "archive", revision, ".", ":!published"])
    subprocess.run(["tar", "-x", "-C", str(other.folder)], input=archive, check=True)
    listed = subprocess.check_output([*git, "ls-files", "-coz", "--exclude-standard", ".", ":!published"], text=True)
    for path in filter(os.path.lexists, map(ROOT.joinpath, listed.split("\0")[:-1])):
        copy = here.folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)
    for side in (other, here):
        side.output(sys.executable, "-m", "compileall", "-q", "src")  # as `make setup` does
        imported = side.output(sys.executable, "-c", "import progress_measures as p; print(p.__file__)").strip()
        if side.folder not in Path(imported).parents:
            raise UserError(f"{side.name}: Python imports {imported} instead of the code in {side.folder}/src.")
    return other, here
