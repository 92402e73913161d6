"""Each of the demo network's neurons follows one frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import fractions_explained
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fraction of each neuron's variance in each frequency, the demo network",
    reference="TransformerLens demo, neuron clusters",
    experiment="transformer_lens_demo",
    variables=("neuron_frequency_share", "key_frequency"),
    size=(6.8, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of each neuron's variance over all pairs (columns) in each frequency (rows), for the first run.

    All values are from the end of training. Nearly every neuron follows one of the key frequencies, which are labeled
    on the right.
    """
    fractions_explained(fig, cube)
