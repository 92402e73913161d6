"""A copy of the repository to run the real Snakefile in, on small experiments."""

import os
import re
import shutil
from pathlib import Path

import forked
import yaml
from small import ROOT, content

from progress_measures.experiments import experiment_names
from progress_measures.measures import FAMILIES

FIGURE = "results/figures/paper/fig07.pdf"
RUNS = 2
MEASURED = {"measure": RUNS * len(set(FAMILIES) - {"integers", "sequences"})}  # those are of other tasks


class Checkout:
    """A copy of the repository's code with small experiments under the real ones' names."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {"PYTHONPATH": str(folder / "src")}
        for name in ("workflow", "profiles", "src"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "slurm").symlink_to("profiles/slurm")
        for name in ("Snakefile", "environment.yml"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "config/claims", folder / "config/claims")
        (folder / "config/experiments").mkdir()
        for name in experiment_names(ROOT / "config/experiments"):
            self.write(name, content(epochs=200))

    def write(self, name, settings):
        (self.folder / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(settings))

    def edit(self, path, before, after):
        text = (self.folder / path).read_text()
        assert before in text
        (self.folder / path).write_text(text.replace(before, after))

    def snakemake(self, *arguments):
        return forked.run("snakemake", *arguments, folder=self.folder, environment=self.environment)

    def make(self, *arguments):
        """Run Snakemake, which must end well."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    def jobs(self, *targets):
        """How many jobs of each rule a dry run lists."""
        listed = self.snakemake("-n", "-c2", *targets)
        assert listed.returncode == 0, listed.stderr
        said = listed.stdout + listed.stderr
        if "Nothing to be done" in said:
            return {}
        table = said.partition("Job stats:")[2].partition("\n\n")[0]
        return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule != "total"}
