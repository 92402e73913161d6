"""Things that are declared one a module, found by their id without importing any of them.

The id is the module's place below a package: `figures/paper/fig07.py` is the figure `paper/fig07`. Names that begin with
a digit have an underscore before it, which the id leaves out: `subtraction/_01_training_curve.py`.
"""

import difflib
import functools
import importlib
import pkgutil
from typing import Any

from progress_measures.errors import UserError


class Catalog:
    """What one package declares.

    Args:
        kind: what it is, in the singular: `figure`.
        package: that has one folder a source.
        attribute: of each module, which holds the declaration.
    """

    def __init__(self, kind: str, package: str, attribute: str):
        self._kind, self._package, self._attribute = kind, package, attribute

    @functools.cached_property
    def _modules(self) -> dict[str, str]:
        """The module of each, by id; nothing is imported but the folders."""
        found = {}
        for source in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            if source.ispkg:
                folder = importlib.import_module(f"{self._package}.{source.name}")
                for module in pkgutil.iter_modules(folder.__path__):
                    found[f"{source.name}/{module.name.lstrip('_')}"] = f"{folder.__name__}.{module.name}"
        return dict(sorted(found.items()))

    def ids(self, source: str | None = None) -> list[str]:
        """Those that there are, of one source or of all."""
        return [name for name in self._modules if source in (None, name.partition("/")[0])]

    def module(self, name: str) -> str:
        """The module that declares one.

        Raises:
            UserError: there is none of that id.
        """
        if name not in self._modules:
            likeness = {known: difflib.SequenceMatcher(None, name, known).ratio() for known in self._modules}
            close = max(likeness, key=likeness.__getitem__)  # the first of equals: fig07, not fig17, for fig7
            if likeness[close] > 0.6:
                raise UserError(f"There is no {self._kind} {name!r}. Did you mean {close!r}?")
            raise UserError(
                f"There is no {self._kind} {name!r}. {self._kind.capitalize()}s are: {', '.join(self._modules)}."
            )
        return self._modules[name]

    def load(self, name: str) -> Any:
        """One's declaration, by its id.

        Raises:
            UserError: there is none of that id, or its module declares none.
        """
        module = importlib.import_module(self.module(name))
        declared = getattr(module, self._attribute, None)
        if not hasattr(declared, "id"):
            raise UserError(
                f"{module.__file__} declares no {self._kind}: expected is a function `{self._attribute}` under "
                f"`@{self._kind}(…)`. What several {self._kind}s share belongs in the folder above."
            )
        return declared


def id_of(module: str) -> str:
    """The id of what a module declares."""
    source, name = module.split(".")[-2:]
    return f"{source}/{name.lstrip('_')}"
