"""The blog's W_attn: what heads look for."""

import itertools

from progress_measures.figures.attention import HEADS
from progress_measures.figures.registry import figure


@figure(
    title="The score that each head gives a number",
    reference="Modular addition blog, looking around",
    variables=("attention_score_token", "attention_frequency", "score_fraction_explained"),
    size=(6.8, 2.8),
)
def draw(fig, cube):
    """The part of the attention score from `=` that is looked up by number, $r W_Q W_K^T W_E^T / \\sqrt{d_{head}}$ with r
    the residual stream at `=`, of each head of the first run at the end of training, before the softmax. The legend gives
    the frequency of the head's attention, and its share of the score's variance over numbers.
    """
    one = cube.isel(run=0)
    ax = fig.subplots()
    scores = one.attention_score_token.isel(token=slice(-1))
    for head, color in zip(scores["head"].values, itertools.cycle(HEADS), strict=False):
        k, share = int(one.attention_frequency.sel(head=head)), float(one.score_fraction_explained.sel(head=head))
        ax.plot(scores.sel(head=head), color=color, label=f"head {head}: k = {k} ({share:.0%})")
    ax.axhline(0, color="#888888", lw=0.4, zorder=0)
    ax.set(xlabel="Number", ylabel="Attention score", xlim=(0, scores.sizes["token"] - 1))
    fig.legend(loc="outside upper center", ncols=4)
