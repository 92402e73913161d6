"""Cross-entropy and its gradient, in the arithmetic that `training.precision` sets.

A network that has grokked has a loss of 1e-7 or less. In float32, rounding erases such a loss and its gradient, and the
loss spikes ('slingshots', Thilak et al. 2022). The paper's notebooks use `float64`. `float32_log1p` is as accurate, at a
fraction of the cost on a GPU. `float32` serves the paper's experiment on low precision (appendix D.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

CrossEntropy = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def softmax_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean of -log softmax(logits)[label] of each run, and its gradient, in the precision of the logits.

    Args:
        logits: [run, example, output].
        labels: [run, example].

    Returns:
        Loss [run] in nats, gradient [run, example, output].
    """
    log_p = logits.log_softmax(-1)
    index = labels[..., None]
    loss = -log_p.gather(-1, index).mean((-2, -1))
    grad = log_p.exp_()
    grad.scatter_add_(-1, index, torch.full_like(index, -1, dtype=grad.dtype))
    return loss, grad.mul_(1 / logits.shape[-2])


def float64(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute each run's mean cross-entropy in float64; the gradient has the precision of the logits.

    Args:
        logits: [run, example, output].
        labels: [run, example].

    Returns:
        Loss [run] in nats, gradient [run, example, output].
    """
    loss, grad = softmax_loss(logits.double(), labels)
    return loss, grad.to(logits.dtype)


def float32_log1p(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute each run's mean cross-entropy in float32, by a formula that is accurate for small losses.

    The loss of an example with logits l is log(1 + sum over c != label of exp(l_c - l_label)). If the largest term of the
    sum exceeds 1, all terms are divided by it, so nothing overflows.

    Args:
        logits: [run, example, output].
        labels: [run, example].

    Returns:
        Loss [run] in nats, gradient [run, example, output].
    """
    index = labels[..., None]
    margin = logits - logits.gather(-1, index)
    margin.scatter_(-1, index, -torch.inf)
    largest = margin.amax(-1, keepdim=True).clamp_min_(0)
    terms = margin.sub_(largest).exp_()
    other_terms = terms.sum(-1, keepdim=True)  # sum over all outputs but the label, divided by exp(largest)
    label_term = torch.exp(-largest)  # the label's term, exp(0), divided by exp(largest)
    # if largest = 0, then label_term = 1, and log1p(other_terms) is accurate even if other_terms is tiny
    loss = torch.where(largest > 0, largest + torch.log(other_terms + label_term), torch.log1p(other_terms))
    total = other_terms + label_term
    grad = terms.div_(total)
    grad.scatter_(-1, index, -other_terms / total)
    return loss.mean((-2, -1)), grad.mul_(1 / logits.shape[-2])


class _Criterion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, criterion: CrossEntropy) -> Tensor:
        loss, grad = criterion(logits, labels)
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_loss[:, None, None].to(grad.dtype), None, None


def differentiable(logits: Tensor, labels: Tensor, criterion: CrossEntropy) -> Tensor:
    """Return the loss that a criterion computes; its backward pass uses the gradient that the criterion returns.

    Args:
        logits: [run, example, output].
        labels: [run, example].
        criterion: one of `PRECISIONS`.

    Returns:
        Loss [run] in nats.
    """
    return _Criterion.apply(logits, labels, criterion)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean cross-entropy of each run in float64, without gradient.

    Runs are computed one at a time, because float64 logits are large.

    Args:
        logits: [run, example, output].
        labels: [run, example].

    Returns:
        Loss [run] in nats.
    """
    by_run = zip(logits, labels, strict=True)
    losses = [
        -run_logits.double().log_softmax(-1).gather(-1, run_labels[:, None]).mean() for run_logits, run_labels in by_run
    ]
    return torch.stack(losses)


PRECISIONS: dict[str, CrossEntropy] = {
    "float64": float64,
    "float32_log1p": float32_log1p,
    "float32": softmax_loss,
}


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the fraction of examples on which the label has the largest logit.

    Args:
        logits: [run, example, output].
        labels: [run, example].

    Returns:
        Fraction [run], 0 to 1.
    """
    return (logits.argmax(-1) == labels).double().mean(-1)
