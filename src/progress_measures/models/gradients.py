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
    """Compute the cosine between the gradients of one logit with respect to the embeddings of a and of b.

    The mean of this cosine over inputs and outputs is the gradient symmetricity of Zhong et al. 2023 (Definition 4.1).

    Args:
        logits_of: function from embedded inputs [example, position, d_model] to logits [example, output], differentiable by
            torch. The logits of an example depend on the vectors of this example only.
        embed: embedded inputs, [example, position, d_model]; any further dimensions after `position` count as one vector.
        outputs: index of the output whose logit is differentiated, one per example: [example].
        positions: positions of a and b.

    Returns:
        Cosines between -1 and 1 [example], in the precision of `embed`; NaN where one of the gradients is zero.
    """
    leaf = embed.detach().clone().requires_grad_()
    with torch.enable_grad():
        selected_logits = logits_of(leaf).gather(-1, outputs[:, None])
        (gradients,) = torch.autograd.grad(selected_logits.sum(), leaf)
    a, b = (gradients[:, position].flatten(1) for position in positions)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))  # 0 / 0 is NaN


def gradient_cosines_in_closed_form(
    weights: Mapping[str, NDArray[np.floating]], a: NDArray[np.int64], b: NDArray[np.int64], outputs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute `gradient_cosines` of one network by a formula, for networks that `models.pairs` can compute.

    As long as no neuron becomes active or inactive, a logit is linear in the residual stream before the MLP. By the
    chain rule, the logit's gradient with respect to this stream gives the gradients with respect to x_a and x_b, the
    sums of token and positional embedding of a and of b. Each of these two gradients has one term through the heads'
    values and one through the heads' attention scores.

    Args:
        weights: tensors in native form, in float64, without a `run` dimension.
        a: first operand of each example, as its row of W_E: [example].
        b: second operand of each example, as its row of W_E: [example].
        outputs: index of the output whose logit is differentiated, one per example: [example].

    Returns:
        Cosines between -1 and 1 [example]; NaN where one of the gradients is zero.
    """
    W_Q, W_K, W_V, W_O, W_in, W_out = (weights[name][0] for name in ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out"))
    x_eq = weights["W_E"][-1] + weights["W_pos"][2]
    x = np.stack(
        [weights["W_E"][a] + weights["W_pos"][0], weights["W_E"][b] + weights["W_pos"][1], np.tile(x_eq, (len(a), 1))],
        axis=1,
    )
    # The score of a position is the product of its row of x with W_K q, where q is the query at `=`: [head, d_model].
    scaled_W_K_q = np.einsum("hde,he->hd", W_K, np.einsum("d,hde->he", x_eq, W_Q)) / W_Q.shape[-1] ** 0.5
    OV = W_V @ W_O  # [head, d_model, d_model]
    scores = x @ scaled_W_K_q.T  # [example, position, head]
    attention = np.exp(scores - scores.max(1, keepdims=True))
    attention /= attention.sum(1, keepdims=True)
    attended = attention.swapaxes(1, 2) @ x  # [example, head, d_model]
    resid_mid = x_eq + attended.reshape(len(a), -1) @ OV.reshape(-1, OV.shape[-1])
    active = resid_mid @ W_in + weights.get("b_in", 0) > 0
    grad_mid = weights["W_U"].T[outputs] + (active * (W_out @ weights["W_U"]).T[outputs]) @ W_in.T  # [example, d_model]
    grad_attended = np.stack([grad_mid @ matrix.T for matrix in OV], axis=1)  # [example, head, d_model]
    grad_attention = x @ grad_attended.swapaxes(1, 2)  # [example, position, head]
    grad_scores = attention * (grad_attention - (attention * grad_attention).sum(1, keepdims=True))
    gradients = attention[:, :2] @ grad_attended + grad_scores[:, :2] @ scaled_W_K_q  # [example, operand, d_model]
    norms = np.linalg.norm(gradients, axis=-1)
    with np.errstate(invalid="ignore"):
        cosines: NDArray[np.float64] = (gradients[:, 0] * gradients[:, 1]).sum(-1) / norms.prod(-1)
    return cosines


def gradient_cosines_of_network(
    weights: Mapping[str, NDArray[np.floating]],
    tokens: Tensor,
    outputs: NDArray[np.int64],
    positions: tuple[int, int],
    answer_position: int,
    design: Design,
) -> NDArray[np.float64]:
    """Compute `gradient_cosines` of one network with an embedding W_E, in float64 and in groups of examples.

    Args:
        weights: trained tensors as in `models.transformer` or `models.mlp`, without a `run` dimension.
        tokens: [example, position].
        outputs: index of the output whose logit is differentiated, one per example: [example].
        positions: positions of a and b.
        answer_position: position whose logits are computed; not used for an MLP without attention.
        design: what the weights do not determine, such as the activation function and the norms.

    Returns:
        Cosines between -1 and 1 [example]; NaN where one of the gradients is zero.
    """
    tensors = {name: torch.from_numpy(tensor.astype(np.float64))[None] for name, tensor in weights.items()}

    def logits_of(embed: Tensor) -> Tensor:
        def replace(name: str, _: Tensor) -> Tensor | None:
            return embed[None] if name == "hook_embed" else None

        any_tokens = tokens[: len(embed)]  # their embeddings are replaced
        return network.answer_logits(tensors, any_tokens, answer_position, design, replace)[0]

    width = max(tensor.shape[-1] for name, tensor in tensors.items() if name.startswith("W_"))
    # A group's widest activation has at most MAX_ENTRIES / 8 entries, fewer than in a pass without gradients: for the
    # backward pass, torch keeps the activations of all layers in memory.
    size = max(1, network.MAX_ENTRIES // (8 * tokens.shape[-1] * width))
    cosines = [
        gradient_cosines(logits_of, tensors["W_E"][0][group_tokens], group_outputs, positions)
        for group_tokens, group_outputs in zip(tokens.split(size), torch.from_numpy(outputs).split(size), strict=True)
    ]
    return torch.cat(cosines).numpy()
