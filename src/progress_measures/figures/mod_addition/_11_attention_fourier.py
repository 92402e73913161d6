"""The blog's attention in the 2D Fourier basis."""

from progress_measures.cube.pair_maps import attention_map
from progress_measures.figures.attention import TO_A, name
from progress_measures.figures.neuron_panels import shares_bar, spectrum_2d, spectrum_map
from progress_measures.figures.one_by_one import heads, one_by_one, side_by_side
from progress_measures.figures.registry import figure


def panel(ax, cube):
    """A head's attention to a in the 2D Fourier basis."""
    show = spectrum_map(ax, cube)
    return lambda head: show(spectrum_2d(attention_map(cube, head).sel(position="a").values), name(cube, head))


@figure(
    title="Attention to a in the 2D Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*TO_A, "key_frequency"),
    size=(6.8, 2.6),
    animation=one_by_one(panel, heads, shares_bar),
)
def draw(fig, cube):
    """Attention of each head of the first run from `=` to a, at the end of training, as coefficients of products of a Fourier
    component over a (down) and one over b (to the right), over the largest, without the mean. Shown are the components
    of the key frequencies and the constant; how large all the thousands of others are is said above. A few cells on the
    edges, functions of a or of b alone, hold nearly all: those of the head's frequency.
    """
    side_by_side(fig, cube, panel, heads, 4, shares_bar)
