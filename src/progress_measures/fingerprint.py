"""Fingerprints: hashes of the code that a result depends on, independent of comments and docstrings.

Snakemake tracks files, not imports. Each rule therefore has, as an input, one small file per module that its command
runs. The file contains a hash of the syntax trees of that module and of all modules of this package that it imports,
directly or indirectly. It is rewritten only when the hash changes: a changed formula invalidates its family of measures
and all results that depend on it; a changed comment invalidates nothing. Imports under TYPE_CHECKING are not followed, nor
are modules that only print messages or describe files.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from progress_measures.files import atomic_path

PACKAGE = "progress_measures"
ROOT = Path(__file__).parent

# These modules print, validate and read settings, which changes no result; settings enter through the run's hash.
NOT_FOLLOWED = (
    "progress_measures",
    "progress_measures.cli",
    "progress_measures.errors",
    "progress_measures.experiments",
    "progress_measures.fingerprint",
    "progress_measures.section",
    "progress_measures.training.progress",
    "progress_measures.training.record",
)

DERIVED = "progress_measures.experiments.derived"
"""The module that derives a run's data and weights from its settings: the only one of `experiments` that is followed."""


@functools.cache
def fingerprint(*modules: str) -> str:
    """Return the hash of modules and of all modules they import: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(reachable_modules(*modules)):
        digest.update(f"{name} {_tree_hash(name)}\n".encode())
    return digest.hexdigest()[:16]


def reachable_modules(*modules: str) -> set[str]:
    """Return the modules of this package that the given modules import, directly or indirectly, including themselves."""
    pending, visited = list(modules), set()
    while pending:
        name = pending.pop()
        if name not in visited:
            visited.add(name)
            pending += [imported for imported in imported_modules(name) if not _is_excluded(imported)]
    return visited


def write_fingerprint(into: Path, *modules: str) -> str:
    """Write the fingerprint of modules to a file named after the first module, unless it is unchanged.

    Args:
        into: Folder of the fingerprint files.
        modules: Full names of the modules.

    Returns:
        The path of the file.
    """
    path = fingerprint_file(into, modules[0])
    text = fingerprint(*modules) + "\n"
    if not path.exists() or path.read_text() != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text)
    return str(path)


def folder(results: Path) -> Path:
    """Return the folder of the fingerprint files in a folder of results."""
    return results / ".fingerprints"


def fingerprint_file(into: Path, module: str) -> Path:
    """Return the path of a module's fingerprint file.

    Args:
        into: Folder of the fingerprint files.
        module: Full name of the module.
    """
    return into / f"{module.removeprefix(PACKAGE + '.')}.txt"


def _is_excluded(name: str) -> bool:
    """Return whether imports of a module are not followed."""
    return name != DERIVED and (name in NOT_FOLLOWED or name.startswith("progress_measures.experiments."))


def _file(name: str) -> Path | None:
    """Return the file of a module of this package, or None for any other name."""
    path = ROOT.joinpath(*name.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if name.split(".")[0] == PACKAGE and candidate.is_file():
            return candidate
    return None


def _blocks(node: Any) -> Iterator[list[ast.stmt]]:
    """Yield the statement lists of a statement or module. Expressions, most of a tree, contain none."""
    for field in ("body", "orelse", "finalbody"):
        if block := getattr(node, field, None):
            yield block
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


def _strip(node: Any) -> Any:
    """Remove docstrings, the descriptions of a task's fields, and the imports under TYPE_CHECKING."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call):
        node.value.keywords = [keyword for keyword in node.value.keywords if keyword.arg != "description"]
    for block in _blocks(node):
        for statement in block:
            _strip(statement)
        block[:] = [statement for statement in block if not _is_for_type_checkers(statement)]
    if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
    return node


def _is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _statements(node: Any) -> Iterator[ast.stmt]:
    """Yield every statement at any depth."""
    for block in _blocks(node):
        for statement in block:
            yield statement
            yield from _statements(statement)


@functools.cache
def _tree(name: str) -> ast.Module:
    file = _file(name)
    if file is None:
        raise ModuleNotFoundError(f"no module {name} in {ROOT}")
    tree: ast.Module = _strip(ast.parse(file.read_text(encoding="utf-8")))
    return tree


@functools.cache
def _tree_hash(name: str) -> str:
    return hashlib.sha256(ast.dump(_tree(name)).encode()).hexdigest()


@functools.cache
def imported_modules(name: str) -> tuple[str, ...]:
    """Return the modules of this package that a module imports, also inside functions but not under TYPE_CHECKING."""
    modules = set()
    for node in _statements(_tree(name)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return tuple(sorted(module for module in modules if _file(module)))
