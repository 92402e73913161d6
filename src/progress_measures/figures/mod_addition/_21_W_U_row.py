"""The blog's row of the unembedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

ROW = 4


@figure(
    title="One row of the unembedding",
    reference="Modular addition blog, putting it all together",
    variables=("W_U",),
    size=(6.8, 2.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Row 4 of the unembedding W_U: the weight of dimension 4 of the residual stream on the logit of each answer c.

    All values are from the first run at the end of training. The row is a sum of a few waves.
    """
    row = cube.W_U.isel(run=0).sel(residual=ROW)
    ax = fig.subplots()
    ax.plot(row.output, row, color=COLORS["weights"], lw=1)
    ax.axhline(0, color="#888888", lw=0.4, zorder=0)
    ax.set(xlabel="Answer c", ylabel=f"Entry of $W_U$'s row {ROW}", xlim=(0, row.sizes["output"] - 1))
