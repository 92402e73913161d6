"""What all optimizers share: one array with the weights of the runs that train together, learning rates, saved states.

The parameters of a run are one row of a [run, parameter] tensor, and the weights are views of it. An update is therefore
a few passes over one array, whatever the number of tensors. Weight decay may differ between runs. The steps of an update:

gradient of the loss → gradient filter → clipping → the optimizer's rule → norm of the weights restored

A gradient filter is a method such as Grokfast. The recipe may leave out the filter, the clipping and the last step, which
keeps the norm of the weights fixed.

No result of a run depends on the other runs: every operation is elementwise or processes one run at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from progress_measures.models.architecture import Architecture
from progress_measures.training.gradient_filters import FILTERS
from progress_measures.training.rate_schedule import factor
from progress_measures.training.tensor_pieces import Pieces, norms_of_rows

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

# Rows are padded to a multiple of the CPU's vector length, because fused Adam rounds an incomplete last vector differently.
_ALIGN = 16

# `torch.nn.utils.clip_grad_norm_` adds this number to the norm of the gradient.
_CLIP_EPSILON = 1e-6


class BatchOptimizer(ABC):
    """The weights of a batch of runs, which train together, and their updates.

    A subclass sets `buffer_names` and defines `update`.

    Args:
        runs: runs of the same shape and recipe; weight decay and the norm at which the weights are kept may differ.
        weights: the initial weights of each run, without the `run` dimension.
        device: the device that trains.

    Attributes:
        recipe: the section `training` of the first run; the other runs differ at most in `weight_decay` and `fixed_norm`.
        buffer_names: names of the tensors that the optimizer keeps between updates, each [run, parameter] and at first 0.
        parameters: [run, parameter], padded with zeros to a multiple of 16 columns.
        weights: tensors by name, with a leading dimension `run`: views of `parameters`.
        pieces: the columns of each tensor in a row of `parameters`.
        rate: learning rate of the next update, a tensor without dimensions.
        decay: weight decay of the next update: [run, 1].
        count: number of updates so far, a tensor without dimensions.
    """

    buffer_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, runs: list[Run], weights: list[dict[str, Tensor]], device: torch.device) -> None:
        self.recipe = recipe = runs[0].training
        dtype = torch.float64 if recipe.arithmetic == "float64" else torch.float32
        rows = [torch.cat([tensor.flatten() for tensor in tensors.values()]) for tensors in weights]
        self._padding = torch.zeros(len(runs), -rows[0].numel() % _ALIGN, dtype=dtype, device=device)
        self.parameters = pad(torch.stack(rows).to(device, dtype), (0, self._padding.shape[1]))
        self._gradient = torch.zeros_like(self.parameters)
        self._unscheduled_decay = torch.tensor(
            [[run.training.weight_decay] for run in runs], dtype=dtype, device=device
        )
        self.decay = self._unscheduled_decay.clone()
        # The rate is a tensor, because a captured CUDA graph would freeze a Python float. On CUDA, Adam reads it in float32.
        self.rate = torch.zeros((), device=device, dtype=torch.float32 if device.type == "cuda" else torch.float64)
        self.count = torch.zeros((), device=device)
        self._buffers = {name: torch.zeros_like(self.parameters) for name in self.buffer_names}
        dimensions = Architecture.of(runs[0]).parameters
        self.pieces = Pieces({name: dimensions[name] for name in weights[0]})
        self.weights = {
            name: view.requires_grad_() for name, view in self.pieces.views(self.parameters.detach()).items()
        }
        self._filter = FILTERS[recipe.gradient_filter](recipe, self.parameters, self.pieces)
        self._norm = self._fixed_norm(runs)

    def _fixed_norm(self, runs: list[Run]) -> Tensor | None:
        """Return the norm at which the weights of each run are kept: [run, 1]; None if the norm is not fixed."""
        norms = [run.training.fixed_norm for run in runs]
        if norms[0] is None:
            return None
        with torch.no_grad():
            fixed_norms = norms_of_rows(self.parameters)  # the norms of the initial weights, unless a number is given
            for i, norm in enumerate(norms):
                if isinstance(norm, float):
                    fixed_norms[i] = norm
        return fixed_norms

    def set_rates(self, epoch: int) -> None:
        """Set the learning rate and the weight decay of update number `epoch`, counted from 0."""
        recipe = self.recipe
        warmup = min(epoch / recipe.warmup, 1) if recipe.warmup else 1
        self.rate.fill_(recipe.learning_rate * warmup * factor(recipe.learning_rate_schedule, epoch, recipe.epochs))
        torch.mul(self._unscheduled_decay, factor(recipe.weight_decay_schedule, epoch, recipe.epochs), out=self.decay)

    def step(self, loss: Tensor) -> None:
        """Update the weights of all runs, given their losses [run].

        The sum of the losses is differentiated. A run's weights affect only the loss of this run, so each run gets its
        own gradient.
        """
        gradients = torch.autograd.grad(loss.sum(), list(self.weights.values()))
        rows = [gradient.flatten(1) for gradient in gradients]
        torch.cat([*rows, self._padding], dim=1, out=self._gradient)
        with torch.no_grad():
            self._filter(self._gradient, self.parameters, self.count)
            if self.recipe.clip_norm is not None:
                norms = norms_of_rows(self._gradient)
                self._gradient.mul_((self.recipe.clip_norm / (norms + _CLIP_EPSILON)).clamp_max_(1))
            self.update(self._gradient)
            if self._norm is not None:
                self.parameters.mul_(self._norm / norms_of_rows(self.parameters))
            self.count += 1

    @abstractmethod
    def update(self, gradient: Tensor) -> None:
        """Change `parameters` and the buffers in place, without gradients.

        Args:
            gradient: [run, parameter], filtered and clipped; may be changed in place.
        """

    def buffer(self, name: str) -> Tensor:
        """Return the optimizer's buffer of this name: [run, parameter]."""
        return self._buffers[name]

    def decay_weights(self) -> None:
        """Apply decoupled weight decay (Loshchilov & Hutter 2019): multiply the weights by 1 - rate x decay."""
        self.parameters.mul_(1 - self.rate * self.decay)

    def _state_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a saved state: the parameters, and the buffers of optimizer and gradient filter."""
        return {"parameters": self.parameters, **self._buffers, **self._filter.buffers}

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the tensors of a saved state."""
        return tuple(self._state_tensors())

    def tensors(self) -> list[Tensor]:
        """Return the tensors that an update changes and the next one reads: the tensors themselves, not copies."""
        return [*self._state_tensors().values(), self.count]

    def state(self) -> dict[str, Tensor]:
        """Return copies of the parameters and buffers on the CPU, each with a leading dimension `run`."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self._state_tensors().items()}

    def restore(self, state: dict[str, Tensor], epoch: int) -> None:
        """Restore parameters and buffers, and the count of updates.

        Args:
            state: tensors by name, as `state()` returns them.
            epoch: number of updates after which the state was saved.
        """
        with torch.no_grad():
            for name, tensor in self._state_tensors().items():
                tensor.copy_(state[name])
        self.count.fill_(epoch)
