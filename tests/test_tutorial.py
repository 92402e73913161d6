"""The tutorial notebook runs from top to bottom, and shows what it says."""

import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from progress_measures.paths import published_cube
from support import ROOT

TUTORIAL = ROOT / "docs/tutorial.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook's cells with what they print, run beside the published cubes alone."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "published").symlink_to(ROOT / "published")
    shutil.copytree(ROOT / "config", folder / "config")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return notebook


def said(notebook, source):
    """What the cell that contains a line of code shows."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    return "".join(output.get("data", {}).get("text/plain", output.get("text", "")) for output in cell.outputs)


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(TUTORIAL, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_it_runs_and_shows_what_it_says(executed):
    assert (ROOT / published_cube("mainline")).exists()
    assert "Restricted loss" in said(executed, "cube.restricted_loss.attrs")
    assert said(executed, "cluster_size") == "{1: 57, 5: 82, 7: 97, 29: 105}"
    assert said(executed, "run_with_cache").endswith("1.0")
    mine, the_cubes = eval(said(executed, "float(excluded_loss(view))"))
    assert mine == pytest.approx(the_cubes, rel=1e-5)


def test_a_measure_of_ones_own_joins_the_cube(executed):
    values = [float(word) for word in re.findall(r"\d\.\d*", said(executed, "cube.assign("))]
    assert len(values) == 7
    assert values == sorted(values, reverse=True), "it falls all the way"
    assert values[0] > 0.1
    assert values[-1] < 1e-3
