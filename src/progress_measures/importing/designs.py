"""The design of an imported network: what files and users state, and the designs among which `recognize` chooses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from progress_measures.errors import UserError
from progress_measures.experiments.choices import Activation
from progress_measures.importing.contents import Contents
from progress_measures.importing.findings import Choice
from progress_measures.importing.names import FormatMatch
from progress_measures.importing.stated import canonical

ModelFields = dict[str, Any]
"""Fields of the section `model` of an experiment, by name."""

ACTIVATION_ALIASES: dict[str, Activation] = {
    "relu": "relu", "gelu": "gelu", "gelu_exact": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_tanh": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "silu": "silu", "swish": "silu", "square": "square",
    "quad": "square", "quadratic": "square", "x^2": "square", "tanh": "tanh", "identity": "identity",
    "linear": "identity",
}  # fmt: skip
"""Activation by the names that files give it, in lower case, with _ in place of -."""

COMMON_ACTIVATIONS: tuple[Activation, ...] = ("relu", "gelu", "silu")
"""Activations that are tried if none is stated. With more of them, a wrong one could fit by accident."""

NORMALIZATION_ALIASES = {
    "none": "none", "false": "none", "null": "none", "": "none", "ln": "layer_norm", "lnpre": "layer_norm",
    "layernorm": "layer_norm", "layer_norm": "layer_norm", "true": "layer_norm", "rms": "rms_norm",
    "rmspre": "rms_norm", "rmsnorm": "rms_norm", "rms_norm": "rms_norm",
}  # fmt: skip
"""Normalization by the names that files give it, in lower case, with _ in place of -."""

POSITION_ALIASES = {
    "standard": "learned", "learned": "learned", "absolute": "learned", "rotary": "rotary", "rope": "rotary",
    "sinusoidal": "sinusoidal", "sincos": "sinusoidal", "none": "none", "nope": "none", "fixed": "fixed",
}  # fmt: skip
"""Kind of position encoding by the names that files give it, in lower case, with _ in place of -."""

UNSUPPORTED_SETTINGS = (
    "parallel_attn_mlp", "use_local_attn", "attn_scores_soft_cap", "output_logits_soft_cap", "use_qk_norm", "num_experts",
    "use_normalization_before_and_after", "scale_attn_by_inverse_layer_idx", "use_attn_result_scale",
)  # fmt: skip
"""Settings of a file that, if set, change the forward pass in a way that `models.design` does not compute."""


SUPPORTED_ROTARY_SETTINGS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("rotary_base", "rope_theta", "rope_base", "rotary_emb_base"), (None, 10_000)),
    **dict.fromkeys(("rotary_pct", "partial_rotary_factor"), (None, 1)),
    **dict.fromkeys(("rotary_adjacent_pairs", "rotary_interleaved", "rope_scaling"), (None, False)),
}
"""Settings of rotary positions in a file, and for each the values that `models.design` supports; None is unset."""


def stated_fields(contents: Contents, match: FormatMatch, options: Mapping[str, Any], path: Path) -> dict[str, Choice]:
    """Return the fields of `model` that the file, the mapping file or the options state, with their sources.

    Args:
        contents: what the file contains.
        match: the state dict of the last checkpoint, matched against its format.
        options: fields of `model` that the user gives as options.
        path: path of the file, for messages.

    Returns:
        Choices by field. Options take precedence over the mapping file, and the mapping file over the file.

    Raises:
        UserError: the file states a design that `models.design` does not compute.
    """
    choices = {name: Choice(value, "file", source) for name, (value, source) in _fields_in_file(contents, path).items()}
    choices |= {
        name: Choice(value, "mapping file")
        for name, value in match.format.settings.items()
        if name not in ("tokens", "read")
    }
    return choices | {name: Choice(value, "option") for name, value in options.items()}


def contradictions(contents: Contents, match: FormatMatch, choices: Mapping[str, Choice], path: Path) -> list[str]:
    """Describe fields of `model` for which the file, the mapping file and the options state different values.

    Args:
        contents: what the file contains.
        match: the state dict of the last checkpoint, matched against its format.
        choices: the fields that are stated, as `stated_fields` returns them.
        path: path of the file, for messages.

    Returns:
        One text for each contradiction.
    """
    lines = [
        f"{name} is {value} in the mapping file, and {choices[name].value} by the option"
        for name, value in match.format.settings.items()
        if name in choices and choices[name].source == "option" and choices[name].value != value
    ]
    for name, (value, source) in _fields_in_file(contents, path).items():
        choice = choices[name]
        if choice.source != "file" and choice.value != value:
            lines.append(f"{name} is {value} in the file ({source}), and {choice.value} by the {choice.source}")
    return lines


def check_norms(choices: Mapping[str, Choice], match: FormatMatch) -> None:
    """Check that something determines whether norms precede or follow attention and MLP.

    Networks whose norms precede attention and MLP usually have a final norm, too; others do not.

    Args:
        choices: the fields of `model` that are stated.
        match: the state dict of the last checkpoint, matched against its format.

    Raises:
        UserError: neither the fields nor the weights of a final norm determine it.
    """
    norms = [name for name in match.weights(heads=1) if name.startswith("ln")]  # any number of heads gives these names
    is_place_stated = bool({"norm_after", "final_norm"} & set(choices))
    if norms and not is_place_stated and not any(name.startswith("ln_final") for name in norms):
        raise UserError(
            "the file has weights of norms, but of no final norm, so norms may precede attention and MLP or follow them. State "
            "--model norm_after=true if they follow (as in nn.TransformerEncoderLayer), or --model norm_after=false."
        )


def _fields_in_file(contents: Contents, path: Path) -> dict[str, tuple[Any, str]]:
    """Return the fields of `model` that the file states: value and place in the file."""
    fields: dict[str, tuple[Any, str]] = {}

    def add_named(setting: str, names: Mapping[str, Any]) -> None:
        """Add a field whose value has several names, such as `ln` for `layer_norm`."""
        if setting not in contents.stated:
            return
        value, source = contents.stated[setting]
        known = names.get(_alias(value))
        if known is None:
            raise UserError(
                f"{path}: {source} is {value!r:.60}, which this project cannot compute; known are "
                f"{', '.join(sorted({str(name) for name in names.values()}))}. If the network has one of these, state it with "
                f"--model {setting}=…; or give its forward pass with --forward."
            )
        fields[setting] = (known, source)

    if not states_attention_only(contents):
        add_named("activation", ACTIVATION_ALIASES)
    add_named("normalization", NORMALIZATION_ALIASES)
    add_named("positions", POSITION_ALIASES)
    config, d_head = contents.config, contents.config.get("d_head")
    if "attention_scale" in contents.stated:
        value, source = contents.stated["attention_scale"]
        if isinstance(value, bool):
            fields["attention_scale"] = (None if value else 1.0, source)  # None: 1/√d_head
        elif _is_positive(value):
            scale = _attention_scale(value, source, path)
            if not (_is_positive(d_head) and abs(scale * d_head**0.5 - 1) < 1e-6):
                fields["attention_scale"] = (scale, source)
    if "causal" in contents.stated:
        value, source = contents.stated["causal"]
        fields["causal"] = (str(value).lower() in ("causal", "true"), source)
    epsilon = next(
        (name for name in ("eps", "layer_norm_eps", "norm_eps", "layer_norm_epsilon") if name in config), None
    )
    # the file may state the number but not the kind of norms; `model_section` leaves it out if there are none
    if epsilon and _is_positive(config[epsilon]) and fields.get("normalization", ("",))[0] != "none":
        fields["norm_epsilon"] = (float(config[epsilon]), f"config.{epsilon}")
    for name in UNSUPPORTED_SETTINGS:  # TransformerLens writes -1 for a cap that is not set
        if config.get(name) not in (None, False, 0, -1, "none", -1.0):
            raise UserError(_unsupported_message(path, name, config[name]))
    if fields.get("positions", ("",))[0] == "rotary":
        for name, values in {**SUPPORTED_ROTARY_SETTINGS, "rotary_dim": (None, d_head)}.items():
            if name in config and config[name] not in values:
                raise UserError(_unsupported_message(path, name, config[name]))
    return fields


def _attention_scale(value: float, source: str, path: Path) -> float:
    """Return the factor of the attention scores that a file states as a factor or as a divisor.

    Raises:
        UserError: it is not clear which of the two the number is.
    """
    name = canonical(source.rpartition(".")[2])
    if name == "attn_scale":  # as in TransformerLens
        return 1 / value
    if name == "attention_scale" and value <= 1:
        return value
    raise UserError(
        f"{path}: {source} is {value:g}; it is not clear whether attention scores are multiplied or divided by it. State the "
        "factor with --model attention_scale=…"
    )


def has_position_vectors(positions: Any) -> bool:
    """Return whether networks with this kind of position encoding have a tensor of position vectors, trained or fixed.

    Args:
        positions: any name of the kind; for an unknown name, true is returned.
    """
    return POSITION_ALIASES.get(_alias(positions), "learned") in ("learned", "fixed")


def _alias(value: Any) -> str:
    """Return a value from a file in the spelling of the tables of aliases: lower case, with _ in place of -."""
    return str(value).lower().replace("-", "_")


def _unsupported_message(path: Path, name: str, value: Any) -> str:
    """Return the error message for a setting of the file that `models.design` does not support."""
    return (
        f"{path}: config.{name} is {value!r:.60}, which this project cannot compute; give the network's forward pass with "
        "--forward."
    )


def states_attention_only(contents: Contents) -> bool:
    """Return whether the file states that the network has no MLPs."""
    stated = contents.stated.get("attention_only")
    return stated is not None and stated.value is True


def _is_positive(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def possible_designs(choices: Mapping[str, Choice], match: FormatMatch) -> Iterator[tuple[int, ModelFields]]:
    """Yield the possible designs: combinations of what is stated, what the tensors show, and what neither determines.

    Args:
        choices: the fields that are stated.
        match: the state dict of the last checkpoint, matched against its format.

    Yields:
        Number of heads, and fields of `model`; the most ordinary design comes first.
    """
    tensors = match.weights(heads=1)  # the names and the total width do not depend on the number of heads
    fixed = {name: choice.value for name, choice in choices.items() if name != "heads"}
    open_fields: dict[str, list[Any]] = {}
    if "W_in" in tensors and "activation" not in fixed:
        open_fields["activation"] = list(COMMON_ACTIVATIONS)
    has_norms = any(name.startswith("ln") for name in tensors)
    if "W_Q" in tensors and "normalization" not in fixed:
        if not has_norms:
            open_fields["normalization"] = ["none", "layer_norm"]
        elif any(name.endswith("_b") for name in tensors if name.startswith("ln")):
            open_fields["normalization"] = ["layer_norm"]
        else:
            open_fields["normalization"] = ["rms_norm", "layer_norm"]
    if "W_Q" in tensors and "W_pos" not in tensors and "positions" not in fixed:
        open_fields["positions"] = ["none", "sinusoidal", "rotary"]
    heads = _possible_heads(match) if "W_Q" in tensors else [1]
    width = tensors["W_Q"].shape[1] * tensors["W_Q"].shape[3] if "W_Q" in tensors else 0  # of all heads together
    for count, *values in itertools.product(heads, *open_fields.values()):
        design = fixed | dict(zip(open_fields, values, strict=True))
        if design.get("positions") == "rotary" and width // count % 2:
            continue  # rotary positions rotate pairs of a head's dimensions, so an odd number is impossible
        yield count, design


def _possible_heads(match: FormatMatch) -> list[int]:
    """List the possible numbers of heads; if there are several, those nearest to the paper's 4 come first."""
    if match.merged_head_size is None:
        return [match.sizes["head"]]
    return sorted(
        (count for count in range(1, match.merged_head_size + 1) if match.merged_head_size % count == 0),
        key=lambda count: abs(count - 4),
    )


def model_section(weights: Mapping[str, Any], design: ModelFields) -> ModelFields:
    """Return the fields of the section `model`, from a network's tensors and its design.

    Args:
        weights: tensors with our names and axes.
        design: fields that the tensors do not determine. If `positions` or `final_norm` is absent, it follows from the
            presence of position vectors or of norm weights; any other absent field has its default.
    """
    present = set(weights)
    section = dict(design)
    if section.get("normalization", "none") == "none":
        section.pop("norm_epsilon", None)
    if design.get("mlp_input") is not None:
        section |= {"d_mlp": weights["W_in"].shape[-1], "layers": 1 + len(weights.get("W_hidden", ()))}
        section |= {"d_model": weights["W_E"].shape[-1]} if "W_E" in present else {}
        return section | {"mlp_biases": bool({"b_in", "b_hidden", "b_out"} & present)}
    layers, heads, d_model, d_head = weights["W_Q"].shape
    section |= {"layers": layers, "d_model": d_model, "heads": heads, "d_head": d_head}
    if "W_in" in present:
        section |= {"d_mlp": weights["W_in"].shape[-1], "mlp_biases": bool({"b_in", "b_out"} & present)}
    else:
        section |= {"attention_only": True, "mlp_biases": False}
    flags = {
        "gated_mlp": "W_gate" in present,
        "attention_biases": bool({"b_Q", "b_K", "b_V", "b_O"} & present),
        "unembedding_bias": "b_U" in present,
        "tied_embeddings": "W_U" not in present,
    }
    section |= {name: True for name, value in flags.items() if value}
    if section.get("normalization", "none") != "none":
        if not any(name.startswith("ln") for name in present):
            section["norm_weights"] = False
        section.setdefault("final_norm", _has_final_norm(present, section))
    if "W_pos" not in present:
        section.setdefault("positions", "none")
    return section


def paper_defaults(design: ModelFields, match: FormatMatch) -> list[str]:
    """Describe the parts of a transformer that neither its tensors nor any statement determines.

    These parts are assumed to be as in the paper's design.

    Args:
        design: the fields of `model` that are stated or inferred.
        match: the state dict of the last checkpoint, matched against its format.

    Returns:
        One text for each part; none for an MLP.
    """
    if design.get("mlp_input") is not None:
        return []
    texts = {
        "causal": "causal mask",
        "attention_scale": "attention scores / √d_head",
        "positions": "learned positions" if "W_pos" in match.weights(heads=1) else "",
    }
    return [text for name, text in texts.items() if text and name not in design]


def _has_final_norm(present: set[str], section: ModelFields) -> bool:
    """Return whether the unembedding's input is normalized.

    If the norms of attention have weights, there is a final norm only if it has weights, too. If they have none, there
    is a final norm unless norms follow attention and MLP.
    """
    if any(name.startswith("ln1") for name in present):
        return "ln_final_w" in present or "ln_final_b" in present
    return not section.get("norm_after", False)
