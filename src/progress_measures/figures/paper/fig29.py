"""Figure 29: on sums that are always fresh, a network learns one digit after the other and there is nothing to grok."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import epochs, label, loss_axis, panel_letters


@figure(
    title="Five-digit addition on fresh sums",
    reference="Nanda et al. 2023, Fig. 29",
    experiment="five_digit_addition",
    variables=(*LOSSES, "test_loss_by_answer"),
    size=(6.8, 3.0),
)
def draw(fig, cube):
    """Left: train and test loss of the first run, which are one curve, since every sum is new. Right: its test loss for each
    digit of the answer, the carry first: every digit is learned at a time of its own.
    """
    left, right = fig.subplots(1, 2, sharey=True)
    losses(left, cube.isel(run=[0]), "All digits")
    of_answers = cube.test_loss_by_answer.isel(run=0)
    for answer in of_answers.answer.values:
        right.plot(of_answers.epoch, of_answers.sel(answer=answer), lw=1, label=str(answer))
    right.set_title("Digit by digit")
    loss_axis(right, label(of_answers, "Test loss"))
    epochs(right, int(of_answers.epoch[-1]))
    right.legend(loc="upper right", ncols=2, columnspacing=0.8)
    for ax in (left, right):
        ax.set_xlabel("Update")
    panel_letters([left, right])
