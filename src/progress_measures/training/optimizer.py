"""AdamW over all parameters of a batch of runs at once.

The parameters of a run lie end to end in one row of a [run, parameter] tensor, of which the weights are views, so a
step is two passes over one array, whatever the number of tensors. Weight decay differs from run to run.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.optim.adam import adam

# Rows are padded to whole vectors of the CPU: what is left over, fused Adam rounds in another way.
_ALIGN = 16


class AdamW:
    """Decoupled weight decay (Loshchilov & Hutter 2019), then torch's fused Adam, with linear warm-up.

    Args:
        runs: of like shape, learning rate, betas and warm-up; each has its own weight decay.
        weights: the initial weights of each run, without the `run` dimension.
        device: where to train.
    """

    def __init__(self, runs: list[Any], weights: list[dict[str, Tensor]], device: torch.device):
        recipe = runs[0].training
        self._full_rate, self._warmup = recipe.learning_rate, recipe.warmup
        rows = [torch.cat([tensor.flatten() for tensor in one.values()]) for one in weights]
        self._padding = torch.zeros(len(runs), -rows[0].numel() % _ALIGN, device=device)
        self.parameters = pad(torch.stack(rows).to(device), (0, self._padding.shape[1]))
        self._gradient = torch.zeros_like(self.parameters)
        self._decay = torch.tensor([[run.training.weight_decay] for run in runs], device=device)
        # A tensor, so that warm-up reaches a recorded CUDA graph, whose Adam reads it in float32.
        self._rate = torch.zeros((), device=device, dtype=torch.float32 if device.type == "cuda" else torch.float64)
        self._betas = recipe.betas
        self._count = torch.zeros((), device=device)
        self._mean = torch.zeros_like(self.parameters)
        self._mean_of_squares = torch.zeros_like(self.parameters)
        sizes = [tensor.numel() for tensor in weights[0].values()]
        self.weights = {
            name: piece.view(len(runs), *weights[0][name].shape).requires_grad_()
            for name, piece in zip(
                weights[0], self.parameters.detach()[:, : sum(sizes)].split(sizes, dim=1), strict=True
            )
        }

    def set_rate(self, epoch: int) -> None:
        """Set the learning rate for update number `epoch`, from 0."""
        self._rate.fill_(self._full_rate * min(epoch / self._warmup, 1) if self._warmup else self._full_rate)

    def step(self, loss: Tensor) -> None:
        """One update against the losses of all runs [run].

        Losses are summed, so each run's gradient is its own.
        """
        gradients = torch.autograd.grad(loss.sum(), list(self.weights.values()))
        rows = [gradient.flatten(1) for gradient in gradients]
        torch.cat([*rows, self._padding], dim=1, out=self._gradient)
        with torch.no_grad():
            self.parameters.mul_(1 - self._rate * self._decay)
            self._adam()

    def _adam(self) -> None:
        """Torch's fused Adam as a function: its class imports the compiler, which takes as long as all else of torch."""
        adam(
            [self.parameters],
            [self._gradient],
            [self._mean],
            [self._mean_of_squares],
            [],
            [self._count],
            fused=True,
            capturable=self.parameters.is_cuda,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=self._rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def tensors(self) -> list[Tensor]:
        """All that an update changes, where it is."""
        return [self.parameters, self._count, self._mean, self._mean_of_squares]

    def state(self) -> dict[str, Tensor]:
        """Parameters and moments, to go on from exactly: copies, each [run, parameter], on the CPU."""
        names = {"parameters": self.parameters, "mean": self._mean, "mean_of_squares": self._mean_of_squares}
        return {name: tensor.to("cpu", copy=True) for name, tensor in names.items()}

    def restore(self, state: dict[str, Tensor], epoch: int) -> None:
        """Go on from `state()` after `epoch` updates."""
        with torch.no_grad():
            self.parameters.copy_(state["parameters"])
        self._count.fill_(epoch)
        self._mean.copy_(state["mean"])
        self._mean_of_squares.copy_(state["mean_of_squares"])
