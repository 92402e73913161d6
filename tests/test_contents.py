"""What a newcomer prints: the table of a cube's variables, a run, its history, and `describe`."""

import numpy as np
import pytest
import xarray as xr

from progress_measures import contents, open_cube, open_run
from progress_measures.errors import UserError
from progress_measures.measures import measures
from progress_measures.plain_text import text_table


def test_variables_are_sorted_by_family():
    names = list(open_cube("mainline", published=True).data_vars)
    families = [measures()[name].family for name in names if name in measures()]
    assert families == sorted(families)
    assert all(name.startswith("history_") for name in names[len(families) :])
    assert names.index("restricted_loss") < names.index("restricted_loss_train") < names.index("restricted_accuracy")


def test_contents_lists_name_meaning_dimensions_and_units(capsys):
    cube = open_cube("mainline", published=True)
    contents(cube, "Restricted")
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "meaning", "dimensions", "units"]
    assert set(rule) == {"-", " "}
    assert "restricted_loss_train      Restricted loss on training pairs      run epoch   nat" in rows
    assert [row.split()[0] for row in rows] == [name for name in cube.data_vars if "restricted" in name]
    contents(cube)
    printed = capsys.readouterr().out
    assert all(f"{name} " in printed for name in cube.data_vars)
    with pytest.raises(UserError, match=r"No variable of the cube has 'gravity'"):
        contents(cube, "gravity")


def test_table_wraps_long_cells_and_titles():
    text = text_table(("run", "end of it"), [("a", "1,000"), ("seed1", " ".join(["word"] * 20))])
    assert text.splitlines()[:3] == ["run    end of it", f"-----  {'-' * 44}", "a      1,000"]
    assert [line.split() for line in text.splitlines()[3:]] == [
        ["seed1"] + ["word"] * 9,
        ["word"] * 9,
        ["word"] * 2,
    ]
    narrow = text_table(("run", "circuit formation ends"), [("a", "1"), ("b", "22")], align_right=True)
    assert narrow.splitlines() == [
        "run    circuit",
        "     formation",
        "          ends",
        "---  ---------",
        "a            1",
        "b           22",
    ]


def test_run_prints_its_settings_and_weights():
    run = open_run("weight_decay", "weight_decay0.3_seed1", published=True)
    lines = repr(run).splitlines()
    assert lines[0] == "Run weight_decay0.3_seed1 of weight_decay"
    assert "weight_decay=0.3" in lines[1].split()
    assert "seed=1" in lines[1].split()
    assert lines[2].split(maxsplit=1)[1] == f"at {len(run.epochs)} epochs: {', '.join(map(str, run.epochs))}"
    assert all(hasattr(type(run), word.strip(".").partition("(")[0]) for word in lines[3].split()[1:])


def test_run_without_weights_prints_the_reason(tmp_path, monkeypatch):
    run = open_run("mainline")
    monkeypatch.setattr("progress_measures.cube.open.published_weights", lambda _: tmp_path / "missing.zip")
    monkeypatch.setattr("progress_measures.cube.open.runs_folder", lambda _: tmp_path)
    assert "No weights of mainline/seed0" in repr(run)


def test_history_of_a_published_run_is_that_of_its_training(results, tmp_path, monkeypatch):
    monkeypatch.chdir(results)
    history = open_run("small", 1).history
    cube = open_cube("small")
    for name, values in history.data_vars.items():
        xr.testing.assert_equal(values, cube[name].sel(run="seed1").reset_coords(drop=True))
        assert values.attrs == cube[name].attrs
    monkeypatch.setattr("progress_measures.cube.open.runs_folder", lambda _: tmp_path)
    with pytest.raises(UserError, match=r"No history of small/seed1 in \S*small\.zarr\.zip or \S*history\.zarr: train"):
        len(open_run("small", 1).history)
    monkeypatch.setattr("progress_measures.cube.open.published_cube", lambda _: results / "results/small/cube.zarr")
    xr.testing.assert_identical(open_run("small", 1).history, history)
    assert np.isfinite(history.history_test_loss).all()
