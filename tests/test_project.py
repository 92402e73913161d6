"""The repository: consistent versions, valid links and commands in its pages, small published files."""

import ast
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

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


LINK = re.compile(r'(?:(?<!\\)\]\(|(?:href|src)=")([^)"#:\s]*)(?:#([^)"\s]*))?(?: "[^"]*")?[)"]')


def anchors(page):
    """Return the anchors of a page: those that GitHub makes of its headings, and ids."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
    return slugs | set(re.findall(r' id="([^"]+)"', text))


@pytest.mark.parametrize(
    "page",
    ["README.md", "CONTRIBUTING.md", "results/README.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))],
)
def test_links_have_targets_in_a_clone(page):
    """A page that only the site has is no target: on GitHub and in a clone, a link to it would be dead."""
    path = ROOT / page
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    for target, anchor in LINK.findall(text):
        file = path.parent / target if target else path
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}#{anchor}"


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()))
    assert named <= targets
    assert {"quickstart", "test", "bench"} <= named


def test_published_files_are_small():
    for path in (ROOT / "published").glob("*.zip"):
        assert path.stat().st_size <= 12_000_000, path


def test_readme_says_how_large_a_clone_is():
    """Within a fifth; the history counts where it is whole."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    fetched, taken, fetched_shallow, taken_shallow = map(
        int,
        re.search(
            r"A clone fetches (\d+) MB and takes (\d+) MB on\s+disk; with `git clone --depth 1`, it fetches (\d+) MB and takes "
            r"(\d+) MB",
            (ROOT / "README.md").read_text(),
        ).groups(),
    )

    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    files = sum(int(line.split()[3]) for line in git("ls-tree", "-r", "-l", "HEAD").splitlines()) / 1e6
    shallow = int(git("rev-list", "--disk-usage", "--objects", "--no-walk", "HEAD")) / 1e6
    assert fetched_shallow == pytest.approx(shallow, rel=0.2)
    assert taken_shallow == pytest.approx(shallow + files, rel=0.2)
    if git("rev-parse", "--is-shallow-repository").strip() == "false":
        whole = int(git("rev-list", "--disk-usage", "--objects", "HEAD")) / 1e6
        assert fetched == pytest.approx(whole, rel=0.2)
        assert taken == pytest.approx(whole + files, rel=0.2)


def test_no_two_classes_have_one_name():
    files = (ROOT / "src").rglob("*.py")
    names = Counter(
        node.name for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


DECLARED_BY = ("figure", "table", "measure", "quantity", "command", "callback")
"""Decorators whose functions have a docstring for users: a caption, a description or a help text."""


def public_functions(body, class_name=""):
    """Yield the public functions and methods in the body of a module or class, with the name of the class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, node.name)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            calls = [call for call in node.decorator_list if isinstance(call, ast.Call)]
            if not any(ast.unparse(call.func).rpartition(".")[2] in DECLARED_BY for call in calls):
                yield class_name, node


def test_public_functions_document_their_arguments_and_results():
    """A method that another class of the project documents, such as `labels` of a task, may have one line."""
    documented, lacking = set(), []
    for file in sorted((ROOT / "src").rglob("*.py")):
        for class_name, function in public_functions(ast.parse(file.read_text()).body):
            arguments = [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]
            if len([name for name in arguments if name not in ("self", "cls")]) < 2:
                continue
            text = ast.get_docstring(function) or ""
            returns = function.returns is not None and ast.unparse(function.returns) != "None"
            is_complete = "Args:" in text and (
                not returns
                or "Returns:" in text
                or "Yields:" in text
                or text.startswith(("Return", "Compute", "Yield"))
            )
            documented |= {function.name} if is_complete and class_name else set()
            lacking += [] if is_complete else [(file.stem, class_name, function.name)]
    assert [entry for entry in lacking if not (entry[1] and entry[2] in documented)] == []
