"""Find the settings of training and of the network that an imported file states besides the weights, by standard names.

Programs name the same setting differently, such as `act_fn` and `activation`. `ALIASES` lists these names. Values stay as in
the file, except percentages, which become fractions.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

MAX_DEPTH = 3  # of mappings within mappings
MAX_FIELDS = 10_000  # of one file


class StatedSetting(NamedTuple):
    """A setting that a file states.

    Attributes:
        value: text, number, bool or None, as in the file.
        source: where in the file it was found, such as `config.act_fn`.
    """

    value: Any
    source: str


class Statements(NamedTuple):
    """Everything that a file states besides its weights.

    Attributes:
        settings: the settings by their standard names.
        contradictions: descriptions of settings that the file states twice with different values; each begins with the name of
            the setting.
        unused: where the file has values that no setting was read from.
    """

    settings: dict[str, StatedSetting]
    contradictions: list[str]
    unused: list[str]


ALIASES = {
    "activation": "activation act_fn act_type act nonlinearity activation_function hidden_act act_name",
    "normalization": "normalization normalization_type norm_type use_ln layer_norm use_layer_norm use_layernorm norm",
    "attention_scale": "attention_scale use_attn_scale attn_scale scale_attn",
    "gated": "gated gated_mlp use_gated_mlp",
    "causal": "causal attention_dir is_causal causal_mask use_causal_mask",
    "positions": "positions positional_embedding_type position_embedding_type pos_emb_type positional_encoding",
    "layers": "layers n_layers num_layers n_layer num_hidden_layers depth",
    "d_model": "d_model n_embd hidden_size dim embed_dim embedding_dim d_embed",
    "heads": "heads n_heads num_heads n_head nhead num_attention_heads",
    "d_head": "d_head head_dim dim_head",
    "d_mlp": "d_mlp d_ff dim_feedforward mlp_dim ffn_dim intermediate_size d_ffn",
    "attention_only": "attention_only attn_only",
    "vocabulary": "vocabulary d_vocab n_vocab vocab_size n_tokens num_tokens",
    "outputs": "outputs d_vocab_out n_out num_classes n_classes output_dim",
    "context_length": "context_length n_ctx ctx_len seq_len block_size max_seq_len seq_length context_len",
    "modulus": "modulus p prime mod",
    "operation": "operation fn_name op task operator task_name",
    "data_seed": "data_seed split_seed",
    "seed": "seed random_seed",
    "train_fraction": "train_fraction frac_train train_frac training_fraction frac_training fraction_train train_pct",
    "weight_decay": "weight_decay wd",
    "learning_rate": "learning_rate lr initial_lr",
    "beta1": "beta1 adam_beta1",
    "beta2": "beta2 adam_beta2",
    "dropout": "dropout dropout_rate dropout_p",
    "initialization_range": "initialization_range initializer_range init_range init_std",
    "batch_size": "batch_size batch",
    "warmup": "warmup warmup_steps num_warmup_steps",
    "updates": "updates num_epochs n_epochs max_epochs num_steps n_steps max_steps total_steps epochs steps",
    "epoch": "epoch",
    "step": "step global_step",
    "train_loss": "train_loss training_loss",
    "test_loss": "test_loss val_loss valid_loss validation_loss eval_loss",
    "weight_norm": "weight_norm weights_norm param_norm parameter_norm total_norm l2_norm sum_of_squared_weights",
    "train_accuracy": "train_accuracy train_acc training_accuracy",
    "test_accuracy": "test_accuracy test_acc val_acc val_accuracy valid_acc validation_accuracy eval_acc",
}
"""Standard name of each setting, and the names that files use for it.

`weight_norm` may be the norm of all weights or its square: the importer compares the value with both.
"""

_SERIES = {  # lists with an entry per evaluation; the last entry counts if the file has no single value
    "train_loss": "train_losses train_loss training_losses",
    "test_loss": "test_losses val_losses valid_losses test_loss val_loss valid_loss eval_losses",
    "train_accuracy": "train_accuracies train_accs train_acc train_accuracy",
    "test_accuracy": "test_accuracies test_accs val_accs val_accuracies test_acc val_acc test_accuracy val_accuracy",
}
# Settings by the values that they can have; see `_interpreted`.
_TEXT = ("activation", "operation", "positions")
_SWITCHES = ("gated", "attention_only")
_COUNTS = ("layers", "d_model", "heads", "d_head", "d_mlp", "vocabulary", "outputs", "context_length", "batch_size")
_NOT_NEGATIVE = ("seed", "data_seed", "epoch", "step", "warmup", "updates")
_FRACTIONS = ("train_fraction", "train_accuracy", "test_accuracy")
_STANDARD = {alias: name for name, aliases in ALIASES.items() for alias in aliases.split()}
_STANDARD_OF_SERIES = {alias: name for name, aliases in _SERIES.items() for alias in aliases.split()}
# keys of an optimizer's state, from which `_optimizer_fields` reads settings
_OPTIMIZER = re.compile(r"(opt|optim|optimizer|optimizers)(_state(s|_dict)?)?|optimizer_states")
# keys of other states, which have no settings
_NO_SETTINGS = re.compile(r"(lr_)?schedulers?(_state(_dict)?)?|scaler|rng(_states?)?|callbacks|loops|opt_state")


def canonical(name: str) -> str:
    """Return a name in lower case, with _ in place of - and spaces."""
    return re.sub(r"[-\s]+", "_", name.strip()).lower()


def standard_name(name: str) -> str | None:
    """Return the standard name of a setting or of a series of losses or accuracies, or None if it has none."""
    return _STANDARD.get(canonical(name)) or _STANDARD_OF_SERIES.get(canonical(name))


def stated_settings(loaded: Any) -> Statements:
    """Find the settings that a file states besides the weights of its networks.

    Settings are read from the optimizer's state first, then from the fields at the top level of the file, then from
    mappings inside, such as `config`. Of several statements of one setting, the first counts; but if
    a file states the attention scale as a switch and as a number, the number counts if the switch is on. If a file states a
    `data_seed` but no `seed`, the `data_seed` is also its `seed`.

    Args:
        loaded: the data that `reading.read` returns; networks in them are left out.

    Returns:
        The settings, contradictions among them, and where the file has other values; nothing if the data are no mapping.
    """
    settings: dict[str, StatedSetting] = {}
    contradictions: list[str] = []
    unused: list[str] = []
    series: list[tuple[str, StatedSetting]] = []
    if not isinstance(loaded, Mapping):
        return Statements(settings, contradictions, unused)
    fields = [*_optimizer_fields(loaded), *itertools.islice(_fields(loaded, "", 0), MAX_FIELDS)]
    for source, name, value in fields:
        setting = _STANDARD.get(canonical(name))
        last = _last_number(value) if canonical(name) in _STANDARD_OF_SERIES else None
        if last is not None:
            series.append((_STANDARD_OF_SERIES[canonical(name)], StatedSetting(last, f"{source}, last entry")))
            continue
        statement = None if setting is None else _interpreted(setting, canonical(name), value, source)
        if setting is None or statement is None:
            if value is not None:
                unused.append(source)
            continue
        _add_statement(setting, statement, settings, contradictions)
    for setting, statement in series:
        value = _interpreted(setting, setting, statement.value, statement.source)
        if value is not None:
            settings.setdefault(setting, value)
    if "data_seed" in settings:
        settings.setdefault("seed", settings["data_seed"])
    return Statements(settings, contradictions, unused)


def optimizer_group(loaded: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the place and settings of the optimizer's parameter group; ("", {}) if there is not exactly one group."""
    for key, value in loaded.items():
        if _OPTIMIZER.fullmatch(canonical(key)):
            state, source = (value[0], f"{key}.0") if isinstance(value, list) and len(value) == 1 else (value, key)
            groups = state.get("param_groups") if isinstance(state, Mapping) else None
            if isinstance(groups, list) and len(groups) == 1 and isinstance(groups[0], Mapping):
                return f"{source}.param_groups.0", dict(groups[0])
    return "", {}


def _optimizer_fields(loaded: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield source, name and value of the settings in the optimizer's state: learning rate, weight decay and betas."""
    source, group = optimizer_group(loaded)
    rate = "initial_lr" if group.get("initial_lr") is not None else "lr"  # a schedule changes `lr`
    for name in (rate, "weight_decay"):
        if group.get(name) is not None:
            yield f"{source}.{name}", name, group[name]
    yield from _betas(group.get("betas"), f"{source}.betas")


def _betas(value: Any, source: str) -> Iterator[tuple[str, str, Any]]:
    """Yield source, name and value of each of the two betas of Adam."""
    if isinstance(value, list) and len(value) == 2:
        yield source, "beta1", value[0]
        yield source, "beta2", value[1]


def _fields(mapping: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, str, Any]]:
    """Yield source, name and value of the fields of a mapping, then of the mappings in it.

    Networks, states of optimizers, schedulers and random generators, and lists of mappings are omitted. Mappings deeper
    than `MAX_DEPTH` are yielded without a name, so that they count as unused.
    """
    inner: list[tuple[str, Mapping[str, Any]]] = []
    for name, value in mapping.items():
        source, plain = f"{prefix}{name}", canonical(name)
        if plain == "betas" and isinstance(value, list) and len(value) == 2:
            yield from _betas(value, source)
        elif isinstance(value, Mapping):
            if not (contains_weights(value) or _OPTIMIZER.fullmatch(plain) or _NO_SETTINGS.fullmatch(plain)):
                inner.append((source, value))
        elif not _is_list_of_mappings(value):
            yield source, name, value
    for source, value in inner:
        if depth < MAX_DEPTH:
            yield from _fields(value, f"{source}.", depth + 1)
        elif value:
            yield source, "", value


def contains_weights(value: Any) -> bool:
    """Return whether a value is a mapping that contains a floating-point array with two axes or more."""
    return isinstance(value, Mapping) and any(
        isinstance(tensor, np.ndarray) and tensor.dtype.kind == "f" and tensor.ndim >= 2 for tensor in value.values()
    )


def _is_list_of_mappings(value: Any) -> bool:
    """Return whether a value is a list of mappings, such as of checkpoints."""
    return isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value[:3])


def _plain_number(value: Any) -> Any:
    """Return the number in an array without axes; return any other value unchanged."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _last_number(value: Any) -> Any:
    """Return the last number of a list or an array with one axis, or None if the value is something else."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf" and len(value):
        return value[-1].item()
    if isinstance(value, list) and value and is_number(_plain_number(value[-1])):
        return _plain_number(value[-1])
    return None


def is_number(value: Any) -> bool:
    """Return whether a value is a number, not a boolean, with an absolute value below 1e300, which no setting exceeds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _interpreted(setting: str, alias: str, value: Any, source: str) -> StatedSetting | None:
    """Return what a field states about a setting; None if the setting cannot have this value. Percentages become fractions."""
    value = _plain_number(value)
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if setting in _TEXT:
        valid = isinstance(value, str) or (value is None and setting == "activation")
    elif setting == "normalization":
        valid = value is None or isinstance(value, str | bool)
    elif setting == "attention_scale":
        valid = isinstance(value, bool) or is_number(value)
    elif setting in _SWITCHES:
        valid = isinstance(value, bool)
    elif setting == "causal":
        valid = isinstance(value, bool) or (isinstance(value, str) and value in ("causal", "bidirectional"))
    elif setting in _COUNTS:
        valid = is_count and value > 0
    elif setting == "modulus":
        valid = is_count and value > 1
    elif setting in _NOT_NEGATIVE:
        valid = is_count and value >= 0
    elif setting in _FRACTIONS:
        valid = is_number(value) and 0 <= value <= 100
        # a percentage: more than 1, or the integer 1 under a name that means percent
        if valid and (value > 1 or (alias == "train_pct" and is_count)):
            value = value / 100
    else:
        valid = is_number(value)
    return StatedSetting(value, source) if valid else None


def _add_statement(
    setting: str, new: StatedSetting, settings: dict[str, StatedSetting], contradictions: list[str]
) -> None:
    """Add a setting, or a contradiction if it has another value already."""
    old = settings.get(setting)
    if old is None:
        settings[setting] = new
    elif setting == "attention_scale" and isinstance(old.value, bool) != isinstance(new.value, bool):
        # TransformerLens states both a number, the scale, and a switch. The number counts only if the switch is on.
        switch, number = (old, new) if isinstance(old.value, bool) else (new, old)
        settings[setting] = number if switch.value else switch
    elif setting not in ("epoch", "step", "updates") and not _agree(old.value, new.value):
        contradictions.append(
            f"{setting} is {_as_text(old.value)} in {old.source} and {_as_text(new.value)} in {new.source}; the first is used"
        )


def _agree(first: Any, second: Any) -> bool:
    """Return whether two values mean the same."""
    if is_number(first) and is_number(second):
        return math.isclose(first, second, rel_tol=1e-3)
    if isinstance(first, str) and isinstance(second, str):
        return canonical(first) == canonical(second)
    if "bidirectional" in (first, second):  # which means the same as `causal: false`
        return False in (first, second)
    # a text and a switch agree if both turn the feature on or both turn it off, such as `LN` and true
    return first == second or _is_on(first) == _is_on(second)


def _is_on(value: Any) -> bool:
    """Return whether a value turns a feature on: true, or a text other than an empty one, `none`, `null` and `false`."""
    return canonical(value) not in ("", "none", "null", "false") if isinstance(value, str) else bool(value)


def _as_text(value: Any) -> str:
    return f"{value:g}" if is_number(value) else f"{value!s:.60}"
