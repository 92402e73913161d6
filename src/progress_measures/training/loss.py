"""Losses and their gradients with respect to the logits.

`training.loss`, `training.precision` and `training.label_smoothing` select the loss. A loss is a function of logits and
labels that returns each run's mean loss and its gradient with respect to the logits. The backward passes of the
networks, some of which are written by hand, therefore work with every loss. To add a loss, copy `stablemax`, add the
copy to `OTHER_LOSSES`, and its name to `Training.loss` in `experiments/schema.py`.

A network that has grokked can have a loss of 1e-7 or less. In float32, the rounding error of a softmax is as large
as such a loss, and the loss rises suddenly ('slingshots', Thilak et al. 2022). `training.precision` therefore has three
values. The paper's notebooks use `float64`. `float32_log1p` is as accurate for small losses, at a fraction of the cost
on a GPU. `float32` serves the paper's experiment on low precision (appendix D.2).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Training

Criterion = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""A loss: maps logits and labels to each run's mean loss [run] and its gradient with respect to the logits."""


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
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


def float64_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute each run's mean cross-entropy in float64; the gradient has the precision of the logits.

    Args:
        logits: [run, example, output].
        labels: [run, example].

    Returns:
        Loss [run] in nats, gradient [run, example, output].
    """
    loss, grad = softmax_cross_entropy(logits.double(), labels)
    return loss, grad.to(logits.dtype)


def log1p_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compute each run's mean cross-entropy in the precision of the logits, by a formula that is accurate for small losses.

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
    """A criterion as a function of torch's autograd; see `differentiable`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, criterion: Criterion) -> Tensor:
        loss, grad = criterion(logits, labels)
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_loss[:, None, None].to(grad.dtype), None, None


def differentiable(logits: Tensor, labels: Tensor, criterion: Criterion) -> Tensor:
    """Return the loss that a criterion computes; its backward pass uses the gradient that the criterion returns.

    Args:
        logits: [run, example, output].
        labels: [run, example].
        criterion: a loss, such as `criterion_of` returns.

    Returns:
        Loss [run], in the unit of the criterion.
    """
    return _Criterion.apply(logits, labels, criterion)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean cross-entropy of each run in float64, for evaluations: no gradient is returned.

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


def smoothed(logits: Tensor, labels: Tensor, criterion: Criterion, smoothing: float) -> tuple[Tensor, Tensor]:
    """Compute a cross-entropy with label smoothing (Szegedy et al. 2016) from the cross-entropy without it.

    The target is 1 - smoothing on the label, plus smoothing / (number of outputs) on every output. This adds
    smoothing · (logit of the label - mean logit) to the cross-entropy of an example.

    Args:
        logits: [run, example, output].
        labels: [run, example].
        criterion: the cross-entropy without smoothing.
        smoothing: fraction of the target that is uniform over the outputs.

    Returns:
        Loss [run] in nats, gradient [run, example, output].
    """
    index, (_, examples, outputs) = labels[..., None], logits.shape
    added = smoothing * (logits.gather(-1, index)[..., 0] - logits.mean(-1)).mean(-1)
    loss, grad = criterion(logits, labels)
    grad.sub_(smoothing / (examples * outputs))
    grad.scatter_add_(-1, index, torch.full_like(index, 1, dtype=grad.dtype).mul_(smoothing / examples))
    return loss + added, grad


def squared_error(logits: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Compute the mean over examples and outputs of (logit - target)^2, and its gradient (Gromov 2023).

    Args:
        logits: [run, example, output].
        labels: [run, example].
        smoothing: the target is 1 - smoothing on the label, plus smoothing / (number of outputs) on every output.

    Returns:
        Loss [run], in squared logits; gradient [run, example, output].
    """
    index, (_, examples, outputs) = labels[..., None], logits.shape
    difference = logits - smoothing / outputs
    difference.scatter_add_(-1, index, torch.full_like(index, 1, dtype=logits.dtype).mul_(smoothing - 1))
    loss = difference.square().mean((-2, -1))
    return loss, difference.mul_(2 / (examples * outputs))


def stablemax(logits: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy of StableMax (Prieto et al. 2025, arXiv:2501.04697, section 4), and its gradient.

    StableMax replaces exp(x) in softmax by s(x) = x + 1 for x >= 0 and 1 / (1 - x) for x < 0.

    Args:
        logits: [run, example, output].
        labels: [run, example].
        smoothing: the target is 1 - smoothing on the label, plus smoothing / (number of outputs) on every output.

    Returns:
        Loss [run] in nats, gradient [run, example, output].
    """
    index, (_, examples, outputs) = labels[..., None], logits.shape
    positive = logits >= 0
    s = torch.where(positive, logits + 1, 1 / (1 - logits.clamp_max(0)))
    total = s.sum(-1, keepdim=True)
    log_p = torch.log(s / total)
    loss = -((1 - smoothing) * log_p.gather(-1, index)[..., 0] + smoothing * log_p.mean(-1)).mean(-1)
    target = torch.full_like(logits, smoothing / outputs)
    target.scatter_add_(-1, index, torch.full_like(index, 1, dtype=logits.dtype).mul_(1 - smoothing))
    slope = torch.where(positive, torch.ones_like(s), s.square())  # derivative of s
    return loss, (1 / total - target / s).mul_(slope).mul_(1 / examples)


OTHER_LOSSES: dict[str, Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]] = {
    "mse": squared_error,
    "stablemax": stablemax,
}
"""Losses besides cross-entropy, by their names in `training.loss`: functions of logits, labels and `smoothing`."""


def criterion_of(recipe: Training) -> Criterion:
    """Return the loss that a recipe minimizes."""
    if recipe.loss == "cross_entropy":
        unsmoothed = PRECISIONS[recipe.precision]
        if not recipe.label_smoothing:
            return unsmoothed
        return functools.partial(smoothed, criterion=unsmoothed, smoothing=recipe.label_smoothing)
    loss, smoothing = OTHER_LOSSES[recipe.loss], recipe.label_smoothing

    def criterion(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        value, grad = loss(logits.double() if recipe.precision == "float64" else logits, labels, smoothing)
        return value, grad.to(logits.dtype)

    return criterion


def loss_dtype(recipe: Training) -> torch.dtype:
    """Return the type of the losses that a recipe's criterion returns.

    Weights and logits have the type `arithmetic`, or float32 with `arithmetic: bfloat16`. The loss is computed in float64 with
    `precision: float64`, otherwise in the type of the logits.
    """
    return torch.float64 if "float64" in (recipe.precision, recipe.arithmetic) else torch.float32


PRECISIONS: dict[str, Criterion] = {
    "float64": float64_cross_entropy,
    "float32_log1p": log1p_cross_entropy,
    "float32": softmax_cross_entropy,
}
"""The cross-entropies without label smoothing, by their names in `training.precision`."""


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the fraction of examples on which the label has the largest logit.

    Args:
        logits: [run, example, output].
        labels: [run, example].

    Returns:
        Fraction [run], 0 to 1.
    """
    return (logits.argmax(-1) == labels).double().mean(-1)
