"""Draws figures into files."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import xarray as xr
from matplotlib.figure import Figure as Canvas

from progress_measures.errors import UserError
from progress_measures.figures.registry import Figure
from progress_measures.files import appearing

FORMATS = ("pdf", "png", "svg")
STYLE = Path(__file__).with_name("paper.mplstyle")


def draw(figure: Figure, cube: xr.Dataset, paths: Sequence[Path]) -> None:
    """Draw a figure once and write it to each path; the same cube gives the same bytes.

    Args:
        figure: what to draw.
        cube: of the experiment to draw it of.
        paths: ending in .pdf, .png or .svg.
    Raises:
        UserError: the cube lacks a variable that the figure reads.
    """
    missing = [name for name in figure.variables if name not in cube]
    if missing:
        raise UserError(
            f"Figure {figure.id} reads {', '.join(missing)}, which the cube of {cube.attrs.get('experiment', '?')!r} "
            "does not have: those measures do not apply to its networks, or it was gathered by an older version."
        )
    with matplotlib.rc_context(fname=STYLE):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas, cube[list(figure.variables)].load())
        canvas.draw_without_rendering()
        canvas.set_layout_engine("none")  # arranged once, not again for each file
        for path in paths:
            kind = path.suffix[1:]
            dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
            with appearing(path) as temporary:
                canvas.savefig(temporary, format=kind, metadata=dates[kind])
