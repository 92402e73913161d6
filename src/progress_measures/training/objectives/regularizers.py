"""Regularization in place of weight decay (appendix D.1 of the paper): dropout and an L1 penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class Dropout:
    """Dropout masks: for each neuron activation of an update, the factor 0 or 1 / (1 - dropout probability).

    A run's masks do not depend on the other runs. The random numbers follow from the run's seed, the update, and whether
    the device is a CPU or a GPU.

    Args:
        runs: runs with the same `training.dropout`.
        rows: for each layer, the number of rows of its neurons; a row is one position of one example.
        device: the device of the masks.

    Attributes:
        masks: for each layer, the factors [run, row, neuron].
    """

    def __init__(self, runs: list[Run], rows: list[int], device: torch.device) -> None:
        self._runs, self._probability = runs, runs[0].training.dropout
        neurons = runs[0].model.d_mlp
        self.masks = [torch.empty(len(runs), count, neurons, device=device) for count in rows]
        self._random_words = [torch.empty(-(-count * neurons // 4), dtype=torch.int64, device=device) for count in rows]
        self._drawn_update = -1

    def draw(self, update: int) -> None:
        """Draw the masks of an update into `masks`, unless it contains them already.

        16 random bits, a quarter of a 64-bit word, decide whether an activation is dropped. This is forty times as fast as
        torch's `bernoulli_`.
        """
        if update == self._drawn_update:
            return
        self._drawn_update = update
        # an activation is kept if its 16 random bits, as a signed integer from -2^15 on, are at least the threshold
        threshold = round(self._probability * 2**16) - 2**15
        for i, run in enumerate(self._runs):
            # 63 random bits
            seed = int(np.random.SeedSequence((run.seed, update)).generate_state(1, np.uint64)[0] >> 1)
            generator = torch.Generator(self.masks[0].device).manual_seed(seed)
            for mask, words in zip(self.masks, self._random_words, strict=True):
                bits = words.random_(-(2**63), None, generator=generator).view(torch.int16)
                torch.ge(bits[: mask[i].numel()].view_as(mask[i]), threshold, out=mask[i])
                mask[i].div_(1 - self._probability)


class _L1(torch.autograd.Function):
    """The identity function; its backward pass adds the gradient of the penalty. See `l1`."""

    @staticmethod
    def forward(ctx: Any, rate: float, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*weights)
        ctx.rate = rate
        return tuple(weight.view_as(weight) for weight in weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(
            torch.add(gradient, weight.sign(), alpha=ctx.rate)
            for gradient, weight in zip(gradients, ctx.saved_tensors, strict=True)
        )


def l1(weights: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Return the weights unchanged; the backward pass adds the gradient of the penalty, rate · sum of |w|.

    The recorded loss excludes the penalty, so loss curves with and without it can be compared. The backward pass adds
    the gradient of the penalty unscaled, even if the loss is scaled before it is differentiated. The differentiated
    quantity must therefore be the plain sum of the losses of all runs, as in `BatchOptimizer.step`.

    Args:
        weights: tensors by name.
        rate: factor of the penalty.

    Returns:
        The weights by name.
    """
    return dict(zip(weights, _L1.apply(rate, *weights.values()), strict=True))
