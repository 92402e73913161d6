"""The blog's Fourier spectrum of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.figures.interactive_page import axis, layout
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, by_component, frequency_colors

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def energies(cube: xr.Dataset) -> xr.DataArray:
    """Return the squared norm of each Fourier component of the first run's embedding, at the last checkpoint."""
    return np.square(cube.W_E_fourier_norm.isel(run=0, epoch=-1))


def page(cube: xr.Dataset) -> dict[str, Any]:
    """Squared norm over the residual stream of each Fourier component of the first run's embedding W_E.

    All values are from the end of training. Hovering over a bar shows its name and height. Key frequencies are colored.
    """
    values, colors = energies(cube)[1:], frequency_colors(cube, str(cube.run.values[0]))
    names = [str(component) for component in values.fourier_component.values]
    bar_colors = [colors.get(int(component.split()[1]), COLORS["other"]) for component in names]
    bars = {"type": "bar", "x": names, "y": values.values.tolist(), "name": "energy", "marker": {"color": bar_colors}}
    scales = layout(xaxis={"title": {"text": "Fourier component"}}, yaxis=axis("Energy"), hovermode="x", bargap=0.1)
    return {"data": [bars], "layout": scales}


@figure(
    title="Energy of the embedding's Fourier components",
    reference="Modular addition blog, using the Fourier basis",
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(5.4, 2.6),
    page=page,
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Squared norm over the residual stream of each Fourier component of the first run's embedding W_E.

    All values are from the end of training. A few frequencies hold nearly all of the squared norm. Key frequencies are
    colored and numbered.
    """
    ax = fig.subplots()
    by_component(ax, energies(cube), frequency_colors(cube, str(cube.run.values[0])))
    ax.set_ylabel("Energy of $W_E$'s component")
