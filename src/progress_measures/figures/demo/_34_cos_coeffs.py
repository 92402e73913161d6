"""The waves in the demo network's logits grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import curves_by_frequency
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Coefficients of cos w(a + b - c) in the demo network's logits",
    reference="TransformerLens demo, logit periodicity",
    experiment="transformer_lens_demo",
    variables=("cosine_coefficient", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Coefficient of the first run's logits on cos w(a + b - c) for each frequency k; w = 2πk/p.

    Each cosine is a function of all (a, b, c), with c the output, scaled to norm 1. Key frequencies are in colors, all
    other frequencies gray. The coefficients of key frequencies grow long before the network generalizes.
    """
    ax = curves_by_frequency(fig, cube, "cosine_coefficient", "Coefficient")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
