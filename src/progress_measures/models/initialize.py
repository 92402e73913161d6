"""Initial weights, reproduced from a seed bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from progress_measures.models.architecture import Architecture

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


def initial_weights(run: Run) -> dict[str, Tensor]:
    """Return the weights of a run before training, float32, without the leading `run` dimension.

    All tensors except those of norms are multiplied by `model.initial_scale`. Each run has its own random generator
    with the run's seed, so the weights do not depend on the other runs of the batch.
    """
    generator = torch.Generator().manual_seed(run.seed)
    architecture = Architecture.of(run)
    draw = {
        "paper": _paper,
        "transformer_lens": _transformer_lens,
        "authors": _authors,
        "authors_by_head": _authors_by_head,
    }[run.model.initialization]
    weights = draw(architecture, generator)
    if run.model.initial_scale != 1:
        for name, tensor in weights.items():
            if not name.startswith("ln"):
                tensor.mul_(run.model.initial_scale)
    return weights


def _zeros(architecture: Architecture) -> dict[str, Tensor]:
    """Return all trained tensors by name, filled with zeros."""
    return {name: torch.zeros(shape) for name, shape in architecture.shapes().items()}


def _paper(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw W_U from N(0, 1/vocabulary), other matrices from N(0, 1/d_model); biases are zero, weights of norms are one.

    The authors' code for modular addition draws from the same distributions, but without a seed. In an MLP without
    attention, W_E is drawn from N(0, 1/d_model), and every other matrix from N(0, 1/rows), where the rows of a matrix
    are its inputs.
    """
    weights = _zeros(architecture)
    for name, tensor in weights.items():
        if name.startswith("W_"):
            width = architecture.vocabulary if name == "W_U" else architecture.d_model
            if architecture.mlp_input is not None and name != "W_E":
                width = tensor.shape[-2]
            tensor.normal_(0, width**-0.5, generator=generator)
        elif name.startswith("ln") and name.endswith("_w"):
            tensor.fill_(1)
    return weights


def _transformer_lens(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw every matrix from N(0, (0.8/sqrt(d_model))^2), in the order of TransformerLens 1 to 3; biases are zero."""
    weights = _zeros(architecture)
    deviation = 0.8 / architecture.d_model**0.5
    tensors = [weights["W_E"], weights["W_pos"]]
    for layer in range(architecture.layers):
        names = ("W_Q", "W_O", "W_K", "W_V") + (() if architecture.attention_only else ("W_in", "W_out"))
        tensors += [weights[name][layer] for name in names]
    for tensor in [*tensors, weights["W_U"]]:
        tensor.normal_(0, deviation, generator=generator)
    return weights


def _authors(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw W_U from N(0, 1/outputs), other matrices from N(0, 1/d_model); biases are zero.

    The authors' code for five-digit addition and skip trigrams does so after `torch.manual_seed`. With the seeds of
    this code, 129000 and 6798, the first losses equal those printed in the authors' notebook, in every digit.
    """
    return _in_authors_order(architecture, generator, architecture.d_model, architecture.outputs)


def _authors_by_head(architecture: Architecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw W_Q, W_K and W_V from N(0, 1/d_head), W_U from N(0, 1/vocabulary), other matrices from N(0, 1/d_model).

    The authors' code for repeated subsequences does so; it draws the matrices in the same order as their code for other
    tasks.
    """
    return _in_authors_order(architecture, generator, architecture.d_head, architecture.vocabulary)


def _in_authors_order(
    architecture: Architecture, generator: torch.Generator, width_of_heads: int, width_of_U: int
) -> dict[str, Tensor]:
    """Draw every matrix in the authors' order, from a normal distribution of variance 1/width.

    The width is d_model, except for W_Q, W_K and W_V (`width_of_heads`) and W_U (`width_of_U`). The last two dimensions of
    the authors' tensors are swapped relative to the tensors here, except in W_pos and W_U.
    """
    weights = _zeros(architecture)
    widths = {"W_Q": width_of_heads, "W_K": width_of_heads, "W_V": width_of_heads, "W_U": width_of_U}

    def fill(name: str, tensor: Tensor) -> None:
        in_authors_layout = tensor if name in ("W_pos", "W_U") else tensor.mT
        values = (
            torch.randn(in_authors_layout.shape, generator=generator) / widths.get(name, architecture.d_model) ** 0.5
        )
        in_authors_layout.copy_(values)

    fill("W_E", weights["W_E"])
    fill("W_pos", weights["W_pos"])
    for layer in range(architecture.layers):
        for name in ("W_K", "W_Q", "W_V", "W_O", "W_in", "W_out"):
            if name in weights:
                fill(name, weights[name][layer])
    fill("W_U", weights["W_U"])
    return weights
