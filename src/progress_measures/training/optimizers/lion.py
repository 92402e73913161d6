"""Lion (Chen et al. 2023, arXiv:2302.06675, algorithm 2): updates by the sign of a mean gradient."""

from __future__ import annotations

from torch import Tensor

from progress_measures.training.optimizers.base import BatchOptimizer


class Lion(BatchOptimizer):
    """Lion, with the arguments of `BatchOptimizer`."""

    buffer_names = ("mean",)

    def update(self, gradient: Tensor) -> None:
        """Decay the weights and subtract rate · sign(β1 · mean + (1 - β1) · gradient); then update the mean with β2.

        `rate` is the learning rate, β1 and β2 are `training.betas`, and the mean is the exponential moving average of
        the gradients. Weight decay is decoupled.
        """
        beta1, beta2 = self.recipe.betas
        mean = self.buffer("mean")
        self.decay_weights()
        self.parameters.sub_(mean.lerp(gradient, 1 - beta1).sign_() * self.rate)
        mean.lerp_(gradient, 1 - beta2)


Optimizer = Lion
"""Every optimizer module has its class under this name."""
