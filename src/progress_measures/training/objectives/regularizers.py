"""What takes the place of weight decay (appendix D.1): dropout and an l1 penalty."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Dropout:
    """What neurons are multiplied by in training: 0, or 1 / (share kept). Each run and update has numbers of its own.

    Args:
        runs: with the same `training.dropout`.
        rows: of each layer, the number of places at which its neurons are computed.
        device: where the masks are.

    Attributes:
        masks: of each layer, [run, row, neuron].
    """

    def __init__(self, runs: list[Any], rows: list[int], device: torch.device):
        self._runs, self._dropped = runs, runs[0].training.dropout
        neurons = runs[0].model.d_mlp
        self.masks = [torch.empty(len(runs), count, neurons, device=device) for count in rows]
        self._words = [torch.empty(-(-count * neurons // 4), dtype=torch.int64, device=device) for count in rows]
        self._drawn = -1

    def draw(self, update: int) -> None:
        """Draw the masks of an update, the same whenever it is asked for.

        A neuron is kept by 16 random bits, taken from words of 64: forty times as fast as `bernoulli_`.
        """
        if update == self._drawn:
            return
        self._drawn = update
        threshold = round(self._dropped * 2**16) - 2**15
        for i, run in enumerate(self._runs):
            seed = int(np.random.SeedSequence((run.seed, update)).generate_state(1, np.uint64)[0] >> 1)
            generator = torch.Generator(self.masks[0].device).manual_seed(seed)
            for mask, words in zip(self.masks, self._words, strict=True):
                bits = words.random_(-(2**63), None, generator=generator).view(torch.int16)
                torch.ge(bits[: mask[i].numel()].view_as(mask[i]), threshold, out=mask[i])
                mask[i].div_(1 - self._dropped)


class _L1(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rate, *weights):
        ctx.save_for_backward(*weights)
        ctx.rate = rate
        return tuple(weight.view_as(weight) for weight in weights)

    @staticmethod
    def backward(ctx, *gradients):
        return None, *(
            torch.add(gradient, weight.sign(), alpha=ctx.rate)
            for gradient, weight in zip(gradients, ctx.saved_tensors, strict=True)
        )


def l1(weights: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    """The same weights, whose gradients will have that of rate x sum of |w| added.

    The loss itself stays the cross-entropy, so that curves can be compared. Losses of runs are summed for their
    gradient, each with factor 1.
    """
    return dict(zip(weights, _L1.apply(rate, *weights.values()), strict=True))
