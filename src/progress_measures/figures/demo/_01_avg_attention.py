"""Mean attention of the demo network's heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import attention_by_position
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Average attention of the demo network's heads",
    reference="TransformerLens demo, looking at activations",
    experiment="transformer_lens_demo",
    variables=("mean_attention",),
    size=(3.6, 2.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention from `=` to a, b and `=`, averaged over all pairs, of each head of the first run.

    All values are from the end of training.
    """
    attention_by_position(fig, cube.mean_attention.isel(run=0, epoch=-1).values)
