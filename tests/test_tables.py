"""Every table: its declaration, its three formats, and the published numbers beside measured ones."""

import pandas as pd
import pytest

from progress_measures.claims import load_claims
from progress_measures.cube.open import open_cube
from progress_measures.errors import UserError
from progress_measures.experiments import experiment_names
from progress_measures.tables import load_table, table_ids
from progress_measures.tables.writing import TABLE_FORMATS, write
from support import ROOT
from support.processes import command
from support.published_cubes import first_with_variables, published_cubes_of

EVERY = pytest.mark.parametrize("name", table_ids())


@pytest.fixture(scope="module")
def cube(results):
    return open_cube(results / "results/small/cube.zarr")


def written(name, cubes, folder):
    """Write a table in every format, and return the CSV."""
    write(load_table(name), cubes, [folder / f"table.{kind}" for kind in TABLE_FORMATS])
    return pd.read_csv(folder / "table.csv")


@EVERY
def test_every_table_has_a_complete_declaration(name):
    table = load_table(name)
    assert table.id == name
    assert table.title
    assert table.reference
    assert len(table.caption) > 40
    assert set(table.experiments) <= set(experiment_names())


@EVERY
def test_every_table_of_its_published_cubes_has_data(name, tmp_path):
    frame = written(name, published_cubes_of(load_table(name)), tmp_path)
    assert set(load_table(name).formats) <= set(frame.columns)
    for column in frame.columns[frame.columns.str.startswith("ours")]:
        assert frame[column].notna().mean() > (0.3 if load_table(name).partial else 0.5)


@EVERY
def test_cells_of_runs_without_key_frequencies_are_empty(name, cube, integers, tmp_path):
    """The small networks have no key frequencies and never generalize; the published numbers are shown anyway."""
    cube = first_with_variables(load_table(name), [cube, open_cube(integers / "results/integers/cube.zarr")])
    if not name.startswith("paper/"):
        write(load_table(name), [cube] * len(load_table(name).experiments), [tmp_path / "table.md"])
        return
    frame = written(name, [cube] * len(load_table(name).experiments), tmp_path)
    papers = frame.columns[frame.columns.str.startswith("paper")]
    assert frame[papers].notna().any(axis=None)
    assert "nan" not in (tmp_path / "table.md").read_text()


def test_caption_names_missing_runs(tmp_path):
    cube = open_cube("mainline")
    written("paper/table02", [cube], tmp_path / "whole")
    written("paper/table02", [cube.assign_attrs(runs_missing=["seed7"])], tmp_path / "lacking")
    note = "5 of the 6 runs of mainline are trained."
    for kind in ("md", "tex"):
        assert note not in (tmp_path / f"whole/table.{kind}").read_text()
        assert note in (tmp_path / f"lacking/table.{kind}").read_text()


def test_published_numbers_are_those_of_the_claims(tmp_path):
    frame = written("paper/table02", [open_cube("mainline")], tmp_path)
    assert frame["paper: k"].tolist() == [row["k"] for row in load_claims()["paper.table2"].published]
    frame = written("paper/table04", [open_cube("mainline")], tmp_path)
    losses = [load_claims()[f"paper.table4.seed{seed}"].published["test_loss"] for seed in (1, 2, 3, 4)]
    assert frame["paper: test loss"].tolist() == losses


def test_measured_numbers_are_those_of_the_cube_to_all_digits(tmp_path):
    cube = open_cube("mainline")
    frame = written("paper/table04", [cube], tmp_path)
    assert frame["ours: test loss"].tolist() == cube.test_loss.isel(epoch=-1, run=slice(1, 5)).values.tolist()


def test_all_formats_have_the_same_numbers(tmp_path):
    frame = written("paper/table02", [open_cube("mainline")], tmp_path)
    markdown, latex = ((tmp_path / f"table.{kind}").read_text() for kind in ("md", "tex"))
    for alpha in frame["ours: alpha"]:
        assert f"| {alpha:.2f} " in markdown
        assert f"& {alpha:.2f} " in latex


def test_unknown_table_suggests_a_known_one():
    with pytest.raises(UserError, match=r"There is no table 'paper/table1'. Did you mean 'paper/table01'"):
        load_table("paper/table1")


def test_command_line_names_missing_claim_files(results):
    done = command("tabulate", "paper/table02", "--experiment", "small", folder=results)
    assert done.returncode == 2
    assert (
        "paper.yaml" in done.stderr or "config/claims" in done.stderr
    )  # the folder of the small experiment has no claim files


def test_command_line_prints_the_files_of_a_table(tmp_path):
    done = command(
        "tabulate", "paper/table02", *("--to", tmp_path / "t.md"), *("--to", tmp_path / "t.csv"), folder=ROOT
    )
    assert done.stdout == f"written: {tmp_path}/t.{{md,csv}}\n"
    assert (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("name", ["paper/table03", "paper/table04"])
def test_rows_of_a_seed_are_those_of_its_run(name, tmp_path):
    """The first of five runs is left out, and another one, as after `gather --missing-allowed`."""
    (mainline,) = published_cubes_of(load_table(name))
    complete = written(name, [mainline], tmp_path).query("seed != 3")
    with_missing = written(name, [mainline.isel(run=[1, 2, 4])], tmp_path)
    ours = [column for column in complete.columns if column.startswith("ours")]
    pd.testing.assert_frame_equal(
        with_missing.query("seed != 3")[ours].reset_index(drop=True), complete[ours].reset_index(drop=True)
    )
    assert with_missing.query("seed == 3")[ours].isna().all(axis=None)
