"""Figure 29: on sums that are always fresh, a network learns one digit after the other and there is nothing to grok."""

import numpy as np
from matplotlib import colormaps

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import epochs, label, loss_axis, panel_letters


@figure(
    title="Five-digit addition on fresh sums",
    reference="Nanda et al. 2023, Fig. 29",
    experiment=("five_digit_addition", "five_digit_addition_notebook"),
    variables=(*LOSSES, "test_loss_by_answer"),
    size=(6.8, 3.0),
)
def draw(fig, cube, wide):
    """Left: train and test loss, which are one curve, since every sum is new. Right: of the notebook's own run, which is four
    times as wide and learns at a tenth of the rate, the test loss for each digit of the answer, the carry first: every digit
    is learned at a time of its own.
    """
    left, right = fig.subplots(1, 2, sharey=True)
    losses(left, cube.isel(run=[0]), "All digits", alike=True)
    of_answers = wide.test_loss_by_answer.isel(run=0)
    colors = colormaps["viridis"](np.linspace(0, 0.92, of_answers.sizes["answer"]))  # not as far as its pale end
    for answer, color in zip(of_answers.answer.values, colors, strict=True):
        power = str(answer).removeprefix("10^")
        name = f"$10^{power}$" if power.isdigit() else str(answer)
        right.plot(of_answers.epoch, of_answers.sel(answer=answer), lw=1.1, color=color, label=name)
    right.set_title("Digit by digit, the notebook's run")
    loss_axis(right, label(of_answers, "Test loss"))
    epochs(right, int(of_answers.epoch[-1]))
    right.legend(loc="lower left", ncols=2, columnspacing=0.8)
    for ax in (left, right):
        ax.set_xlabel("Update")
    panel_letters([left, right])
