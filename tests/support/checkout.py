"""Copies of the repository in which tests run the real Snakefile on small experiments."""

import os
import re
import shutil
from pathlib import Path

import yaml

from progress_measures.experiments import experiment_names
from support import ROOT, fork_server
from support.experiments import small_experiment

FIGURE = "results/figures/paper/fig07.pdf"
SLURM_PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3")
MEASURED = {"measure": 1}
"""Number of jobs that measure the runs of one experiment, as `jobs` returns it; the runs are small and share a job."""


class Checkout:
    """A copy of the repository's code, in which every experiment is replaced by the small one.

    Args:
        folder: where to put the copy; it must be empty.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {"PYTHONPATH": str(folder / "src")}
        for name in ("workflow", "profiles", "src"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "slurm").symlink_to("profiles/slurm")
        for name in ("Snakefile", "environment.yml"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "config/claims", folder / "config/claims")
        shutil.copy(ROOT / "config/populations.yaml", folder / "config")
        (folder / "config/experiments").mkdir()
        for name in experiment_names(ROOT / "config/experiments"):
            self.write(name, small_experiment(epochs=200))

    def write(self, name, settings):
        """Write the YAML file of an experiment."""
        (self.folder / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(settings))

    def edit(self, path, old, new):
        """Replace text in a file; fail if the file does not contain it."""
        text = (self.folder / path).read_text()
        assert old in text
        (self.folder / path).write_text(text.replace(old, new))

    def snakemake(self, *arguments):
        """Run Snakemake and return the finished process."""
        return fork_server.run("snakemake", *arguments, folder=self.folder, environment=self.environment)

    def make(self, *arguments):
        """Run Snakemake, which must succeed, and return this checkout."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    def jobs(self, *targets):
        """Return how many jobs of each rule a dry run lists: {rule: count}."""
        done = self.snakemake("-n", "-c2", *targets)
        assert done.returncode == 0, done.stderr
        output = done.stdout + done.stderr
        if "Nothing to be done" in output:
            return {}
        table = output.partition("\n---")[2].partition("\n\n")[0]
        return {rule: int(count.replace(",", "")) for rule, count in re.findall(r"^(\w+) +([\d,]+)\b", table, re.M)}


def slurm_checkout(folder, **settings):
    """Return a checkout whose Slurm profile gives training these settings; by default the pool polls every second."""
    checkout = Checkout(folder)
    lines = "".join(f"    {name}: {value}\n" for name, value in ({"poll_seconds": 1} | settings).items())
    checkout.edit("profiles/slurm/config.yaml", "    pool: slurm\n", "    pool: slurm\n" + lines)
    return checkout
