"""The registry of figures and the function that declares them. Importing this module imports no figure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from progress_measures.catalog import Catalog, id_of
from progress_measures.errors import UserError

_CATALOG = Catalog("figure", "progress_measures.figures", "draw", shared=("plots",))
figure_ids, figure_module, figure_fingerprint = _CATALOG.ids, _CATALOG.module, _CATALOG.fingerprint

EXPERIMENTS = {
    "demo": "transformer_lens_demo",
    "integer_addition": "integer_addition",
    "subtraction": "subtraction",
}
"""The experiment that a source's figures are drawn from, unless they declare another; for other sources the mainline."""

Text = str | Mapping[str, str]
"""One text for all figures of a declaration, or one by id or by source."""

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
    draw: Callable[..., object]
    animation: Animation | None = None
    page: Callable[..., dict[str, Any]] | None = None
    published: tuple[str, ...] = ()

    @property
    def extra_formats(self) -> tuple[str, ...]:
        """File formats in addition to `STILLS`: `webp` if the figure has an animation, `html` if it has a page."""
        return ("webp",) * (self.animation is not None) + ("html",) * (self.page is not None)


def figure(
    *ids: str,
    title: Text,
    reference: Text,
    variables: tuple[str, ...],
    experiment: str | tuple[str, ...] | None = None,
    size: tuple[float, float] = (6.8, 2.8),
    plot: Callable[..., object] | None = None,
    caption: Text | None = None,
    animation: Animation | None = None,
    page: Callable[..., dict[str, Any]] | None = None,
    published: tuple[str, ...] = (),
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Declare one figure, or figures of several ids with the same drawing; as a decorator, or with `plot` as a statement.

    Args:
        ids: source and name of each figure, such as `demo/06_svd_WE`; in a module of one figure, its path gives the id.
        title: one line that describes the figure.
        reference: the published figure that this figure reproduces.
        variables: variables that the figure reads from each cube.
        experiment: the experiment or experiments whose cubes the figure is drawn from; by default that of its source.
        size: width and height in inches.
        plot: the drawing function, in place of a decorated one.
        caption: what the figure shows and what to notice, in place of the docstring of a decorated function.
        animation: the animation, or None.
        page: function of the cubes that returns a Plotly figure as a dictionary, or None.
        published: names of files in `config/claims/` whose published numbers the figure shows.

    Returns:
        A decorator that declares a drawing function and returns it.
    """

    def declare(draw: Callable[..., object]) -> Callable[..., object]:
        for name in ids or (id_of(draw.__module__),):
            source = name.partition("/")[0]
            cubes = experiment or EXPERIMENTS.get(source, "mainline")
            _CATALOG.add(
                Figure(
                    id=name,
                    title=_text(title, name),
                    caption=_text(draw.__doc__ or "" if caption is None else caption, name),
                    reference=_text(reference, name),
                    experiments=(cubes,) if isinstance(cubes, str) else cubes,
                    variables=variables,
                    size=size,
                    draw=draw,
                    animation=animation,
                    page=page,
                    published=published,
                )
            )
        return draw

    if plot is not None:
        declare(plot)
    return declare


def _text(text: Text, name: str) -> str:
    """Return the text for a figure on one line."""
    if not isinstance(text, str):
        source = name.partition("/")[0]
        if not {name, source} & set(text):
            raise UserError(
                f"Figure {name}: a text has neither the key {name!r} nor {source!r}; its keys are {[*text]}."
            )
        text = text[name] if name in text else text[source]
    return " ".join(text.split())


def load_figure(name: str) -> Figure:
    """Import and return a figure by its id.

    Raises:
        UserError: no figure has this id.
    """
    loaded: Figure = _CATALOG.load(name)
    return loaded
