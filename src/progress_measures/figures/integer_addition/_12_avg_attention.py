"""What integer addition's heads attend to on average."""

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters, panels


@figure(
    title="Average attention of integer addition's heads",
    reference="Integer addition notebook, attention pattern check",
    experiment="integer_addition",
    variables=("mean_attention_by_query",),
    size=(6.8, 2.4),
)
def draw(fig, cube):
    """Attention of each head of the first run at the end of training, mean over all pairs: from a, b and `=` (down) to those
    up to it (to the right). From `=`, where the answer is read, every head looks at a and b alike, and hardly at `=`. The
    notebook describes this check and leaves it undone.
    """
    attention = cube.mean_attention_by_query.isel(run=0)
    names = attention.position.values
    axes = panels(fig, attention.sizes["head"], columns=attention.sizes["head"], sharey=True)
    for head, ax in enumerate(axes):
        one = attention.isel(head=head).values
        image = ax.imshow(np.ma.masked_array(one, ~np.tri(3, dtype=bool)), cmap="Blues", vmin=0, vmax=1)
        for (query, place), share in np.ndenumerate(one):
            if place <= query:
                ax.text(place, query, f"{share:.2f}", ha="center", va="center", fontsize=7,
                        color="white" if share > 0.6 else "black")  # fmt: skip
        ax.set(xlabel="Attention to", ylabel="Attention from", title=f"Head {head}")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(range(3), names)
        ax.label_outer()
    panel_letters(axes)
    fig.colorbar(image, ax=axes, label="Attention", shrink=0.8)
