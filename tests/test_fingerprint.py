"""The fingerprint of code: it changes only with code that can change results."""

import shutil
from pathlib import Path

import pytest

from progress_measures import fingerprint
from progress_measures.catalog import Catalog
from progress_measures.experiments import load_experiment
from progress_measures.training.record import code_fingerprint, code_modules

CACHED = ("fingerprint", "statement_fingerprint", "tree", "_tree_hash", "imported_modules", "_bindings")
"""The cached functions of the module."""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of modules in place of this one: `top` imports `middle`, which imports `low` inside a function."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    for cached in CACHED:
        monkeypatch.setattr(fingerprint, cached, getattr(fingerprint, cached).__wrapped__)
    (tmp_path / "top.py").write_text("from progress_measures.middle import f\n\ndef g():\n    return f() + 1\n")
    (tmp_path / "middle.py").write_text("def f():\n    from progress_measures import low\n    return low.x\n")
    (tmp_path / "low.py").write_text('"""Low."""\n\nx = 1\n')
    (tmp_path / "other.py").write_text("y = 1\n")
    return tmp_path


def test_reached_modules_are_those_imported_directly_or_indirectly(package):
    assert fingerprint.reachable_modules("progress_measures.top") == {
        f"progress_measures.{m}" for m in ("top", "middle", "low")
    }


@pytest.mark.parametrize(
    ("module", "text", "changes"),
    [
        ("low", '"""Other words."""\n\nx = 1\n', False),
        ("low", "# a comment\nx   =   1\n", False),
        ("low", 'x = 1\n"""A number."""\n', False),
        ("low", '"""Low."""\n\nx = 2\n', True),
        ("other", "y = 2\n", False),
        ("low", '"""Low."""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\nx = 1\n', True),
        ("top", "from progress_measures.middle import f\n\ndef g():\n    return f() + 2\n", True),
    ],
)
def test_only_changed_code_changes_the_fingerprint(package, module, text, changes):
    before = fingerprint.fingerprint("progress_measures.top")
    (package / f"{module}.py").write_text(text)
    assert (fingerprint.fingerprint("progress_measures.top") != before) == changes


def test_imports_for_type_checkers_are_not_followed(package):
    (package / "top.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from progress_measures import other\n"
    )
    assert fingerprint.reachable_modules("progress_measures.top") == {"progress_measures.top"}


def test_files_are_rewritten_only_when_the_hash_changes(package, tmp_path):
    path = fingerprint.write_fingerprint(tmp_path / "prints", "progress_measures.top")
    first = (tmp_path / "prints/top.txt").stat().st_mtime_ns
    assert path == str(tmp_path / "prints/top.txt")
    (package / "low.py").write_text("x = 1  # the same\n")
    fingerprint.write_fingerprint(tmp_path / "prints", "progress_measures.top")
    assert (tmp_path / "prints/top.txt").stat().st_mtime_ns == first
    (package / "low.py").write_text("x = 3\n")
    fingerprint.write_fingerprint(tmp_path / "prints", "progress_measures.top")
    assert (tmp_path / "prints/top.txt").stat().st_mtime_ns > first


DECLARATIONS = """
import math
from progress_measures.middle import f
from progress_measures import other
from progress_measures.registry import figure

WIDTH = 2
UNUSED = 3

def helper(x):
    return x * WIDTH

figure("a/one", plot=f, title="One", caption="What it shows.")

@figure("a/two", title="Two")
def two(fig):
    '''What it shows.'''
    return helper(math.pi)

figure("a/three", plot=other.draw, title="Three")
"""
FIGURES = {"one", "two", "three"}


def of_each_figure():
    """Return the fingerprint of each figure of the module `several`, by name."""
    module = "progress_measures.several"
    return {
        call.args[0].value.removeprefix("a/"): fingerprint.statement_fingerprint(module, index)
        for index, statement in enumerate(fingerprint.tree(module).body)
        for call in fingerprint.declaring_calls(statement)
        if call.func.id == "figure"
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("several", '"One"', '"Another"', {"one"}),
        ("several", '"Three"', '"Another"', {"three"}),
        ("several", "math.pi", "math.e", {"two"}),
        ("several", "import math", "import cmath as math", {"two"}),
        ("several", "x * WIDTH", "WIDTH * x", {"two"}),
        ("several", "WIDTH = 2", "WIDTH = 1", {"two"}),
        ("several", "UNUSED = 3", "UNUSED = 4", set()),
        ("several", "What it shows.", "Other words.", set()),
        ("several", "def helper", "# a comment\n\ndef helper", set()),
        ("several", 'figure("a/one"', 'figure("a/new", plot=f)\nfigure("a/one"', set()),
        ("several", "UNUSED = 3", "figure.width = 3", FIGURES),
        ("several", "UNUSED = 3", "for n in (1, 2):\n    helper(n)", FIGURES),
        ("low", "x = 1", "x = 2", {"one"}),
        ("middle", "low.x", "low.x + 1", {"one"}),
        ("other", "y = 1", "y = 2", {"three"}),
        ("registry", "size = 1", "size = 2", FIGURES),
    ],
)
def test_changed_code_changes_the_figures_that_use_it_and_no_other(package, file, old, new, changed):
    (package / "registry.py").write_text("size = 1\n")
    (package / "several.py").write_text(DECLARATIONS)
    before, path = of_each_figure(), package / f"{file}.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    after = of_each_figure()
    assert {name for name in FIGURES if before[name] != after[name]} == changed


def forget():
    """Empty the caches of the module."""
    for cached in CACHED:
        getattr(fingerprint, cached).cache_clear()


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the modules of the package, from which fingerprints are computed."""
    copied = shutil.copytree(
        fingerprint.ROOT, tmp_path / "sources", ignore=shutil.ignore_patterns("web", "__pycache__")
    )
    monkeypatch.setattr(fingerprint, "ROOT", copied)
    yield copied
    forget()


def of_all_figures():
    """Return the fingerprints of all figures, by id, computed anew."""
    forget()
    figures = Catalog("figure", "progress_measures.figures", "draw", shared=("plots",))
    return {name: figures.fingerprint(name) for name in figures.ids()}


def changed_figures(sources, file, old, new):
    """Return the ids of the figures whose fingerprint changes with a text of a file."""
    before, path = of_all_figures(), sources / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    after = of_all_figures()
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("figures/notebooks.py", 'wave="cos"', 'wave="sin"', {"demo/18_key_cos", "subtraction/19_key_cos"}),
        ("figures/demo.py", "neuron=5", "neuron=6", {"demo/25_neuron5_2d"}),
        (
            "figures/mod_addition.py",
            "UNEMBEDDING_ROW = 4",
            "UNEMBEDDING_ROW = 5",
            {"mod_addition/21_W_U_row", "mod_addition/22_W_U_fourier"},
        ),
        ("figures/paper/fig07.py", "(6.8, 5.2)", "(6.8, 5.3)", {"paper/fig07"}),
        (
            "figures/plots/integer_plots.py",
            "lw=1, label",
            "lw=2, label",
            {f"integer_addition/{name}" for name in ("04_pc1", "06_pc2", "09_top3_post", "10_top3_pre")},
        ),
    ],
)
def test_changed_declaration_or_drawing_changes_its_figures_and_no_other(sources, file, old, new, changed):
    assert changed_figures(sources, file, old, new) == changed


def test_changed_style_changes_the_figures_that_use_it(sources):
    changed = changed_figures(sources, "figures/plots/style.py", '"train": "#0072B2"', '"train": "#0072B3"')
    assert {"paper/fig07", "demo/18_key_cos", "demo/19_interference", "mod_addition/23_excluded"} <= changed


def test_families_of_measures_do_not_depend_on_each_other():
    """A change in one family measures that family again, and no other."""
    assert "progress_measures.measures.losses" not in fingerprint.reachable_modules(
        "progress_measures.measures.weights"
    )
    assert "progress_measures.fourier" in fingerprint.reachable_modules("progress_measures.measures.weights")
    assert "progress_measures.measures.checkpoint" in fingerprint.reachable_modules("progress_measures.cube.extract")


def test_training_does_not_depend_on_progress_messages_or_experiment_files():
    run = load_experiment("mainline").runs("mainline")[0]
    reached = fingerprint.reachable_modules(*code_modules(run))
    assert "progress_measures.training.optimizers.base" in reached
    assert "progress_measures.training.optimizers.muon" not in reached, (
        "mainline networks do not depend on other optimizers"
    )
    unrelated = ("progress_measures.experiments", "progress_measures.measures", "progress_measures.capabilities")
    assert {m for m in reached if m.startswith(unrelated)} == {fingerprint.DERIVED}
    assert "progress_measures.training.progress" not in reached


def test_facts_derived_from_settings_belong_to_the_code_that_trains_a_run():
    """`Run.split_seed`, `batch`, `closed_form` and `on_sequences` decide data and weights."""
    run = load_experiment("mainline").runs("mainline")[0]
    assert fingerprint.DERIVED in code_modules(run)
    assert fingerprint.fingerprint(*code_modules(run)) == code_fingerprint(run)
    assert fingerprint.reachable_modules(fingerprint.DERIVED) == {fingerprint.DERIVED}


def test_fingerprint_files_are_replaced_whole(package, tmp_path, monkeypatch):
    """Two parses of the Snakefile may read and write a file at once."""
    path = Path(fingerprint.write_fingerprint(tmp_path / "prints", "progress_measures.top"))
    before = path.stat().st_ino
    (package / "low.py").write_text("x = 4\n")
    fingerprint.write_fingerprint(tmp_path / "prints", "progress_measures.top")
    assert path.stat().st_ino != before
    assert list(path.parent.iterdir()) == [path]
