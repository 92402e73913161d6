"""Supply chain and safety: locked dependencies, files that run no code, and no connections to other machines."""

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
    *sorted((ROOT / "docs").glob("*.py")),
]
SNAKEFILES = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]

# ---- dependencies

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
PROJECT_NAME = PROJECT["project"]["name"]
HASH = re.compile(r"sha256:[0-9a-f]{64}")

NOT_IMPORTED = {
    "codespell": ("Makefile", "$(BIN)/codespell"),
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
"""Dependencies that no code imports, and where each is used: a file, and a text in it."""


def distribution_names(requirements):
    """Return the names of the distributions in requirements."""
    return {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in requirements}


RUNTIME, DEV = (
    distribution_names(PROJECT["project"]["dependencies"]),
    distribution_names(PROJECT["dependency-groups"]["dev"]),
)


DISTRIBUTIONS = functools.cache(importlib.metadata.packages_distributions)
PROJECT_MODULES = {path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")} | {
    "progress_measures",
    "support",
}


@functools.cache
def imports(path):
    """Return the distributions that a file imports."""
    text = path.read_text(encoding="utf-8")
    if path in SNAKEFILES:  # a Snakefile is Python except for its rules
        text = "\n".join(re.findall(r"^(?:from [\w.]+ import \w+|import [\w.]+)", text, re.M))
    modules = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module)
    foreign = {module.partition(".")[0] for module in modules} - PROJECT_MODULES - set(sys.stdlib_module_names)
    return {name.lower().replace("_", "-") for module in foreign for name in DISTRIBUTIONS()[module]}


def imported(paths):
    """Return the distributions that files import, each with one importing file."""
    return {name: path for path in paths for name in imports(path)}


def test_every_locked_file_has_a_hash_and_comes_from_pypi():
    files = 0
    for package in LOCK:
        if package["name"] == PROJECT_NAME:
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


def test_every_import_is_declared():
    by_users = imported([path for path in PYTHON if ROOT / "src" in path.parents] + SNAKEFILES)
    assert {name: path for name, path in by_users.items() if name not in RUNTIME} == {}
    by_developers = imported(PYTHON)
    assert {name: path for name, path in by_developers.items() if name not in RUNTIME | DEV} == {}


def test_every_declared_package_is_used():
    assert set(imported(PYTHON + SNAKEFILES)) | set(NOT_IMPORTED) == RUNTIME | DEV
    for name, (path, text) in NOT_IMPORTED.items():
        assert text in (ROOT / path).read_text(encoding="utf-8"), f"{name} is no longer used in {path}"


# ---- files that run no code when they are read

WRITES_PICKLES = {
    ("export.py", "torch.save"): "files for TransformerLens, which reads its state dicts from these",
}
"""Where the project writes pickles, and why. submitit also writes its jobs as pickles, in the folder of a training."""

FORBIDDEN = re.compile(
    r"(pickle|cPickle|dill|cloudpickle|joblib|marshal)\.(dumps?|loads?|Pickler|Unpickler)|shelve\.\w+|torch\.save"
    r"|pandas\.read_pickle|yaml\.(unsafe_load|full_load)(_all)?|.*\.to_pickle"
)
SAFE = {"yaml.SafeLoader", "yaml.CSafeLoader", "_Loader"}
"""`_Loader` is the loader of `yaml_files`, which a test asserts to be safe."""


def full_names(tree):
    """Return the meaning of imported names, such as numpy for `np` and torch.load for `load`."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def risky_calls(text):
    """Yield the calls that could run code from a file, or write a file that runs code."""
    tree = ast.parse(text)
    names = full_names(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        first, dot, rest = ast.unparse(call.func).partition(".")
        function = names.get(first, first) + dot + rest
        arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if (
            FORBIDDEN.fullmatch(function)
            or (function == "torch.load" and arguments.get("weights_only") != "True")
            or (
                re.fullmatch(r"numpy\.(load|savez?(_compressed)?)", function)
                and arguments.get("allow_pickle") != "False"
            )
            or (re.fullmatch(r"yaml\.load(_all)?", function) and arguments.get("Loader") not in SAFE)
        ):
            yield function


SOURCES = sorted((ROOT / "src").rglob("*.py"))


def test_yaml_loader_is_safe():
    from progress_measures.yaml_files import _Loader

    assert issubclass(_Loader, yaml.constructor.SafeConstructor)
    assert not issubclass(_Loader, yaml.constructor.FullConstructor)


def test_files_are_read_and_written_without_pickles():
    calls = {(path.name, call) for path in SOURCES for call in risky_calls(path.read_text(encoding="utf-8"))}
    assert calls == set(WRITES_PICKLES)


def test_workflow_imports_no_library_that_reads_or_writes_files():
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
def test_risky_calls_are_found(text):
    assert list(risky_calls(text))


# ---- no connections to other machines

COMMAND_LINES = [
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
    "edit small --function edit.py:halved --to edited.safetensors",
    "import theirs.pth --out results/theirs --accept-doubtful",
]
"""Commands that use every verb except those of `NOT_TRIED`."""

NOT_TRIED = {"schema": "writes files of the repository", "bench": "takes minutes"}


class Offline:
    """The environment of Python processes that cannot connect to other machines, and the records that they write."""

    def __init__(self, folder):
        self.folder = folder
        path = os.pathsep.join([str(ROOT / "tests/offline"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        self.environment = {"PYTHONPATH": path, "OFFLINE": str(folder)}

    def records(self, name):
        """Return the recorded processes, `guarded`, or their connections, `attempts`."""
        return (self.folder / name).read_text() if (self.folder / name).exists() else ""


def without_network():
    """Return a command that starts a program without a network, also for libraries in C; empty if that is not permitted."""
    line = ["unshare", "--net"]
    permitted = (
        shutil.which(line[0]) and subprocess.run([*line, "true"], capture_output=True, check=False).returncode == 0
    )
    return line if permitted else []


@pytest.fixture(scope="module")
def verbs_offline(tmp_path_factory):
    """A folder in which every verb ran offline, with its records."""
    folder = folder_with(tmp_path_factory.mktemp("offline"), epochs=40)
    (folder / "config/claims").symlink_to(ROOT / "config/claims")
    (folder / "edit.py").write_text(
        "def halved(weights):\n    return {name: tensor / 2 for name, tensor in weights.items()}\n"
    )
    offline = Offline(folder)
    commands(*COMMAND_LINES, folder=folder, prefix=tuple(without_network()), **offline.environment)
    return offline


def test_every_verb_is_tried():
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {line.split()[0] for line in COMMAND_LINES} | set(NOT_TRIED) == verbs


def test_no_verb_connects_to_another_machine(verbs_offline):
    assert "progress_measures.training.launcher" in verbs_offline.records("guarded"), "no worker was restricted"
    assert verbs_offline.records("attempts") == ""


def test_workflow_connects_to_no_other_machine(tmp_path):
    checkout, offline = Checkout(tmp_path), Offline(tmp_path)
    checkout.environment |= offline.environment
    checkout.make("-c1", "results/quickstart/dataset.zarr")
    assert "progress-measures dataset" in offline.records("guarded"), "no job was restricted"
    assert offline.records("attempts") == ""


@pytest.mark.parametrize(
    "attempt",
    ["urllib.request.urlopen('https://example.org')", "socket.create_connection(('192.0.2.1', 80), 1)",
     "socket.gethostbyname('example.org')", "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))"],
)  # fmt: skip
def test_connection_is_refused_and_recorded(tmp_path, attempt):
    offline = Offline(tmp_path)
    line = [sys.executable, "-c", f"import socket, urllib.request; {attempt}"]
    environment = os.environ | offline.environment
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "no network here" in ended.stderr
    assert re.search(r"example\.org|192\.0\.2\.1", offline.records("attempts"))


def test_only_the_export_is_written_as_a_pickle(verbs_offline):
    pickles = [path for path in verbs_offline.folder.rglob("*") if path.is_file() and is_pickle(path)]
    assert pickles == [verbs_offline.folder / "theirs.pth"]


def is_pickle(path):
    """Return whether a file is a pickle, or an archive that contains one."""
    content = path.read_bytes()
    return re.match(rb"\x80[\x02-\x05]", content) is not None or (content[:2] == b"PK" and b".pkl" in content)


# ---- pages


class LoadedAddresses(HTMLParser):
    """Parser for the addresses that a page loads, from its tags and styles."""

    ATTRIBUTES = ("src", "srcset", "poster", "data", "action")

    def __init__(self, text):
        super().__init__()
        self.addresses = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.addresses |= {values[name] for name in self.ATTRIBUTES if values.get(name)}
        if tag in ("link", "image", "use", "base") and values.get("href"):
            self.addresses.add(values["href"])
        self._style(values.get("style") or "")

    def handle_data(self, text):
        if self.cdata_elem == "style":
            self._style(text)

    def _style(self, text):
        for imported, other in re.findall(r"@import\s+[\"']([^\"']+)|url\(\s*[\"']?([^\"')]+)", text):
            self.addresses.add(imported or other)

    @property
    def foreign(self):
        """The addresses of other machines."""
        return {address for address in self.addresses if re.match(r"\s*(\w+:)?//", address)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of the documentation, with the figures that exist."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_pages_of_figures_and_the_explorer_load_nothing_from_other_machines(verbs_offline):
    for name in ("page.html", "explorer.html"):
        assert LoadedAddresses((verbs_offline.folder / name).read_text(encoding="utf-8")).foreign == set(), name


def test_site_loads_nothing_from_other_machines(site):
    pages, styles = [*site.rglob("*.html")], [*site.rglob("*.css")]
    assert len(pages) > 50
    for page in pages:
        assert LoadedAddresses(page.read_text(encoding="utf-8")).foreign == set(), page
    for style in styles:
        assert LoadedAddresses(f"<style>{style.read_text(encoding='utf-8')}</style>").foreign == set(), style


@pytest.mark.parametrize(
    "text",
    ['<script src="https://cdn.plot.ly/plotly.js"></script>', '<link rel="stylesheet" href="//fonts.example/a.css">',
     "<style>@import 'http://example.org/a.css';</style>",
     "<style>@import url('//fonts.example/a.css');</style>", '<p style="background: url(https://example.org/a.png)">'],
)  # fmt: skip
def test_loads_from_other_machines_are_found(text):
    assert LoadedAddresses(text).foreign


@pytest.mark.browser
def test_browser_requests_nothing_from_other_machines(verbs_offline, site, browser):
    of_figures = [verbs_offline.folder / "page.html", verbs_offline.folder / "explorer.html"]
    for page in (*of_figures, site / "index.html", site / "gallery/paper.html"):
        requests, opened = [], browser.new_page()
        opened.on("request", lambda request, requests=requests: requests.append(request.url))
        opened.goto(page.as_uri(), wait_until="networkidle")
        opened.close()
        assert requests
        assert [url for url in requests if not url.startswith(("file:", "data:", "blob:", "about:"))] == [], page
