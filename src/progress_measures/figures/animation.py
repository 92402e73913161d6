"""Write animations of figures as WebP files, which browsers, Markdown pages and slides show like an image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image

from progress_measures.analysis.select import caveats
from progress_measures.figures.registry import Figure
from progress_measures.files import atomic_path

DOTS_PER_INCH = 150
LAST_FRAME_PAUSE = 1.6  # additional seconds for the last frame, before the animation restarts


def write_animation(figure: Figure, cubes: Sequence[xr.Dataset], path: Path) -> None:
    """Draw all frames of a figure's animation and write them to one WebP file that loops forever.

    Args:
        figure: a figure whose `animation` is not None.
        cubes: cubes with the variables that the figure reads.
        path: path of the file, ending in .webp.
    """
    assert figure.animation is not None
    fig = MatplotlibFigure(figsize=figure.animation.size, dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(fig)
    images: list[Image.Image] = []
    for _ in figure.animation.frames(fig, *cubes):
        if not images:
            add_note_and_freeze_layout(fig, caveats(cubes))
        canvas.draw()
        images.append(Image.fromarray(np.array(canvas.buffer_rgba())[..., :3]))
    durations = [round(1000 * figure.animation.seconds)] * len(images)
    durations[-1] += round(1000 * LAST_FRAME_PAUSE)
    with atomic_path(path) as temporary:
        images[0].save(
            temporary, "WEBP", save_all=True, append_images=images[1:], duration=durations, loop=0, quality=80
        )


def add_note_and_freeze_layout(fig: MatplotlibFigure, note: str) -> None:
    """Add a note below all panels, compute the layout and then freeze it.

    With a frozen layout, files are reproducible and panels do not move between the frames of an animation. The layout is
    computed twice, because the size of maps with a fixed aspect ratio is known only after the first pass.

    Args:
        fig: the matplotlib figure.
        note: the note, as `caveats` returns it; an empty string for none.
    """
    if note:
        fig.supxlabel(note, fontsize="small")
    for _ in range(2):
        fig.draw_without_rendering()
    fig.set_layout_engine("none")
