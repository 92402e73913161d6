"""Catalogs of declarations, one per module, listed by id without importing the modules.

The id is the module's path below a package: `figures/paper/fig07.py` declares the figure `paper/fig07`. A module whose
name would begin with a digit has a leading underscore, which the id omits: `subtraction/_01_training_curve.py` declares
`subtraction/01_training_curve`.
"""

import difflib
import functools
import importlib
import pkgutil
from typing import Any

from progress_measures.errors import UserError


class Catalog:
    """The declarations of one package.

    Args:
        kind: What is declared, in the singular, such as `figure`.
        package: Name of the package, which has one folder per source.
        attribute: Name of the declaration in each module.
    """

    def __init__(self, kind: str, package: str, attribute: str) -> None:
        self._kind, self._package, self._attribute = kind, package, attribute

    @functools.cached_property
    def _modules(self) -> dict[str, str]:
        """The name of each declaring module, by id. Only the folders are imported."""
        modules = {}
        for source in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            if source.ispkg:
                folder = importlib.import_module(f"{self._package}.{source.name}")
                for module in pkgutil.iter_modules(folder.__path__):
                    modules[f"{source.name}/{module.name.lstrip('_')}"] = f"{folder.__name__}.{module.name}"
        return dict(sorted(modules.items()))

    def ids(self, source: str | None = None) -> list[str]:
        """Return the ids of all declarations, or of the declarations of one source."""
        return [name for name in self._modules if source in (None, name.partition("/")[0])]

    def module(self, name: str) -> str:
        """Return the name of the module that declares an id.

        Raises:
            UserError: The id does not exist.
        """
        if name not in self._modules:
            similarity = {
                available: difflib.SequenceMatcher(None, name, available).ratio() for available in self._modules
            }
            close = max(similarity, key=similarity.__getitem__)  # the first maximum: fig07, not fig17, for fig7
            if similarity[close] > 0.6:
                raise UserError(f"There is no {self._kind} {name!r}. Did you mean {close!r}?")
            raise UserError(f"There is no {self._kind} {name!r}. Available {self._kind}s: {', '.join(self._modules)}.")
        return self._modules[name]

    def load(self, name: str) -> Any:
        """Import and return a declaration by its id.

        Raises:
            UserError: The id does not exist, or its module has no declaration.
        """
        module = importlib.import_module(self.module(name))
        declared = getattr(module, self._attribute, None)
        if not hasattr(declared, "id"):
            raise UserError(
                f"{module.__file__} declares no {self._kind}: expected a function `{self._attribute}` decorated with "
                f"`@{self._kind}(…)`. Move code that several {self._kind}s share to the folder above."
            )
        return declared


def id_of(module: str) -> str:
    """Return the id of a module's declaration."""
    source, name = module.split(".")[-2:]
    return f"{source}/{name.lstrip('_')}"
