"""Plots for integer addition: scores of the operand values on principal components, and maps over all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.analysis.integer_sums import (
    activations,
    correlations,
    embedding_components,
    neurons_by_correlation,
    r_squared,
)
from progress_measures.figures.plots.style import COLORS, panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray


def pc_scores(fig: Figure, cube: xr.Dataset, component: int, degree: int) -> None:
    """Draw operand values' scores on a principal component of the first run's embedding, and a fitted polynomial.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `W_E`.
        component: index of the principal component, from 0.
        degree: degree of the polynomial, 1 or 2.
    """
    components = embedding_components(cube)
    values, fraction = components.scores[:, component], components.fractions_explained[component]
    numbers = np.arange(len(values))
    fitted = np.polynomial.Polynomial.fit(numbers, values, degree)
    dense_grid = np.linspace(0, numbers[-1], 200)
    r2 = r_squared(values, fitted(numbers))
    ax = fig.subplots()
    curve_name = {1: "Straight line", 2: "Parabola"}[degree]
    ax.plot(dense_grid, fitted(dense_grid), color=COLORS["other"], lw=1, label=f"{curve_name}, $R^2$ = {r2:.3f}")
    ax.plot(numbers, values, "o", ms=4, color=COLORS["W_E"])
    ax.set(
        xlabel="Number", ylabel=f"Score on PC {component + 1}", title=f"PC {component + 1}: {fraction:.1%} of variance"
    )
    ax.locator_params(axis="x", integer=True)
    ax.legend(loc="best")


def annotated_map(ax: Axes, values: NDArray[np.floating], **colors: Any) -> AxesImage:
    """Draw a map over all pairs, with a upward and b to the right, and print the value in each cell.

    Args:
        ax: axes to draw on.
        values: one value per pair [a, b].
        colors: color map and limits, as in `Axes.imshow`.

    Returns:
        The image, for a color bar.
    """
    image = ax.imshow(values, origin="lower", interpolation="nearest", **colors)
    for (a, b), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        text = f"{round(value, 1) + 0.0:.1f}"  # + 0.0 avoids -0.0
        ax.text(b, a, text, ha="center", va="center", fontsize=6, color="white" if dark else "black")
    n = len(values)
    ax.set(xlabel="b", ylabel="a", xticks=range(n), yticks=range(n))
    return image


def maps_by_correlation(fig: Figure, cube: xr.Dataset, relu: bool, count: int = 3) -> None:
    """Draw one map over all pairs for each of the first run's neurons that correlate most with a + b.

    Each map has a separate color scale. Neurons are in descending order of the absolute correlation at the last
    checkpoint. The correlation is over pairs and always with the activation after the ReLU, even if pre-activations are
    drawn.

    Args:
        fig: figure to draw on.
        cube: cube with the variables that `activations` reads.
        relu: whether to draw activations after the ReLU; otherwise pre-activations.
        count: number of neurons.
    """
    n = cube.sizes["token"] - 1
    values, r = activations(cube, relu), correlations(cube)["a+b"]
    neurons = neurons_by_correlation(cube)[:count]
    axes = panels(fig, len(neurons), columns=count, sharey=True)
    for ax, neuron in zip(axes, neurons, strict=True):
        activation = values[:, neuron].reshape(n, n)
        limit = np.abs(activation).max()
        colors: dict[str, Any] = (
            {"cmap": "viridis", "vmin": 0} if relu else {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        )
        image = annotated_map(ax, activation, **colors)
        ax.label_outer()
        ax.set_title(f"Neuron {neuron}, r = {r[neuron]:.3f}")
        fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Activation" if relu else "Pre-activation")
