"""Without its second principal component, integer addition fails at most pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.colors import ListedColormap

from progress_measures.analysis.integer_sums import failures
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, panel_letters

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TITLES = {"mean and PC 1": "Mean and PC 1 kept", "all but PC 2": "PC 2 removed"}


@figure(
    title="Where integer addition fails without its second principal component",
    reference="Integer addition notebook, ablation of PC 2",
    experiment="integer_addition",
    variables=("answer_by_embedding",),
    size=(6.8, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Pairs that the first run answers wrongly (dark) when the embeddings of a and b are ablated.

    All values are from the end of training. Left: only the mean and the first principal component (PC 1) of the
    embedding are kept. This is what the notebook does, although it describes removing the second. Right: only the
    second principal component (PC 2) is removed. With the full embedding all pairs are answered correctly, unless the
    title states otherwise.
    """
    wrong = failures(cube)
    axes = fig.subplots(1, 2, sharey=True)
    n = wrong.sizes["a"]
    for ax, (name, title) in zip(axes, TITLES.items(), strict=True):
        failed = wrong.sel(embedding=name)
        colors = ListedColormap(["#F4F4F4", COLORS["weights"]])
        ax.pcolormesh(failed.values, cmap=colors, vmin=0, vmax=1, edgecolor="white", lw=0.6)
        ax.set(xlabel="b", ylabel="a", aspect="equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([k + 0.5 for k in range(n)], range(n))
        ax.label_outer()
        ax.set_title(f"{title}: {int(failed.sum())} of {failed.size} fail")
    full_embedding_failures = int(wrong.sel(embedding="whole").sum())
    if full_embedding_failures:
        fig.suptitle(f"With the full embedding, {full_embedding_failures} pairs fail")
    panel_letters(axes)
