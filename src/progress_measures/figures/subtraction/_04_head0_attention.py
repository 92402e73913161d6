"""The attention of the subtraction network's head 0 is periodic."""

from progress_measures.cube.maps import attention_map
from progress_measures.figures.attention import TO_A
from progress_measures.figures.registry import figure
from progress_measures.figures.style import plane


@figure(
    title="Attention of the subtraction network's head 0 to a",
    reference="Modular subtraction notebook, section 3.1",
    experiment="subtraction",
    variables=TO_A,
    size=(3.8, 3.2),
)
def draw(fig, cube):
    """Attention of head 0 of the first run from `=` to a, over all pairs, at the end of training, on a scale
    of its own: it varies little, but periodically. The title gives the frequency that holds most of the variance, and how
    much.
    """
    head = cube.isel(run=0).sel(head=0)
    ax = fig.subplots()
    image = plane(ax, attention_map(cube, 0).sel(position="a"))
    ax.set_title(f"Head 0, k = {int(head.attention_frequency)} ({float(head.attention_frequency_share):.0%})")
    fig.colorbar(image, ax=ax, label="Attention", shrink=0.8)
