"""The list of figures, and how one is declared. Importing it imports none of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from progress_measures.catalog import Catalog, id_of

_CATALOG = Catalog("figure", "progress_measures.figures", "draw")
figure_ids, figure_module = _CATALOG.ids, _CATALOG.module

STILLS = ("pdf", "png", "svg")
"""The formats that every figure has."""


@dataclass(frozen=True)
class Animation:
    """How a figure moves.

    Attributes:
        frames: generator function of a matplotlib figure and of the cubes: draws once, then changes what it drew, and
            yields whenever a frame is whole.
        size: width and height in inches.
        seconds: for which a frame is seen.
    """

    frames: Callable[..., Iterator[None]]
    size: tuple[float, float] = (4.4, 3.4)
    seconds: float = 0.12


@dataclass(frozen=True)
class Figure:
    """One figure and its declaration.

    Attributes:
        id: source and name, as in `paper/fig07`.
        title: what it shows, in a line.
        caption: what a reader should see in it, a few sentences for the report.
        reference: the figure that it redraws.
        experiments: whose cubes it is drawn from; where it is only one, any other experiment's will do too.
        variables: what it reads of each cube; it is given no more.
        size: width and height in inches.
        draw: function of a matplotlib figure and of the cubes, one an experiment.
        animation: how it moves, in `<id>.webp`; None if it stands still.
        page: function of the cubes that gives a plotly figure as a dictionary, for `<id>.html`; None if there is none.
        published: the files of `config/claims/` whose published numbers it shows beside ours, as in `("paper",)`.
    """

    id: str
    title: str
    caption: str
    reference: str
    experiments: tuple[str, ...]
    variables: tuple[str, ...]
    size: tuple[float, float]
    draw: Callable[..., None]
    animation: Animation | None = None
    page: Callable[..., dict[str, Any]] | None = None
    published: tuple[str, ...] = ()

    @property
    def extra_formats(self) -> tuple[str, ...]:
        """The formats that it has beside those of all figures: `webp` if it moves, `html` if it has a page."""
        return ("webp",) * (self.animation is not None) + ("html",) * (self.page is not None)


def figure(
    *,
    title: str,
    reference: str,
    variables: tuple[str, ...],
    experiment: str | tuple[str, ...] = "mainline",
    size: tuple[float, float] = (6.8, 2.8),
    animation: Animation | None = None,
    page: Callable[..., dict[str, Any]] | None = None,
    published: tuple[str, ...] = (),
) -> Callable[[Callable[..., None]], Figure]:
    """Declare a drawing function as a figure; its docstring is the caption. See `Figure` for the fields."""
    experiments = (experiment,) if isinstance(experiment, str) else experiment

    def declare(draw: Callable[..., None]) -> Figure:
        caption = " ".join((draw.__doc__ or "").split())
        name = id_of(draw.__module__)
        looks = (size, draw, animation, page)
        return Figure(name, title, caption, reference, experiments, variables, *looks, published)

    return declare


def load_figure(name: str) -> Figure:
    """A figure by its id.

    Raises:
        UserError: there is no such figure.
    """
    loaded: Figure = _CATALOG.load(name)
    return loaded
