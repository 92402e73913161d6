"""Adam with an L2 penalty (Kingma & Ba 2015): weight decay is part of the gradient, as in torch's Adam."""

from __future__ import annotations

from torch import Tensor

from progress_measures.training.optimizers.adamw import AdamW


class Adam(AdamW):
    """Adam, with the arguments of `BatchOptimizer`."""

    def update(self, gradient: Tensor) -> None:
        """Add weight decay x weights to the gradient, then apply Adam."""
        self.adam(gradient.add_(self.parameters * self.decay), self.rate)


Optimizer = Adam
"""Every optimizer module has its class under this name."""
