"""State dicts of one small network in every format that importing recognizes, each written out explicitly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from support.networks import Weights

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

PRIME = 13


def tensors(weights: Weights) -> dict[str, torch.Tensor]:
    """Return this project's weights as tensors."""
    return {name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in weights.items()}


def authors(weights: Weights) -> dict[str, torch.Tensor]:
    """Return a state dict of the paper's authors' code, whose matrices multiply from the left.

    In theirs, `=` has an output too. Here the outputs are those of the weights.
    """
    w = tensors(weights)
    return {
        "embed.W_E": w["W_E"].T,
        "pos_embed.W_pos": w["W_pos"],
        **{f"blocks.0.attn.W_{x}": w[f"W_{x}"][0].transpose(1, 2) for x in "KQV"},
        "blocks.0.attn.W_O": torch.cat(list(w["W_O"][0])).T,
        "blocks.0.attn.mask": torch.tril(torch.ones(3, 3)),
        "blocks.0.mlp.W_in": w["W_in"][0].T,
        "blocks.0.mlp.b_in": w["b_in"][0],
        "blocks.0.mlp.W_out": w["W_out"][0].T,
        "blocks.0.mlp.b_out": w["b_out"][0],
        "unembed.W_U": w["W_U"],
    }


def transformer_lens(weights: Weights, zeros: bool = True) -> dict[str, torch.Tensor]:
    """Return a state dict of TransformerLens 1 to 3, with the buffers of its attention.

    Args:
        weights: weights with this project's names and axes.
        zeros: whether to add zeros for the biases that the network lacks.
    """
    w = tensors(weights)
    layers, heads, d_model, d_head = w["W_Q"].shape
    state = {"embed.W_E": w["W_E"], "pos_embed.W_pos": w["W_pos"], "unembed.W_U": w["W_U"]}
    for i in range(layers):
        state |= {f"blocks.{i}.attn.{name}": w[name][i] for name in ("W_Q", "W_K", "W_V", "W_O")}
        state |= {f"blocks.{i}.mlp.{name}": w[name][i] for name in ("W_in", "W_out", "b_in", "b_out") if name in w}
        state |= {f"blocks.{i}.attn.{name}": w[name][i] for name in ("b_Q", "b_K", "b_V", "b_O") if name in w}
        if zeros:
            state |= {f"blocks.{i}.attn.b_{x}": torch.zeros(heads, d_head) for x in "QKV" if f"b_{x}" not in w}
            state |= {f"blocks.{i}.attn.b_O": torch.zeros(d_model)} if "b_O" not in w else {}
        state |= {f"blocks.{i}.attn.mask": torch.ones(3, 3).bool(), f"blocks.{i}.attn.IGNORE": torch.tensor(-1e5)}
    if zeros:
        state["unembed.b_U"] = w.get("b_U", torch.zeros(w["W_U"].shape[1]))
    return state


def bridge(weights: Weights) -> TransformerBridge:
    """Return a native network of TransformerLens 4, whose weights TransformerLens itself converted."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    _, heads, d_model, d_head = weights["W_Q"].shape
    config = TransformerBridgeConfig(
        n_layers=1,
        d_model=d_model,
        n_heads=heads,
        d_head=d_head,
        d_mlp=weights["W_in"].shape[-1],
        d_vocab=len(weights["W_E"]),
        d_vocab_out=weights["W_U"].shape[-1],
        n_ctx=3,
        act_fn="relu",
        normalization_type=None,
        device="cpu",
    )
    network = TransformerBridge.boot_native(config)
    network.load_state_dict(convert_tl_checkpoint(transformer_lens(weights), config))
    return network


def nanogpt(weights: Weights) -> dict[str, torch.Tensor]:
    """Return a state dict in a made-up format, with Q, K and V of all heads in one matrix."""
    w = tensors(weights)
    joined = torch.cat([torch.cat(list(w[f"W_{x}"][0].transpose(1, 2))) for x in "QKV"])  # [(qkv head d_head), d_model]
    return {
        "tok.weight": w["W_E"],
        "pos": w["W_pos"][None],
        "h.0.attn.in_proj": joined,
        "h.0.attn.out": torch.cat(list(w["W_O"][0])).T,
        "h.0.fc.weight": w["W_in"][0].T,
        "h.0.fc.bias": w["b_in"][0],
        "h.0.proj.weight": w["W_out"][0].T,
        "h.0.proj.bias": w["b_out"][0],
        "head.weight": w["W_U"].T,
    }


NANOGPT_NAMES = """\
title: a network of my own
activation: relu
normalization: none
W_E: [tok.weight, token d_model]
W_pos: [pos, 1 position d_model]
W_Q: ["h.{layer}.attn.in_proj", (qkv head d_head) d_model]
W_K: ["h.{layer}.attn.in_proj", (qkv head d_head) d_model]
W_V: ["h.{layer}.attn.in_proj", (qkv head d_head) d_model]
W_O: ["h.{layer}.attn.out", d_model (head d_head)]
W_in: ["h.{layer}.fc.weight", neuron d_model]
b_in: ["h.{layer}.fc.bias", neuron]
W_out: ["h.{layer}.proj.weight", d_model neuron]
b_out: ["h.{layer}.proj.bias", d_model]
W_U: [head.weight, output d_model]
"""
"""The mapping file for the format of `nanogpt`."""
