"""The weights of a network on pairs in native form, which measures use: the paper's tensors, with operand values in order.

The measures of weights use W_E with the operand values as its first rows, and W_pos, W_Q, … as in `models.transformer`.
So does the fast path `models.pairs`, which computes one-layer networks on pairs exactly from small tables. Parts of
other designs are folded into these tensors, such that the logits at the answer position stay the same:

- If a and b have the same tokens, W_E keeps the rows of the operand values, in the order 0 … n - 1. The row of the fixed token
  (`=`) follows if the input is a, b and one fixed token.
- Sinusoidal position vectors become W_pos, and tied embeddings W_U = W_E^T.
- Weights and biases of norms before attention, MLP and unembedding are folded into the matrices and biases after them;
  the norms then only normalize.
- In networks whose neurons the fast path can compute (`closed_form`), the attention scale is folded into W_Q. Attention weights
  sum to 1, so b_V and b_O add the same vector v to the residual stream at every position: v W_in is added to b_in, and v to
  b_out. b_K adds the same number to the scores of all positions and has no effect. Only x_=, the sum of token and
  positional embedding at `=`, is used as a query, so W_Q gets a term of rank one with which x_= W_Q becomes x_= W_Q + b_Q.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.models.design import sinusoidal_positions

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.tasks.order import Order

Weights = dict[str, NDArray[np.floating]]


def native_weights(weights: Mapping[str, NDArray[np.floating]], run: Run) -> Weights:
    """Convert a network's tensors to native form.

    Args:
        weights: tensors of one checkpoint, without a `run` dimension.
        run: settings of the run, whose task is on pairs.

    Returns:
        Tensors by name; the same arrays if the network has the paper's design and tokens and was not imported.
    """
    w = dict(weights)
    if run.has_paper_design and run.task.token_layout.is_paper and run.imported is None:
        return w
    model, layout = run.model, run.task.token_layout
    if model.mlp_input is not None:
        if "W_E" in w and layout.shared_operand_tokens is not None:
            w["W_E"] = w["W_E"][layout.shared_operand_tokens]
        return w
    if model.positions == "sinusoidal":
        table = sinusoidal_positions(len(layout.slots), model.d_model, torch.float64).numpy()
        w["W_pos"] = table.astype(w["W_E"].dtype)
    if model.tied_embeddings:
        w["W_U"] = np.ascontiguousarray(w["W_E"].T)
    if "W_pos" in w:  # an imported network may have more positions than its inputs have tokens
        w["W_pos"] = w["W_pos"][: len(layout.slots)]
    if layout.shared_operand_tokens is not None:
        rows = layout.shared_operand_tokens.tolist() + ([layout.slots[2].token] if layout.is_triple else [])
        w["W_E"] = w["W_E"][rows]
    if model.normalization != "none" and not model.norm_after:
        w = _with_folded_norms(w)
    return _with_folded_attention(w, model.attention_scale, model.d_head) if run.closed_form else w


# A norm, a matrix after it, and the matrix's dimensions: l layer, h head, d d_model, e d_head, n neuron, o output.
_MATRICES_AFTER_NORMS = (
    *(("ln1", matrix, "lhde") for matrix in ("W_Q", "W_K", "W_V")),
    ("ln2", "W_in", "ldn"),
    ("ln2", "W_gate", "ldn"),
    ("ln_final", "W_U", "do"),
)


def _with_folded_norms(weights: Weights) -> Weights:
    """Fold the weights and biases of norms into the matrices after them and the biases of these matrices."""
    w = {name: tensor for name, tensor in weights.items() if not name.startswith("ln")}
    for norm, matrix, dims in _MATRICES_AFTER_NORMS:
        if matrix not in w:
            continue
        bias, norm_dims = matrix.replace("W", "b"), dims[: dims.index("d")].replace("h", "") + "d"
        bias_dims = dims.replace("d", "")
        if f"{norm}_b" in weights:
            w[bias] = w.get(bias, 0) + np.einsum(f"{norm_dims},{dims}->{bias_dims}", weights[f"{norm}_b"], w[matrix])
        if f"{norm}_w" in weights:
            w[matrix] = np.einsum(f"{norm_dims},{dims}->{dims}", weights[f"{norm}_w"], w[matrix])
    return w


def _with_folded_attention(weights: Weights, scale: float | None, d_head: int) -> Weights:
    """Fold the attention scale and the attention biases of a network with `closed_form` true into other tensors."""
    w = dict(weights)
    if "W_pos" not in w:  # a network without position vectors; the fast path adds three
        w["W_pos"] = np.zeros((3, w["W_E"].shape[-1]), w["W_E"].dtype)
    biases = {name: w.pop(name)[0] for name in ("b_Q", "b_K", "b_V", "b_O") if name in w}
    if "b_Q" in biases:
        x_eq = w["W_E"][-1] + w["W_pos"][-1]
        w["W_Q"] = w["W_Q"] + np.einsum("d,he->hde", x_eq / (x_eq @ x_eq), biases["b_Q"])
    if scale is not None:
        w["W_Q"] = w["W_Q"] * np.asarray(scale * d_head**0.5, w["W_Q"].dtype)
    attention_bias = np.zeros_like(w["W_pos"][0])  # [d_model]
    if "b_V" in biases:
        attention_bias += np.einsum("he,hed->d", biases["b_V"], w["W_O"][0])
    if "b_O" in biases:
        attention_bias += biases["b_O"]
    if attention_bias.any():
        w["b_in"] = w.get("b_in", 0) + attention_bias @ w["W_in"]
        w["b_out"] = w.get("b_out", 0) + attention_bias[None]
    return w


def in_order(weights: Weights, order: Order) -> Weights:
    """Return native weights with the operand values and the outputs in a given order.

    Args:
        weights: native weights.
        order: the order; operand values that are not part of it, such as 0 in products mod p, lose their row of W_E.

    Returns:
        Tensors by name; the same arrays if the order is natural. W_out of an MLP without attention, whose columns are
        outputs, is reordered like W_U.
    """
    if order.is_natural:
        return weights
    w = dict(weights)
    if "W_E" in w:
        w["W_E"] = w["W_E"][np.concatenate([order.operands, np.arange(order.operand_count, len(w["W_E"]))])]
    for name in ("W_U", "b_U") if "W_U" in w else ("W_out", "b_out"):
        if name in w:
            w[name] = w[name][..., order.outputs]
    return w
