"""The blog's attention in the 2D Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.pair_maps import attention_map
from progress_measures.figures.attention import ATTENTION_TO_A, head_label
from progress_measures.figures.neuron_panels import coefficient_bar, spectrum_2d, spectrum_map
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
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that shows a head.
    """
    show = spectrum_map(ax, cube)
    return lambda head: show(spectrum_2d(attention_map(cube, head).sel(position="a").values), head_label(cube, head))


@figure(
    title="Attention to a in the 2D Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*ATTENTION_TO_A, "key_frequency"),
    size=(6.8, 2.6),
    animation=one_by_one(panel, heads, coefficient_bar),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run from `=` to a in the 2D Fourier basis, at the end of training.

    A cell is the coefficient of the product of a Fourier component over a (row) and one over b (column), divided by the
    largest coefficient; the mean is omitted. Shown are the constant and the cos and sin of the key frequencies; each
    title gives the frequency and the largest of the other, omitted coefficients. Only cells on the edges, which are
    functions of a or of b alone, at the frequency of the head are large.
    """
    side_by_side(fig, cube, panel, heads, 4, coefficient_bar)
