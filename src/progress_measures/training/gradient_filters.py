"""Filters of the gradient, between the backward pass and the optimizer; `training.gradient_filter` selects one.

A filter changes the gradient [run, parameter] in place. The tensors that it keeps between updates are its `buffers`. A
saved training state contains the buffers of the filter and of the optimizer. To add a filter, write a class with the
methods of `NoFilter` and add it to `FILTERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Training
    from progress_measures.training.tensor_pieces import Pieces


class NoFilter:
    """Leaves the gradient unchanged; the base class of the other filters.

    Args:
        recipe: the section `training` of the runs' settings.
        parameters: the weights, [run, parameter].
        pieces: the columns of each tensor in a row of parameters.

    Attributes:
        buffers: tensors that the filter keeps between updates, by name, each with a leading dimension `run`.
    """

    def __init__(self, recipe: Training, parameters: Tensor, pieces: Pieces) -> None:
        self.recipe, self.pieces = recipe, pieces
        self.buffers: dict[str, Tensor] = {}

    def __call__(self, gradient: Tensor, parameters: Tensor, count: Tensor) -> None:
        """Change the gradient in place.

        Args:
            gradient: [run, parameter].
            parameters: the weights, [run, parameter].
            count: number of updates so far, a tensor without dimensions.
        """


class GrokfastEMA(NoFilter):
    """Grokfast-EMA (Lee et al. 2024, arXiv:2405.20233): add an exponential average of the gradients to the gradient.

    The average has the decay rate `grokfast_decay` and starts as the first gradient. It is multiplied by `grokfast_factor`
    before it is added to the gradient.
    """

    def __init__(self, recipe: Training, parameters: Tensor, pieces: Pieces) -> None:
        super().__init__(recipe, parameters, pieces)
        self.buffers = {"slow_gradient": torch.zeros_like(parameters)}

    def __call__(self, gradient: Tensor, parameters: Tensor, count: Tensor) -> None:
        """Update the average, then add it, times `grokfast_factor`, to the gradient."""
        mean = self.buffers["slow_gradient"]
        # `torch.where` instead of `if`, because a captured CUDA graph would freeze the choice
        previous_mean = torch.where(count == 0, gradient, mean)
        torch.lerp(gradient, previous_mean, self.recipe.grokfast_decay, out=mean)
        gradient.add_(mean, alpha=self.recipe.grokfast_factor)


class GrokfastMA(NoFilter):
    """Grokfast-MA (Lee et al. 2024, arXiv:2405.20233): add the mean of the last gradients to the gradient.

    The mean is over a window of the last `grokfast_window` gradients, the current one included, and is multiplied by
    `grokfast_factor`. Until the window is full, the gradient stays unchanged.
    """

    def __init__(self, recipe: Training, parameters: Tensor, pieces: Pieces) -> None:
        super().__init__(recipe, parameters, pieces)
        runs, columns = parameters.shape
        window = torch.zeros(runs, recipe.grokfast_window, columns, dtype=parameters.dtype, device=parameters.device)
        self.buffers = {"last_gradients": window}  # [run, update, parameter]; a new gradient replaces the oldest

    def __call__(self, gradient: Tensor, parameters: Tensor, count: Tensor) -> None:
        """Replace the oldest gradient of the window, then add the mean of a full window, times `grokfast_factor`."""
        window, size = self.buffers["last_gradients"], self.recipe.grokfast_window
        window.index_copy_(1, (count.long() % size)[None], gradient[:, None])
        # The mean is computed again at each update: gradients shrink by orders of magnitude, and a running sum would keep the
        # rounding errors of the first gradients.
        weight = (count + 1 >= size) * self.recipe.grokfast_factor  # 0 until the window is full
        for run_gradient, run_window in zip(gradient, window, strict=True):
            run_gradient.add_(run_window.mean(0) * weight)


class OrthoGrad(NoFilter):
    """⊥Grad (Prieto et al. 2025, arXiv:2501.04697): remove the component of the gradient along the weights.

    As in the authors' code, the gradient of each tensor of each layer is projected separately, then scaled to the norm
    that it had before the projection.
    """

    _EPSILON = 1e-30  # avoids a division by 0 for weights or gradients of norm 0

    def __call__(self, gradient: Tensor, parameters: Tensor, count: Tensor) -> None:
        """Project the gradient, one tensor of one layer of one run at a time."""
        for g_row, w_row in zip(gradient, parameters, strict=True):
            for columns in self.pieces.slices:
                g, w = g_row[columns], w_row[columns]
                norm = g.norm()
                g.sub_(w * (w.dot(g) / (w.dot(w) + self._EPSILON)))
                g.mul_(norm / (g.norm() + self._EPSILON))


FILTERS: dict[str, type[NoFilter]] = {
    "none": NoFilter,
    "grokfast_ema": GrokfastEMA,
    "grokfast_ma": GrokfastMA,
    "orthograd": OrthoGrad,
}
"""The class of each filter, by its name in `training.gradient_filter`."""
