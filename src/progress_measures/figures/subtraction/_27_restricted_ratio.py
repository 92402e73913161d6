"""The subtraction network's restricted loss beside its test loss."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import (
    COLOURS,
    PHASE_VARIABLES,
    epochs,
    loss_axis,
    no_key_frequencies,
    phase_bands,
    phase_names,
)


@figure(
    title="Restricted to test loss of modular subtraction",
    reference="Modular subtraction notebook, section 4.3",
    experiment="subtraction",
    variables=("restricted_loss_neurons", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Restricted loss over test loss of the first run, both at the same epoch; the restricted loss by the notebook's
    definition. Below 1 the key frequencies alone answer better than the network, as they do until it generalises;
    above it the network makes use of more.
    """
    one, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    if not one.key_frequency.any():
        no_key_frequencies(ax, run)
        return
    ax.plot(one.epoch, one.restricted_loss_neurons / one.test_loss, color=COLOURS["restricted"], lw=1.8)
    ax.axhline(1, color="#555555", lw=0.5)
    loss_axis(ax, "Restricted loss / test loss")
    epochs(ax, int(one.epoch[-1]))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
