"""The blog's attention in the 2D Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.cube.pair_maps import attention_map
from progress_measures.figures.attention import TO_A, head_label
from progress_measures.figures.neuron_panels import shares_bar, spectrum_2d, spectrum_map
from progress_measures.figures.one_by_one import heads, one_by_one, side_by_side
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of one head's attention to a in the 2D Fourier basis.

    Args:
        ax: the axes of the panel.
        cube: with the variables of the figure.

    Returns:
        A function that shows a head.
    """
    show = spectrum_map(ax, cube)
    return lambda head: show(spectrum_2d(attention_map(cube, head).sel(position="a").values), head_label(cube, head))


@figure(
    title="Attention to a in the 2D Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*TO_A, "key_frequency"),
    size=(6.8, 2.6),
    animation=one_by_one(panel, heads, shares_bar),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run from `=` to a in the 2D Fourier basis, at the end of training.

    Cells are coefficients of products of a Fourier component over a (rows) and one over b (columns), divided by the
    largest, without the mean. Shown are the components of the constant and the key frequencies; the titles give the
    largest of the thousands of others. A few cells on the edges, which are functions of a or of b alone, hold nearly
    all: those of the head's frequency.
    """
    side_by_side(fig, cube, panel, heads, 4, shares_bar)
