"""What the neurons of one frequency write."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import by_component, frequency_colors, no_key_frequencies


@figure(
    title="Fourier norms of what one cluster of the demo network's neurons writes",
    reference="TransformerLens demo, read off the neuron-logit weights",
    experiment="transformer_lens_demo",
    variables=("cluster_W_L_fourier_norm", "cluster_size", "key_frequency"),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """Norms of the Fourier components of the rows of W_L of one cluster's neurons at the end of training, that of the first
    run's lowest key frequency (17 in the demo): they write cosine and sine of their own frequency, and little else.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    ax = fig.subplots()
    if not colors:
        no_key_frequencies(ax, run)
        return
    k, color = next(iter(colors.items()))
    one = cube.sel(run=run, frequency=k)
    by_component(ax, one.cluster_W_L_fourier_norm, {k: color})
    ax.set(ylabel="Norm of $W_L$'s component", title=f"The {int(one.cluster_size)} neurons of k = {k}")
