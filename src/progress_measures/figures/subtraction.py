"""Figures of the modular subtraction notebook that no other source has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.figures.interactive_page import (
    curve_trace,
    page_axis,
    page_epoch_axis,
    page_layout,
    scale_buttons,
)
from progress_measures.figures.plots.curves import HISTORY_LOSSES, ratio_with_phases, two_scales
from progress_measures.figures.plots.fourier_basis import basis_waves, key_waves
from progress_measures.figures.plots.style import COLORS, label
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr


def losses_page(cube: xr.Dataset) -> dict[str, Any]:
    """Train and test loss of the first run, without epoch 0. Buttons change the scale of each axis.

    The network memorizes within a few hundred epochs. The test loss then stays on a plateau far above the loss of a
    uniform guess, and falls long after.
    """
    history = cube.sel(history_epoch=cube.history_epoch > 0).isel(run=0)
    return {
        "data": [
            curve_trace(history.history_epoch, history[f"history_{split}_loss"], split, COLORS[split])
            for split in ("train", "test")
        ],
        "layout": page_layout(
            xaxis=page_epoch_axis(),
            yaxis=page_axis(label(cube.history_test_loss, "Cross-entropy"), "log"),
            updatemenus=[
                scale_buttons("xaxis", position=0, initial="linear"),
                scale_buttons("yaxis", position=0.25, initial="log"),
            ],
        ),
    }


figure(
    "subtraction/01_training_curve",
    plot=two_scales,
    title="Training curve of modular subtraction",
    reference="Modular subtraction notebook, section 3",
    variables=HISTORY_LOSSES,
    page=losses_page,
    caption="""Train and test loss of the first run. Left: with a logarithmic loss axis. Right: with a logarithmic epoch
    axis, without epoch 0. The network memorizes within a few hundred epochs. The test loss then stays on a plateau far above
    the loss of a uniform guess, and falls long after.""",
)

figure(
    "subtraction/12_fourier_first5",
    plot=partial(basis_waves, indices=lambda p: range(5)),
    title="The first five vectors of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    variables=("key_frequency",),
    size=(6.8, 4.0),
    caption="""The constant vector, and cosine and sine of frequencies 1 and 2, each as a unit vector over the operand
    values. Points: entries of the vector, one per operand value. Line: the same function between them.""",
)

figure(
    "subtraction/13_fourier_mid",
    # components 2k - 1 and 2k are cos and sin of frequency k, so the first is the cosine of frequency (p - 1) // 4 + 1
    plot=partial(basis_waves, indices=lambda p: range(2 * ((p - 1) // 4) + 1, p)[:4]),
    title="Four vectors in the middle of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    variables=("key_frequency",),
    size=(6.8, 3.4),
    caption="""Cosine and sine of two frequencies near half of the highest frequency, each as a unit vector over the
    operand values. Points: entries of the vector, one per operand value. Line: the same function between them.""",
)

figure(
    "subtraction/14_fourier_last2",
    plot=partial(basis_waves, indices=lambda p: (2 * ((p - 1) // 2) - 1, 2 * ((p - 1) // 2))),
    title="The last two vectors of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    variables=("key_frequency",),
    size=(6.8, 2.2),
    caption="""Cosine and sine of the highest frequency that has both, each as a unit vector over the operand values. Points:
    entries of the vector, one per operand value. Line: the same function between them. The entries of two neighboring
    operand values are almost opposite.""",
)

figure(
    "subtraction/20_key_sin",
    plot=partial(key_waves, wave="sin"),
    title="Sines of the subtraction network's key frequencies",
    reference="Modular subtraction notebook, section 3.5",
    variables=("key_frequency",),
    size=(6.8, 3.4),
    caption="""The sine of each key frequency of the first run, as a unit vector over the operand values. Points:
    entries of the vector, one per operand value. Line: the same function between them.""",
)

figure(
    "subtraction/27_restricted_ratio",
    plot=partial(
        ratio_with_phases,
        numerator="restricted_loss_neurons",
        denominator="test_loss",
        text="Restricted loss / test loss",
    ),
    title="Ratio of restricted loss to test loss of modular subtraction",
    reference="Modular subtraction notebook, section 4.3",
    variables=("restricted_loss_neurons", "test_loss", "key_frequency", *PHASE_ENDS),
    size=(5.2, 3.0),
    caption="""Restricted loss of the first run divided by its test loss at the same epoch. As in the notebook, the
    restricted loss is the loss on test pairs if the logits are replaced by their mean over pairs plus N W_L, where
    W_L = W_out W_U. N is the projection of the neurons, as functions of the pair, onto cos and sin of w(a - b) for the
    key frequencies k; w = 2πk/p. A ratio below 1 means that the key frequencies alone give a lower loss than the full
    network; this is so until the network generalizes. A ratio above 1 means that the network uses more than the key
    frequencies.""",
)
