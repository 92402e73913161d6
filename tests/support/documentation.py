"""Follow the pages of the documentation literally: run their commands and compare their output.

- A block whose title is the path of a file is appended to that file, which is created if it is missing.
- Any other title says why the block is not run (`takes an hour`, `on the cluster`). Its commands are checked by dry runs
  and `--help`.
- A `diff` block is applied to the repository.
- A `text` block without a title is the output of the previous block; `...` stands for text that differs between machines.
- The Python blocks of a page share one session.
"""

import doctest
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import yaml

from support import ROOT

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.M | re.S)
TITLE = re.compile(r'title="([^"]*)"')


def site_hooks():
    """Return the module docs/hooks.py, which mkdocs calls while it builds the site."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str
    text: str

    @property
    def is_file(self) -> bool:
        """Whether the title is the path of a file to which the block is written."""
        return bool(re.fullmatch(r"[\w./-]+/[\w.-]+\.\w+", self.title))


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    matches = FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
    return [
        Block(language, (TITLE.findall(options) or [""])[0], textwrap.dedent(text))
        for _, language, options, text in matches
    ]


def commands(block: Block) -> list[list[str]]:
    """Return the commands of a `bash` block, split at line ends and `&&`, as lists of words."""
    lines = block.text.replace("\\\n", " ").splitlines()
    words = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [line for line in words if line]


SESSION = """
import json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    exec(compile(json.loads(line), "a block of the page", "exec"), names)
    print("\\0", flush=True)
"""


class Reader:
    """A reader who follows pages in a copy of the repository.

    Args:
        folder: where to put the copy; it must be empty.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("src", "workflow", "profiles", "config", "docs", "tests", "benchmarks"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "Makefile", "pyproject.toml", "uv.lock", "environment.yml", "README.md"):
            shutil.copy(ROOT / name, folder)
        (folder / "published").symlink_to(ROOT / "published")
        (folder / "slurm").symlink_to("profiles/slurm")
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "results").mkdir()
        path = f"{folder / '.venv/bin'}:{os.environ['PATH']}"
        self._environment = os.environ | {"PYTHONPATH": str(folder / "src"), "PATH": path, "MPLBACKEND": "agg"}
        self._done: set[str] = set()
        self._python: subprocess.Popen | None = None

    def follow(self, page: str) -> None:
        """Run the blocks of a page, unless this reader has run them before."""
        if page in self._done:
            return
        printed = ""
        try:
            for block in blocks(page):
                printed = self._run_block(block, printed)
        finally:
            self._end_python()
        self._done.add(page)

    def _run_block(self, block: Block, printed: str) -> str:
        """Run a block and return its output; compare a `text` block with the output of the previous block."""
        if block.is_file:
            self._write(block)
        elif block.language == "diff":
            self._end_python()
            self.run(["git", "apply", "-"], input=block.text)
        elif block.language == "bash" and block.title:
            for line in commands(block):
                self._check(line)
        elif block.language == "bash":
            printed = self.run(["bash", "-euo", "pipefail", "-c", block.text])
            for path in (word for line in commands(block) for word in line if word.startswith("results/")):
                file = self.folder / path.partition(":")[0]  # as in `--forward results/net.py:build`
                assert "-n" in block.text.split() or file.exists(), path
        elif block.language == "python" and not block.title:
            printed = self._in_session(block.text)
        elif block.language == "text" and not block.title:
            rules = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert doctest.OutputChecker().check_output(block.text, printed, rules), (
                f"the page shows\n{block.text}\nbut the output is\n{printed}"
            )
        return printed

    def _write(self, block: Block) -> None:
        self._end_python()
        file = self.folder / block.title
        existing = file.read_text(encoding="utf-8") + "\n\n" if file.exists() else ""
        file.write_text(existing + block.text, encoding="utf-8")

    def run(self, line: list[str], **options) -> str:
        """Run a command, which must succeed, and return its output; the options are passed to `subprocess.run`."""
        done = subprocess.run(
            line, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, **options
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _check(self, line: list[str]) -> None:
        """Check a command as far as possible without running it."""
        program, *arguments = line
        match Path(program).name:
            case "snakemake":
                report = arguments.index("--report") if "--report" in arguments else len(arguments)
                self.run(["snakemake", "-n", "-c1", *arguments[:report], *arguments[report + 2 :]])
            case "progress-measures":
                help_text = self.run(["progress-measures", arguments[0], "--help"])
                for option in (word for word in arguments if word.startswith("--")):
                    assert option in help_text, f"progress-measures {arguments[0]} has no {option}"
            case "make":
                self.run(["make", "-n", *arguments])

    def _in_session(self, text: str) -> str:
        """Run Python code in the session of the page and return its output."""
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", SESSION],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin
        assert self._python.stdout
        self._python.stdin.write(json.dumps(text) + "\n")
        self._python.stdin.flush()
        printed = ""
        while not printed.endswith("\0\n"):
            line = self._python.stdout.readline()
            assert line, f"this Python block failed with the traceback above:\n{text}"
            printed += line
        return printed.removesuffix("\0\n")

    def _end_python(self) -> None:
        if self._python is not None:
            self._python.communicate()
            self._python = None


def check_syntax(block: Block) -> None:
    """Raise an error if a block is not valid in its language."""
    match block.language:
        case "python":
            compile(block.text, "a block", "exec")
        case "bash":
            subprocess.run(["bash", "-n", "-c", block.text], check=True)
            commands(block)
        case "yaml":
            yaml.safe_load(block.text)
        case "diff":
            subprocess.run(["git", "apply", "--check", "-"], input=block.text, text=True, cwd=ROOT, check=True)
