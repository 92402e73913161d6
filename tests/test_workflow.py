"""The real Snakefile on small experiments: what runs for what is asked, what reruns for what is changed."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from small import content

from progress_measures.experiments import experiment_names
from progress_measures.explorer import EXPERIMENTS as EXPLORED
from progress_measures.figures import load_figure
from progress_measures.measures import FAMILIES
from progress_measures.tables import load_table

ROOT = Path(__file__).parents[1]
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
        line = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(
            line, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )

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


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A checkout in which Figure 7 was asked for, and nothing else."""
    return Checkout(tmp_path_factory.mktemp("drawn")).make("-c2", FIGURE)


def test_one_figure_in_an_empty_tree_needs_its_experiment_alone(empty):
    expected = {"dataset": 1, "train": 1, **MEASURED, "gather": 1, "figure": 1}
    assert empty.jobs(FIGURE) == expected


@pytest.mark.parametrize(
    "target", ["quickstart", "mainline", "subtraction", "mod_addition", "paper_mechanism", "paper", "all"]
)
def test_named_targets_can_be_planned(empty, target):
    assert {"train", "measure", "gather"} <= set(empty.jobs(target))


def test_the_mechanism_is_19_figures_and_4_tables_of_one_experiment(empty):
    jobs = empty.jobs("paper_mechanism")
    assert {rule: jobs[rule] for rule in ("train", "figure", "table")} == {"train": 1, "figure": 19, "table": 4}


@pytest.mark.parametrize(
    ("target", "figures", "tables"),
    [("subtraction", 28, 0), ("integer_addition", 13, 4), ("transformer_lens_demo", 40, 0)],
)
def test_a_notebook_is_one_experiment_with_its_figures_and_tables(empty, target, figures, tables):
    jobs = empty.jobs(target)
    assert [jobs.get(rule, 0) for rule in ("train", "figure", "table")] == [1, figures, tables]


def test_a_figure_of_any_experiment_is_a_target(empty):
    assert empty.jobs("results/quickstart/figures/paper/fig02.svg")["figure_of"] == 1


def test_a_twin_is_a_job_of_its_own_where_a_figure_has_one(empty):
    assert empty.jobs("results/figures/mod_addition/24_embedding_evolution.webp")["twin"] == 1
    assert empty.jobs("results/quickstart/figures/paper/fig07.html")["twin_of"] == 1
    refused = empty.snakemake("-n", "-c1", "results/figures/paper/fig05.webp")
    assert refused.returncode == 2
    assert "there is no .webp of figure paper/fig05: it is a still." in refused.stderr


def test_the_explorer_is_of_some_experiments_or_of_any_one(empty):
    assert empty.jobs("results/quickstart/explorer/index.html")["explorer_of"] == 1
    jobs = empty.jobs("results/explorer/index.html")
    assert (jobs["explorer"], jobs["train"]) == (1, len(EXPLORED))


def test_what_was_asked_for_is_there_and_nothing_else(drawn):
    for kind in ("pdf", "png", "svg"):
        assert (drawn.folder / f"results/figures/paper/fig07.{kind}").exists()
    assert not (drawn.folder / "results/subtraction").exists()
    for log in ("train/mainline.log", "gather/mainline.log", "figures/paper/fig07.log"):
        assert (drawn.folder / "results/logs" / log).exists()
        assert (drawn.folder / "results/benchmarks" / log).with_suffix(".tsv").exists()
    assert "2 done" in (drawn.folder / "results/logs/train/mainline.log").read_text()


def test_nothing_reruns_without_cause(drawn):
    assert drawn.jobs(FIGURE) == {}


def test_the_cube_is_drawn_from_again_in_other_figures(drawn):
    assert drawn.jobs("results/figures/paper/fig03.png") == {"figure": 1}


def test_a_table_stands_beside_what_was_published(drawn):
    table = drawn.folder / "results/tables/paper/table04.md"
    assert drawn.jobs("results/tables/paper/table04.md") == {"table": 1}
    drawn.make("-c2", "results/tables/paper/table04.csv")
    assert "2.07e-07" in table.read_text()
    assert drawn.jobs("results/tables/paper/table04.tex") == {}
    drawn.edit("config/claims/paper.yaml", "test_loss: 2.07e-07", "test_loss: 2.08e-07")
    assert drawn.jobs("results/tables/paper/table04.md") == {"table": 1}


def test_the_report_holds_figures_and_tables_with_their_captions(drawn):
    targets = (FIGURE, "results/tables/paper/table04.md")
    drawn.make("-c2", *targets)
    drawn.make("-c2", *targets, "--report", "report.zip")
    with zipfile.ZipFile(drawn.folder / "report.zip") as archive:
        assert {"fig07.png", "table04.md"} <= {Path(name).name for name in archive.namelist()}
        page = archive.read("report/report.html").decode()
    results, categories = (
        json.JSONDecoder().raw_decode("{" + page.partition(f"var {name} = {{")[2])[0]
        for name in ("results", "categories")
    )
    for kind, declared, path in (
        ("figures", load_figure("paper/fig07"), "results/figures/paper/fig07.png"),
        ("tables", load_table("paper/table04"), "results/tables/paper/table04.md"),
    ):
        assert list(results[path]["labels"].values()) == [declared.id.partition("/")[2], declared.title]
        assert declared.caption[:40] in results[path]["caption"]
        assert path in categories["paper"][kind]


def test_a_figure_of_several_cubes_is_of_no_other_experiment(empty):
    refused = empty.snakemake("-n", "-c1", "results/quickstart/figures/paper/fig20.png")
    assert refused.returncode == 2
    assert "figure paper/fig20 is drawn from 3 cubes, and cannot be drawn of quickstart alone" in refused.stderr


MEASURES = "src/progress_measures/measures/weights.py"
CHANGES = {
    "a comment in a measure": (MEASURES, "import numpy as np", "import numpy as np  # the usual", {}),
    "a docstring of the trainer": ("src/progress_measures/training/loop.py", '"""The training', '"""A training', {}),
    "a formula of one family": (
        MEASURES,
        "return gini(W_E_fourier_norm(view))\n",
        "return 1 * gini(W_E_fourier_norm(view))\n",
        {"measure": RUNS, "gather": 1, "figure": 1},
    ),
    "a figure": ("src/progress_measures/figures/paper/fig07.py", "(6.8, 5.2)", "(6.8, 5.3)", {"figure": 1}),
    "another figure": ("src/progress_measures/figures/paper/fig02.py", '"center right"', '"lower right"', {}),
    "the profile": ("profiles/default/config.yaml", "printshellcmds: true", "printshellcmds: false", {}),
    "what progress says": ("src/progress_measures/training/progress.py", "left", "to go", {}),
    "the optimiser": (
        "src/progress_measures/training/optimiser.py",
        "self.parameters.mul_(1 - self._rate * self._decay)",
        "self.parameters.mul_(1 - self._decay * self._rate)",
        {"train": 1, **MEASURED, "gather": 1, "figure": 1},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_hangs_on_it(drawn, change):
    path, before, after, expected = CHANGES[change]
    original = (drawn.folder / path).read_text()
    prints = shutil.copytree(drawn.folder / "results/.fingerprints", drawn.folder / "prints")
    try:
        drawn.edit(path, before, after)
        assert drawn.jobs(FIGURE) == expected
    finally:
        (drawn.folder / path).write_text(original)
        shutil.rmtree(drawn.folder / "results/.fingerprints")
        shutil.copytree(prints, drawn.folder / "results/.fingerprints")  # with the times that they had
        shutil.rmtree(prints)


def test_changed_settings_rerun_what_they_touch(drawn):
    """Words change nothing; another learning rate trains both again; another seed is noticed, and has its own data."""
    try:
        drawn.write("mainline", content(epochs=200, learning_rate=2e-3))
        jobs = drawn.jobs(FIGURE)
        assert jobs["train"] == 1
        assert "dataset" not in jobs
        drawn.write("mainline", content(epochs=200) | {"grid": {"seed": [0, 2]}})
        assert drawn.jobs(FIGURE) == {
            "dataset": 1,
            "train": 1,
            **MEASURED,
            "gather": 1,
            "figure": 1,
        }
        drawn.write("mainline", content(epochs=200) | {"description": "other words"})
        assert drawn.jobs(FIGURE) == {}
    finally:
        drawn.write("mainline", content(epochs=200))


@pytest.mark.parametrize(
    "place", [["--set-resources", "train:pool=slurm", "train:gpu=1"], ["-c1"], ["--set-resources", "train:device=cpu"]]
)
def test_where_runs_train_is_no_cause_to_train_them_again(drawn, place):
    assert drawn.jobs(FIGURE, *place) == {}


def test_only_the_runs_that_a_change_touches_are_trained(drawn):
    """A second weight decay beside the first: the runs that are there stay as they are, to the time stamp."""
    records = {run: drawn.folder / f"results/mainline/runs/{run}/done.json" for run in ("seed0", "seed1")}
    before = {run: path.stat().st_mtime_ns for run, path in records.items()}
    try:
        drawn.write("mainline", content(epochs=200) | {"grid": {"seed": [0, 1, 2]}})
        drawn.make("-c2", "results/mainline/trained.json")
        assert {run: path.stat().st_mtime_ns for run, path in records.items()} == before
        assert (drawn.folder / "results/mainline/runs/seed2/done.json").exists()
    finally:
        drawn.write("mainline", content(epochs=200))
        drawn.make("-c2", "results/mainline/trained.json")
        drawn.make("-c2", FIGURE)


def test_published_cubes_need_no_training(drawn):
    done = subprocess.run(
        [sys.executable, "-m", "progress_measures", "publish", "mainline"], cwd=drawn.folder, check=True
    )
    assert done.returncode == 0
    assert drawn.jobs("results/figures/paper/fig02.png", "--config", "cubes=published") == {"figure": 1}
    jobs = drawn.jobs("all", "--config", "cubes=published")
    assert set(jobs) == {"all", "claims", "explorer", "figure", "table", "twin"}, (
        "what published cubes cover, and no more"
    )
    several = [f"results/figures/paper/{name}.svg" for name in ("fig02", "fig03")]
    assert drawn.snakemake("-c2", *several, "--config", "cubes=published").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["results/figures/paper/fig77.pdf"], "There is no figure 'paper/fig77'. Did you mean"),
        (["results/mainlin/cube.zarr"], "no experiment 'mainlin'"),
        (["results/mainline/runs/seed9/measures/weights.zarr"], "mainline has no run 'seed9'; it has: seed0, seed1"),
        (["all", "--config", "cubes=borrowed"], "cubes=borrowed: expected `results` or `published`"),
    ],
)
def test_wrong_targets_end_with_one_message(empty, arguments, expected):
    refused = empty.snakemake("-n", "-c1", *arguments)
    assert refused.returncode == 2
    assert expected in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_wrong_experiment_ends_with_one_message(empty):
    try:
        empty.write("mainline", content(epochs=200, epoch=3))
        refused = empty.snakemake("-n", "-c1", FIGURE)
        assert refused.returncode == 2
        assert "config/experiments/mainline.yaml: training.epoch: unknown key; did you mean 'epochs'?" in refused.stderr
        assert "Traceback" not in refused.stderr
    finally:
        empty.write("mainline", content(epochs=200))
