"""The blog's W_neur: what heads pass on to neurons."""

from progress_measures.figures.neuron_panels import FOLLOWS, value_rows
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

NEURONS, panel = first_neurons(5), value_rows(5)


def legend_of_heads(fig, cube, axes):
    """The colors of heads, above all panels."""
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=8)


@figure(
    title="What attending to a number adds to the first five neurons",
    reference="Modular addition blog, looking around",
    variables=("neuron_value_token", *FOLLOWS),
    size=(6.8, 6.2),
    animation=one_by_one(panel, NEURONS, legend_of_heads, size=(6.0, 2.6)),
)
def draw(fig, cube):
    """$W_E W_V W_O W_{in}$ of the first run at the end of training: what each head's attention to a number adds to the
    pre-activation of neurons 0 to 4, for each unit of attention. All are periodic in the number.
    """
    side_by_side(fig, cube, panel, NEURONS, 1, legend_of_heads)
