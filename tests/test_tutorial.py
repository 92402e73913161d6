"""The tutorial notebook runs from top to bottom, and its outputs are those that its text states."""

import base64
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from progress_measures.paths import published_cube
from support import ROOT
from support.documentation import site_hooks

TUTORIAL = ROOT / "docs/tutorial.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, executed with only the published cubes."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "published").symlink_to(ROOT / "published")
    shutil.copytree(ROOT / "config", folder / "config")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return notebook


def output_of(notebook, source):
    """Return the output of the cell that contains a line of code."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    return "".join(output.get("data", {}).get("text/plain", output.get("text", "")) for output in cell.outputs)


def test_tutorial_on_the_site_shows_its_outputs(monkeypatch):
    """The client is replaced: other tests execute the notebook."""
    stream = nbformat.v4.new_output("stream", name="stdout", text="57\n")
    warning = nbformat.v4.new_output("stream", name="stderr", text="a warning")
    picture = nbformat.v4.new_output(
        "display_data", data={"text/plain": "<Figure>", "image/png": base64.b64encode(b"pixels").decode()}
    )
    result = nbformat.v4.new_output("execute_result", data={"text/plain": "(1, 2)", "text/html": "<b>no</b>"})

    class Client:
        def __init__(self, notebook, **options):
            assert sorted(path.name for path in Path(options["resources"]["metadata"]["path"]).iterdir()) == [
                "config",
                "published",
            ]
            self.notebook = notebook

        def execute(self):
            code = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
            code[0].outputs, code[1].outputs = [stream, warning, picture], [result]

    hooks = site_hooks()
    monkeypatch.setattr(hooks, "NotebookClient", Client)
    text, pictures = hooks.executed_notebook(TUTORIAL)
    first, second = [cell.source for cell in nbformat.read(TUTORIAL, as_version=4).cells if cell.cell_type == "code"][
        :2
    ]
    assert f"```python\n{first}\n```\n\n```text\n57\n```\n\n![Output of the cell above](tutorial-1.png)" in text
    assert f"{second}\n```\n\n```text\n(1, 2)\n```" in text
    assert pictures == {"tutorial-1.png": b"pixels"}
    assert "a warning" not in text


def test_notebook_is_committed_without_outputs():
    notebook = nbformat.read(TUTORIAL, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_notebook_runs_and_shows_the_stated_numbers(executed):
    assert (ROOT / published_cube("mainline")).exists()
    assert "Restricted loss" in output_of(executed, "cube.restricted_loss.attrs")
    assert output_of(executed, "cluster_size") == "{1: 57, 5: 82, 7: 97, 29: 105}"
    assert output_of(executed, "run_with_cache").endswith("1.0")
    computed, from_cube = eval(output_of(executed, "float(excluded_loss(checkpoint))"))
    assert computed == pytest.approx(from_cube, rel=1e-5)


def test_new_measure_is_added_to_the_cube(executed):
    values = [float(word) for word in re.findall(r"\d\.\d*", output_of(executed, "cube.assign("))]
    assert len(values) == 7
    assert values == sorted(values, reverse=True), "the measure decreases during training"
    assert values[0] > 0.1
    assert values[-1] < 1e-3
