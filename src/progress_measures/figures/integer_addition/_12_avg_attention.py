"""Mean attention of integer addition's heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters, panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Average attention of integer addition's heads",
    reference="Integer addition notebook, attention pattern check",
    experiment="integer_addition",
    variables=("mean_attention_by_query",),
    size=(6.8, 2.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run at the end of training, averaged over all pairs.

    Rows: the position from which the head attends: a, b or `=`. Columns: the position to which it attends, up to that
    of the row. From `=`, where the answer is read, every head attends equally to a and b, and hardly to `=`. The
    notebook describes this check but does not run it.
    """
    attention = cube.mean_attention_by_query.isel(run=0)
    names = attention.position.values
    axes = panels(fig, attention.sizes["head"], columns=attention.sizes["head"], sharey=True)
    for head, ax in enumerate(axes):
        values = attention.isel(head=head).values
        image = ax.imshow(np.ma.masked_array(values, ~np.tri(3, dtype=bool)), cmap="Blues", vmin=0, vmax=1)
        for (query, key), value in np.ndenumerate(values):
            if key <= query:
                ax.text(key, query, f"{value:.2f}", ha="center", va="center", fontsize=7,
                        color="white" if value > 0.6 else "black")  # fmt: skip
        ax.set(xlabel="Attention to", ylabel="Attention from", title=f"Head {head}")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(range(3), names)
        ax.label_outer()
    panel_letters(axes)
    fig.colorbar(image, ax=axes, label="Attention", shrink=0.8)
