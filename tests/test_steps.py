"""What Snakemake prints with the logger plugin of the default profile: one line per step, and a table for a dry run."""

import importlib
import re
import sys

import pytest

from support.checkout import Checkout

TIME = r"(?:\d+ min )?\d+ s"
DATASETS = ("results/mainline/dataset.zarr", "results/subtraction/dataset.zarr")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("steps"))


def log(checkout):
    """Return the text of Snakemake's latest log file."""
    return max((checkout.folder / ".snakemake/log").iterdir()).read_text()


def test_dry_run_is_a_table_of_rules(checkout):
    output = checkout.snakemake("-n", "-c1", "quickstart").stdout
    table, _, end = output.rstrip("\n").partition("\n\n")
    header, _, *rows = table.splitlines()
    assert header.split() == ["rule", "steps", "makes", "because"]
    first_words = [row.split()[0] for row in rows if not row.startswith(" ")]
    assert first_words == ["dataset", "train", "measure", "gather", "explorer", "figure", "quickstart"]
    assert re.search(r"^train +1 +results/quickstart/trained.json +missing$", table, re.M)
    assert re.search(r"^figure +7 +results/quickstart/figures/paper/fig01.\{pdf,svg,png\} +missing$", table, re.M)
    assert end.startswith("13 steps. This was a dry run: nothing was run.")


def test_dry_run_names_what_made_results_out_of_date(checkout):
    checkout.make("-c1", DATASETS[0])
    assert "Nothing to be done" in checkout.snakemake("-n", "-c1", DATASETS[0]).stdout
    checkout.edit(
        "src/progress_measures/tasks/modular_addition.py", "sign: ClassVar[int] = 1", "sign: ClassVar[int] = 2 - 1"
    )
    rows = checkout.snakemake("-n", "-c1", DATASETS[0]).stdout
    assert re.search(r"^dataset +1 +\S+ +newer input:\s", rows, re.M)
    assert "tasks.modular_addition.txt" in rows


def test_verbose_dry_run_lists_inputs_and_commands(checkout):
    output = checkout.snakemake("-n", "-c1", "--verbose", *DATASETS).stdout
    assert "Job stats:" in output
    assert "input: results/.fingerprints/data.dataset.txt" in output
    assert "Shell command: progress-measures dataset subtraction" in output


def test_run_prints_one_line_per_step_and_the_log_has_the_details(checkout):
    done = checkout.snakemake("-c1", "--forcerun", "dataset", "--", *DATASETS)
    assert done.returncode == 0, done.stderr
    _, plan, first, second, end = done.stderr.splitlines()  # the first line names the profile
    assert plan == "2 steps: 2 dataset"
    lines = [re.fullmatch(rf"\[(\d)/2\] +{TIME}  dataset  (\S+)", line) for line in (first, second)]
    assert {line[2] for line in lines} == set(DATASETS)
    assert [line[1] for line in lines] == ["1", "2"]
    path = re.fullmatch(rf"2 of 2 steps in {TIME}\. Details: (\.snakemake/log/\S+)", end)[1]
    details = (checkout.folder / path).read_text()
    assert "Shell command: progress-measures dataset mainline" in details
    assert "reason: Forced execution" in details


def test_quiet_hides_the_steps(checkout):
    done = checkout.snakemake("-c1", "--forcerun", "dataset", "--quiet", "all", "--", DATASETS[1])
    assert "dataset" not in done.stderr


def test_failed_step_shows_its_command_and_its_log(checkout):
    checkout.edit(
        "workflow/rules/datasets.smk", "progress-measures dataset", "progress-measures dataset --no-such-option"
    )
    failed = checkout.snakemake("-c1", "--forcerun", "dataset", "--", DATASETS[0])
    assert failed.returncode == 1
    lines = failed.stderr.splitlines()
    assert re.fullmatch(rf"\[0/1\] +{TIME}  dataset  FAILED  {DATASETS[0]}", lines[2])
    assert "progress-measures dataset --no-such-option mainline > results/logs/dataset/mainline.log" in failed.stderr
    assert "log: results/logs/dataset/mainline.log" in failed.stderr
    assert "No such option" in failed.stderr
    assert "RuleException" not in failed.stderr
    assert "RuleException" in log(checkout)


def test_plugin_is_imported_without_the_package(monkeypatch):
    """Snakemake imports every plugin of the environment, also where `progress_measures` is another revision."""
    monkeypatch.setitem(sys.modules, "progress_measures", None)  # an import of it or of its modules fails
    for name in [name for name in sys.modules if name.startswith("progress_measures.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "snakemake_logger_plugin_steps", raising=False)
    assert importlib.import_module("snakemake_logger_plugin_steps").LogHandler
