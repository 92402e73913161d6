"""Gradient descent with momentum and an L2 penalty, as in torch's SGD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from progress_measures.experiments import derived
from progress_measures.training.optimizers.base import BatchOptimizer

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class SGD(BatchOptimizer):
    """Gradient descent with momentum and an L2 penalty; the arguments are those of `BatchOptimizer`."""

    buffer_names = ("velocity",)

    def __init__(self, runs: list[Run], weights: list[dict[str, Tensor]], device: torch.device) -> None:
        super().__init__(runs, weights, device)
        self._momentum = derived.momentum(runs[0])

    def update(self, gradient: Tensor) -> None:
        """Update the velocity v ← momentum · v + (gradient + decay · weights), then weights ← weights - rate · v."""
        velocity = self.buffer("velocity").mul_(self._momentum).add_(gradient.add_(self.parameters * self.decay))
        self.parameters.sub_(velocity * self.rate)


Optimizer = SGD
"""Every optimizer module has its class under this name."""
