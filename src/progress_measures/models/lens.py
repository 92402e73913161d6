"""To TransformerLens (version 4 and later), for its hooks, caches and plots."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from progress_measures.models.architecture import Architecture

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_transformer_lens(weights: "dict[str, Tensor] | dict[str, NDArray]", architecture: Architecture) -> Any:
    """A hooked TransformerLens network with these weights.

    Args:
        weights: as in `progress_measures.models.transformer`, without the `run` dimension.
        architecture: of their run, `Architecture.of(run)`.
    Returns:
        A `TransformerBridge` in evaluation mode; call it on tokens [example, position], or `run_with_cache`.
        TransformerLens gives every network biases: those that ours lacks are zero.
    """
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    config = TransformerBridgeConfig(
        n_layers=architecture.layers,
        d_model=architecture.d_model,
        n_heads=architecture.heads,
        d_head=architecture.d_head,
        d_mlp=architecture.d_mlp,
        d_vocab=architecture.vocabulary,
        d_vocab_out=architecture.outputs,
        n_ctx=architecture.context,
        act_fn="relu",
        attn_only=architecture.attention_only,
        normalization_type=None,
        device="cpu",
        dtype=torch.as_tensor(weights["W_E"]).dtype,
    )
    network = TransformerBridge.boot_native(config)  # type: ignore[attr-defined]
    network.load_state_dict(convert_tl_checkpoint(_state(weights, architecture), config))
    return network.eval()


def _state(weights: Any, architecture: Architecture) -> dict[str, Tensor]:
    """A state dict under TransformerLens's names."""
    w = {name: torch.as_tensor(tensor) for name, tensor in weights.items()}
    like = w["W_E"]
    state = {
        "embed.W_E": w["W_E"],
        "pos_embed.W_pos": w["W_pos"],
        "unembed.W_U": w["W_U"],
        "unembed.b_U": w.get("b_U", like.new_zeros(architecture.outputs)),
    }
    heads = (architecture.heads, architecture.d_head)
    biases = {"b_Q": heads, "b_K": heads, "b_V": heads, "b_O": (architecture.d_model,)}
    mlp = {} if architecture.attention_only else {"b_in": (architecture.d_mlp,), "b_out": (architecture.d_model,)}
    for layer in range(architecture.layers):
        for name in ("W_Q", "W_K", "W_V", "W_O", *biases):
            state[f"blocks.{layer}.attn.{name}"] = w[name][layer] if name in w else like.new_zeros(biases[name])
        for name in ("W_in", "W_out", *mlp) if mlp else ():
            state[f"blocks.{layer}.mlp.{name}"] = w[name][layer] if name in w else like.new_zeros(mlp[name])
    return state
