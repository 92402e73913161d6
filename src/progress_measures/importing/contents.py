"""Find the networks in the data of a file, their epochs, and the records of their training.

Supported layouts: state dicts; dictionaries that contain a state dict under any key, with `epoch`, `config`,
`optimizer` or losses beside it; one training run as several checkpoints, in a list or by epoch; folders of files.
Epochs in this module count updates. Programs number checkpoints in two ways, and `Contents.epochs_source` states which
was assumed. A field `epoch` is the index of the last update, from 0, as in the files of the paper's authors and of the
notebooks: `epoch` e means e + 1 updates, or e updates if `train_losses` has exactly e entries. A field `step`, and a
number with text such as `step1000` or `epoch100`, is the number of updates itself. A number alone counts as `epoch` if
it is the name of a file in a folder, or a key in a run under one of the `RUN_KEYS`; as another key, it counts as `step`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.importing.stated import (
    StatedSetting,
    canonical,
    contains_weights,
    optimizer_group,
    standard_name,
    stated_settings,
)

StateDict = dict[str, NDArray[Any]]

# Usual keys of a state dict, and of the checkpoints of a run. The keys in a list MORE_… count only if no usual key of
# the same kind applies.
NETWORK_KEYS = ("model", "final_state_dict", "model_state_dict", "state_dict")
RUN_KEYS = ("checkpoints", "state_dicts")
MORE_NETWORK_KEYS = (
    "model_state",
    "net",
    "network",
    "weights",
    "params",
    "parameters",
    "net_state_dict",
    "state",
    "module",
)
MORE_RUN_KEYS = ("model_states", "model_state_dicts", "states", "snapshots", "models", "weights", "params")
CONFIG_KEYS = (
    "config",
    "args",
    "hparams",
    "hyper_parameters",
    "cfg",
    "hyperparameters",
    "settings",
    "options",
    "params",
)
# Numbers of updates before each checkpoint, train loss and test loss; `progress-measures export` writes these keys.
UPDATES_KEY, TRAIN_UPDATES_KEY, TEST_UPDATES_KEY = ("updates", "train_updates", "test_updates")
EPOCH_KEYS = ("checkpoint_epochs", "epochs")  # number of the last update before each checkpoint, counted from 0
STEP_KEYS = ("global_step", "step")  # number of updates

AFTER_UPDATE = "e means e + 1 updates (counted from 0, saved after the update)"
IS_UPDATE_COUNT = "the number of updates"

MAX_NESTING = 8  # maximum number of levels in nested mappings of tensors
MAX_ENTRIES = 100_000  # maximum number of entries of a file, in all nested mappings together

_TRAIN_LOSSES = ("train_losses", "train_loss", "training_losses")
_TEST_LOSSES = ("test_losses", "val_losses", "valid_losses", "test_loss", "val_loss", "valid_loss", "eval_losses")
_HISTORIES = ("history", "metrics", "losses", "logs", "log", "results")
# fields whose values are read only in this module, so `stated_settings` does not get them
_INTERPRETED = (UPDATES_KEY, TRAIN_UPDATES_KEY, TEST_UPDATES_KEY, *EPOCH_KEYS, "train_indices")
# The key of a checkpoint in a mapping: text or none, and a number.
_NUMBERED = re.compile(
    r"(?:(epochs?|steps?|global_step|iter(?:ation)?s?|updates?|checkpoint|ckpt)[_\-=: ]*)?(\d{1,12})"
)
# A number of updates in the name of a file.
_NAMED_NUMBER = re.compile(r"(?:epochs?|steps?|iter(?:ation)?s?|updates?)[_\-=]*(\d+)", re.IGNORECASE)
# Keys under which tensors do not belong to a network.
_NO_NETWORK = re.compile(r"opt.*|optim.*|.*optimizer.*|.*scheduler.*|scaler|.*rng.*|.*grad.*|activations?|cache|.*data")
# Names of a layer's tensors, as Flax and Haiku give them: mappings of only these are layers, not networks.
_LAYER_TENSORS = frozenset(("kernel", "bias", "scale", "embedding", "w", "b", "weight", "offset", "gamma", "beta"))


class Losses(NamedTuple):
    """Losses that training recorded.

    Attributes:
        updates: number of updates before each measurement, [measurement].
        values: the losses in nats, [measurement].
        epoch_unknown: whether one loss per update is assumed although the epoch of the last checkpoint is not known.
    """

    updates: NDArray[np.int64]
    values: NDArray[np.float64]
    epoch_unknown: bool = False


class Contents(NamedTuple):
    """The networks in a file, one per checkpoint, in ascending order of epoch, and what the file states about their training.

    Attributes:
        states: state dicts with the file's tensor names, one per checkpoint.
        epochs: number of updates before each checkpoint, stated or, in a list of checkpoints, possibly assumed; None for a
            single network whose number of updates the file does not state.
        layout: description of how the file is arranged.
        config: the file's configuration, with its own field names.
        optimizer: settings of the optimizer's parameter group, such as `weight_decay`; empty unless there is one group.
        train: train losses that the file contains; None if it has none.
        test: test losses that the file contains; None if it has none, or has no train losses.
        train_indices: training pairs as indices a * n + b; None if the file does not list them.
        assumed_epochs: description of the epochs that were assumed, as the file states none; empty if none were.
        stated: what the file states besides the weights, under standard names.
        contradictions: descriptions of settings that the file states twice with different values.
        unused: places in the file with values from which no setting was read.
        skipped: files or tensors that are not read as part of a network, with the reason.
        epochs_source: description of how the epochs were found; empty if `epochs` is None.
    """

    states: list[StateDict]
    epochs: list[int] | None
    layout: str
    config: dict[str, Any] = {}  # noqa: RUF012 - never changed
    optimizer: dict[str, Any] = {}  # noqa: RUF012
    train: Losses | None = None
    test: Losses | None = None
    train_indices: NDArray[np.int64] | None = None
    assumed_epochs: str = ""
    stated: dict[str, StatedSetting] = {}  # noqa: RUF012
    contradictions: list[str] = []  # noqa: RUF012
    unused: list[str] = []  # noqa: RUF012
    skipped: list[str] = []  # noqa: RUF012
    epochs_source: str = ""


class _Network(NamedTuple):
    """A state dict, the other fields beside its tensors, and descriptions of tensors that are not part of the network."""

    state: StateDict
    other_fields: dict[str, Any] = {}  # noqa: RUF012 - never changed
    skipped: list[str] = []  # noqa: RUF012


def find_networks(loaded: Any, path: Path, key: str | None = None) -> Contents:
    """Find the networks in the data that was read from a file.

    Args:
        loaded: the data that `reading.read` returns.
        path: path of the file or folder, which the messages name.
        key: where the networks are: a key such as `ema`, several keys joined by points such as `nets.student`, or `.` for the
            whole file. None if the data contain only one network or run.

    Returns:
        The networks and what the file states about their training.

    Raises:
        UserError: the data contain no network or several different ones, or a field beside the networks is wrong.
    """
    if path.is_dir():
        return _contents_of_folder(loaded["files"], path, key)
    if key is not None:
        return _contents_under_key(loaded, key, path)
    network = _network_of(loaded)
    if network is not None:
        layout = "tensors with other fields beside them" if network.other_fields else "a bare state dict"
        return _contents_of_network(network, network.other_fields, layout, path, one_loss_per_update=False)
    if isinstance(loaded, list):
        return _contents_of_run(loaded, "", {}, path)
    if not isinstance(loaded, Mapping):
        raise _no_network_error(path, f"a {type(loaded).__name__}")
    run_key = next((name for name in RUN_KEYS if isinstance(loaded.get(name), Mapping | list) and loaded[name]), None)
    run_key = run_key or next((name for name in MORE_RUN_KEYS if _is_run(loaded.get(name))), None)
    network_key = _network_key(loaded)
    if run_key is not None or network_key is not None:
        return _contents_under_known_keys(loaded, run_key, network_key, path)
    if _is_run(loaded):
        return _contents_of_run(loaded, "", {}, path)
    return _contents_under_other_key(loaded, path)


def _network_key(loaded: Mapping[str, Any]) -> str | None:
    """Return the first key with a network, of `NETWORK_KEYS` or else of `MORE_NETWORK_KEYS`; None if there is none."""
    for name in NETWORK_KEYS:
        if _network_of(loaded.get(name)) is not None:
            return name
    for name in MORE_NETWORK_KEYS:
        if contains_weights(loaded.get(name)) or _is_nested(loaded.get(name)):
            return name
    return None


def _contents_under_known_keys(
    loaded: Mapping[str, Any], run_key: str | None, network_key: str | None, path: Path
) -> Contents:
    """Return the networks under `run_key`, under `network_key`, or under both; at most one of these keys is None.

    If neither key is None, the network under `network_key` becomes the last checkpoint, provided that the file states a
    later epoch for it than for the checkpoints of the run.
    """
    other_fields = {name: value for name, value in loaded.items() if name not in (run_key, network_key)}
    last = _network_under_known_key(loaded[network_key]) if network_key is not None else None
    if run_key is None:
        assert last is not None
        assert network_key is not None
        one_loss_per_update = network_key in NETWORK_KEYS
        others = [
            f"{name}, another network beside `{network_key}` (--key {name})"
            for name, value in other_fields.items()
            if contains_weights(value)
            and not _NO_NETWORK.fullmatch(canonical(name))
            and not _have_same_tensors(value, last.state)
        ]
        last = last._replace(skipped=[*last.skipped, *others])
        return _contents_of_network(
            last, last.other_fields | other_fields, f"one network under `{network_key}`", path, one_loss_per_update
        )
    contents = _contents_of_run(loaded[run_key], run_key, other_fields, path)
    last_epoch, source = _last_epoch(other_fields, path)
    epochs = contents.epochs
    if last is not None and last_epoch is not None and epochs and last_epoch > epochs[-1]:
        states = [*contents.states, last.state]
        layout = f"a run of {len(states)} checkpoints under `{run_key}`"
        source = f"{contents.epochs_source}; the last from {source}"
        contents = contents._replace(states=states, epochs=[*epochs, last_epoch], layout=layout, epochs_source=source)
    return contents


def _contents_under_other_key(loaded: Mapping[str, Any], path: Path) -> Contents:
    """Return the only network or run under a key of any name, at the smallest depth; equal networks count as one.

    Raises:
        UserError: there is none, or there are several different ones.
    """
    level: list[tuple[str, Any]] = list(loaded.items())
    for _ in range(3):  # levels of mappings within mappings
        level = [(name, value) for name, value in level if not _NO_NETWORK.fullmatch(canonical(name))]
        candidates = [(name, value) for name, value in level if contains_weights(value) or _is_run(value)]
        if candidates:
            break
        inner = ((f"{name}.{k}", v) for name, value in level if isinstance(value, Mapping) for k, v in value.items())
        level = list(itertools.islice(inner, MAX_ENTRIES))
    else:
        if _is_nested(loaded):
            return _contents_of_network(
                _Network(_flattened(loaded)), {}, "nested tensors", path, one_loss_per_update=False
            )
        raise _no_network_error(
            path, f"a dictionary with the keys {', '.join(f'{name:.60}' for name in list(loaded)[:8])}"
        )
    # several layers of one network, as Flax saves them
    if (
        len(candidates) > 1
        and _is_nested(loaded)
        and {n.rpartition(".")[2] for n in _flattened(loaded)} <= _LAYER_TENSORS
    ):
        return _contents_of_network(_Network(_flattened(loaded)), {}, "nested tensors", path, one_loss_per_update=False)
    first_name, first = candidates[0]
    different = [name for name, value in candidates[1:] if not _have_same_tensors(value, first)]
    if different:
        names = ", ".join(f"`{name:.60}`" for name in [first_name, *different][:8])
        raise UserError(f"{path}: several networks, under {names}. Choose one of them, such as --key {first_name:.60}.")
    return _contents_under_key(loaded, first_name, path)


def _contents_under_key(loaded: Any, key: str, path: Path) -> Contents:
    """Return the networks under a key, given by the user or `_contents_under_other_key`, and what other fields state."""
    value, other_fields = loaded, dict(loaded) if isinstance(loaded, Mapping) else {}
    # a key of the file may contain points itself
    parts = [] if key == "." else [key] if key in other_fields else key.split(".")
    for part in parts:
        inner = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            inner = value[int(part)]
        if inner is None:
            names = ", ".join(f"{name:.60}" for name in list(value)[:8]) if isinstance(value, Mapping) else "none"
            raise UserError(f"{path}: there is nothing under {key:.80}. Expected one of the keys {names} (--key).")
        if isinstance(value, Mapping):
            other_fields = {name: entry for name, entry in (other_fields | dict(value)).items() if name != part}
        value = inner
    if parts and _is_run(value):
        return _contents_of_run(value, key, other_fields, path)
    network = _network_of(value) or (_Network(_flattened(value)) if _is_nested(value) else None)
    if network is None and isinstance(value, Mapping | list) and parts:
        return find_networks(value, path)
    if network is None:
        raise _no_network_error(path, f"a {type(value).__name__} under {key:.80}")
    layout = f"one network under `{key}`" if parts else "nested tensors"
    all_fields = (network.other_fields | other_fields) if parts else network.other_fields
    return _contents_of_network(network, all_fields, layout, path, one_loss_per_update=False)


def _no_network_error(path: Path, description: str) -> UserError:
    """Return the error for data without a network; `description` says what the data are instead."""
    keys = ", ".join(f"`{name}`" for name in (*NETWORK_KEYS, *RUN_KEYS))
    return UserError(
        f"{path}: found {description}, but no network. Expected a state dict (tensor names with their values), or a "
        f"dictionary with a state dict under a key such as {keys}."
    )


# Networks


def _network_of(value: Any) -> _Network | None:
    """Return the network if a value is a state dict, possibly with other fields among its tensors; else None."""
    if not isinstance(value, Mapping) or not value:
        return None
    if all(isinstance(tensor, np.ndarray) for tensor in value.values()) and not _has_settings(value):
        return _without_prefixes(value, {})
    if not contains_weights(value) or any(contains_weights(entry) or _is_run(entry) for entry in value.values()):
        return None
    tensors = {name: tensor for name, tensor in value.items() if _is_tensor(name, tensor)}
    return _without_prefixes(tensors, {name: entry for name, entry in value.items() if name not in tensors})


def _network_under_known_key(value: Any) -> _Network:
    """Return the network under a usual key, whose tensors may be nested."""
    return _network_of(value) or _Network(_flattened(value))


def _has_settings(value: Mapping[str, Any]) -> bool:
    """Return whether a state dict also has fields such as `epoch` or `train_losses`."""
    return contains_weights(value) and not all(_is_tensor(name, tensor) for name, tensor in value.items())


def _is_tensor(name: str, value: Any) -> bool:
    """Return whether a field is a tensor, and not a setting or a record of the training stored as an array."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        return False
    return value.ndim >= 2 or (standard_name(name) is None and name not in (*_INTERPRETED, "test_indices"))


def _is_nested(value: Any) -> bool:
    """Return whether a value is a mapping of tensors and nothing else; they may be in nested mappings, as Flax saves them."""
    if not isinstance(value, Mapping):
        return False
    flat = _flattened(value)
    return contains_weights(flat) and all(isinstance(tensor, np.ndarray) for tensor in flat.values())


def _flattened(value: Mapping[str, Any]) -> StateDict:
    """Return the entries of nested mappings under names joined by points; empty if there are too many."""
    flat: StateDict = {}
    level = list(value.items())
    for _ in range(MAX_NESTING):
        flat |= {name: entry for name, entry in level if not isinstance(entry, Mapping)}
        if len(flat) + len(level) > MAX_ENTRIES:
            return {}
        level = [(f"{n}.{k}", v) for n, entry in level if isinstance(entry, Mapping) for k, v in entry.items()]
    return flat | dict(level)


def _have_same_tensors(first: Any, second: Any) -> bool:
    """Return whether two values are state dicts with equal tensors."""
    if not (isinstance(first, Mapping) and isinstance(second, Mapping) and set(first) == set(second)):
        return False
    return all(isinstance(first[k], np.ndarray) and np.array_equal(first[k], second[k]) for k in first)


def _without_prefixes(tensors: Mapping[str, NDArray[Any]], other_fields: dict[str, Any]) -> _Network:
    """Remove from tensor names what DataParallel, torch.compile or an enclosing module adds, and return the network.

    TransformerLens 4 lists a tensor under several names. These names become one, unless two different tensors would
    then share a name; in that case all names stay.
    """
    names = {name: name.replace("._original_component", "") for name in tensors}
    # if several tensors get the same short name, the first is kept
    first = {short: tensors[name] for name, short in reversed(names.items())}
    if not all(np.array_equal(first[short], tensors[name]) for name, short in names.items()):
        names = {name: name for name in tensors}
    for prefix in ("module.", "_orig_mod.", "model."):
        if all(name.startswith(prefix) for name in names.values()):
            names = {key: name.removeprefix(prefix) for key, name in names.items()}
    return _Network({names[key]: tensor for key, tensor in tensors.items()}, other_fields, [])


def _is_lightning(other_fields: Mapping[str, Any]) -> bool:
    """Return whether the fields beside a network are those of a checkpoint of PyTorch Lightning."""
    return "pytorch-lightning_version" in other_fields or {"global_step", "hyper_parameters"} <= set(other_fields)


def _without_lightning_module(network: _Network) -> _Network:
    """Return the network inside a Lightning module: the tensors of its only submodule with matrices."""
    for prefix in ("model.", "net.", "network.", "transformer.", "module.", "_orig_mod."):
        inner = {name: tensor for name, tensor in network.state.items() if name.startswith(prefix)}
        outer = [name for name in network.state if name not in inner]
        if contains_weights(inner) and not contains_weights({name: network.state[name] for name in outer}):
            skipped = [f"tensor {name}, outside `{prefix.rstrip('.')}`" for name in outer]
            state = {name.removeprefix(prefix): tensor for name, tensor in inner.items()}
            return _without_lightning_module(_Network(state, network.other_fields, [*network.skipped, *skipped]))
    return network


def _contents_of_network(
    network: _Network, other_fields: Mapping[str, Any], layout: str, path: Path, one_loss_per_update: bool
) -> Contents:
    """Return the contents of a file with one network.

    Args:
        network: the network.
        other_fields: the file's fields beside the network.
        layout: description of how the file is arranged.
        path: the file.
        one_loss_per_update: whether the list of train losses has one entry per update, as in the files of the paper's authors,
            which have the network under one of the `NETWORK_KEYS`.
    """
    if _is_lightning(other_fields):
        network = _without_lightning_module(network)
    epoch, source = _last_epoch(other_fields, path, one_loss_per_update=one_loss_per_update)
    contents = _with_records(
        Contents([network.state], None if epoch is None else [epoch], layout), other_fields, "", path
    )
    return contents._replace(skipped=network.skipped, epochs_source=source)


# Runs of several checkpoints


def _is_run(value: Any) -> bool:
    """Return whether a value is a list of checkpoints, or a mapping from epochs to checkpoints that may have other fields."""
    if isinstance(value, list):
        return bool(value) and all(_is_checkpoint(entry) for entry in value)
    if not isinstance(value, Mapping):
        return False
    numbered = [entry for name, entry in value.items() if _NUMBERED.fullmatch(str(name).lower())]
    if all(isinstance(entry, Mapping) and set(entry) <= _LAYER_TENSORS for entry in numbered):
        return False  # layers of one network
    return all(_is_checkpoint(entry) for entry in numbered)


def _is_checkpoint(value: Any) -> bool:
    """Return whether a value is a state dict or a mapping with one under a usual key."""
    return contains_weights(value) or (isinstance(value, Mapping) and _network_key(value) is not None)


def _contents_of_run(entries: Any, key: str, other_fields: Mapping[str, Any], path: Path) -> Contents:
    """Return the checkpoints in a list, or in a mapping from epoch to checkpoint.

    Args:
        entries: the list or mapping.
        key: key of the list or mapping in the file; empty if the list or mapping is the whole file.
        other_fields: the file's fields beside the list or mapping.
        path: the file.
    """
    numbered: list[tuple[int, str, Contents]] = []  # number in the key, key, contents of the checkpoint
    rest: dict[str, Any] = {}
    for name, entry in entries.items() if isinstance(entries, Mapping) else enumerate(entries):
        match = _NUMBERED.fullmatch(str(name).lower())
        if match and (_is_checkpoint(entry) or (key in RUN_KEYS and _network_of(entry) is not None)):
            numbered.append((int(match[2]), str(name), find_networks(entry, path)))
        elif isinstance(entries, Mapping) and not key:
            rest[str(name)] = entry
    if not numbered or len(numbered) + len(rest) < len(entries):
        if not key and isinstance(entries, list) and not numbered:
            raise _no_network_error(path, "a list")
        where = f"`{key}`: expected" if key else "expected"
        raise UserError(
            f"{path}: {where} a list of state dicts, or a dictionary from epoch to state dict; "
            f"{len(entries) - len(numbered)} of the {len(entries)} entries are something else."
        )
    other_fields = dict(other_fields) | rest
    numbered.sort(key=lambda entry: entry[0])
    count = len(numbered)
    epochs, source, assumed = _epochs_of_run(numbered, isinstance(entries, Mapping), key, other_fields, path)
    order = sorted(range(count), key=lambda i: epochs[i])
    for i, j in itertools.pairwise(order):
        if epochs[i] == epochs[j]:
            raise UserError(
                f"{path}: checkpoints {numbered[i][1]} and {numbered[j][1]} are both after {epochs[i]} updates."
            )
    states = [numbered[i][2].states[0] for i in order]
    where = f" under `{key}`" if key else " in a list" if isinstance(entries, list) else " by number"
    contents = Contents(
        states, [epochs[i] for i in order], f"a run of {count} checkpoints{where}", assumed_epochs=assumed
    )
    last = numbered[order[-1]][2]
    contents = _with_records(contents, other_fields, key, path)._replace(epochs_source=source, skipped=last.skipped)
    return _completed_from_last(contents, last)


def _epochs_of_run(
    numbered: list[tuple[int, str, Contents]], is_mapping: bool, key: str, other_fields: Mapping[str, Any], path: Path
) -> tuple[list[int], str, str]:
    """Return the number of updates before each checkpoint, how it was found, and a text if it was assumed, else ""."""
    if UPDATES_KEY in other_fields:
        return _epochs_under(other_fields, len(numbered), path, UPDATES_KEY), f"`{UPDATES_KEY}`: {IS_UPDATE_COUNT}", ""
    for name in EPOCH_KEYS:
        if name in other_fields:
            epochs = [epoch + 1 for epoch in _epochs_under(other_fields, len(numbered), path, name)]
            return epochs, f"`{name}`: {AFTER_UPDATE}", ""
    stated = [contents.epochs[0] for _, _, contents in numbered if contents.epochs]
    if len(stated) == len(numbered):
        return stated, f"in each checkpoint, {numbered[-1][2].epochs_source}", ""
    if is_mapping:
        offset = int(key in RUN_KEYS and all(name.isdecimal() for _, name, _ in numbered))
        source = f"keys of the checkpoints, such as {numbered[-1][1]}: {AFTER_UPDATE if offset else IS_UPDATE_COUNT}"
        return [number + offset for number, _, _ in numbered], source, ""
    interval = max(1, len(_numbers_under(other_fields, "train_losses", path)) // len(numbered))
    text = f"checkpoints every {interval} epochs, the first after one update, as the file lists no epochs"
    return [number * interval + 1 for number, _, _ in numbered], "order of the checkpoints", text


def _epochs_under(other_fields: Mapping[str, Any], count: int, path: Path, name: str) -> list[int]:
    """Return the numbers that the file lists under a key, one per state dict."""
    epochs: list[int] = _counts_under(other_fields, name, path).tolist()
    if len(epochs) != count or epochs != sorted(set(epochs)):
        raise UserError(f"{path}: `{name}`: expected {count} ascending numbers, one per checkpoint.")
    return epochs


def _last_epoch(
    other_fields: Mapping[str, Any], path: Path, one_loss_per_update: bool = True
) -> tuple[int | None, str]:
    """Return the number of updates before a network, and where it was found: (None, "") if the file does not state it.

    Args:
        other_fields: the fields beside the network.
        path: the file.
        one_loss_per_update: whether the file lists one train loss per update, so that it has as many losses as updates.
    """
    values = {
        name: other_fields[name] for name in (UPDATES_KEY, *STEP_KEYS, "epoch") if other_fields.get(name) is not None
    }
    numbers: dict[str, int] = {}
    for name in values:
        counts = _counts_under(values, name, path)
        if not counts.size:
            raise UserError(f"{path}: `{name}` is empty; expected a number of updates.")
        numbers[name] = int(counts[-1])
    for name in (UPDATES_KEY, *STEP_KEYS):
        if name in numbers and numbers[name] >= numbers.get("epoch", 0):  # a smaller `step` counts within one epoch
            return numbers[name], f"`{name}` {numbers[name]}: {IS_UPDATE_COUNT}"
    if "epoch" in numbers:
        epoch = numbers["epoch"]
        recorded = _first_losses(other_fields, _TRAIN_LOSSES, path)
        if epoch and recorded.updates is None and epoch == len(recorded.values):
            return epoch, f"`epoch` {epoch}: {IS_UPDATE_COUNT}, as there are as many train losses"
        return epoch + 1, f"`epoch` {epoch}: {AFTER_UPDATE}"
    recorded = _first_losses(other_fields, ("train_losses",), path)
    losses = len(recorded.values) if recorded.updates is None else 0
    return (losses, f"number of train losses, {losses}") if losses and one_loss_per_update else (None, "")


# Records of the training


def _with_records(contents: Contents, other_fields: Mapping[str, Any], run_key: str, path: Path) -> Contents:
    """Add losses, configuration and settings from the fields beside the networks."""
    train, test, left_out = _losses(contents, other_fields, run_key, path)
    indices = (
        _counts_under(other_fields, "train_indices", path) if other_fields.get("train_indices") is not None else None
    )
    config: Mapping[str, Any] = next(
        (other_fields[name] for name in CONFIG_KEYS if isinstance(other_fields.get(name), Mapping)), {}
    )
    if contains_weights(config) or _is_nested(config):
        config = {}
    statements = stated_settings({name: value for name, value in other_fields.items() if name not in _INTERPRETED})
    return contents._replace(
        config=dict(config),
        optimizer=optimizer_group(other_fields)[1],
        train=train,
        test=test,
        train_indices=indices,
        stated=statements.settings,
        contradictions=statements.contradictions,
        unused=[*statements.unused, *left_out],
    )


def _completed_from_last(contents: Contents, last: Contents) -> Contents:
    """Add what the last checkpoint states and the rest of the file does not."""
    return contents._replace(
        config=contents.config or last.config,
        optimizer=contents.optimizer or last.optimizer,
        train=contents.train or last.train,
        test=contents.test if contents.train else last.test,  # both losses from the same place
        train_indices=last.train_indices if contents.train_indices is None else contents.train_indices,
        stated=last.stated | contents.stated,
        contradictions=[*contents.contradictions, *last.contradictions],
        unused=[*contents.unused, *last.unused],
    )


def _numbers_under(loaded: Mapping[str, Any], name: str, path: Path) -> NDArray[np.float64]:
    """Return the numbers under a key as a flat array, which is empty if the key is absent.

    Raises:
        UserError: the value is not numeric.
    """
    try:
        numbers = np.asarray(loaded.get(name, ()))
    except ValueError:  # lists of several lengths
        numbers = np.array(None)
    if numbers.size and numbers.dtype.kind not in "iuf":
        raise UserError(f"{path}: `{name}`: expected numbers, found {loaded[name]!r:.60}.")
    return numbers.astype(np.float64).ravel()


def _counts_under(loaded: Mapping[str, Any], name: str, path: Path) -> NDArray[np.int64]:
    """Return the non-negative integers under a key as a flat array.

    Raises:
        UserError: the value is something else.
    """
    numbers = _numbers_under(loaded, name, path)
    if not (np.isfinite(numbers) & (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < 2**53)).all():
        raise UserError(f"{path}: `{name}`: expected integers from 0.")
    return numbers.astype(np.int64)


class _Recorded(NamedTuple):
    """Losses that a file lists, and the number of updates before each, or None if the file does not state it."""

    values: NDArray[np.float64]
    updates: NDArray[np.int64] | None = None


def _first_losses(loaded: Mapping[str, Any], names: Iterable[str], path: Path) -> _Recorded:
    """Return the first list of losses under one of several names, in the file or its history; empty if there is none.

    A list may have losses, or pairs of a number of updates and a loss.

    Raises:
        UserError: a list has something else.
    """
    histories = [loaded[name] for name in _HISTORIES if isinstance(loaded.get(name), Mapping)]
    for source in (loaded, *histories):
        for name in names:
            value = source.get(name)
            is_list = isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)
            if value is None or not (is_list or name in ("train_losses", "test_losses")):
                continue
            numbers = _numbers_under(source, name, path)
            shape = np.shape(value)
            if len(shape) == 2 and shape[1] == 2:
                updates, losses = numbers.reshape(-1, 2).T
                if (updates == np.floor(updates)).all() and (updates >= 0).all() and (np.diff(updates) > 0).all():
                    return _Recorded(losses, updates.astype(np.int64))
            if numbers.size > max(shape, default=1):  # more than one axis with several entries
                raise UserError(
                    f"{path}: `{name}`: expected one loss per entry, or pairs of a number of updates and a loss, with ascending "
                    f"numbers; found an array of shape {shape}."
                )
            if numbers.size:
                return _Recorded(numbers)
    return _Recorded(np.zeros(0))


def _losses(
    contents: Contents, loaded: Mapping[str, Any], run_key: str, path: Path
) -> tuple[Losses | None, Losses | None, list[str]]:
    """Return the train losses and the test losses in the file, each None if absent; both are None without train losses.

    If the file does not state the updates, they follow from the number N of train losses and the epoch E of the last
    checkpoint: one loss per update, measured before the update, if N is at least E or E is unknown; the checkpoints' epochs
    if there are N checkpoints; otherwise evenly spaced losses, if they divide E. The paper's authors measure test losses
    before an update too, possibly only every few epochs. The notebooks measure test losses after the update.

    Args:
        contents: the file's checkpoints and their epochs.
        loaded: the fields with the losses.
        run_key: key of the checkpoints in the file; empty if there is none.
        path: the file.

    Returns:
        Train losses, test losses, and descriptions of losses that are left out because their updates are not known.
    """
    train, test = _first_losses(loaded, _TRAIN_LOSSES, path), _first_losses(loaded, _TEST_LOSSES, path)
    if not train.values.size:
        return None, None, []
    train_losses = _stated_losses(loaded, TRAIN_UPDATES_KEY, train, path)
    test_losses = _stated_losses(loaded, TEST_UPDATES_KEY, test, path)
    updates, epoch_unknown = _updates_of_losses(len(train.values), contents.epochs), contents.epochs is None
    if train_losses is None and updates is not None:
        train_losses = Losses(updates, train.values, epoch_unknown)
    updates_of_test = None if updates is None else _updates_of_fewer_losses(len(test.values), updates)
    if test.values.size and test_losses is None and updates_of_test is not None:
        delay = int(run_key == "checkpoints")  # the notebooks' key: their test losses are one update later
        test_losses = Losses(updates_of_test + delay, test.values, epoch_unknown)
    left_out = [
        f"{len(recorded.values)} {split} losses whose numbers of updates are not known"
        for split, recorded, losses in (("train", train, train_losses), ("test", test, test_losses))
        if recorded.values.size and losses is None
    ]
    return train_losses, test_losses, left_out


def _updates_of_losses(count: int, epochs: list[int] | None) -> NDArray[np.int64] | None:
    """Return the number of updates before each of `count` train losses, or None if it is not known; see `_losses`."""
    last = epochs[-1] if epochs else 0
    if count >= last:
        return np.arange(count)
    if epochs is not None and count == len(epochs) > 1:
        return np.array(epochs)
    for intervals in (count - 1, count):  # with or without a loss after the last update
        if intervals and last % intervals == 0:
            return np.arange(count) * (last // intervals)
    return None


def _updates_of_fewer_losses(count: int, updates: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the number of updates before each of `count` test losses, or None if it is not known.

    Args:
        count: number of test losses; every k-th train loss may have one.
        updates: number of updates before each train loss.
    """
    if count == len(updates):
        return updates
    spacings = set(np.diff(updates).tolist()) or {1}
    if not count or len(spacings) > 1:
        return None
    return updates[0] + np.arange(count) * max(1, round(len(updates) / count)) * spacings.pop()


def _stated_losses(loaded: Mapping[str, Any], name: str, losses: _Recorded, path: Path) -> Losses | None:
    """Return losses with their numbers of updates, which the file lists under a key or beside the losses, or None."""
    if name not in loaded:
        return None if losses.updates is None else Losses(losses.updates, losses.values)
    updates = _counts_under(loaded, name, path)
    if len(updates) != len(losses.values) or (np.diff(updates) <= 0).any():
        raise UserError(
            f"{path}: `{name}`: expected {len(losses.values)} ascending numbers, one per entry of "
            f"`{name.replace('updates', 'losses')}`."
        )
    return Losses(updates, losses.values)


# Folders


def _contents_of_folder(files: Mapping[str, Any], path: Path, key: str | None) -> Contents:
    """Find the networks in a folder of files.

    A file named `init` is the network before the first update. Any other file is a checkpoint if it contains an epoch
    or has a number in its name. Files without a network or without a number are skipped, and so is a file that shares
    no tensor name with the network that has the most tensors.
    """
    networks: dict[str, Contents] = {}
    epochs_of_files: dict[str, tuple[int, str]] = {}
    skipped: list[str] = []
    for name, loaded in files.items():
        contents = _network_in_folder(loaded, path / name, key)
        epoch_of_file = None if contents is None else _epoch_of_file(name, contents)
        if contents is None:
            skipped.append(f"{name}: it contains no network")
        elif epoch_of_file is None:
            skipped.append(f"{name}: neither its name nor the file has a number of updates")
        else:
            networks[name], epochs_of_files[name] = contents, epoch_of_file
    most_tensors = max((set(contents.states[0]) for contents in networks.values()), key=len, default=set())
    names: dict[int, str] = {}  # name of each checkpoint's file, by epoch
    for name, (epoch, _) in epochs_of_files.items():
        if most_tensors.isdisjoint(networks[name].states[0]):
            skipped.append(f"{name}: it has other tensors than the other files")
        elif epoch in names:
            raise UserError(
                f"{path / names[epoch]} and {path / name}: both are checkpoints after {epoch} updates; remove one of them."
            )
        else:
            names[epoch] = name
    if not names:
        raise UserError(
            f"{path}: no file in this folder has a network and also a number of updates, in the file's name or in a "
            "field such as `epoch`. Expected files such as `step1000.pth`, with one network each."
        )
    epochs = sorted(names)
    with_records = [epoch for epoch in epochs if networks[names[epoch]].stated]
    last = networks[names[max(with_records, default=epochs[-1])]]  # `init` and final weights often have no records
    sources = "; ".join(dict.fromkeys(epochs_of_files[names[epoch]][1] for epoch in epochs))
    shown = ", ".join(f"{names[epoch]} → {epoch}" for epoch in epochs[:3]) + (", …" if len(epochs) > 3 else "")
    return last._replace(
        states=[networks[names[epoch]].states[0] for epoch in epochs],
        epochs=epochs,
        layout=f"a folder of {len(epochs)} networks",
        skipped=[*skipped, *last.skipped],
        epochs_source=f"{sources} ({shown})",
    )


def _network_in_folder(loaded: Any, path: Path, key: str | None) -> Contents | None:
    """Return the network of one file in a folder, or None if the file contains none.

    Raises:
        UserError: the file contains several networks, or a wrong field.
    """
    if not _has_network_inside(loaded):
        return None
    contents = find_networks(loaded, path, key)
    if len(contents.states) > 1:
        raise UserError(
            f"{path} contains a run of {len(contents.states)} checkpoints; in a folder, each file must "
            "contain one network. Import this file on its own."
        )
    return contents


def _has_network_inside(value: Any, depth: int = 3) -> bool:
    """Return whether a value is or contains a state dict, outside of an optimizer's state."""
    if contains_weights(value):
        return True
    if not depth or not isinstance(value, Mapping | list) or (isinstance(value, Mapping) and "param_groups" in value):
        return False
    entries = (
        value if isinstance(value, list) else [v for k, v in value.items() if not _NO_NETWORK.fullmatch(canonical(k))]
    )
    return any(_has_network_inside(entry, depth - 1) for entry in entries)


def _epoch_of_file(name: str, contents: Contents) -> tuple[int, str] | None:
    """Return the number of updates before the network of a file in a folder, and how it was found; None if there is no number."""
    stem = Path(name).stem
    if stem == "init":
        return 0, "`init` is before the first update"
    if contents.epochs:
        return contents.epochs[0], re.sub(r"` \d+", "`", contents.epochs_source) + ", in each file"
    if stem.isdecimal() and len(stem) <= 12:
        return int(stem) + 1, f"numbers of the files' names: {AFTER_UPDATE}"
    numbers = _NAMED_NUMBER.findall(stem) or re.findall(r"\d+", stem)
    if not numbers or len(numbers[-1]) > 12:
        return None
    return int(numbers[-1]), f"last numbers of the files' names: {IS_UPDATE_COUNT}"
