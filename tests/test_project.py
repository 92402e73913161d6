"""The repository: consistent versions, valid links and commands in its pages, small published files."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from progress_measures.pages.gallery import gallery_pages
from progress_measures.pages.measures_page import reference_pages

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_has_few_packages_and_the_same_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(line for line in environment["dependencies"] if line.startswith("python"))
    assert python == f"python{PROJECT['requires-python']}"
    assert set(environment["dependencies"]) - {python} == {"uv", "git", "make"}


def test_versions_agree():
    import progress_measures

    assert progress_measures.__version__ == PROJECT["version"]
    assert f"version: {PROJECT['version']}" in (ROOT / "CITATION.cff").read_text()


# Pages that are generated from the code and exist only in the site.
GENERATED = {*reference_pages(), *gallery_pages()}


@pytest.mark.parametrize(
    "page", ["README.md", "results/README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_links_have_targets(page):
    path = ROOT / page
    for target in re.findall(r"(?<!\\)\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists() or target in GENERATED, target


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()))
    assert named <= targets
    assert {"quickstart", "test", "bench"} <= named


def test_published_files_are_small():
    for path in (ROOT / "published").glob("*.zip"):
        assert path.stat().st_size <= 12_000_000, path
