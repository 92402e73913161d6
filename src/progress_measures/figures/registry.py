"""The registry of figures and the decorator that declares one. Importing this module imports no figure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from progress_measures.catalog import Catalog, id_of

_CATALOG = Catalog("figure", "progress_measures.figures", "draw")
figure_ids, figure_module = _CATALOG.ids, _CATALOG.module

STILLS = ("pdf", "png", "svg")
"""File formats of every figure."""


@dataclass(frozen=True)
class Animation:
    """The animation of a figure.

    Attributes:
        frames: generator function of a matplotlib figure and the cubes. It draws once, then updates the drawing, and
            yields once per complete frame.
        size: width and height in inches.
        seconds: duration of a frame.
    """

    frames: Callable[..., Iterator[None]]
    size: tuple[float, float] = (4.4, 3.4)
    seconds: float = 0.12


@dataclass(frozen=True)
class Figure:
    """One figure and its declaration.

    Attributes:
        id: source and name, such as `paper/fig07`.
        title: one line that describes the figure.
        caption: a few sentences on what the figure shows and what to notice.
        reference: the published figure that this figure reproduces.
        experiments: experiments whose cubes the figure is drawn from. If there is one, the cube of any other experiment can
            replace it.
        variables: variables that the figure reads from each cube; `draw` receives no others.
        size: width and height in inches.
        draw: function of a matplotlib figure and the cubes, one per experiment.
        animation: the animation that is written to `<id>.webp`, or None.
        page: function of the cubes that returns a Plotly figure as a dictionary, which is written to `<id>.html`, or None.
        published: names of files in `config/claims/` whose published numbers the figure shows, such as `("paper",)`.
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
        """File formats in addition to `STILLS`: `webp` if the figure has an animation, `html` if it has a page."""
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
    """Declare a drawing function as a figure. Its docstring is the caption.

    Args:
        title: one line that describes the figure.
        reference: the published figure that this figure reproduces.
        variables: variables that the figure reads from each cube.
        experiment: the experiment or experiments whose cubes the figure is drawn from.
        size: width and height in inches.
        animation: the animation, or None.
        page: function of the cubes that returns a Plotly figure as a dictionary, or None.
        published: names of files in `config/claims/` whose published numbers the figure shows.

    Returns:
        A decorator that replaces the drawing function by a `Figure`.
    """
    experiments = (experiment,) if isinstance(experiment, str) else experiment

    def declare(draw: Callable[..., None]) -> Figure:
        caption = " ".join((draw.__doc__ or "").split())
        name = id_of(draw.__module__)
        drawing = (size, draw, animation, page)
        return Figure(name, title, caption, reference, experiments, variables, *drawing, published)

    return declare


def load_figure(name: str) -> Figure:
    """Import and return a figure by its id.

    Raises:
        UserError: no figure has this id.
    """
    loaded: Figure = _CATALOG.load(name)
    return loaded
