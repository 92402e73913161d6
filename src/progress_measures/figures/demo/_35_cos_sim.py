"""The demo network's logits become a sum of cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import curves_by_frequency
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Cosine similarity of the demo network's logits with cos w(a + b - c)",
    reference="TransformerLens demo, logit periodicity",
    experiment="transformer_lens_demo",
    variables=("cosine_similarity", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Cosine similarity of the first run's logits with the cosine cos w(a + b - c) of each frequency.

    It is the coefficient on the cosine of norm 1, divided by the norm of the logits. Key frequencies are in colors, all
    others gray.
    """
    curves_by_frequency(fig, cube, "cosine_similarity", "Cosine similarity")
