"""The list of quantities, and how one is declared. Importing it imports none of them."""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from progress_measures.errors import UserError

Values = dict[str, Any]


@dataclass(frozen=True)
class Quantity:
    """A function of cubes that gives named values: numbers, texts, or lists of one a run.

    Attributes:
        name: of the function.
        also: experiments whose cubes it takes after that of the claim.
        function: of cubes.
    """

    name: str
    also: tuple[str, ...]
    function: Callable[..., Values]


_REGISTRY: dict[str, Quantity] = {}


def quantity(function: Callable[..., Values] | None = None, *, also: tuple[str, ...] = ()) -> Callable[..., Any]:
    """Declare a function as a quantity; the function itself is returned untouched."""

    def declare(function: Callable[..., Values]) -> Callable[..., Values]:
        if function.__name__ in _REGISTRY:
            raise ValueError(f"a quantity {function.__name__} exists already")
        _REGISTRY[function.__name__] = Quantity(function.__name__, also, function)
        return function

    return declare if function is None else declare(function)


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
