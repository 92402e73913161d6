"""The vocabulary of integer addition's figures: scores by number, maps over all pairs with their values written in."""

import numpy as np

from progress_measures.cube.integer_sums import activations, by_correlation, correlations, embedding
from progress_measures.figures.style import COLORS, panels


def scores(fig, cube, component, degree):
    """Scores on one principal component by number, and the polynomial that fits them best.

    Args:
        component: from 0.
        degree: of the polynomial.
    """
    parts = embedding(cube)
    values, share = parts.scores[:, component], parts.shares[component]
    number = np.arange(len(values))
    fitted = np.polynomial.Polynomial.fit(number, values, degree)
    between = np.linspace(0, number[-1], 200)
    r2 = 1 - np.square(values - fitted(number)).sum() / np.square(values - values.mean()).sum()
    ax = fig.subplots()
    line = {1: "Straight line", 2: "Parabola"}[degree]
    ax.plot(between, fitted(between), color=COLORS["other"], lw=1, label=f"{line}, $R^2$ = {r2:.3f}")
    ax.plot(number, values, "o", ms=4, color=COLORS["W_E"])
    ax.set(xlabel="Number", ylabel=f"Score on PC {component + 1}", title=f"PC {component + 1}: {share:.1%} of variance")
    ax.locator_params(axis="x", integer=True)
    ax.legend(loc="best")


def annotated(ax, values, **colors):
    """A map over all pairs with every value written in it, a upwards and b to the right; gives the image."""
    image = ax.imshow(values, origin="lower", interpolation="nearest", **colors)
    for (a, b), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        text = f"{round(value, 1) + 0.0:.1f}"  # no -0.0
        ax.text(b, a, text, ha="center", va="center", fontsize=4.5, color="white" if dark else "black")
    n = len(values)
    ax.set(xlabel="b", ylabel="a", xticks=range(n), yticks=range(n))
    return image


def top_maps(fig, cube, relu, count=3):
    """Maps of the neurons that correlate most with the sum, after or before the ReLU, each on its own scale."""
    n = cube.sizes["token"] - 1
    values, r = activations(cube, relu), correlations(cube)["a+b"]
    neurons = by_correlation(cube)[:count]
    axes = panels(fig, len(neurons), columns=count, sharey=True)
    for ax, neuron in zip(axes, neurons, strict=True):
        one = values[:, neuron].reshape(n, n)
        far = np.abs(one).max()
        colors = {"cmap": "viridis", "vmin": 0} if relu else {"cmap": "RdBu_r", "vmin": -far, "vmax": far}
        image = annotated(ax, one, **colors)
        ax.label_outer()
        ax.set_title(f"Neuron {neuron}, r = {r[neuron]:.3f}")
        fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Activation" if relu else "Pre-activation")
