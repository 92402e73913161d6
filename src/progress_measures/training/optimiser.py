"""AdamW over all parameters of a batch of runs at once.

The parameters of a run lie end to end in one row of a [run, parameter] tensor, of which the weights are views, so a
step is two passes over one array, whatever the number of tensors. Weight decay differs from run to run.
"""

from typing import Any

import torch
from torch import Tensor


class AdamW:
    """Decoupled weight decay (Loshchilov & Hutter 2019), then torch's fused Adam, with linear warm-up.

    Args:
        runs: of like shape, learning rate, betas and warm-up; each has its own weight decay.
        weights: the initial weights of each run, without the `run` dimension.
        device: where to train.
    """

    def __init__(self, runs: list[Any], weights: list[dict[str, Tensor]], device: torch.device):
        recipe = runs[0].training
        self._rate, self._warmup = recipe.learning_rate, recipe.warmup
        rows = [torch.cat([tensor.flatten() for tensor in one.values()]) for one in weights]
        self.parameters = torch.stack(rows).to(device)
        self.parameters.grad = torch.zeros_like(self.parameters)
        self._decay = torch.tensor([[run.training.weight_decay] for run in runs], device=device)
        self._adam = torch.optim.Adam([self.parameters], lr=self._rate, betas=recipe.betas, fused=True)
        sizes = [tensor.numel() for tensor in weights[0].values()]
        self.weights = {
            name: piece.view(len(runs), *weights[0][name].shape).requires_grad_()
            for name, piece in zip(weights[0], self.parameters.detach().split(sizes, dim=1), strict=True)
        }

    def step(self, loss: Tensor, epoch: int) -> None:
        """One update, number `epoch` (from 0), against the losses of all runs [run].

        Losses are summed, so each run's gradient is its own.
        """
        rate = self._rate * min(epoch / self._warmup, 1) if self._warmup else self._rate
        gradients = torch.autograd.grad(loss.sum(), list(self.weights.values()))
        torch.cat([gradient.flatten(1) for gradient in gradients], dim=1, out=self.parameters.grad)
        with torch.no_grad():
            self.parameters.mul_(1 - rate * self._decay)
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """Parameters and moments, to go on from exactly: each [run, parameter], on the CPU."""
        moments = self._adam.state[self.parameters]
        zeros = torch.zeros_like(self.parameters)
        return {
            "parameters": self.parameters.detach().cpu().clone(),
            "mean": moments.get("exp_avg", zeros).cpu().clone(),
            "mean_of_squares": moments.get("exp_avg_sq", zeros).cpu().clone(),
        }

    def restore(self, state: dict[str, Tensor], epoch: int) -> None:
        """Go on from `state()` after `epoch` updates."""
        device = self.parameters.device
        with torch.no_grad():
            self.parameters.copy_(state["parameters"])
        self._adam.state[self.parameters] = {
            "step": torch.tensor(float(epoch), device=device),
            "exp_avg": state["mean"].to(device),
            "exp_avg_sq": state["mean_of_squares"].to(device),
        }
