"""Initial weights, reproduced from a seed bit for bit."""

from typing import Any

import torch
from torch import Tensor

from progress_measures.models.architecture import Architecture


def initial_weights(run: Any) -> dict[str, Tensor]:
    """The weights of a run before training, float32, without the leading `run` dimension.

    A run draws from a generator of its own, so it does not depend on which runs it is trained beside.
    """
    generator = torch.Generator().manual_seed(run.seed)
    architecture = Architecture.of(run)
    draw = {
        "paper": _paper,
        "transformer_lens": _transformer_lens,
        "authors": _authors,
        "authors_by_head": _authors_by_head,
    }[run.model.initialization]
    return draw(architecture, generator)


def _empty(architecture: Architecture) -> dict[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in architecture.shapes().items()}


def _paper(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Every matrix N(0, 1/d_model), W_U N(0, 1/vocabulary), biases zero (the authors' code, theirs unseeded)."""
    weights = _empty(architecture)
    for name, tensor in weights.items():
        if name.startswith("W_"):
            width = architecture.vocabulary if name == "W_U" else architecture.d_model
            tensor.normal_(0, width**-0.5, generator=generator)
    return weights


def _transformer_lens(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """N(0, (0.8/sqrt(d_model))^2), in the order in which TransformerLens 1 and 2 draw after `torch.manual_seed`."""
    weights = _empty(architecture)
    deviation = 0.8 / architecture.d_model**0.5
    in_order = [weights["W_E"], weights["W_pos"]]
    for layer in range(architecture.layers):
        block = ("W_Q", "W_O", "W_K", "W_V") + (() if architecture.attention_only else ("W_in", "W_out"))
        in_order += [weights[name][layer] for name in block]
    for tensor in [*in_order, weights["W_U"]]:
        tensor.normal_(0, deviation, generator=generator)
    return weights


def _authors(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Every matrix N(0, 1/d_model), W_U N(0, 1/outputs), as the authors' code draws them after `torch.manual_seed`.

    With their seeds, 129000 and 6798, the first losses are those that their notebook printed for five-digit addition
    and skip trigrams, to all digits.
    """
    return _in_authors_order(architecture, generator, architecture.d_model, architecture.outputs)


def _authors_by_head(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """The same with W_Q, W_K and W_V N(0, 1/d_head), and W_U N(0, 1/vocabulary)."""
    return _in_authors_order(architecture, generator, architecture.d_head, architecture.vocabulary)


def _in_authors_order(
    architecture: Architecture, generator: torch.Generator, width_of_heads: int, width_of_U: int
) -> dict[str, Tensor]:
    """Normal numbers in the authors' order; each of their tensors is ours with its last two dimensions exchanged.

    But for W_pos and W_U, which are laid out as here.
    """
    weights = _empty(architecture)
    widths = {"W_Q": width_of_heads, "W_K": width_of_heads, "W_V": width_of_heads, "W_U": width_of_U}

    def fill(name: str, tensor: Tensor) -> None:
        theirs = tensor if name in ("W_pos", "W_U") else tensor.mT
        drawn = torch.randn(theirs.shape, generator=generator) / widths.get(name, architecture.d_model) ** 0.5
        theirs.copy_(drawn)

    fill("W_E", weights["W_E"])
    fill("W_pos", weights["W_pos"])
    for layer in range(architecture.layers):
        for name in ("W_K", "W_Q", "W_V", "W_O", "W_in", "W_out"):
            if name in weights:
                fill(name, weights[name][layer])
    fill("W_U", weights["W_U"])
    return weights
