"""Figure 34: on few sequences, skip trigrams are learned by heart, or at once for good."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters, panels


@figure(
    title="Skip trigrams, 512 of them",
    reference="Nanda et al. 2023, Fig. 34",
    experiment=("skip_trigram_finite_paper", "skip_trigram_finite"),
    variables=LOSSES,
    size=(6.8, 2.8),
)
def draw(fig, as_stated, as_on_fresh):
    """Train and test loss of recalling the one token that tells, on a fixed set of sequences; in the paper the test loss falls
    long after the train loss. 512 of them with the mainline's settings, which the paper names; then 512 and 100 with those of
    the run on fresh ones.
    """
    runs = [(f"{_examples(as_stated)[0]:g}, as stated", as_stated.isel(run=[0]))]
    runs += [(f"{n:g}, as on fresh ones", as_on_fresh.isel(run=[i])) for i, n in enumerate(_examples(as_on_fresh))]
    axes = panels(fig, len(runs), columns=len(runs), sharey=True)
    for i, (ax, (name, run)) in enumerate(zip(axes, runs, strict=True)):
        losses(ax, run, name, legend=i == 0)
        ax.label_outer()
    panel_letters(axes)


def _examples(cube):
    """How many sequences each run trains on; of tasks on pairs, the share of all."""
    return (cube.examples if "examples" in cube.coords else cube.train_fraction).values
