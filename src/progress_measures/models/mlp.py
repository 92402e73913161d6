"""MLPs without attention, whose input is the tokens of a and b, in plain torch; every weight has a leading dimension `run`.

The input is the sum of the embeddings of a and b, the two embeddings concatenated, or two one-hot vectors concatenated (Gromov
2023, `Grokking modular arithmetic`). Weights are a dictionary:

    W_E [run, token, d_model], absent for one-hot vectors
    W_in [run, input, neuron]; `input` has size d_model for a sum, 2 d_model for concatenated embeddings, and twice the
        number of tokens for one-hot vectors
    W_hidden [run, hidden_layer, input_neuron, neuron], the matrices into the second and later hidden layers, if any
    W_out [run, neuron, output]; or, with an unembedding, W_out [run, neuron, d_model] and W_U [run, d_model, output]

and, where the network has them, biases b_in [run, neuron], b_hidden [run, hidden_layer, neuron], b_out [run, output] or
[run, d_model], and b_U [run, output]. There is no residual stream: the logits depend on a and b through the neurons only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from progress_measures.models.design import ACTIVATIONS, Design
from progress_measures.models.transformer import Hook, Weights


def forward(weights: Weights, tokens: Tensor, hook: Hook | None = None, design: Design = Design()) -> Tensor:  # noqa: B008
    """Compute the logits.

    Args:
        weights: as in the module docstring.
        tokens: tokens of a and b, [example, 2] or [run, example, 2].
        hook: function called with the name and value of each activation: `hook_embed` [run, example, position, d_model]
            (or one-hot vectors [run, example, position, token]), `blocks.0.mlp.hook_pre` and `blocks.0.mlp.hook_post`
            [run, example, neuron], with the index of the hidden layer in place of 0. If it returns a tensor, the tensor
            replaces the activation.
        design: kind of input (`mlp_input`) and activation function of the network; no other field is used.

    Returns:
        Logits [run, example, output].
    """

    def apply_hook(name: str, value: Tensor) -> Tensor:
        replaced = None if hook is None else hook(name, value)
        return value if replaced is None else replaced

    runs = len(weights["W_in"])
    if tokens.ndim == 2:
        tokens = tokens.expand(runs, *tokens.shape)
    if design.mlp_input == "one_hot":
        vocabulary = weights["W_in"].shape[1] // 2
        embed = torch.nn.functional.one_hot(tokens, vocabulary).to(weights["W_in"].dtype)
    else:
        embed = weights["W_E"][torch.arange(runs, device=tokens.device)[:, None, None], tokens]
    embed = apply_hook("hook_embed", embed)
    x = embed.sum(-2) if design.mlp_input == "summed" else embed.flatten(-2)
    activation = ACTIVATIONS[design.activation]
    layers = [(weights["W_in"], weights.get("b_in"))]
    if "W_hidden" in weights:
        biases = weights.get("b_hidden")
        hidden = weights["W_hidden"].unbind(1)
        layers += [(matrix, None if biases is None else biases[:, i]) for i, matrix in enumerate(hidden)]
    for layer, (matrix, bias) in enumerate(layers):
        pre = torch.bmm(x, matrix)
        pre = apply_hook(f"blocks.{layer}.mlp.hook_pre", pre if bias is None else pre + bias[:, None])
        x = apply_hook(f"blocks.{layer}.mlp.hook_post", activation(pre))
    x = torch.bmm(x, weights["W_out"])
    x = x + weights["b_out"][:, None] if "b_out" in weights else x
    x = torch.bmm(x, weights["W_U"]) if "W_U" in weights else x
    return x + weights["b_U"][:, None] if "b_U" in weights else x
