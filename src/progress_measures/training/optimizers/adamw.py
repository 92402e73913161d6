"""AdamW: decoupled weight decay (Loshchilov & Hutter 2019), then torch's fused Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam

from progress_measures.training.optimizers.base import BatchOptimizer

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class AdamW(BatchOptimizer):
    """AdamW, with the arguments of `BatchOptimizer`."""

    # exponential moving averages of the gradient and of its square
    buffer_names: ClassVar[tuple[str, ...]] = ("mean", "mean_of_squares")

    def __init__(self, runs: list[Run], weights: list[dict[str, Tensor]], device: torch.device) -> None:
        super().__init__(runs, weights, device)
        self._steps = torch.zeros((), device=device)  # a copy of `count`, because torch's Adam increments its argument

    def update(self, gradient: Tensor) -> None:
        """Decay the weights, then apply Adam."""
        self.decay_weights()
        self.adam(gradient, self.rate)

    def adam(self, gradient: Tensor, rate: Tensor) -> None:
        """Apply torch's fused Adam, without weight decay.

        torch's class `Adam` is not used: its constructor imports torch's compiler, which takes about as long as importing
        torch.

        Args:
            gradient: [run, parameter].
            rate: learning rate, a tensor without dimensions.
        """
        self._steps.copy_(self.count)
        adam(
            [self.parameters],
            [gradient],
            [self.buffer("mean")],
            [self.buffer("mean_of_squares")],
            [],
            [self._steps],
            fused=True,
            capturable=self.parameters.is_cuda,
            amsgrad=False,
            beta1=self.recipe.betas[0],
            beta2=self.recipe.betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=self.recipe.adam_epsilon,
            maximize=False,
        )


Optimizer = AdamW
"""Every optimizer module has its class under this name."""
