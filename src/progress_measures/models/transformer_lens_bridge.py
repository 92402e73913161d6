"""Convert networks to TransformerLens: to a network of version 4 or later, or to a state dict of versions 1 to 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from progress_measures.errors import UserError
from progress_measures.models.architecture import Architecture

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run


def network_of(run: Run, weights: Mapping[str, NDArray[np.floating]]) -> Any:
    """Return a hooked TransformerLens network of a run with the weights of one checkpoint.

    Args:
        run: the run.
        weights: as in `progress_measures.models.transformer`, without the `run` dimension.

    Returns:
        A `TransformerBridge` in evaluation mode.

    Raises:
        UserError: this module cannot convert the network; see `check_representable`.
    """
    check_representable(run)
    return to_transformer_lens(weights, architecture_of(run, weights), has_layer_norm(run))


def has_layer_norm(run: Run) -> bool:
    """Return whether a network has LayerNorms."""
    return run.model.normalization == "layer_norm"


def check_representable(run: Run) -> None:
    """Raise a `UserError` if a network has a design that this module cannot convert to TransformerLens.

    This module converts the paper's design, in any size, with or without biases, and with or without LayerNorms before
    attention, MLP and unembedding.
    """
    name = f"{run.experiment}/{run.name}"
    if run.model.doubled_residual:
        raise UserError(
            f"{name} adds its residual stream twice (`model.doubled_residual`), which TransformerLens cannot represent."
        )
    if "weights" not in run.provides:
        raise UserError(f"{name} has recorded logits only, and no weights to convert to TransformerLens.")
    model, paper_model = run.model, type(run.model)()
    fields = (
        "mlp_input", "activation", "gated_mlp", "norm_after", "norm_epsilon", "attention_scale", "causal", "positions",
        "tied_embeddings",
    )  # fmt: skip
    unsupported = [field for field in fields if getattr(model, field) != getattr(paper_model, field)]
    if model.normalization == "rms_norm":
        unsupported.append("normalization")
    if model.normalization == "layer_norm" and not model.has_final_norm:
        unsupported.append("final_norm")
    if unsupported:
        raise UserError(
            f"{name} has `model.{unsupported[0]}: {getattr(model, unsupported[0])}`; networks of this design cannot be converted "
            "to TransformerLens. `open_run(…).weights(epoch)` returns their tensors."
        )


def architecture_of(run: Run, weights: Mapping[str, NDArray[np.floating]]) -> Architecture:
    """Return the architecture of a run, with as many tokens, positions and outputs as `weights` has.

    Imported networks may have more tokens, positions or outputs than their task needs.

    Args:
        run: the run.
        weights: as in `progress_measures.models.transformer`, without the `run` dimension.

    Returns:
        The architecture.
    """
    return Architecture.of(run)._replace(
        vocabulary=len(weights["W_E"]), context_length=len(weights["W_pos"]), outputs=weights["W_U"].shape[-1]
    )


def to_transformer_lens(
    weights: Mapping[str, Tensor] | Mapping[str, NDArray[np.floating]],
    architecture: Architecture,
    layer_norm: bool = False,
) -> Any:
    """Return a hooked TransformerLens network with the given weights.

    Args:
        weights: as in `progress_measures.models.transformer`, without the `run` dimension.
        architecture: architecture of the network.
        layer_norm: whether the network has LayerNorms, with or without trained weights.

    Returns:
        A `TransformerBridge` in evaluation mode. Call it on tokens [example, position], or use `run_with_cache`.
        TransformerLens gives every network biases; biases that `weights` lacks are zero.
    """
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    dtype = torch.as_tensor(weights["W_E"]).dtype
    config = TransformerBridgeConfig(**lens_config(architecture, layer_norm, dtype), device="cpu")
    # version 4.3 ignores the dtype of the configuration
    network = TransformerBridge.boot_native(config, dtype=dtype)  # type: ignore[attr-defined]
    network.load_state_dict(convert_tl_checkpoint(lens_state_dict(weights, architecture, layer_norm), config))
    return network.eval()


def lens_config(architecture: Architecture, layer_norm: bool, dtype: torch.dtype) -> dict[str, Any]:
    """Return a network's configuration, under the names that all versions of TransformerLens use.

    Args:
        architecture: architecture of the network.
        layer_norm: whether the network has LayerNorms.
        dtype: type of the weights.

    Returns:
        Arguments of TransformerLens's configuration class.
    """
    return {
        "n_layers": architecture.layers,
        "d_model": architecture.d_model,
        "n_heads": architecture.heads,
        "d_head": architecture.d_head,
        "d_mlp": architecture.d_mlp,
        "d_vocab": architecture.vocabulary,
        "d_vocab_out": architecture.outputs,
        "n_ctx": architecture.context_length,
        "act_fn": "relu",
        "attn_only": architecture.attention_only,
        "normalization_type": "LN" if layer_norm else None,
        "dtype": dtype,
    }


def lens_state_dict(
    weights: Mapping[str, Tensor] | Mapping[str, NDArray[np.floating]],
    architecture: Architecture,
    layer_norm: bool = False,
) -> dict[str, Tensor]:
    """Return a network's state dict, under the names of TransformerLens 1 to 3, with the buffers that these versions require.

    Biases that the network lacks are zero. LayerNorms without trained weights get weights one and biases zero.

    Args:
        weights: as in `progress_measures.models.transformer`, without the `run` dimension.
        architecture: architecture of the network.
        layer_norm: whether the network has LayerNorms.

    Returns:
        Tensors by TransformerLens's name.
    """
    w = {name: torch.as_tensor(tensor) for name, tensor in weights.items()}
    like = w["W_E"]
    tensors = {
        "embed.W_E": w["W_E"],
        "pos_embed.W_pos": w["W_pos"],
        "unembed.W_U": w["W_U"],
        "unembed.b_U": w.get("b_U", like.new_zeros(architecture.outputs)),
    }
    head_shape, residual_shape = (architecture.heads, architecture.d_head), (architecture.d_model,)
    attention_biases = {"b_Q": head_shape, "b_K": head_shape, "b_V": head_shape, "b_O": residual_shape}
    mlp_biases = {} if architecture.attention_only else {"b_in": (architecture.d_mlp,), "b_out": residual_shape}
    norms = ("ln1",) if architecture.attention_only else ("ln1", "ln2")
    mask = torch.ones(2 * (architecture.context_length,), dtype=torch.bool).tril()  # [query, key]
    for layer in range(architecture.layers):
        for name in ("W_Q", "W_K", "W_V", "W_O", *attention_biases):
            tensors[f"blocks.{layer}.attn.{name}"] = (
                w[name][layer] if name in w else like.new_zeros(attention_biases[name])
            )
        for name in ("W_in", "W_out", *mlp_biases) if mlp_biases else ():
            tensors[f"blocks.{layer}.mlp.{name}"] = w[name][layer] if name in w else like.new_zeros(mlp_biases[name])
        for norm in norms if layer_norm else ():
            for part, identity in (("w", like.new_ones(residual_shape)), ("b", like.new_zeros(residual_shape))):
                name = f"{norm}_{part}"
                tensors[f"blocks.{layer}.{norm}.{part}"] = w[name][layer] if name in w else identity
        tensors[f"blocks.{layer}.attn.mask"] = mask
        tensors[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)  # score of a masked key
    if layer_norm:
        tensors["ln_final.w"] = w.get("ln_final_w", like.new_ones(residual_shape))
        tensors["ln_final.b"] = w.get("ln_final_b", like.new_zeros(residual_shape))
    return tensors
