"""Figure 31: on sequences that are always fresh, induction comes at once and for all sequences."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters, panels


@figure(
    title="Repeated subsequences, fresh ones at every update",
    reference="Nanda et al. 2023, Fig. 31",
    experiment=("repeated_subsequence", "repeated_subsequence_paper"),
    variables=LOSSES,
    size=(6.8, 2.8),
)
def draw(fig, saved, as_stated):
    """Train and test loss of predicting repeated subsequences, which are one curve, since every sequence is new: it
    drops sharply, when the network has learned to look back. The authors' saved run without its slip, which adds the
    residual stream twice; with it; and a network with the mainline's settings, which the paper names, in place of that run's.
    Spikes, as in slingshots, throw the first and third back for a while.
    """
    names = {False: "Saved run, stream once", True: "Saved run, stream twice"}
    runs = [(names[bool(twice)], saved.isel(run=[i])) for i, twice in enumerate(saved.doubled_residual.values)]
    runs.append(("The mainline's settings", as_stated.isel(run=[0])))
    axes = panels(fig, len(runs), columns=len(runs), sharey=True)
    for i, (ax, (name, run)) in enumerate(zip(axes, runs, strict=True)):
        losses(ax, run, name, legend=i == 0, alike=True)
        ax.set_xlabel("Update")
        ax.label_outer()
    panel_letters(axes)
