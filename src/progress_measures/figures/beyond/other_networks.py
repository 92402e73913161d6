"""Beyond the paper: train and test loss of networks with other operations or other architectures than the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

PANEL_TITLES = {
    "multiplication": "a · b mod 113",
    "division": "a / b mod 97, 50 % of pairs",
    "quadratic_form": "a² + ab + b² mod 97, 70 %",
    "addition_even": "a + b mod 114",
    "mlp_one_hot": "MLP, one-hot, mod 97, 50 %",
    "mlp_embedding": "embeddings and MLP",
    "gelu_layer_norm": "GELU and LayerNorm",
}
"""Title of the panel of each experiment; a percentage is the train fraction."""


@figure(
    title="Train and test loss of other operations and other networks",
    reference="not in the sources; the operations are those of Power et al. 2022",
    experiment=tuple(PANEL_TITLES),
    variables=HISTORY_LOSSES,
    size=(6.8, 6.6),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """Train and test loss over the epochs, one network per panel.

    The first four panels have the paper's network with other operations or another modulus, the other panels have other
    networks that add. "MLP, one-hot": one hidden layer whose input is one-hot vectors of a and b, and whose activation
    function is x². "embeddings and MLP": one hidden layer of ReLUs whose input is the embeddings of a and b. Unless the
    title says otherwise, networks train on 30 % of all pairs and the modulus is 113; a / b has no pairs with b = 0. All
    train with AdamW, weight decay 1 and the paper's learning rate.
    """
    axes = panels(fig, len(cubes), columns=2)
    for ax, cube, title in zip(axes, cubes, PANEL_TITLES.values(), strict=True):
        losses(ax, cube, title)
    panel_letters(axes)
    curve_legend(fig, max(cube.sizes["run"] for cube in cubes))
