"""Muon (Jordan et al. 2024): steps that are the orthogonalized momentum of each matrix; AdamW for all other tensors.

torch's Muon takes one matrix at a time and orthogonalizes in bfloat16. Here the matrices of all runs and layers are
stacked, and orthogonalized in the precision of the weights.

Muon trains the matrices of attention and MLPs. As the authors recommend, AdamW trains embeddings, position vectors, the
unembedding (W_out in an MLP without attention), biases, and the weights of norms. Weight decay is decoupled for all tensors.
W_Q, W_K, W_V and W_O of a layer are one matrix each for all heads, as most transformers store them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from progress_measures.experiments import derived
from progress_measures.models.gemm import multiply
from progress_measures.training.optimizers.adamw import AdamW
from progress_measures.training.tensor_pieces import norms_of_rows

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

ITERATIONS = 5  # of the Newton-Schulz iteration, as the authors recommend
# Coefficients a, b, c of the polynomial a x + b x^3 + c x^5. Applied `ITERATIONS` times, the polynomial moves singular
# values between 0 and 1, except those close to 0, to about 0.7 … 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_EPSILON = 1e-7  # smallest norm by which a matrix is divided


class Muon(AdamW):
    """Muon, with the arguments of `BatchOptimizer`."""

    buffer_names = (*AdamW.buffer_names, "momentum")

    def __init__(self, runs: list[Run], weights: list[dict[str, Tensor]], device: torch.device) -> None:
        super().__init__(runs, weights, device)
        # learning rate of AdamW, divided by that of Muon
        self._rate_ratio = derived.adamw_learning_rate(runs[0]) / self.recipe.learning_rate
        self._momentum = derived.momentum(runs[0])
        without_attention = runs[0].model.mlp_input is not None
        trained_by_adamw = {"W_E", "W_pos", "W_out" if without_attention else "W_U"}
        self._matrices = [name for name in self.weights if name.startswith("W_") and name not in trained_by_adamw]

    def update(self, gradient: Tensor) -> None:
        """Apply AdamW to all tensors, then replace AdamW's result for the matrices of attention and MLPs by Muon's."""
        weights_before = self.pieces.views(self.parameters.clone())
        momentum = self.buffer("momentum").lerp_(gradient, 1 - self._momentum)
        steps = self.pieces.views(gradient.lerp(momentum, self._momentum))  # Nesterov's momentum
        rate = self.rate * self._rate_ratio
        self.parameters.mul_(1 - rate * self.decay)
        self.adam(gradient, rate)
        weights_after = self.pieces.views(self.parameters)
        for name in self._matrices:
            step = orthogonalized(name, steps[name])
            decay = self.decay.view(-1, *[1] * (step.ndim - 1))
            weights_after[name].copy_(weights_before[name] * (1 - self.rate * decay) - step * self.rate)


def orthogonalized(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor of matrices, each orthogonalized and scaled by sqrt(max(1, outputs / inputs)), as Muon's authors do.

    Args:
        name: name of the tensor. W_Q, W_K and W_V are [run, layer, head, input, output of a head], W_O is
            [run, layer, head, input of a head, output]; in all others the last two dimensions are input and output.
        tensor: the tensor.

    Returns:
        A tensor of the same shape.
    """
    if name == "W_O":
        return _scaled(tensor.flatten(-3, -2)).view_as(tensor)
    if name in ("W_Q", "W_K", "W_V"):
        joined = _scaled(tensor.movedim(-3, -2).flatten(-2))
        return joined.unflatten(-1, (tensor.shape[-3], -1)).movedim(-2, -3)
    return _scaled(tensor)


def _scaled(matrices: Tensor) -> Tensor:
    """Orthogonalize matrices [..., input, output] and scale them by sqrt(max(1, outputs / inputs))."""
    inputs, outputs = matrices.shape[-2:]
    orthogonal = newton_schulz(matrices.reshape(-1, inputs, outputs)).reshape(matrices.shape)
    return orthogonal * max(1, outputs / inputs) ** 0.5


def newton_schulz(matrices: Tensor) -> Tensor:
    """Move the singular values of each matrix to about 1, by `ITERATIONS` steps of a Newton-Schulz iteration.

    Args:
        matrices: [matrix, row, column].

    Returns:
        [matrix, row, column].
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices  # so that x x^T is not larger than x^T x
    # the Frobenius norm is at least the largest singular value, so that no singular value exceeds 1
    x = x / norms_of_rows(matrices.flatten(1)).clamp_min(_EPSILON)[..., None]
    for _ in range(ITERATIONS):
        gram = multiply(x, x.mT)
        x = a * x + multiply(b * gram + c * multiply(gram, gram), x)
    return x.mT if is_tall else x


Optimizer = Muon
"""Every optimizer module has its class under this name."""
