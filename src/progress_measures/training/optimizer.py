"""AdamW over all parameters of a batch of runs at once.

The parameters of a run are one row of a [run, parameter] tensor, and the weights are views of it. An update is therefore
two passes over one array, whatever the number of tensors. Weight decay differs between runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.optim.adam import adam

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

# Rows are padded to a multiple of the CPU's vector length, because fused Adam rounds an incomplete last vector differently.
_ALIGN = 16


class AdamW:
    """Decoupled weight decay (Loshchilov & Hutter 2019), then torch's fused Adam, with linear warm-up.

    Args:
        runs: runs of the same shape, learning rate, betas and warm-up; weight decay may differ.
        weights: the initial weights of each run, without the `run` dimension.
        device: the device that trains.

    Attributes:
        parameters: [run, parameter], padded with zeros to a multiple of 16 columns.
        weights: tensors by name, with a leading dimension `run`: views of `parameters`.
    """

    def __init__(self, runs: list[Run], weights: list[dict[str, Tensor]], device: torch.device) -> None:
        recipe = runs[0].training
        self._full_rate, self._warmup = recipe.learning_rate, recipe.warmup
        rows = [torch.cat([tensor.flatten() for tensor in tensors.values()]) for tensors in weights]
        self._padding = torch.zeros(len(runs), -rows[0].numel() % _ALIGN, device=device)
        self.parameters = pad(torch.stack(rows).to(device), (0, self._padding.shape[1]))
        self._gradient = torch.zeros_like(self.parameters)
        self._decay = torch.tensor([[run.training.weight_decay] for run in runs], device=device)  # [run, 1]
        # A tensor, because a captured CUDA graph would freeze a Python float. On CUDA, Adam reads it in float32.
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
        """Set the learning rate of update number `epoch`, counted from 0."""
        self._rate.fill_(self._full_rate * min(epoch / self._warmup, 1) if self._warmup else self._full_rate)

    def step(self, loss: Tensor) -> None:
        """Update the weights of all runs, given their losses [run].

        The sum of the losses is differentiated. A run's weights affect only its loss, so each run gets its own gradient.
        """
        gradients = torch.autograd.grad(loss.sum(), list(self.weights.values()))
        rows = [gradient.flatten(1) for gradient in gradients]
        torch.cat([*rows, self._padding], dim=1, out=self._gradient)
        with torch.no_grad():
            self.parameters.mul_(1 - self._rate * self._decay)
            self._adam()

    def _adam(self) -> None:
        """Apply torch's fused Adam as a function.

        Importing the class instead would also import torch's compiler, which takes as long as importing torch.
        """
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
        """Return the tensors that an update changes: the tensors themselves, not copies."""
        return [self.parameters, self._count, self._mean, self._mean_of_squares]

    def state(self) -> dict[str, Tensor]:
        """Return copies of the parameters and Adam's moment estimates on the CPU, each [run, parameter]."""
        names = {"parameters": self.parameters, "mean": self._mean, "mean_of_squares": self._mean_of_squares}
        return {name: tensor.to("cpu", copy=True) for name, tensor in names.items()}

    def restore(self, state: dict[str, Tensor], epoch: int) -> None:
        """Restore parameters and moment estimates, and the count of updates.

        Args:
            state: arrays that `state()` returned.
            epoch: number of updates after which the state was saved.
        """
        with torch.no_grad():
            self.parameters.copy_(state["parameters"])
        self._count.fill_(epoch)
        self._mean.copy_(state["mean"])
        self._mean_of_squares.copy_(state["mean_of_squares"])
