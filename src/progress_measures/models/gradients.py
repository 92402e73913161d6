"""Gradients of a network's logits with respect to the embeddings of its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from progress_measures.models import network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from progress_measures.models.design import Design


def gradient_cosines(
    logits_of: Callable[[Tensor], Tensor], embed: Tensor, outputs: Tensor, positions: tuple[int, int]
) -> Tensor:
    """Compute the cosine between the gradients of one logit with respect to the embeddings of a and of b (Definition 4.1).

    Args:
        logits_of: function from embedded inputs [example, position, d_model] to logits [example, output], differentiable by
            torch. The logits of an example depend on the vectors of this example only.
        embed: embedded inputs, [example, position, d_model]; any further dimensions after `position` count as one vector.
        outputs: index of one output per example, whose logit is differentiated: [example].
        positions: positions of a and b.

    Returns:
        Cosines between -1 and 1 [example], in the precision of `embed`; NaN where one of the gradients is zero.
    """
    leaf = embed.detach().clone().requires_grad_()
    with torch.enable_grad():
        chosen = logits_of(leaf).gather(-1, outputs[:, None])
        (gradients,) = torch.autograd.grad(chosen.sum(), leaf)
    a, b = (gradients[:, position].flatten(1) for position in positions)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))  # 0 / 0 is NaN


def gradient_cosines_of_network(
    weights: Mapping[str, NDArray[np.floating]],
    tokens: Tensor,
    outputs: NDArray[np.int64],
    positions: tuple[int, int],
    read_position: int,
    design: Design,
) -> NDArray[np.float64]:
    """Compute `gradient_cosines` of one network with an embedding W_E, in float64 and in groups of examples.

    Args:
        weights: trained tensors as in `models.transformer` or `models.mlp`, without a `run` dimension.
        tokens: [example, position].
        outputs: index of the output whose logit is differentiated [example].
        positions: positions of a and b.
        read_position: answer position; an MLP has none.
        design: how the network computes with its weights.

    Returns:
        Cosines between -1 and 1 [example]; NaN where one of the gradients is zero.
    """
    tensors = {name: torch.from_numpy(tensor.astype(np.float64))[None] for name, tensor in weights.items()}

    def logits_of(embed: Tensor) -> Tensor:
        def replace(name: str, _: Tensor) -> Tensor | None:
            return embed[None] if name == "hook_embed" else None

        any_tokens = tokens[: len(embed)]  # their embeddings are replaced
        return network.answer_logits(tensors, any_tokens, read_position, design, replace)[0]

    width = max(tensor.shape[-1] for name, tensor in tensors.items() if name.startswith("W_"))
    size = max(1, network.MAX_ENTRIES // (8 * tokens.shape[-1] * width))  # a backward pass keeps all activations
    cosines = [
        gradient_cosines(logits_of, tensors["W_E"][0][some_tokens], some_outputs, positions)
        for some_tokens, some_outputs in zip(tokens.split(size), torch.from_numpy(outputs).split(size), strict=True)
    ]
    return torch.cat(cosines).numpy()
