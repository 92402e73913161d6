"""The list of quantities, and how one is declared. Importing it imports none of them."""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from progress_measures.errors import UserError

Values = dict[str, Any]


@dataclass(frozen=True)
class Quantity:
    """A function of cubes that gives named values: numbers, texts, or lists of one a run.

    Attributes:
        name: of the function.
        function: of the cubes that a claim is judged on.
    """

    name: str
    function: Callable[..., Values]


_REGISTRY: dict[str, Quantity] = {}

F = TypeVar("F", bound=Callable[..., Values])


def quantity(function: F) -> F:
    """Declare a function as a quantity; the function itself is returned untouched."""
    name = function.__name__
    if name in _REGISTRY:
        raise ValueError(f"a quantity {name} exists already")
    _REGISTRY[name] = Quantity(name, function)
    return function


def quantity_modules() -> list[str]:
    """The modules that declare quantities; none is imported."""
    package = importlib.import_module("progress_measures.claims.quantities")
    return [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]


@functools.cache
def quantities() -> dict[str, Quantity]:
    """All quantities by name."""
    for module in quantity_modules():
        importlib.import_module(module)
    return dict(_REGISTRY)


def load_quantity(name: str) -> Quantity:
    """A quantity by its name.

    Raises:
        UserError: there is none.
    """
    if name not in quantities():
        raise UserError(f"There is no quantity {name!r}; there are: {', '.join(sorted(quantities()))}.")
    return quantities()[name]
