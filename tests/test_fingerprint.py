"""The fingerprint of code: it changes only with code that can change results."""

from pathlib import Path

import pytest

from progress_measures import fingerprint
from progress_measures.experiments import load_experiment
from progress_measures.training.record import code_modules, code_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of modules in place of this one: `top` imports `middle`, which imports `low` inside a function."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    for cached in ("fingerprint", "_tree", "_tree_hash", "_imports"):
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


def test_families_of_measures_do_not_depend_on_each_other():
    """A change in one family measures that family again, and no other."""
    assert "progress_measures.measures.losses" not in fingerprint.reachable_modules(
        "progress_measures.measures.weights"
    )
    assert "progress_measures.fourier" in fingerprint.reachable_modules("progress_measures.measures.weights")
    assert "progress_measures.measures.checkpoint" in fingerprint.reachable_modules("progress_measures.cube.extract")


def test_training_does_not_depend_on_progress_messages_or_experiment_files():
    reached = fingerprint.reachable_modules("progress_measures.training.loop")
    assert "progress_measures.training.optimizer" in reached
    unrelated = ("progress_measures.experiments", "progress_measures.measures", "progress_measures.capabilities")
    assert {m for m in reached if m.startswith(unrelated)} == {fingerprint.DERIVED}
    assert "progress_measures.training.progress" not in reached


def test_facts_derived_from_settings_belong_to_the_code_that_trains_a_run():
    """`Run.split_seed`, `batch`, `one_layer` and `on_sequences` decide data and weights."""
    run = load_experiment("mainline").runs("mainline")[0]
    assert fingerprint.DERIVED in code_modules(run)
    assert fingerprint.fingerprint(*code_modules(run)) == code_of(run)
    assert fingerprint.reachable_modules(fingerprint.DERIVED) == {fingerprint.DERIVED}


def test_fingerprint_files_are_replaced_whole(package, tmp_path, monkeypatch):
    """Two parses of the Snakefile may read and write a file at once."""
    path = Path(fingerprint.write_fingerprint(tmp_path / "prints", "progress_measures.top"))
    before = path.stat().st_ino
    (package / "low.py").write_text("x = 4\n")
    fingerprint.write_fingerprint(tmp_path / "prints", "progress_measures.top")
    assert path.stat().st_ino != before
    assert list(path.parent.iterdir()) == [path]
