"""Writes figures that move, as animated WebP: browsers, Markdown pages and slides show it as they show a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from PIL import Image

from progress_measures.cube.select import incomplete
from progress_measures.figures.registry import Figure
from progress_measures.files import atomic_path

DOTS_PER_INCH = 150
PAUSE = 1.6  # seconds that the last frame is seen longer, before all begins again


def write_animation(figure: Figure, cubes: Sequence[xr.Dataset], path: Path) -> None:
    """Draw every frame of a figure that moves, and write them to one file that goes round forever.

    Args:
        figure: with an `animation`.
        cubes: with what it reads.
        path: ending in .webp.
    """
    assert figure.animation is not None
    canvas = Canvas(figsize=figure.animation.size, dpi=DOTS_PER_INCH, layout="constrained")
    pixels = FigureCanvasAgg(canvas)
    images: list[Image.Image] = []
    for _ in figure.animation.frames(canvas, *cubes):
        if not images:
            arrange(canvas, incomplete(cubes))
        pixels.draw()
        images.append(Image.fromarray(np.array(pixels.buffer_rgba())[..., :3]))
    shown = [round(1000 * figure.animation.seconds)] * len(images)
    shown[-1] += round(1000 * PAUSE)
    with atomic_path(path) as temporary:
        images[0].save(temporary, "WEBP", save_all=True, append_images=images[1:], duration=shown, loop=0, quality=80)


def arrange(canvas: Canvas, note: str) -> None:
    """Give all panels their places for good, so that files are alike, and panels stand still while their contents move.

    Twice, since maps of a fixed shape know only after the first time how much room they leave. A note stands below all.
    """
    if note:
        canvas.supxlabel(note, fontsize="small")
    for _ in range(2):
        canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
