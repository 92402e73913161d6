"""The design of a network: what its weights do not determine, such as the activation function, the norms and the mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor
from torch.nn import functional

from progress_measures.experiments.choices import Activation, MLPInput, Normalization

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Model

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "square": torch.square,
    "tanh": torch.tanh,
    "identity": lambda x: x,
}
"""Activation functions by name."""

assert set(ACTIVATIONS) == set(get_args(Activation))


@dataclass(frozen=True)
class Design:
    """How a network computes with its weights. The defaults are the paper's network (appendix A).

    Attributes:
        mlp_input: None for a transformer. An MLP without attention reads the tokens of a and b as the sum of their
            embeddings (`summed`), as their concatenated embeddings (`concatenated`), or as their concatenated one-hot
            vectors (`one_hot`).
        activation: activation function of the neurons.
        normalization: kind of the norms of the residual stream: `none`, `layer_norm` or `rms_norm`. A norm has weights
            if its tensor (`ln1_w`, …) exists.
        norm_after: whether the norm is applied to the residual stream after each addition (post-norm), not to the inputs of
            attention and MLP (pre-norm).
        final_norm: whether the input of the unembedding is normalized.
        epsilon: number that the norms add to the variance (`layer_norm`) or to the mean square (`rms_norm`).
        attention_scale: factor of the attention scores; None for 1/sqrt(d_head).
        causal: whether a query attends only to its own and earlier positions.
        rotary: number of dimensions of each head in which queries and keys are rotated by their position; 0 for none.
        rotary_base: base of the rotation angles, position · base^(-2i / rotary) for dimension i < rotary/2.
        sinusoidal: whether the position vectors are the sines and cosines of Vaswani et al. 2017, not the tensor `W_pos`.
        doubled_residual: whether a layer changes the residual stream x to 2x + attention(x) instead of x + attention(x), an
            error in the authors' repeated-subsequence runs.
    """

    mlp_input: MLPInput | None = None
    activation: Activation = "relu"
    normalization: Normalization = "none"
    norm_after: bool = False
    final_norm: bool = False
    epsilon: float = 1e-5
    attention_scale: float | None = None
    causal: bool = True
    rotary: int = 0
    rotary_base: float = 10_000.0
    sinusoidal: bool = False
    doubled_residual: bool = False

    def normalize(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Return the residual stream after a norm; unchanged if `normalization` is `none`.

        Args:
            x: the residual stream, [run, example, position, d_model].
            weight: factors [run, d_model]; None for none.
            bias: vector that is added, [run, d_model]; None for none.
        """
        if self.normalization == "none":
            return x
        if self.normalization == "layer_norm":
            x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + self.epsilon).sqrt()
        x = x if weight is None else x * weight[:, None, None]
        return x if bias is None else x + bias[:, None, None]

    def scale(self, scores: Tensor, d_head: int) -> Tensor:
        """Multiply attention scores by the attention scale.

        Args:
            scores: products of queries and keys, of any shape.
            d_head: dimension of queries and keys; the default scale is 1/sqrt(d_head).

        Returns:
            The scaled scores.
        """
        return scores / d_head**0.5 if self.attention_scale is None else scores * self.attention_scale

    def rotate(self, x: Tensor, first: int = 0) -> Tensor:
        """Rotate queries or keys by their position (Su et al. 2021).

        Each dimension i < rotary/2 is rotated together with dimension i + rotary/2, as in GPT-NeoX.

        Args:
            x: queries or keys, [run, example, position, head, d_head].
            first: position in the sequence of the first query or key in `x`.

        Returns:
            The rotated queries or keys, of the same shape; unchanged if `rotary` is 0.
        """
        if not self.rotary:
            return x
        half = self.rotary // 2
        frequency = self.rotary_base ** (-torch.arange(half, dtype=x.dtype, device=x.device) * 2 / self.rotary)
        positions = torch.arange(first, first + x.shape[2], dtype=x.dtype, device=x.device)
        angle = positions[:, None] * frequency
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]  # [position, 1, half]
        left, right, others = x[..., :half], x[..., half : self.rotary], x[..., self.rotary :]
        return torch.cat([left * cos - right * sin, right * cos + left * sin, others], dim=-1)


def design_of(model: Model) -> Design:
    """Return how a network computes with its weights, from the section `model` of its settings."""
    return Design(
        mlp_input=model.mlp_input,
        activation=model.activation,
        normalization=model.normalization,
        norm_after=model.norm_after,
        final_norm=model.has_final_norm,
        epsilon=model.norm_epsilon,
        attention_scale=model.attention_scale,
        causal=model.causal,
        rotary=model.d_head if model.positions == "rotary" else 0,
        sinusoidal=model.positions == "sinusoidal",
        doubled_residual=model.doubled_residual,
    )


def sinusoidal_positions(positions: int, d_model: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the position vectors of Vaswani et al. 2017.

    Dimension 2i is sin(position / 10000^(2i / d_model)), and dimension 2i + 1 the cosine of the same angle.

    Args:
        positions: number of positions.
        d_model: dimension of the residual stream.
        dtype: type of the result; the angles are computed in float64.

    Returns:
        The vectors [position, d_model].
    """
    position = torch.arange(positions, dtype=torch.float64)[:, None]
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    table = torch.zeros(positions, d_model, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)[:, : d_model // 2]  # an odd d_model has one cosine fewer
    return table.to(dtype)
