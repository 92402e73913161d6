"""Draw figures and write them to files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure as MatplotlibFigure

from progress_measures.analysis.select import caveats, select, select_named_run, variables_of_first_run
from progress_measures.figures.animation import add_note_and_freeze_layout, write_animation
from progress_measures.figures.interactive_page import write_page
from progress_measures.figures.plots.style import known_points
from progress_measures.figures.registry import Figure
from progress_measures.files import atomic_path

STYLE = Path(__file__).with_name("paper.mplstyle")


def draw(figure: Figure, cubes: Sequence[xr.Dataset], paths: Sequence[Path], run: str | None = None) -> None:
    """Draw a figure and write it to each path. The same cubes give identical files.

    Args:
        figure: the figure.
        cubes: one cube per experiment of the figure.
        paths: paths of files; each extension is in `registry.IMAGE_FORMATS` or in the figure's `extra_formats`.
        run: name of the run to draw; by default, the run or runs that the figure's function selects, most often the first run.

    Raises:
        UserError: a cube lacks a variable that the figure reads, or the figure cannot be drawn of this run.
    """
    if run is not None:
        cube, *_ = cubes  # `check_run` raises an error if the figure reads several cubes
        names = [str(name) for name in cube.run.values]
        figure.check_run(run, cube.attrs.get("experiment", "the cube"), names, variables_of_first_run(cube))
        cubes = [select_named_run(cube, run)]
    selected = [select(cube, figure.variables, f"Figure {figure.id}") for cube in cubes]
    writers: dict[str, Callable[[Figure, Sequence[xr.Dataset], Path], None]] = {
        ".webp": write_animation,
        ".html": write_page,
    }
    with matplotlib.rc_context(fname=STYLE):
        still_paths = [path for path in paths if path.suffix not in writers]
        if still_paths:
            _draw_still(figure, selected, still_paths)
        for path in set(paths) - set(still_paths):
            writers[path.suffix](figure, selected, path)


def _draw_still(figure: Figure, cubes: Sequence[xr.Dataset], paths: Sequence[Path]) -> None:
    """Draw the still image of a figure once and write it to each path."""
    fig = MatplotlibFigure(figsize=figure.size, layout="constrained")
    figure.draw(fig, *cubes)
    show_known_points(fig)
    add_note_and_freeze_layout(fig, caveats(cubes))
    # without dates and versions, so that the same cubes give identical files
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    for path in paths:
        file_format = path.suffix[1:]
        with atomic_path(path) as temporary:
            fig.savefig(temporary, format=file_format, metadata=metadata[file_format])


def show_known_points(fig: MatplotlibFigure) -> None:
    """Draw curves with unknown values (NaN) so that every known value is visible.

    If unknown values lie between known ones, as where a measure is known only at checkpoints whose weights were kept, the
    known values become dots with a dotted line. A curve with a single known value becomes a dot. Curves with markers
    remain as they are.
    """
    for line in (line for ax in fig.axes for line in ax.get_lines()):
        y = np.ma.filled(np.ma.masked_invalid(np.asarray(line.get_ydata(), dtype=float)), np.nan)
        known, has_gaps = known_points(y)
        if line.get_marker() not in ("None", None, "", " ") or not known.size:
            continue
        if known.size == 1:
            line.set(marker="o", markersize=4, clip_on=False)
        elif has_gaps:
            line.set_data(np.asarray(line.get_xdata())[known], y[known])
            line.set(marker="o", markersize=2.5, linestyle=":", linewidth=0.8)
