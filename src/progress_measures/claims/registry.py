"""The registry of quantities and the decorator that adds a function to it. Importing this module imports no quantity.

A cube holds the measures of an experiment. A quantity is a function of cubes that returns named values. A claim is a
checkable statement of the paper, of one of its companions, of a paper on faster grokking, or of ours. The claim's rule
bounds the values of a quantity.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from progress_measures.errors import UserError

Values = dict[str, Any]
"""What a quantity returns: values by name."""


@dataclass(frozen=True)
class Quantity:
    """A function of cubes that returns values by name: numbers, strings, arrays, and lists or dictionaries of these.

    Attributes:
        name: name of the function.
        function: function of the cubes that a claim is judged on; it receives these cubes with only the
            variables that `variables` lists.
        variables: names of the variables that the function may read from any of its cubes.
    """

    name: str
    function: Callable[..., Values]
    variables: tuple[str, ...] = ()


_REGISTRY: dict[str, Quantity] = {}

F = TypeVar("F", bound=Callable[..., Values])


def quantity(*, variables: tuple[str, ...]) -> Callable[[F], F]:
    """Declare a function as a quantity.

    Args:
        variables: names of the variables that the function may read from any of its cubes.

    Returns:
        A decorator that registers the function and returns it unchanged.

    Raises:
        ValueError: a quantity of this name is already registered.
    """

    def declare(function: F) -> F:
        name = function.__name__
        if name in _REGISTRY:
            raise ValueError(f"a quantity {name} is already registered")
        _REGISTRY[name] = Quantity(name, function, variables)
        return function

    return declare


def quantity_modules() -> list[str]:
    """Return the names of the modules that declare quantities, without importing them."""
    package = importlib.import_module("progress_measures.claims.quantities")
    return [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]


@functools.cache
def quantities() -> dict[str, Quantity]:
    """Return all quantities by name."""
    for module in quantity_modules():
        importlib.import_module(module)
    return dict(_REGISTRY)


def load_quantity(name: str) -> Quantity:
    """Return a quantity by its name.

    Raises:
        UserError: no quantity has this name.
    """
    if name not in quantities():
        raise UserError(f"Unknown quantity {name!r}. Known quantities: {', '.join(sorted(quantities()))}.")
    return quantities()[name]
