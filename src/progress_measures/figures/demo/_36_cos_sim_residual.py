"""The part of the demo network's logits that the cosines leave unexplained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import curves_by_frequency
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Cosine similarity of the demo network's logits, and the residual",
    reference="TransformerLens demo, logit periodicity",
    experiment="transformer_lens_demo",
    variables=("cosine_similarity", "cosine_residual_all", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Cosine similarity of the first run's logits with cos w(a + b - c) for each frequency k; w = 2πk/p.

    The similarity is the coefficient of the logits on the cosine, scaled to norm 1 over all (a, b, c), divided by the
    norm of the logits; c is the output. Key frequencies are in colors, all other frequencies gray. Dashed: the norm of
    the residual after the cosines of all frequencies are subtracted, divided by the norm of the logits. The residual
    falls as the similarities of key frequencies rise.
    """
    ax = curves_by_frequency(fig, cube, "cosine_similarity", "Cosine similarity", residual="cosine_residual_all")
    ax.set_ylim(None, 1.04)
