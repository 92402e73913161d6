"""The list of figures, and how one is declared.

A figure's id is its module's path: `figures/paper/fig07.py` is `paper/fig07`. Names that begin with a digit have an
underscore before it, which the id leaves out: `subtraction/_01_training_curve.py`.
"""

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from progress_measures.errors import UserError

SOURCES = ("paper", "subtraction")
"""The documents that figures come from, a folder each."""


@dataclass(frozen=True)
class Figure:
    """One figure and its declaration.

    Attributes:
        id: source and name, as in `paper/fig07`.
        title: what it shows, in a line.
        caption: what a reader should see in it, a few sentences for the report.
        reference: the figure that it redraws.
        experiment: whose cube it is drawn from unless another is asked for.
        variables: what it reads of the cube; it is given no more.
        size: width and height in inches.
        draw: function of a matplotlib figure and a cube.
    """

    id: str
    title: str
    caption: str
    reference: str
    experiment: str
    variables: tuple[str, ...]
    size: tuple[float, float]
    draw: Callable[[Any, Any], None]


def figure(
    *,
    title: str,
    reference: str,
    experiment: str,
    variables: tuple[str, ...],
    size: tuple[float, float] = (6.8, 2.8),
) -> Callable[[Callable[[Any, Any], None]], Figure]:
    """Declare a drawing function as a figure; its docstring is the caption. See `Figure` for the fields."""

    def declare(draw: Callable[[Any, Any], None]) -> Figure:
        source, name = draw.__module__.split(".")[-2:]
        caption = " ".join((draw.__doc__ or "").split())
        return Figure(f"{source}/{name.lstrip('_')}", title, caption, reference, experiment, variables, size, draw)

    return declare


@functools.cache
def _modules() -> dict[str, str]:
    """The module of each figure, by id; nothing is imported but the folders."""
    found = {}
    for source in SOURCES:
        package = importlib.import_module(f"progress_measures.figures.{source}")
        for module in pkgutil.iter_modules(package.__path__):
            found[f"{source}/{module.name.lstrip('_')}"] = f"{package.__name__}.{module.name}"
    return dict(sorted(found.items()))


def figure_ids(source: str | None = None) -> list[str]:
    """The figures that there are, of one source or of all."""
    return [name for name in _modules() if source in (None, name.partition("/")[0])]


def figure_module(name: str) -> str:
    """The module that draws a figure.

    Raises:
        UserError: there is no such figure.
    """
    modules = _modules()
    if name not in modules:
        likeness = {known: difflib.SequenceMatcher(None, name, known).ratio() for known in modules}
        close = max(likeness, key=likeness.__getitem__)  # the first of equals: fig07, not fig17, for fig7
        hint = f"Did you mean {close!r}? " if likeness[close] > 0.6 else ""
        raise UserError(f"There is no figure {name!r}. {hint}Figures are: {', '.join(modules)}.")
    return modules[name]


@functools.cache
def load_figure(name: str) -> Figure:
    """A figure by its id.

    Raises:
        UserError: there is no such figure.
    """
    module = importlib.import_module(figure_module(name))
    loaded: Figure = module.draw
    return loaded
