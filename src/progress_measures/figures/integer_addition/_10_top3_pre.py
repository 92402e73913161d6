"""Integer addition's neurons follow the sum, before the ReLU."""

from progress_measures.cube.integer_sums import OF_NEURONS
from progress_measures.figures.integer_plots import top_maps
from progress_measures.figures.registry import figure


@figure(
    title="Pre-activations of integer addition's top three neurons",
    reference="Integer addition notebook, pre-activations",
    experiment="integer_addition",
    variables=OF_NEURONS,
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """The three neurons of the first run whose activations correlate most with a + b, over all pairs, before the ReLU, at the
    end of training. They rise with the sum from negative to positive values, levelling off towards the
    largest sums, so that the zeros after the ReLU are what was negative.
    """
    top_maps(fig, cube, relu=False)
