"""What the project is made of, what it says to others, and what it reads and writes: nothing that was not asked for."""

import ast
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from progress_measures.cli import app
from support.checkout import Checkout
from support.experiments import folder_with
from support.processes import commands

ROOT = Path(__file__).parents[1]
PYTHON = [
    *(path for folder in ("src", "tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "docs/hooks.py",
]
SNAKEFILES = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]

# ---- what it is made of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
OWN = PROJECT["project"]["name"]
HASH = re.compile(r"sha256:[0-9a-f]{64}")

NOT_IMPORTED = {
    "ipykernel": ("tests/test_tutorial.py", 'kernel_name="python3"'),
    "jinja2": ("src/progress_measures/tables/writing.py", "to_latex"),
    "mkdocs-material": ("mkdocs.yml", "name: material"),
    "mypy": ("Makefile", "$(BIN)/mypy"),
    "pytest-xdist": ("Makefile", "--numprocesses"),
    "ruff": ("Makefile", "$(BIN)/ruff"),
    "snakefmt": ("Makefile", "$(BIN)/snakefmt"),
    "snakemake-executor-plugin-slurm": ("profiles/slurm/config.yaml", "executor: slurm"),
    "tabulate": ("src/progress_measures/tables/writing.py", "to_markdown"),
    "types-psutil": ("Makefile", "$(BIN)/mypy"),
    "types-pyyaml": ("Makefile", "$(BIN)/mypy"),
}
"""Dependencies that no code names, and where they are used: a file, and what stands in it."""


def declared(requirements):
    """Names of distributions."""
    return {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in requirements}


RUNTIME, DEV = declared(PROJECT["project"]["dependencies"]), declared(PROJECT["dependency-groups"]["dev"])


DISTRIBUTIONS = functools.cache(importlib.metadata.packages_distributions)
OURS = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"progress_measures"}


@functools.cache
def imports(path):
    """The distributions that a file of code imports."""
    text = path.read_text(encoding="utf-8")
    if path in SNAKEFILES:  # Python but for its rules
        text = "\n".join(re.findall(r"^(?:from [\w.]+ import \w+|import [\w.]+)", text, re.M))
    modules = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module)
    foreign = {module.partition(".")[0] for module in modules} - OURS - set(sys.stdlib_module_names)
    return {name.lower().replace("_", "-") for module in foreign for name in DISTRIBUTIONS()[module]}


def imported(paths):
    """The distributions that files of code import, each with one that does."""
    return {name: path for path in paths for name in imports(path)}


def test_every_locked_file_has_a_hash_and_comes_from_pypi():
    files = 0
    for package in LOCK:
        if package["name"] == OWN:
            assert package["source"] == {"editable": "."}
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        artifacts = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert artifacts, package["name"]
        for artifact in artifacts:
            assert artifact["url"].startswith("https://files.pythonhosted.org/"), artifact["url"]
            assert HASH.fullmatch(artifact["hash"]), artifact["url"]
        files += len(artifacts)
    assert files > 1000


def test_every_declared_package_is_locked():
    assert {package["name"] for package in LOCK} >= RUNTIME | DEV


def test_what_the_code_imports_is_declared():
    of_users = imported([path for path in PYTHON if ROOT / "src" in path.parents] + SNAKEFILES)
    assert {name: path for name, path in of_users.items() if name not in RUNTIME} == {}
    of_developers = imported(PYTHON)
    assert {name: path for name, path in of_developers.items() if name not in RUNTIME | DEV} == {}


def test_what_is_declared_is_used():
    assert set(imported(PYTHON + SNAKEFILES)) | set(NOT_IMPORTED) == RUNTIME | DEV
    for name, (path, words) in NOT_IMPORTED.items():
        assert words in (ROOT / path).read_text(encoding="utf-8"), f"{name} is no longer used in {path}"


# ---- formats that run nothing when they are read

WRITES_PICKLES = {
    ("exporting.py", "torch.save"): "files for TransformerLens, which reads its state dicts from these",
}
"""Where the project writes pickles, and why. submitit writes others: its jobs, in the folder of a Slurm training."""

FORBIDDEN = re.compile(
    r"(pickle|cPickle|dill|cloudpickle|joblib|marshal)\.(dumps?|loads?|Pickler|Unpickler)|shelve\.\w+|torch\.save"
    r"|pandas\.read_pickle|yaml\.(unsafe_load|full_load)(_all)?|.*\.to_pickle"
)
SAFE = {"yaml.SafeLoader", "yaml.CSafeLoader", "_Loader"}
"""`_Loader` is that of `yaml_files`, a stricter safe one, as a test asserts."""


def names_in(tree):
    """What imported names stand for: `np` for numpy, `load` for torch.load."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def risky_calls(text):
    """Calls by which code could be run that a file holds, or is put there."""
    tree = ast.parse(text)
    names = names_in(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        first, dot, rest = ast.unparse(call.func).partition(".")
        function = names.get(first, first) + dot + rest
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if (
            FORBIDDEN.fullmatch(function)
            or (function == "torch.load" and given.get("weights_only") != "True")
            or (re.fullmatch(r"numpy\.(load|savez?(_compressed)?)", function) and given.get("allow_pickle") != "False")
            or (re.fullmatch(r"yaml\.load(_all)?", function) and given.get("Loader") not in SAFE)
        ):
            yield function


SOURCES = sorted((ROOT / "src").rglob("*.py"))


def test_our_loader_of_yaml_is_a_safe_one():
    from progress_measures.yaml_files import _Loader

    assert issubclass(_Loader, yaml.constructor.SafeConstructor)
    assert not issubclass(_Loader, yaml.constructor.FullConstructor)


def test_files_are_read_and_written_without_pickles():
    found = {(path.name, call) for path in SOURCES for call in risky_calls(path.read_text(encoding="utf-8"))}
    assert found == set(WRITES_PICKLES)


def test_the_workflow_itself_has_no_library_that_reads_or_writes():
    assert set(imported(SNAKEFILES)) == {"snakemake"}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle; pickle.dump(x, file)",
        "from pickle import loads; loads(x)",
        "import torch; torch.save(x, path)",
        "import torch as t; t.load(path)",
        "from torch import load; load(path, weights_only=False)",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.savez(path, allow_pickle=True, x=x)",
        "from numpy import save; save(path, x)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "import yaml; yaml.unsafe_load(text)",
        "frame.to_pickle(path)",
    ],
)
def test_a_risky_call_is_noticed(text):
    assert list(risky_calls(text))


# ---- no other machine is spoken with

LINES = [
    "runs",
    "plan small",
    "dataset small",
    "train small",
    "jobs",
    "watch small --once",
    "cancel small",
    "measure small",
    "gather small",
    "describe small",
    "draw paper/fig05 --experiment small --to fig05.png",
    "draw paper/fig07 --experiment small --to page.html",
    "tabulate paper/table01 --experiment small --to table01.md",
    "claims --cubes results",
    "explore small --no-open --out explorer.html",
    "publish small",
    "export small --to theirs.pth",
    "import theirs.pth --out results/theirs",
]
"""What people do, all verbs but those below."""

NOT_TRIED = {"bench": "times for minutes what `train` and `measure` do", "schema": "writes files of the repository"}


class Offline:
    """Pythons that refuse to speak with other machines: their environment, and what they note."""

    def __init__(self, folder):
        self.folder = folder
        path = os.pathsep.join([str(ROOT / "tests/offline"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        self.environment = {"PYTHONPATH": path, "OFFLINE": str(folder)}

    def noted(self, name):
        """What was noted: the processes that were `guarded`, or their `attempts`."""
        return (self.folder / name).read_text() if (self.folder / name).exists() else ""


def without_network():
    """What starts a program where there is no network, so that libraries in C find none either; nothing if not allowed."""
    line = ["unshare", "--net"]
    allowed = (
        shutil.which(line[0]) and subprocess.run([*line, "true"], capture_output=True, check=False).returncode == 0
    )
    return line if allowed else []


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which every verb was run, and what was tried to reach."""
    folder = folder_with(tmp_path_factory.mktemp("offline"), epochs=40)
    (folder / "config/claims").symlink_to(ROOT / "config/claims")
    offline = Offline(folder)
    commands(*LINES, folder=folder, within=tuple(without_network()), **offline.environment)
    return offline


def test_every_verb_is_tried():
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {line.split()[0] for line in LINES} | set(NOT_TRIED) == verbs


def test_no_verb_speaks_with_another_machine(done):
    assert "progress_measures.training.launcher" in done.noted("guarded"), "no worker was looked at"
    assert done.noted("attempts") == ""


def test_the_workflow_speaks_with_no_other_machine(tmp_path):
    checkout, offline = Checkout(tmp_path), Offline(tmp_path)
    checkout.environment |= offline.environment
    checkout.make("-c1", "results/quickstart/dataset.zarr")
    assert "progress-measures dataset" in offline.noted("guarded"), "no job was looked at"
    assert offline.noted("attempts") == ""


@pytest.mark.parametrize(
    "attempt",
    ["urllib.request.urlopen('https://example.org')", "socket.create_connection(('192.0.2.1', 80), 1)",
     "socket.gethostbyname('example.org')", "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))"],
)  # fmt: skip
def test_an_attempt_is_refused_and_noted(tmp_path, attempt):
    offline = Offline(tmp_path)
    line = [sys.executable, "-c", f"import socket, urllib.request; {attempt}"]
    environment = os.environ | offline.environment
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "no network here" in ended.stderr
    assert re.search(r"example\.org|192\.0\.2\.1", offline.noted("attempts"))


def test_what_was_written_is_no_pickle_but_the_export(done):
    pickles = [path for path in done.folder.rglob("*") if path.is_file() and is_pickle(path)]
    assert pickles == [done.folder / "theirs.pth"]


def is_pickle(path):
    """Whether a file begins as a pickle does, or is an archive that has one in it."""
    content = path.read_bytes()
    return re.match(rb"\x80[\x02-\x05]", content) is not None or (content[:2] == b"PK" and b".pkl" in content)


# ---- pages


class Loads(HTMLParser):
    """What a page loads, as it says in its tags and styles."""

    ATTRIBUTES = ("src", "srcset", "poster", "data", "action")

    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.found |= {given[name] for name in self.ATTRIBUTES if given.get(name)}
        if tag in ("link", "image", "use", "base") and given.get("href"):
            self.found.add(given["href"])
        self._style(given.get("style") or "")

    def handle_data(self, text):
        if self.cdata_elem == "style":
            self._style(text)

    def _style(self, text):
        for imported, other in re.findall(r"@import\s+[\"']([^\"']+)|url\(\s*[\"']?([^\"')]+)", text):
            self.found.add(imported or other)

    @property
    def foreign(self):
        """Those of other machines."""
        return {address for address in self.found if re.match(r"\s*(\w+:)?//", address)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation's site, with what figures there are."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_pages_of_figures_and_the_explorer_load_nothing_foreign(done):
    for name in ("page.html", "explorer.html"):
        assert Loads((done.folder / name).read_text(encoding="utf-8")).foreign == set(), name


def test_the_site_loads_nothing_foreign(site):
    pages, styles = [*site.rglob("*.html")], [*site.rglob("*.css")]
    assert len(pages) > 50
    for page in pages:
        assert Loads(page.read_text(encoding="utf-8")).foreign == set(), page
    for style in styles:
        assert Loads(f"<style>{style.read_text(encoding='utf-8')}</style>").foreign == set(), style


@pytest.mark.parametrize(
    "text",
    ['<script src="https://cdn.plot.ly/plotly.js"></script>', '<link rel="stylesheet" href="//fonts.example/a.css">',
     "<style>@import 'http://example.org/a.css';</style>",
     "<style>@import url('//fonts.example/a.css');</style>", '<p style="background: url(https://example.org/a.png)">'],
)  # fmt: skip
def test_a_foreign_load_is_noticed(text):
    assert Loads(text).foreign


@pytest.mark.browser
def test_a_browser_asks_no_other_machine_for_a_page(done, site, browser):
    of_figures = [done.folder / "page.html", done.folder / "explorer.html"]
    for page in (*of_figures, site / "index.html", site / "gallery/paper.html"):
        asked, opened = [], browser.new_page()
        opened.on("request", lambda request, asked=asked: asked.append(request.url))
        opened.goto(page.as_uri(), wait_until="networkidle")
        opened.close()
        assert asked
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == [], page
