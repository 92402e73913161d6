"""Matrix products through the library that is fastest on this machine's processor.

PyTorch's x86 wheels multiply float32 matrices with Intel's MKL, which takes a slow path on AMD processors. oneDNN, in
the same wheels, is 2.3 times faster there (matrices 3,830 x 512 and 512 x 113 on one EPYC core: 2.3 ms, not 5.3 ms). On
an AMD processor, products go through the operator that `torch.compile` uses for linear layers. A call of this operator
takes at least 50 µs, so small products stay with MKL, which is faster for them. The choice of library depends only on
the machine, the shapes and the number format, so a run that resumes on this machine repeats its results bit for bit.
The environment variable `PROGRESS_MEASURES_GEMM` overrides the choice.
"""

import functools
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SMALL = 2**19  # number of multiply-adds below which oneDNN's set-up takes longer than the product itself


@functools.cache
def library() -> str:
    """Return `onednn` or `torch`, the library that multiplies large float32 matrices on this machine's CPU.

    The environment variable `PROGRESS_MEASURES_GEMM` overrides the choice.
    """
    if override := os.environ.get("PROGRESS_MEASURES_GEMM"):
        return override
    cpuinfo = Path("/proc/cpuinfo")
    amd = cpuinfo.exists() and "AuthenticAMD" in cpuinfo.read_text()
    usable = torch.backends.mkl.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return "onednn" if amd and usable else "torch"


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Compute `a @ b`. oneDNN's product has no gradient; where a gradient is needed, use `matmul`.

    Args:
        a: [..., row, inner].
        b: [..., inner, column], with the same batch dimensions as `a`.

    Returns:
        [..., row, column].
    """
    if a.device.type != "cpu":
        return torch.matmul(a, b)
    if a.ndim == 2:
        large = len(a) * b.numel() >= SMALL
        return _onednn(a, b) if large and a.dtype == torch.float32 and library() == "onednn" else torch.mm(a, b)
    if len(a) == 1:
        return multiply(a[0], b[0])[None]
    # One product at a time: a run's results then do not depend on the other runs of its batch, and no speed is lost.
    return torch.stack([multiply(x, y) for x, y in zip(a, b, strict=True)])


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    """Compute `a @ b` with oneDNN."""
    # The operator computes x w^T. It is fast if x is contiguous, and w or w^T is contiguous too.
    if a.is_contiguous():
        return _linear(a, _contiguous_either_way(b).mT)
    return _linear(b.mT.contiguous(), _contiguous_either_way(a)).mT


def _linear(x: Tensor, w: Tensor) -> Tensor:
    """Compute `x @ w.mT` with oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")


def _contiguous_either_way(x: Tensor) -> Tensor:
    """Return a matrix, copied if neither it nor its transpose is contiguous."""
    return x if x.is_contiguous() or x.mT.is_contiguous() else x.contiguous()


class _Product(torch.autograd.Function):
    """`a @ b` with a backward pass by `multiply`."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return multiply(a, b)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        return (
            multiply(grad, b.mT) if ctx.needs_input_grad[0] else None,
            multiply(a.mT, grad) if ctx.needs_input_grad[1] else None,
        )


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Compute `a @ b`, differentiable once.

    Args:
        a: [..., row, inner].
        b: [..., inner, column], with the same batch dimensions as `a`.

    Returns:
        [..., row, column].
    """
    return _Product.apply(a, b)
