"""Fingerprints: hashes of the code that a result depends on, independent of comments and docstrings.

Snakemake tracks files, not imports. Each rule therefore has, as an input, one small file per module that its command
runs. The file contains a hash of the syntax trees of that module and of all modules of this package that the module
imports, directly or indirectly. The file is rewritten only when the hash changes. So a changed formula invalidates the
measures of its module and all results that depend on them; a changed comment invalidates nothing. Imports under
TYPE_CHECKING are not followed, nor are modules that only print messages, read settings or compute fingerprints. The
`__init__.py` of a package is included only if an import names the package itself.

A module that declares several figures or tables has a fingerprint for each: the hash of the declaring statement, of the functions
and constants of the module that the statement uses, and of the modules from which it uses imported names. Like docstrings,
captions are not hashed: they change no drawing.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from progress_measures.files import atomic_path

PACKAGE = "progress_measures"
ROOT = Path(__file__).parent  # folder of the package

# These modules print messages, read and check settings, or compute fingerprints. Their code changes no result, because
# the settings themselves are part of the run's hash.
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
"""The only module of `experiments` whose code is part of fingerprints: its values determine a run's data or weights."""


@functools.cache
def fingerprint(*modules: str) -> str:
    """Return the hash of the code of `reachable_modules(*modules)`: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(reachable_modules(*modules)):
        digest.update(f"{name} {_tree_hash(name)}\n".encode())
    return digest.hexdigest()[:16]


def reachable_modules(*modules: str) -> set[str]:
    """Return the given modules and all modules of this package that they import, directly or indirectly.

    Imported modules that change no result are left out, and their imports are not followed; see `NOT_FOLLOWED`.
    """
    pending, visited = list(modules), set()
    while pending:
        name = pending.pop()
        if name not in visited:
            visited.add(name)
            pending += [imported for imported in imported_modules(name) if not _is_excluded(imported)]
    return visited


@functools.cache
def statement_fingerprint(module: str, index: int) -> str:
    """Return the hash of one statement at the top level of a module and of all code that it uses: 16 hexadecimal digits.

    An import, assignment, definition, or declaration of another figure or table is hashed only if it binds a name that
    a hashed statement uses. Other statements, such as calls and `if` or `for` blocks, are always hashed, because they
    may change what other statements define.

    Args:
        module: Full name of the module.
        index: Index of the statement in the body of `tree(module)`.
    """
    body, bindings = tree(module).body, _bindings(module)
    declarers = {ast.dump(call.func) for call in declaring_calls(body[index])}
    pending, visited, imported = [index, *_other_statements(module, declarers)], set(), set()
    while pending:
        current = pending.pop()
        if current in visited:
            continue
        visited.add(current)
        for node in ast.walk(body[current]):
            if isinstance(node, ast.Name):
                name_bindings = bindings.get(node.id, ())
                pending += [binding for binding in name_bindings if isinstance(binding, int)]
                imported |= {binding for binding in name_bindings if not isinstance(binding, int)}
            elif isinstance(node, ast.Import | ast.ImportFrom):
                imported |= {(name, "") for name in _imported(node)}
    digest = hashlib.sha256()
    for text in sorted(ast.dump(body[current]) for current in visited) + sorted(alias for _, alias in imported):
        digest.update(f"{text}\n".encode())
    modules = {name for names, _ in imported for name in names.split() if _file(name) and not _is_excluded(name)}
    for name in sorted(reachable_modules(*modules) - {module}):
        digest.update(f"{name} {_tree_hash(name)}\n".encode())
    return digest.hexdigest()[:16]


def declaring_calls(statement: ast.stmt) -> list[ast.Call]:
    """Return the calls by which a statement may declare a figure or table: the statement itself, or its decorators."""
    expressions = [statement.value] if isinstance(statement, ast.Expr) else getattr(statement, "decorator_list", [])
    return [call for call in expressions if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]


def write_fingerprint(into: Path, *modules: str) -> str:
    """Write the fingerprint of modules to a file named after the first module, unless the file already contains it.

    Args:
        into: Folder of the fingerprint files.
        modules: Full names of the modules.

    Returns:
        The path of the file.
    """
    return write_hash(into, modules[0], fingerprint(*modules))


def write_hash(into: Path, name: str, value: str) -> str:
    """Write a fingerprint to its file, unless the file already contains it.

    Args:
        into: Folder of the fingerprint files.
        name: Full name of the module, or a name for another part of the code.
        value: The fingerprint.

    Returns:
        The path of the file.
    """
    path = fingerprint_file(into, name)
    text = value + "\n"
    if not path.exists() or path.read_text() != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text)
    return str(path)


def folder(results: Path) -> Path:
    """Return the folder of the fingerprint files in a folder of results."""
    return results / ".fingerprints"


def fingerprint_file(into: Path, module: str) -> Path:
    """Return the path of a fingerprint file.

    Args:
        into: Folder of the fingerprint files.
        module: Full name of the module, or a name for another part of the code.
    """
    return into / f"{module.removeprefix(PACKAGE + '.')}.txt"


def _is_excluded(name: str) -> bool:
    """Return whether the code of an imported module is left out of fingerprints."""
    return name != DERIVED and (name in NOT_FOLLOWED or name.startswith("progress_measures.experiments."))


def _file(name: str) -> Path | None:
    """Return the file of a module of this package, or None for any other name."""
    path = ROOT.joinpath(*name.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if name.split(".")[0] == PACKAGE and candidate.is_file():
            return candidate
    return None


def _statement_lists(node: Any) -> Iterator[list[ast.stmt]]:
    """Yield the lists of statements inside a statement or module; expressions contain no statements and are skipped."""
    for field in ("body", "orelse", "finalbody"):
        if statements := getattr(node, field, None):
            yield statements
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


def _strip(node: Any) -> Any:
    """Remove docstrings (also of constants), captions, descriptions of fields and imports under TYPE_CHECKING.

    The node is changed in place and returned.
    """
    for statement in node.body if isinstance(node, ast.Module) else ():
        for call in declaring_calls(statement):
            call.keywords = [keyword for keyword in call.keywords if keyword.arg != "caption"]
    if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call):
        node.value.keywords = [keyword for keyword in node.value.keywords if keyword.arg != "description"]
    for statements in _statement_lists(node):
        for statement in statements:
            _strip(statement)
        statements[:] = [statement for statement in statements if not _has_no_effect(statement)]
    return node


def _has_no_effect(node: ast.stmt) -> bool:
    """Return whether a statement is a text, such as a docstring (also of a constant), or an `if TYPE_CHECKING`."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _statements(node: Any) -> Iterator[ast.stmt]:
    """Yield every statement at any depth."""
    for statements in _statement_lists(node):
        for statement in statements:
            yield statement
            yield from _statements(statement)


@functools.cache
def tree(name: str) -> ast.Module:
    """Return the syntax tree of a module of this package, without the parts that change no result; see `_strip`."""
    file = _file(name)
    if file is None:
        raise ModuleNotFoundError(f"no module {name} in {ROOT}")
    stripped: ast.Module = _strip(ast.parse(file.read_text(encoding="utf-8")))
    return stripped


@functools.cache
def _tree_hash(name: str) -> str:
    return hashlib.sha256(ast.dump(tree(name)).encode()).hexdigest()


@functools.cache
def imported_modules(name: str) -> tuple[str, ...]:
    """Return the modules of this package that a module imports, also inside functions but not under TYPE_CHECKING."""
    modules = {
        module
        for node in _statements(tree(name))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in _imported(node)
    }
    return tuple(sorted(module for module in modules if _file(module)))


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Return the names that a statement imports and that may be modules; none for `from . import …`."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)} if node.module else set()


@functools.cache
def _bindings(module: str) -> dict[str, list[int | tuple[str, str]]]:
    """Return the statements and imports that bind each name at the top level of a module.

    Returns:
        Lists of bindings, by name. A binding is the index of a statement or, for an import, two texts: the names that may be
        modules, separated by spaces, and the imported name with its alias.
    """
    bindings: dict[str, list[int | tuple[str, str]]] = {}
    for index, statement in enumerate(tree(module).body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            prefix = f"{statement.module or ''}." if isinstance(statement, ast.ImportFrom) else ""
            for alias in statement.names:
                name = alias.asname or (alias.name if prefix else alias.name.split(".")[0])
                binding = (f"{prefix[:-1]} {prefix}{alias.name}", f"{prefix}{alias.name} as {alias.asname}")
                bindings.setdefault(name, []).append(binding)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bindings.setdefault(statement.name, []).append(index)
        else:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    bindings.setdefault(node.id, []).append(index)
    return bindings


def _other_statements(module: str, declarers: set[str]) -> list[int]:
    """Return the indices of statements other than imports, assignments, definitions, texts and declarations.

    A block such as `if` or `for` is among them even if it assigns a name.

    Args:
        module: Full name of the module.
        declarers: Syntax trees, as text, of the functions whose calls declare figures or tables.
    """
    bound = {binding for name_bindings in _bindings(module).values() for binding in name_bindings}
    indices = []
    for index, statement in enumerate(tree(module).body):
        is_import = isinstance(statement, ast.Import | ast.ImportFrom)
        is_block = hasattr(statement, "body") or isinstance(statement, ast.Match)
        is_definition = (index in bound and not is_block) or hasattr(statement, "name")
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        declares = declarers & {ast.dump(call.func) for call in declaring_calls(statement)}
        if not (is_import or is_definition or is_text or declares):
            indices.append(index)
    return indices
