"""The real Snakefile after drawing a figure: its outputs, and which jobs each change causes to run again."""

import json
import os
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
import xarray as xr

from progress_measures.figures import load_figure
from progress_measures.tables import load_table
from support.checkout import FIGURE, MEASURED, Checkout
from support.experiments import small_experiment
from support.processes import command


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A checkout in which only Figure 7 was requested."""
    return Checkout(tmp_path_factory.mktemp("drawn")).make("-c2", FIGURE)


def test_only_the_requested_figure_and_its_inputs_exist(drawn):
    for kind in ("pdf", "png", "svg"):
        assert (drawn.folder / f"results/figures/paper/fig07.{kind}").exists()
    assert not (drawn.folder / "results/subtraction").exists()
    for log in ("train/mainline.log", "gather/mainline.log", "figures/paper/fig07.log"):
        assert (drawn.folder / "results/logs" / log).exists()
        assert (drawn.folder / "results/benchmarks" / log).with_suffix(".tsv").exists()
    assert "2 done" in (drawn.folder / "results/logs/train/mainline.log").read_text()


def test_nothing_reruns_without_a_change(drawn):
    assert drawn.jobs(FIGURE) == {}


def test_cube_is_a_target_that_plain_xarray_opens_without_a_warning(drawn):
    """Snakemake writes its time stamp into the store; consolidated metadata keep Zarr from listing it."""
    cube = drawn.folder / "results/mainline/cube.zarr"
    assert drawn.jobs("results/mainline/cube.zarr") == {}
    for store in (cube, drawn.folder / "results/mainline/dataset.zarr"):
        assert (store / ".snakemake_timestamp").exists()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert xr.open_zarr(store).load().attrs["all_chunks_stored"] is True


def test_cube_is_gathered_again_if_a_part_was_measured_and_gathering_then_failed(drawn):
    """The record of a measured part is newer than the cube then."""
    record = drawn.folder / "results/mainline/measured/seed0"
    times, content = record.stat(), record.read_text()
    try:
        record.write_text("2026-01-01T00:00:00Z\n")
        assert drawn.jobs(FIGURE) == {"gather": 1, "figure": 1}
    finally:
        record.write_text(content)
        os.utime(record, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_other_figures_reuse_the_cube(drawn):
    assert drawn.jobs("results/figures/paper/fig03.png") == {"figure": 1}


def test_table_is_written_again_when_published_numbers_change(drawn):
    table = drawn.folder / "results/tables/paper/table04.md"
    assert drawn.jobs("results/tables/paper/table04.md") == {"table": 1}
    drawn.make("-c2", "results/tables/paper/table04.csv")
    assert "2.07e-07" in table.read_text()
    assert drawn.jobs("results/tables/paper/table04.tex") == {}
    drawn.edit("config/claims/paper.yaml", "test_loss: 2.07e-07", "test_loss: 2.08e-07")
    assert drawn.jobs("results/tables/paper/table04.md") == {"table": 1}


def test_report_has_figures_and_tables_with_their_captions(drawn):
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


MEASURES = "src/progress_measures/measures/weights.py"
WITHOUT_EFFECT = {
    "a comment in a measure": (MEASURES, "import numpy as np", "import numpy as np  # the usual"),
    "a docstring of the trainer": ("src/progress_measures/training/loop.py", '"""The training', '"""A training'),
    "another figure": ("src/progress_measures/figures/paper/fig02.py", 'title="Loss"', 'title="Losses"'),
    "declarations of other figures": ("src/progress_measures/figures/notebooks.py", "size=(4.6, 2.6)", "size=(4, 2)"),
    "the profile": ("profiles/default/config.yaml", "printshellcmds: true", "printshellcmds: false"),
    "progress messages": ("src/progress_measures/training/progress.py", ' left"', ' to go"'),
}
"""Changes after which nothing runs again: file, text to replace, and replacement."""

# file, text to replace, replacement, and jobs that a dry run then lists
CHANGES = {
    "a formula of one family": (
        MEASURES,
        "return gini(_of_nonzero_rows(checkpoint, W_E_fourier_norm(checkpoint)))\n",
        "return 1 * gini(_of_nonzero_rows(checkpoint, W_E_fourier_norm(checkpoint)))\n",
        {**MEASURED, "gather": 1, "figure": 1},
    ),
    "a task": (
        "src/progress_measures/tasks/modular_addition.py",
        "sign: ClassVar[int] = 1",
        "sign: ClassVar[int] = 2 - 1",
        {"dataset": 1, "train": 1, **MEASURED, "gather": 1, "figure": 1},
    ),
    "a fact derived from the settings": (
        "src/progress_measures/experiments/derived.py",
        "return run.seed if run.split.seed is None else run.split.seed",
        "return run.split.seed if run.split.seed is not None else run.seed",
        {"dataset": 1, "train": 1, **MEASURED, "gather": 1, "figure": 1},
    ),
    "a figure": ("src/progress_measures/figures/paper/fig07.py", "(6.8, 5.2)", "(6.8, 5.3)", {"figure": 1}),
    "a drawing that the figure uses": (
        "src/progress_measures/figures/plots/style.py",
        '"train": "#0072B2"',
        '"train": "#0072B3"',
        {"figure": 1},
    ),
    "the optimizer": (
        "src/progress_measures/training/optimizers/base.py",
        "self.parameters.mul_(1 - self.rate * self.decay)",
        "self.parameters.mul_(1 - self.decay * self.rate)",
        {"train": 1, **MEASURED, "gather": 1, "figure": 1},
    ),
}


def jobs_after(drawn, *edits):
    """Return the jobs that a dry run lists after edits, which are undone; each is a file, a text to replace, its replacement."""
    originals = {path: (drawn.folder / path).read_text() for path, _, _ in edits}
    fingerprints = shutil.copytree(drawn.folder / "results/.fingerprints", drawn.folder / "fingerprints")
    try:
        for edit in edits:
            drawn.edit(*edit)
        return drawn.jobs(FIGURE)
    finally:
        for path, text in originals.items():
            (drawn.folder / path).write_text(text)
        shutil.rmtree(drawn.folder / "results/.fingerprints")
        shutil.copytree(fingerprints, drawn.folder / "results/.fingerprints")  # with their original times
        shutil.rmtree(fingerprints)


@pytest.mark.parametrize("change", CHANGES)
def test_change_reruns_exactly_what_depends_on_it(drawn, change):
    *edit, expected = CHANGES[change]
    assert jobs_after(drawn, edit) == expected


def test_changes_that_affect_no_result_rerun_nothing(drawn):
    assert jobs_after(drawn, *WITHOUT_EFFECT.values()) == {}


def test_changed_declaration_draws_its_figure_and_no_other(drawn):
    """The two figures are declared in one module."""
    figures = [f"results/figures/mod_addition/{name}.png" for name in ("07_embedding_dims", "08_embedding_dim0")]
    drawn.make("-c2", *figures)
    drawn.edit(
        "src/progress_measures/figures/mod_addition.py",
        'size=(6.8, 2.6),\n    caption="""Dimensions 0',
        'size=(6, 2.6),\n    caption="""Dimensions 0',
    )
    assert [drawn.jobs(path) for path in figures] == [{"figure": 1}, {}]
    drawn.edit(
        "src/progress_measures/figures/mod_addition.py",
        "The blog transforms this dimension",
        "The blog converts this dimension",
    )
    assert drawn.jobs(figures[1]) == {"figure": 1}, "a caption is a parameter of the rule"


def test_changed_settings_rerun_what_depends_on_them(drawn):
    """A description changes nothing, a learning rate trains both runs again, and a seed also changes the dataset."""
    try:
        drawn.write("mainline", small_experiment(epochs=200, learning_rate=2e-3))
        jobs = drawn.jobs(FIGURE)
        assert jobs["train"] == 1
        assert "dataset" not in jobs
        drawn.write("mainline", small_experiment(epochs=200) | {"grid": {"seed": [0, 2]}})
        assert drawn.jobs(FIGURE) == {
            "dataset": 1,
            "train": 1,
            **MEASURED,
            "gather": 1,
            "figure": 1,
        }
        drawn.write("mainline", small_experiment(epochs=200) | {"description": "other words"})
        assert drawn.jobs(FIGURE) == {}
    finally:
        drawn.write("mainline", small_experiment(epochs=200))


@pytest.mark.parametrize(
    "arguments",
    [["--set-resources", "train:pool=slurm", "train:gpu=1"], ["-c1", "--set-resources", "train:device=cpu"]],
)
def test_place_of_training_does_not_retrain(drawn, arguments):
    assert drawn.jobs(FIGURE, *arguments) == {}


def test_published_cubes_need_no_training(drawn):
    done = command("publish", "mainline", folder=drawn.folder)
    assert done.returncode == 0, done.stderr
    assert drawn.jobs("results/figures/paper/fig02.png", "--config", "cubes=published") == {"figure": 1}
    jobs = drawn.jobs("all", "--config", "cubes=published")
    assert set(jobs) == {"all", "claims", "explorer", "figure", "table", "extra_format"}, (
        "exactly what published cubes cover"
    )
    several = [f"results/figures/paper/{name}.svg" for name in ("fig02", "fig03")]
    assert drawn.snakemake("-c2", *several, "--config", "cubes=published").returncode == 0


def test_only_new_runs_are_trained(drawn):
    """A third seed leaves the other two runs unchanged. This test is the last of the file, since it changes the checkout."""
    records = {run: drawn.folder / f"results/mainline/runs/{run}/done.json" for run in ("seed0", "seed1")}
    before = {run: path.stat().st_mtime_ns for run, path in records.items()}
    drawn.write("mainline", small_experiment(epochs=200) | {"grid": {"seed": [0, 1, 2]}})
    drawn.make("-c2", "results/mainline/trained.json")
    assert {run: path.stat().st_mtime_ns for run, path in records.items()} == before
    assert (drawn.folder / "results/mainline/runs/seed2/done.json").exists()
