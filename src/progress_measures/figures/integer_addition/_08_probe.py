"""A linear probe reads the sum off integer addition's neurons."""

import numpy as np

from progress_measures.cube.integer_sums import OF_NEURONS, probe
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS


@figure(
    title="Sums read off integer addition's neurons by a linear probe",
    reference="Integer addition notebook, linear probe",
    experiment="integer_addition",
    variables=OF_NEURONS,
    size=(3.6, 3.4),
)
def draw(fig, cube):
    """The sum of each pair of a held-out 30 %, and what a linear regression on all neurons after the ReLU of the first run,
    fitted to the other 70 %, says of it. The split is the notebook's; with more neurons than pairs, the shortest of the
    regressions that fit is taken.
    """
    found = probe(cube)
    ends = np.array([found.sums.min(), found.sums.max()])
    ax = fig.subplots()
    ax.plot(ends, ends, "--", lw=0.8, color="#888888", label="perfect")
    ax.plot(found.sums, found.predicted, "o", ms=4, alpha=0.6, mew=0, color=COLORS["test"], label="held-out pairs")
    error = np.square(found.sums - found.predicted).mean()
    ax.annotate(
        f"$R^2$ = {found.r2:.4f}\nmean squared error {error:.3f}\n(of the mean: $R^2$ = {found.baseline_r2:.2f})",
        (0.97, 0.05), xycoords="axes fraction", ha="right", va="bottom",
    )  # fmt: skip
    ax.set(xlabel="a + b", ylabel="Predicted a + b", aspect="equal")
    ax.legend(loc="upper left")
