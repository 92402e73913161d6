"""Figures of the TransformerLens grokking demo that no other source has.

The integer addition notebook contains a copy of this demo.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES, neuron_maps
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.analysis.runs import operand_count
from progress_measures.figures.plots.curves import curves_by_frequency, ratio_with_phases
from progress_measures.figures.plots.fourier_basis import basis_waves, wave_product
from progress_measures.figures.plots.neurons import (
    ACTIVATIONS_AND_FRACTIONS,
    activation_maps,
    component_map,
    in_2d_fourier_basis,
    neuron_in_2d_fourier_basis,
)
from progress_measures.figures.plots.style import COLORS, component_bars, frequency_colors, no_key_frequencies
from progress_measures.figures.registry import figure
from progress_measures.measures.keys import best_frequency

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

figure(
    "demo/05_neurons5",
    "demo/20_neurons5b",
    plot=partial(activation_maps, neurons=range(5)),
    title={
        "demo/05_neurons5": "Activations of the demo network's first five neurons",
        "demo/20_neurons5b": "Activations of the demo network's first five neurons, again",
    },
    reference={
        "demo/05_neurons5": "TransformerLens demo, looking at activations",
        "demo/20_neurons5b": "TransformerLens demo, analyze neurons",
    },
    variables=ACTIVATIONS_AND_FRACTIONS,
    size=(6.8, 2.7),
    caption={
        "demo/05_neurons5": """Activations after the ReLU of the first run's first five neurons, over all pairs, at the
        end of training. Each map has a separate color scale. Each title gives the frequency k that explains the largest
        fraction of the neuron's variance over pairs, and this fraction.""",
        "demo/20_neurons5b": """Activations after the ReLU of the first run's first five neurons, over all pairs, at the
        end of training. Each map has a separate color scale. Each title gives the frequency k that explains the largest
        fraction of the neuron's variance over pairs, and this fraction. The demo shows this figure a second time,
        before it analyzes one of the neurons.""",
    },
)

figure(
    "demo/12_fourier_first8",
    plot=partial(basis_waves, indices=lambda p: range(min(8, p))),
    title="The first eight vectors of the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    variables=("key_frequency",),
    size=(6.8, 5.6),
    caption="""The constant vector, the cosine and sine of frequencies 1 to 3, and the cosine of frequency 4, each as a
    unit vector over the operand values. Points: entries of the vector, one per operand value. Line: the same function
    between them.""",
)

figure(
    "demo/13_fourier_mid",
    # component 2k - 1 is the cosine of frequency k: 25 for k = 13, p - 4 for the second-highest frequency, (p - 3)/2
    plot=partial(basis_waves, indices=lambda p: range(min(25, p - 4), p)[:4]),
    title="Vectors 25 to 28 of the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    variables=("key_frequency",),
    size=(6.8, 3.4),
    caption="""Cosine and sine of frequencies 13 and 14, each as a unit vector over the operand values. If p is too small
    for these frequencies, the two highest are shown. Points: entries of the vector, one per operand value. Line: the same
    function between them.""",
)


@figure(
    "demo/19_interference",
    title="Mean of the cosines of the demo network's key frequencies",
    reference="TransformerLens demo, key frequencies",
    variables=("key_frequency",),
    size=(5.2, 2.6),
)
def interference(fig: Figure, cube: xr.Dataset) -> None:
    """Mean over the first run's key frequencies k of cos(2πkx/p), for every integer x from 0 to p - 1.

    The mean is 1 at x = 0, where all cosines are 1, and well below 1 at every other x; the text gives the largest mean
    at another x. In the logits, x is a + b - c for the output c. The right answer c therefore gets the largest logit.
    """
    run, p = str(cube.run.values[0]), operand_count(cube)
    ax = fig.subplots()
    keys = list(frequency_colors(cube, run))
    if not keys:
        no_key_frequencies(ax, run)
        return
    # row 2k - 1 of the basis is cos k as a unit vector; times sqrt(p / 2), its largest entry is 1
    mean = fourier.basis(p)[2 * np.array(keys) - 1].mean(0) * np.sqrt(p / 2)
    ax.plot(np.arange(p), mean, ".-", ms=3, lw=0.7, color=COLORS["weights"])
    next_largest = int(mean[1:].argmax()) + 1
    ax.annotate(
        f"next: {mean[next_largest]:.2f} at {next_largest}",
        (0.98, 0.98),
        xycoords="axes fraction",
        ha="right",
        va="top",
    )
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Integer x", ylabel="Mean of the key cosines", xlim=(-1, p))


figure(
    "demo/21_neuron0",
    plot=partial(activation_maps, neurons=[0]),
    title="Activation of the demo network's neuron 0",
    reference="TransformerLens demo, analyze neurons",
    variables=ACTIVATIONS_AND_FRACTIONS,
    size=(3.6, 3.6),
    caption="""Activation after the ReLU of the first run's neuron 0, over all pairs, at the end of training. The title
    gives the frequency k that explains the largest fraction of the neuron's variance over pairs, and this fraction.""",
)

figure(
    "demo/22_cos47_product",
    plot=partial(wave_product, k=47, cosine_of_b=True),
    title="The demo's cos 47a cos 47b",
    reference="TransformerLens demo, analyze neurons",
    variables=("key_frequency",),
    size=(3.8, 3.2),
    caption="""Product cos(wa) cos(wb) over all pairs, with w = 2πk/p and k = 47. Both cosines are scaled to unit
    vectors over the operand values. Frequency 47 is the demo's highest key frequency; if p is too small for it, the highest
    frequency is shown.""",
)

figure(
    "demo/23_cos47_const",
    plot=partial(wave_product, k=47, cosine_of_b=False),
    title="The demo's cos 47a",
    reference="TransformerLens demo, analyze neurons",
    variables=("key_frequency",),
    size=(3.8, 3.2),
    caption="""Product of cos(wa) and the constant vector over b, over all pairs, with w = 2πk/p and k = 47. Both
    factors are scaled to unit vectors over the operand values. Frequency 47 is the demo's highest key frequency; if p is too
    small for it, the highest frequency is shown. In the demo's figure, the cosine varies along b, although its title
    names a.""",
)

figure(
    "demo/24_neuron0_2d",
    plot=partial(neuron_in_2d_fourier_basis, neuron=0),
    title="2D Fourier components of the demo network's neuron 0",
    reference="TransformerLens demo, analyze neurons",
    variables=(*ACTIVATION_VARIABLES, "key_frequency"),
    size=(6.8, 3.4),
    caption="""2D Fourier components of the first run's neuron 0 after the ReLU, at the end of training. Each component
    is the coefficient on the product of a Fourier basis function of a (row) and one of b (column). The component that
    is constant in a and b is omitted. Left: all components. Right: only components for which both basis functions are
    the constant or cos or sin of a key frequency. A few components of one frequency hold nearly all of the variance
    over pairs; the title gives the fraction in the eight largest.""",
)

figure(
    "demo/25_neuron5_2d",
    plot=partial(neuron_in_2d_fourier_basis, neuron=5),
    title="2D Fourier components of the demo network's neuron 5",
    reference="TransformerLens demo, analyze neurons",
    variables=(*ACTIVATION_VARIABLES, "key_frequency"),
    size=(6.8, 3.4),
    caption="""2D Fourier components of the first run's neuron 5 after the ReLU, at the end of training. Each component
    is the coefficient on the product of a Fourier basis function of a (row) and one of b (column). The component that
    is constant in a and b is omitted. Left: all components. Right: only components for which both basis functions are
    the constant or cos or sin of a key frequency. A few components of one frequency hold nearly all of the variance
    over pairs; the title gives the fraction in the eight largest.""",
)


@figure(
    "demo/26_random_2d",
    title="2D Fourier components of a Gaussian map",
    reference="TransformerLens demo, analyze neurons",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def gaussian_map(fig: Figure, cube: xr.Dataset) -> None:
    """2D Fourier components of Gaussian noise, one value for each pair.

    The values are independent and standard normal. Each component is the coefficient on the product of a Fourier basis
    function of a (row) and one of b (column). The component that is constant in a and b is omitted. Left: all
    components. Right: only components for which both basis functions are the constant or cos or sin of one of the first
    run's key frequencies. No component stands out; the title gives the fraction of variance in the eight largest.
    """
    p = operand_count(cube)
    in_2d_fourier_basis(fig, cube, np.random.default_rng(0).standard_normal((p, p)), "Gaussian")


@figure(
    "demo/30_Wlogit_17",
    title="Fourier norms of the neuron-logit map of one neuron cluster of the demo network",
    reference="TransformerLens demo, read off the neuron-logit weights",
    variables=("cluster_W_L_fourier_norm", "cluster_size", "key_frequency"),
    size=(4.6, 2.6),
)
def logit_weights_of_cluster(fig: Figure, cube: xr.Dataset) -> None:
    """Norm over one neuron cluster of each Fourier component of the neuron-logit map W_L, at the end of training.

    W_L = W_out W_U. The cluster has the neurons whose variance over pairs the first run's lowest key frequency (17 in
    the demo) explains to at least 85 %. The constant component is not drawn. Only the cosine and sine of this frequency
    have large norms.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    ax = fig.subplots()
    if not colors:
        no_key_frequencies(ax, run)
        return
    k, color = next(iter(colors.items()))
    cluster = cube.sel(run=run, frequency=k)
    component_bars(ax, cluster.cluster_W_L_fourier_norm.values, {k: color})
    ax.set(ylabel="Norm of $W_L$'s component", title=f"The {int(cluster.cluster_size)} neurons of k = {k}")


@figure(
    "demo/31_sin17",
    title="Weights of the demo network's neurons on one sine over the outputs",
    reference="TransformerLens demo, read off the neuron-logit weights",
    variables=("W_L_fourier", "neuron_frequency_share", "key_frequency"),
    size=(6.8, 2.6),
)
def neurons_of_sine(fig: Figure, cube: xr.Dataset) -> None:
    """Coefficient of each neuron's output weights on the sine of one frequency over the outputs.

    All values are from the end of training. The output weights of a neuron are its row of W_L = W_out W_U. The
    frequency is the first run's lowest key frequency (17 in the demo). A neuron is in color if this frequency explains
    more of the neuron's variance over pairs than any other frequency. The demo's code omits a transpose and therefore
    does not use the sine that it names. This figure uses the sine.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    ax = fig.subplots()
    if not colors:
        no_key_frequencies(ax, run)
        return
    k, color = next(iter(colors.items()))
    has_best_frequency_k = best_frequency(cube.neuron_frequency_share.sel(run=run).values)[0] == k
    weight = cube.W_L_fourier.values[:, 2 * k]  # component 2k is the sine of frequency k
    bar_colors = np.where(has_best_frequency_k, color, COLORS["other"])
    ax.vlines(np.arange(len(weight)), 0, weight, color=bar_colors, lw=0.7)
    ax.plot([], [], color=color, label=f"neurons of k = {k}")
    ax.plot([], [], color=COLORS["other"], label="others")
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Neuron", ylabel=f"Weight of sin {k}", xlim=(-1, len(weight)))
    ax.legend(loc="best", ncols=2)


@figure(
    "demo/32_sin17_inputs",
    title="2D Fourier components of the neurons' contribution to one sine over the outputs, in the demo network",
    reference="TransformerLens demo, read off the neuron-logit weights",
    variables=(*ACTIVATION_VARIABLES, "W_L_fourier", "key_frequency"),
    size=(6.8, 3.4),
)
def inputs_of_sine(fig: Figure, cube: xr.Dataset) -> None:
    """2D Fourier components of a weighted sum of the first run's neurons after the ReLU, without the constant component.

    All values are from the end of training. The weight of a neuron is the coefficient of its row of W_L = W_out W_U on
    the sine over outputs of the lowest key frequency k (17 in the demo). Each component is the coefficient on the
    product of a Fourier basis function of a (row) and one of b (column). Left: all components. Right: only components
    for which both basis functions are the constant or cos or sin of a key frequency. The title gives the fraction of
    variance in the eight largest. The weighted sum is close to a multiple of sin w(a + b) = sin wa cos wb + cos wa sin
    wb, with w = 2πk/p.
    """
    run = str(cube.run.values[0])
    keys = list(frequency_colors(cube, run))
    if not keys:
        no_key_frequencies(fig.subplots(), run)
        return
    weight = cube.W_L_fourier.values[:, 2 * keys[0]]  # component 2k is the sine of frequency k
    in_2d_fourier_basis(fig, cube, neuron_maps(cube).values @ weight, f"Contribution of the neurons to sin {keys[0]}c")


@figure(
    "demo/34_cos_coeffs",
    title="Coefficients of cos w(a + b - c) in the demo network's logits",
    reference="TransformerLens demo, logit periodicity",
    variables=("cosine_coefficient", "key_frequency", *PHASE_ENDS),
    size=(6.8, 3.4),
)
def cosine_coefficients(fig: Figure, cube: xr.Dataset) -> None:
    """Coefficient of the first run's logits on cos w(a + b - c) for each frequency k, with w = 2πk/p.

    c is the output, and each cosine is scaled to norm 1 over all (a, b, c). Key frequencies are in color, all other
    frequencies are gray. Shaded areas are the phases that a rule finds. The coefficients of some key frequencies start to grow
    long before the network generalizes, those of the others in cleanup.
    """
    ax = curves_by_frequency(fig, cube, name="cosine_coefficient", text="Coefficient")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


figure(
    "demo/35_cos_sim",
    plot=partial(curves_by_frequency, name="cosine_similarity", text="Cosine similarity"),
    title="Cosine similarity of the demo network's logits with cos w(a + b - c)",
    reference="TransformerLens demo, logit periodicity",
    variables=("cosine_similarity", "key_frequency", *PHASE_ENDS),
    size=(6.8, 3.4),
    caption="""Cosine similarity of the first run's logits with cos w(a + b - c) for each frequency k, with w = 2πk/p. c
    is the output. The similarity is the scalar product of the logits and the cosine over all (a, b, c), divided by the
    norms of both. Key frequencies are in color, all other frequencies are gray. Shaded areas are the phases that a rule
    finds.""",
)


@figure(
    "demo/37_neuron_2d_norms",
    title="Norms over neurons of the demo network's 2D Fourier components",
    reference="TransformerLens demo, restricted loss",
    variables=("neuron_fourier_norm_2d", "key_frequency"),
    size=(6.8, 3.4),
)
def norms_over_neurons(fig: Figure, cube: xr.Dataset) -> None:
    """Norm over all neurons of each 2D Fourier component of their activations, without the constant component.

    The activations are those of the first run after the ReLU, at the end of training. Each component is the coefficient
    on the product of a Fourier basis function of a (row) and one of b (column). Left: all components. Right: only
    components for which both basis functions are the constant or cos or sin of a key frequency. The large components
    are the 2 x 2 products of cos and sin of a with cos and sin of b at each key frequency, on the diagonal, and the cos
    and sin of a alone and of b alone, on the two edges.
    """
    norms = cube.neuron_fourier_norm_2d.isel(run=0).values.copy()
    norms[0, 0] = 0
    component_map(fig, cube, norms, "Norm over neurons", "All neurons")


figure(
    "demo/39_ratio",
    plot=partial(
        ratio_with_phases,
        numerator="test_loss",
        denominator="restricted_loss_neurons",
        text="Test loss / restricted loss",
    ),
    title="Ratio of test loss to restricted loss of the demo network",
    reference="TransformerLens demo, restricted loss",
    variables=("restricted_loss_neurons", "test_loss", "key_frequency", *PHASE_ENDS),
    size=(5.2, 3.0),
    caption="""Test loss of the first run divided by its restricted loss at the same epoch. As in the demo, the
    restricted loss is the loss on test pairs if the logits are replaced by their mean over pairs plus P W_L. P is the
    projection of the neurons, as functions of the pair, onto cos and sin of w(a + b) for the key frequencies k; w =
    2πk/p and W_L = W_out W_U. Where the ratio is above 1, the key frequencies alone give a lower loss than the full
    network. The demo's title names the inverse ratio, and the demo divides losses that are one checkpoint apart.""",
)
