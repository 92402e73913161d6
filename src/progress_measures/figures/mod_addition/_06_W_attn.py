"""The blog's W_attn: the attention score of each head by number."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from progress_measures.figures.attention import HEAD_COLORS
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention score of each head for each number",
    reference="Modular addition blog, looking around",
    variables=("attention_score_token", "attention_frequency", "score_fraction_explained"),
    size=(6.8, 2.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention score of each head from `=` to each number x, before the softmax; only the part that depends on x.

    The blog's W_attn is this part: r W_Q W_K^T W_E^T / sqrt(d_head), where r is the embedding at `=` and d_head is the
    size of a head. All values are from the first run at the end of training. The legend gives the frequency k of the
    head's attention pattern, and the fraction of the score's variance over numbers in this frequency.
    """
    run_cube = cube.isel(run=0)
    ax = fig.subplots()
    scores = run_cube.attention_score_token.isel(token=slice(-1))
    for head, color in zip(scores["head"].values, itertools.cycle(HEAD_COLORS), strict=False):
        k = int(run_cube.attention_frequency.sel(head=head))
        fraction = float(run_cube.score_fraction_explained.sel(head=head))
        ax.plot(scores.sel(head=head), color=color, label=f"head {head}: k = {k} ({fraction:.0%})")
    ax.axhline(0, color="#888888", lw=0.4, zorder=0)
    ax.set(xlabel="Number", ylabel="Attention score", xlim=(0, scores.sizes["token"] - 1))
    fig.legend(loc="outside upper center", ncols=4)
