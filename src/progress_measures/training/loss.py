"""Cross-entropy with its gradient, at the precision that the experiment asks for.

A network that has grokked has a loss of 1e-7 and less; float32 loses that to rounding, and its gradient with
it: the loss spikes ('slingshots', Thilak et al. 2022). `float64` is what the notebooks do; `float32_log1p` is as
accurate at a fraction of the cost on a GPU; `float32` is the low-precision experiment (appendix D.2).
"""

from collections.abc import Callable

import torch
from torch import Tensor

CrossEntropy = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def softmax_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of -log softmax(logits)[label] a run, and its gradient, in the precision of the logits.

    Args:
        logits: [run, example, output].
        labels: [run, example].
    Returns:
        loss [run] in nats, gradient [run, example, output].
    """
    log_p = logits.log_softmax(-1)
    index = labels[..., None]
    loss = -log_p.gather(-1, index).mean((-2, -1))
    grad = log_p.exp_()
    grad.scatter_add_(-1, index, torch.full_like(index, -1, dtype=grad.dtype))
    return loss, grad.mul_(1 / logits.shape[-2])


def float64(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As `softmax_loss`, computed in float64; the gradient has the logits' precision."""
    loss, grad = softmax_loss(logits.double(), labels)
    return loss, grad.to(logits.dtype)


def float32_log1p(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """log(1 + sum over c != label of exp(l_c - l_label)): exact for small losses without float64.

    The sum is scaled by its largest term where that exceeds 1, so that nothing overflows.
    """
    index = labels[..., None]
    margin = logits - logits.gather(-1, index)
    margin.scatter_(-1, index, -torch.inf)
    top = margin.amax(-1, keepdim=True).clamp_min_(0)
    terms = margin.sub_(top).exp_()
    others = terms.sum(-1, keepdim=True)  # the sum, times exp(-top)
    rest = torch.exp(-top)  # the label's own term
    # log(1 + s) = log1p(s) for top = 0; top + log(others + rest) else
    loss = torch.where(top > 0, top + torch.log(others + rest), torch.log1p(others))
    total = others + rest
    grad = terms.div_(total)
    grad.scatter_(-1, index, -others / total)
    return loss.mean((-2, -1)), grad.mul_(1 / logits.shape[-2])


class _Criterion(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels, criterion):
        loss, grad = criterion(logits, labels)
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    def backward(ctx, to_loss):
        (grad,) = ctx.saved_tensors
        return grad * to_loss[:, None, None].to(grad.dtype), None, None


def differentiable(logits: Tensor, labels: Tensor, criterion: CrossEntropy) -> Tensor:
    """The loss of a criterion, whose own gradient autograd is given: [run]."""
    return _Criterion.apply(logits, labels, criterion)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of each run in float64, without gradient: [run].

    Run by run, because float64 logits are large.
    """
    pairs = zip(logits, labels, strict=True)
    losses = [-one.double().log_softmax(-1).gather(-1, label[:, None]).mean() for one, label in pairs]
    return torch.stack(losses)


PRECISIONS: dict[str, CrossEntropy] = {
    "float64": float64,
    "float32_log1p": float32_log1p,
    "float32": softmax_loss,
}


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of examples whose largest logit is the label's: [run]."""
    return (logits.argmax(-1) == labels).double().mean(-1)
