"""The packages: every import runs against the way that data takes."""

from progress_measures.pages.packages import PACKAGES, PAGE, design_page, flowchart, package_imports, upward_imports
from support import ROOT


def test_no_package_imports_a_later_one():
    """With an order in which no import leads to a later package, there is no cycle."""
    assert upward_imports() == []


def test_an_upward_import_is_found(monkeypatch):
    monkeypatch.setattr("progress_measures.pages.packages.PACKAGES", tuple(reversed(PACKAGES)))
    assert ("cube", "measures") in upward_imports()


def test_the_drawing_shows_every_import_as_a_path():
    arrows = [line.split(" --> ") for line in flowchart().splitlines() if "-->" in line]
    direct = {package: {other for start, other in arrows if start.strip() == package} for package in PACKAGES}

    def reachable(package):
        return set().union(direct[package], *(reachable(other) for other in direct[package]))

    for package, others in package_imports().items():
        assert others <= reachable(package), package


def test_the_design_page_has_the_current_drawing(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert PAGE.read_text() == design_page(), "docs/design.md is stale: run `make format`"
