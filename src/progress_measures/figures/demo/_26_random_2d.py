"""A control for the demo network's neurons in the 2D Fourier basis: Gaussian noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.neurons import in_2d_fourier_basis
from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="2D Fourier components of a Gaussian map",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """2D Fourier components over a (rows) and over b (columns) of Gaussian noise, without the constant.

    The noise is independent and standard normal, one value for each pair. Left: all components. Right: only products of
    the constant and the waves of the first run's key frequencies. No component stands out; the title gives the fraction
    of variance in the eight largest components.
    """
    p = prime(cube)
    in_2d_fourier_basis(fig, cube, np.random.default_rng(0).standard_normal((p, p)), "Gaussian")
