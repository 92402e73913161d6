"""Langevin dynamics: chains of weights that sample a tempered posterior around given weights (Lau et al. 2023).

A chain is the weights at the steps of one simulation. The density of the samples is proportional to

    exp(-nβ L(w) - γ/2 |w - w*|²),

where L is the mean loss over n examples, β the inverse temperature, w* the given weights, and γ the strength with which
the samples are held near w*. A step of size ε changes the weights by

    -ε/2 (nβ ∇L(w) + γ (w - w*)) + √ε ξ,    ξ ~ N(0, 1) for each weight.

The gradient is over all examples, so no noise other than ξ enters. No step is rejected, so the samples have this
density only in the limit of small ε.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def sampled_losses(
    loss: Callable[[Weights], Tensor],
    center: Mapping[str, Tensor],
    steps: int,
    step_size: float,
    nbeta: float,
    localization: float,
    seeds: Sequence[int],
) -> Tensor:
    """Run one chain per seed and return the loss along each; all chains start at `center`.

    Args:
        loss: function of the weights of all chains, tensors with a leading dimension `chain`, that returns the mean loss of
            each chain [chain], differentiable. The loss of a chain depends on its own weights only.
        center: the weights w*, without the dimension `chain`.
        steps: number of steps of each chain.
        step_size: ε.
        nbeta: nβ, the number of examples times the inverse temperature.
        localization: γ.
        seeds: seed of the noise of each chain. A chain depends on its own seed only.

    Returns:
        Loss before the first step and after each step, in float64: [chain, step], `steps` + 1 columns.
    """
    start = torch.cat([tensor.flatten() for tensor in center.values()])
    sizes = [tensor.numel() for tensor in center.values()]
    chains = start.repeat(len(seeds), 1)  # [chain, parameter]
    weights = {
        name: piece.view(len(seeds), *center[name].shape).requires_grad_()
        for name, piece in zip(center, chains.split(sizes, dim=1), strict=True)
    }
    generators = [torch.Generator(start.device).manual_seed(seed) for seed in seeds]
    noise = torch.empty_like(chains, dtype=torch.float32)  # so that weights in float32 and float64 get the same noise
    losses = torch.empty(len(seeds), steps + 1, dtype=torch.float64)
    for step in range(steps):
        current = loss(weights)
        losses[:, step] = current.detach()
        gradients = torch.autograd.grad(current.sum(), list(weights.values()))
        with torch.no_grad():
            drift = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1).mul_(nbeta)
            drift.add_(chains - start, alpha=localization)
            for row, generator in zip(noise, generators, strict=True):
                row.normal_(generator=generator)
            chains.add_(drift, alpha=-step_size / 2).add_(noise, alpha=step_size**0.5)
    with torch.no_grad():
        losses[:, steps] = loss(weights)
    return losses
