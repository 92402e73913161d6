"""Products of activations with weights, differentiable once (without second derivatives), with backward passes written out.

A row of the activations is an example, or one position of an example; there are many more rows than columns. All products
are computed by `models.gemm`.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from progress_measures.models.gemm import multiply

Weights = dict[str, Tensor]

# The tensors of a layer in the paper's design; only networks of this design use these products.
_LAYER_TENSORS = ("W_Q", "W_K", "W_V", "W_O", "W_in", "b_in", "W_out", "b_out")


def split_layers(weights: Weights) -> list[Weights]:
    """Return the tensors of each layer, by name and without the dimension `layer`; tensors outside the layers are left out."""
    # One `unbind` per tensor: autograd then stacks the gradients of the layers instead of adding them.
    split = [(name, weights[name].unbind(1)) for name in _LAYER_TENSORS if name in weights]
    return [{name: parts[layer] for name, parts in split} for layer in range(weights["W_Q"].shape[1])]


def concatenate_heads(*matrices: Tensor) -> Tensor:
    """Join matrices such as W_Q and W_K, of all heads, side by side: [run, d_model, matrix x head x d_head].

    Args:
        matrices: one or more of W_Q, W_K and W_V, each [run, head, d_model, d_head].
    """
    return rearrange(list(matrices), "matrix run head d_model d_head -> run d_model (matrix head d_head)")


class _Projection(torch.autograd.Function):
    """`x @ w` for x [run, row, in] and w [run, in, out], with many more rows than columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return multiply(x, w)

    @staticmethod
    def backward(ctx: Any, grad_product: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return multiply(grad_product, w.mT), _transposed_product(x, grad_product)


def project(x: Tensor, w: Tensor) -> Tensor:
    """Compute `x @ w`, differentiable once.

    Args:
        x: [run, row, in], with many more rows than columns.
        w: [run, in, out].

    Returns:
        [run, row, out].
    """
    return _Projection.apply(x, w)


def _transposed_product(x: Tensor, y: Tensor) -> Tensor:
    """Compute `x.mT @ y`.

    If the first factor of `multiply` is transposed, `multiply` may copy the second factor. So the narrower one of x and y
    is the second factor here.
    """
    return multiply(x.mT, y) if x.shape[-1] > y.shape[-1] else multiply(y.mT, x).mT


class _ReluProduct(torch.autograd.Function):
    """`relu(pre) @ w`. `pre` is overwritten."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, w: Tensor) -> Tensor:
        post = _activate(pre, None)
        ctx.save_for_backward(w, post)
        return multiply(post, w)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor]:
        w, post = ctx.saved_tensors
        return _grad_pre(grad_out, w, post, None), _transposed_product(post, grad_out)


class _MLP(torch.autograd.Function):
    """MLP without its output bias, with an optional dropout mask; `W_after` is W_out or W_out W_U."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, W_in: Tensor, b_in: Tensor | None, W_after: Tensor, dropout_mask: Tensor | None
    ) -> Tensor:
        pre = multiply(x, W_in)
        if b_in is not None:
            pre.add_(b_in[:, None])
        post = _activate(pre, dropout_mask)
        ctx.save_for_backward(x, W_in, W_after, post, dropout_mask)
        ctx.has_bias = b_in is not None
        return multiply(post, W_after)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor, None]:
        x, W_in, W_after, post, dropout_mask = ctx.saved_tensors
        grad_W_after = _transposed_product(post, grad_out)
        grad_pre = _grad_pre(grad_out, W_after, post, dropout_mask)
        grad_b_in = grad_pre.sum(1) if ctx.has_bias else None
        return multiply(grad_pre, W_in.mT), _transposed_product(x, grad_pre), grad_b_in, grad_W_after, None


def _activate(pre: Tensor, dropout_mask: Tensor | None) -> Tensor:
    """Apply the ReLU and the dropout mask in place: [run, row, neuron]."""
    post = pre.clamp_min_(0)
    return post if dropout_mask is None else post.mul_(dropout_mask)


def _grad_pre(grad_out: Tensor, w: Tensor, post: Tensor, dropout_mask: Tensor | None) -> Tensor:
    """Return the gradient with respect to the neurons before the ReLU; `grad_out` is the gradient with respect to `post @ w`."""
    grad_pre = multiply(grad_out, w.mT)
    # `post` takes the place of the overwritten `pre`: it is positive where `pre` was positive and the mask is not 0.
    torch.ops.aten.threshold_backward.grad_input(grad_pre, post, 0, grad_input=grad_pre)
    return grad_pre if dropout_mask is None else grad_pre.mul_(dropout_mask)


def relu_product(pre: Tensor, w: Tensor) -> Tensor:
    """Compute `relu(pre) @ w`, differentiable once.

    Args:
        pre: neurons before the ReLU, [run, row, neuron]. They are overwritten, so nothing else may use them.
        w: [run, neuron, out].

    Returns:
        [run, row, out].
    """
    return _ReluProduct.apply(pre, w)


def mlp(x: Tensor, w: Weights, W_after: Tensor, dropout_mask: Tensor | None = None) -> Tensor:
    """Compute `(relu(x W_in + b_in) * dropout_mask) @ W_after`, differentiable once.

    Args:
        x: [run, row, d_model].
        w: weights of the layer: W_in and, if the network has it, b_in.
        W_after: W_out or W_out W_U, [run, neuron, width].
        dropout_mask: factors of the neurons, [run, row, neuron]; None for no dropout.

    Returns:
        [run, row, width].
    """
    return _MLP.apply(x, w["W_in"], w.get("b_in"), W_after, dropout_mask)
