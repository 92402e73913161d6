"""The logits of a network of any design at its answer position."""

from __future__ import annotations

import torch
from torch import Tensor

from progress_measures.models import mlp, transformer
from progress_measures.models.design import Design
from progress_measures.models.transformer import Hook, Weights

MAX_ENTRIES = 2**22
"""Maximum number of entries of a layer's widest activation in memory at a time; for gradients, 1/8 of this number."""


def answer_logits(weights: Weights, tokens: Tensor, position: int, design: Design, hook: Hook | None = None) -> Tensor:
    """Compute the logits at the answer position, differentiable.

    Args:
        weights: as in `models.transformer` or `models.mlp`.
        tokens: [example, position] or [run, example, position]; for an MLP, the tokens of a and b.
        position: answer position; not used for an MLP without attention.
        design: how the network computes with its weights.
        hook: as in `models.transformer.forward`.

    Returns:
        Logits [run, example, output].
    """
    if design.mlp_input is not None:
        return mlp.forward(weights, tokens, hook, design)
    return transformer.forward(weights, tokens, hook, design, position)[:, :, 0]


def logits_and_activations(
    weights: Weights, tokens: Tensor, position: int, design: Design, activation_names: list[str]
) -> tuple[Tensor, list[Tensor]]:
    """Compute the logits and some activations of one network, in groups of examples, without gradients.

    Args:
        weights: as in `answer_logits`, with one run.
        tokens: [example, position].
        position: answer position.
        design: how the network computes with its weights.
        activation_names: names of the activations, as in `models.transformer.forward` or `models.mlp.forward`.

    Returns:
        Logits [example, output], and the activations as a hook receives them, without the dimension `run`. In the last layer of
        a transformer, some have size 1 along `position` or `query`; see `models.transformer.forward`.
    """
    width = max(tensor.shape[-1] for name, tensor in weights.items() if name.startswith("W_"))
    logits, captured = [], [[] for _ in activation_names]  # type: tuple[list[Tensor], list[list[Tensor]]]

    def capture(name: str, value: Tensor) -> None:
        if name in activation_names:
            captured[activation_names.index(name)].append(value[0])

    with torch.no_grad():
        for group in tokens.split(max(1, MAX_ENTRIES // (tokens.shape[-1] * width))):
            logits.append(answer_logits(weights, group, position, design, capture)[0])
    return torch.cat(logits), [torch.cat(values) for values in captured]
