"""The registry of figures and the function that declares them. Importing this module imports no figure."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from progress_measures.catalog import Catalog, id_of
from progress_measures.errors import UserError

_CATALOG = Catalog(kind="figure", package="progress_measures.figures", attribute="draw", shared=("plots",))
figure_ids, figure_module, figure_fingerprint = _CATALOG.ids, _CATALOG.module, _CATALOG.fingerprint

EXPERIMENT_OF_SOURCE = {
    "demo": "transformer_lens_demo",
    "integer_addition": "integer_addition",
    "subtraction": "subtraction",
}
"""Default experiment of each source's figures. For a source that is not listed, it is `mainline`."""

Text = str | Mapping[str, str]
"""One text for all figures of a declaration, or a dictionary that gives the text by id or by source."""

IMAGE_FORMATS = ("pdf", "png", "svg")
"""File formats in which every figure can be written."""


@dataclass(frozen=True)
class Animation:
    """The animation of a figure.

    Attributes:
        frames: generator function of a matplotlib figure and the cubes. It draws the first frame, then changes it for each
            further frame, and yields whenever a frame is complete.
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
        id: source and name, such as `paper/fig07`; also the path of the figure's file in the folder `figures`, without
            extension.
        title: one line that describes the figure.
        caption: a few sentences on what the figure shows and what to notice.
        reference: the published figure, section or definition that the figure is based on, or `not in the sources`.
        experiments: experiments whose cubes the figure is drawn from. A figure of a single experiment can also be drawn from
            the cube of any other experiment that has the variables.
        variables: variables that the figure reads from each cube. The cubes that `draw` receives contain only these.
        size: width and height in inches.
        draw: function of a matplotlib figure and the cubes, one per experiment.
        animation: the animation that is written to `<id>.webp`, or None.
        page: None, or a function of the cubes that returns a Plotly figure as a dictionary, which is written to `<id>.html`.
            The docstring of the function is the caption of the page.
        published: names of the files in `config/claims/`, without extension, whose published numbers the figure shows, such as
            `("paper",)`.
        several_runs: whether the figure compares runs, or selects them by their settings. If not, a figure that reads
            a single cube can also be drawn of each run alone.
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
    several_runs: bool = False

    @property
    def extra_formats(self) -> tuple[str, ...]:
        """File formats in addition to `IMAGE_FORMATS`: `webp` if the figure has an animation, `html` if it has a page."""
        return ("webp",) * (self.animation is not None) + ("html",) * (self.page is not None)

    def check_run(self, run: str, experiment: str, runs: Sequence[str], first_run_variables: Collection[str]) -> None:
        """Raise an error if the figure cannot be drawn of one run of an experiment.

        Args:
            run: name of the run.
            experiment: name of the experiment.
            runs: names of all runs of the experiment, the first run first.
            first_run_variables: variables that only the first run has.

        Raises:
            UserError: the figure reads several cubes, compares runs or selects them by their settings; or the experiment lacks
                the run; or the run is not the first and only the first has a variable that the figure reads.
        """
        for reason, applies in (
            (f"reads {len(self.experiments)} cubes", len(self.experiments) > 1),
            ("compares runs or selects them by their settings", self.several_runs),
        ):
            if applies:
                raise UserError(f"Figure {self.id} {reason}, so it cannot be drawn of one run.")
        if run not in runs:
            raise UserError(f"{experiment} has no run {run}; its runs are: {', '.join(runs)}.")
        lacking = [name for name in self.variables if name in first_run_variables]
        if lacking and run != runs[0]:
            raise UserError(
                f"Figure {self.id} reads {', '.join(lacking)}, which the cube of {experiment} has of {runs[0]} only, its first "
                f"run. Draw it of {runs[0]}; figures that read none of these variables can be drawn of every run."
            )

    def caption_of(self, run: str | None, caption: str | None = None) -> str:
        """Return the caption with the name of a run in place of `the first run`.

        Args:
            run: name of the run; None for the caption as declared.
            caption: the caption to use, such as that of the figure's page; by default, the figure's caption.
        """
        caption = self.caption if caption is None else caption
        return caption if run is None else re.sub(r"\b[Tt]he first run\b", lambda _: run, caption)


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
    several_runs: bool = False,
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Declare a figure, or several figures that the same function draws.

    Use it as a decorator of the drawing function, or as a statement with the drawing function as `plot`.

    Args:
        ids: source and name of each figure, such as `demo/06_svd_WE`. By default, one id, taken from the module's path.
        title: one line that describes the figure.
        reference: the published figure, section or definition that the figure is based on, or `not in the sources`.
        variables: variables that the figure reads from each cube.
        experiment: the experiment or experiments whose cubes the figure is drawn from; by default, the one that
            `EXPERIMENT_OF_SOURCE` gives for the source, or else `mainline`.
        size: width and height in inches.
        plot: the drawing function, if `figure` is used as a statement.
        caption: what the figure shows and what to notice; by default, the docstring of the drawing function.
        animation: the animation, or None.
        page: None, or a function of the cubes that returns a Plotly figure as a dictionary. The function's docstring is the
            caption of the page.
        published: names of the files in `config/claims/`, without extension, whose published numbers the figure shows.
        several_runs: whether the figure compares runs, or selects them by their settings.

    Returns:
        A decorator that declares a drawing function and returns it.
    """

    def declare(draw: Callable[..., object]) -> Callable[..., object]:
        for name in ids or (id_of(draw.__module__),):
            source = name.partition("/")[0]
            experiments = experiment or EXPERIMENT_OF_SOURCE.get(source, "mainline")
            _CATALOG.add(
                Figure(
                    id=name,
                    title=_text(title, name),
                    caption=_text(draw.__doc__ or "" if caption is None else caption, name),
                    reference=_text(reference, name),
                    experiments=(experiments,) if isinstance(experiments, str) else experiments,
                    variables=variables,
                    size=size,
                    draw=draw,
                    animation=animation,
                    page=page,
                    published=published,
                    several_runs=several_runs,
                )
            )
        return draw

    if plot is not None:
        declare(plot)
    return declare


def _text(text: Text, name: str) -> str:
    """Return the text of the figure with the id `name`, without line breaks; a text by id takes precedence over one by source."""
    if not isinstance(text, str):
        source = name.partition("/")[0]
        if not {name, source} & set(text):
            raise UserError(
                f"Figure {name}: its title, caption or reference has neither the key {name!r} nor {source!r}, but {[*text]}."
            )
        text = text[name] if name in text else text[source]
    return " ".join(text.split())


def load_figure(name: str) -> Figure:
    """Import the module of a figure and return the figure with the id `name`.

    Raises:
        UserError: no figure has this id.
    """
    loaded: Figure = _CATALOG.load(name)
    return loaded
