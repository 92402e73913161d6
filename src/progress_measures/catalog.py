"""Catalogs of declared figures and tables, listed by id without importing the modules that declare them.

A declaration states what a figure or table reads and which function makes it. A catalog has the declarations of one
package, `figures` or `tables`.

A module in a folder of the package declares one figure or table, whose id is the path of the module: `figures/paper/fig07.py`
declares the figure `paper/fig07`. A module whose name would begin with a digit has a leading underscore, which the id omits.

A module directly in the package may declare several figures or tables. Each declaration is one statement at the top level,
a call whose first arguments are ids, and declares one figure or table for each id:
`figure("demo/18_key_cos", "subtraction/19_key_cos", …)` or, above a drawing function, `@figure("demo/19_interference", …)`.
The ids must be literal strings, because they are read from the source of the module without running it.
"""

import ast
import difflib
import functools
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from progress_measures import fingerprint
from progress_measures.errors import UserError


class Catalog:
    """The declarations of one package.

    Args:
        kind: What the package declares, such as `figure`; the function that declares it has the same name.
        package: Full name of the package, such as `progress_measures.figures`.
        attribute: Name of the decorated function in a module that declares one figure or table.
        shared: Folders of the package with code that the declarations share.
    """

    def __init__(self, kind: str, package: str, attribute: str, shared: tuple[str, ...] = ()) -> None:
        self._kind, self._package, self._attribute, self._shared = kind, package, attribute, shared
        self._declared: dict[str, Any] = {}

    @functools.cached_property
    def _locations(self) -> dict[str, tuple[str, int | None]]:
        """The declaring module of each id; for a module directly in the package, also the index of the statement.

        No declaring module is imported, only the packages that contain them.
        """
        locations: dict[str, tuple[str, int | None]] = {}
        for entry in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            name = f"{self._package}.{entry.name}"
            if not entry.ispkg:
                for declared_id, index in self._ids_and_statements(name):
                    if declared_id in locations:
                        raise UserError(
                            f"The {self._kind} {declared_id!r} is declared twice: {name}, {locations[declared_id][0]}."
                        )
                    locations[declared_id] = name, index
            elif entry.name not in self._shared:
                for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                    locations[f"{entry.name}/{module.name.lstrip('_')}"] = f"{name}.{module.name}", None
        return dict(sorted(locations.items()))

    def _ids_and_statements(self, module: str) -> Iterator[tuple[str, int]]:
        """Yield each id that a module declares, and the index of the statement.

        Raises:
            UserError: A declaration does not begin with ids.
        """
        for index, statement in enumerate(fingerprint.tree(module).body):
            for call in fingerprint.declaring_calls(statement):
                if isinstance(call.func, ast.Name) and call.func.id == self._kind:
                    ids = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
                    if not ids or len(ids) < len(call.args):
                        raise UserError(
                            f"{module}, line {statement.lineno}: expected literal ids as first arguments, such as "
                            f'`{self._kind}("beyond/name", …)`.'
                        )
                    for declared_id in ids:
                        yield str(declared_id), index

    def ids(self, source: str | None = None) -> list[str]:
        """Return the ids of all declarations, or of those with `source`, such as `paper`, before the slash."""
        return [declared_id for declared_id in self._locations if source in (None, declared_id.partition("/")[0])]

    def _location(self, declared_id: str) -> tuple[str, int | None]:
        """Return an id's entry in `_locations`, or raise an error that suggests a similar id or lists all ids."""
        if declared_id not in self._locations:
            similarity = {
                available: difflib.SequenceMatcher(None, declared_id, available).ratio()
                for available in self._locations
            }
            # `max` returns the first of equally similar ids: for `fig7` the message suggests `fig07`, not `fig17`
            most_similar = max(similarity, key=similarity.__getitem__)
            if similarity[most_similar] > 0.6:  # the default cutoff of `difflib.get_close_matches`
                raise UserError(f"There is no {self._kind} {declared_id!r}. Did you mean {most_similar!r}?")
            raise UserError(
                f"There is no {self._kind} {declared_id!r}. Available {self._kind}s: {', '.join(self._locations)}."
            )
        return self._locations[declared_id]

    def module(self, declared_id: str) -> str:
        """Return the full name of the module that declares an id.

        Raises:
            UserError: The id does not exist.
        """
        return self._location(declared_id)[0]

    def fingerprint(self, declared_id: str) -> str:
        """Return the hash of the code that a declaration depends on.

        Raises:
            UserError: The id does not exist.
        """
        module, index = self._location(declared_id)
        return fingerprint.fingerprint(module) if index is None else fingerprint.statement_fingerprint(module, index)

    def add(self, declaration: Any) -> None:
        """Add a declaration under its `id`; `figure` or `table` calls this when the declaring module is imported."""
        self._declared[declaration.id] = declaration

    def load(self, declared_id: str) -> Any:
        """Import and return a declaration by its id.

        Raises:
            UserError: The id does not exist, or its module has no declaration.
        """
        module = importlib.import_module(self.module(declared_id))
        if declared_id not in self._declared:
            raise UserError(
                f"{module.__file__} declares no {self._kind}: expected a function `{self._attribute}` decorated with "
                f"`@{self._kind}(…)`. Move code that several {self._kind}s share out of this folder."
            )
        return self._declared[declared_id]


def id_of(module: str) -> str:
    """Return the id that a module in a folder of the package declares, from the full name of the module."""
    source, name = module.split(".")[-2:]
    return f"{source}/{name.lstrip('_')}"
