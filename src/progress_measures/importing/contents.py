"""Find the networks in the data of a file, their epochs, and the records of their training.

Supported layouts: bare state dicts; dictionaries that contain one, as the paper's authors and many others save them
(`model`, with `epoch`, `config`, `optimizer` and losses beside it); the authors' complete runs (`state_dicts`,
`epochs`); the notebooks' runs (`checkpoints`, `checkpoint_epochs`, `train_indices`); folders of numbered files. Epochs
in this module count updates. All of these sources number updates from 0 and save after the update, so their epoch e
means the weights after e + 1 updates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError

State = dict[str, NDArray[Any]]

# Keys of a state dict, and of all state dicts of a run.
NETWORK_KEYS = ("model", "final_state_dict", "model_state_dict", "state_dict")
RUN_KEYS = ("checkpoints", "state_dicts")
UPDATES, TEST_UPDATES = (
    "updates",
    "test_updates",
)  # how many updates precede each value; `progress-measures export` writes them
EPOCHS = ("checkpoint_epochs", "epochs")  # number of the last update before each checkpoint, counted from 0


class Losses(NamedTuple):
    """Losses that training recorded.

    Attributes:
        updates: number of updates before each measurement, [measurement].
        values: the losses in nats, [measurement].
    """

    updates: NDArray[np.int64]
    values: NDArray[np.float64]


class Contents(NamedTuple):
    """The networks in a file, in ascending order of epoch, and what the file states about their training.

    Attributes:
        states: state dicts with the file's tensor names, one per checkpoint.
        epochs: number of updates before each checkpoint; None if the file does not state it.
        layout: description of how the file is arranged.
        config: the file's configuration, with its own field names.
        optimizer: settings of the optimizer's only parameter group, such as `weight_decay`.
        train, test: losses that the file contains; None if it has none.
        train_indices: training pairs as indices a * n + b; None if the file does not list them.
        assumed: descriptions of what was assumed.
    """

    states: list[State]
    epochs: list[int] | None
    layout: str
    config: dict[str, Any]
    optimizer: dict[str, Any]
    train: Losses | None
    test: Losses | None
    train_indices: NDArray[np.int64] | None
    assumed: list[str]


def find_networks(loaded: Any, path: Path) -> Contents:
    """Find the networks in the data that was read from a file.

    Args:
        loaded: the data that `reading.read` returns.
        path: path of the file or folder, to tell the two apart and to name it in messages.

    Returns:
        The networks and what the file states about their training.

    Raises:
        UserError: the data contain no network, or a field beside the networks is wrong.
    """
    if path.is_dir():
        return _folder(loaded["files"], path)
    if _is_state(loaded):
        return _bare_contents([_without_prefixes(loaded)], None, "a bare state dict")
    if not isinstance(loaded, Mapping):
        raise _no_network(path, f"a {type(loaded).__name__}")
    run_key = next((name for name in RUN_KEYS if isinstance(loaded.get(name), Mapping | list) and loaded[name]), None)
    network_key = next((name for name in NETWORK_KEYS if _is_state(loaded.get(name))), None)
    if run_key is None and network_key is None:
        raise _no_network(path, f"a dictionary with the keys {', '.join(f'{name:.60}' for name in list(loaded)[:8])}")
    train, test = _losses(loaded, run_key, path)
    states: list[State] = []
    epochs: list[int] | None = None
    assumed: list[str] = []
    if run_key is not None:
        states, epochs, assumed = _checkpoints(loaded, run_key, path)
    last_epoch = _last_epoch(loaded, path)
    if network_key is not None and (run_key is None or (last_epoch is not None and epochs and last_epoch > epochs[-1])):
        states = [*states, _without_prefixes(loaded[network_key])]
        epochs = None if last_epoch is None else [*(epochs or []), last_epoch]
    layout = (
        f"a run of {len(states)} checkpoints under `{run_key}`" if run_key else f"one network under `{network_key}`"
    )
    indices = _counts(loaded, "train_indices", path) if loaded.get("train_indices") is not None else None
    return Contents(
        states,
        epochs,
        layout,
        _mapping(loaded.get("config")),
        _optimizer(loaded.get("optimizer")),
        train,
        test,
        indices,
        assumed,
    )


def _bare_contents(states: list[State], epochs: list[int] | None, layout: str) -> Contents:
    """Return contents without any record of the training."""
    return Contents(states, epochs, layout, {}, {}, None, None, None, [])


def _no_network(path: Path, description: str) -> UserError:
    keys = ", ".join(f"`{name}`" for name in (*NETWORK_KEYS, *RUN_KEYS))
    return UserError(
        f"{path}: found {description}, but no network. Expected a state dict (tensor names with their values), or a "
        f"dictionary with a state dict under one of the keys {keys}."
    )


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(tensor, np.ndarray) for tensor in value.values())
    )


def _mapping(value: Any) -> dict[str, Any]:
    """Return a value as a dictionary, which is empty if the value is not a mapping."""
    return dict(value) if isinstance(value, Mapping) else {}


def _without_prefixes(state: Mapping[str, NDArray[Any]]) -> State:
    """Remove from tensor names the prefixes that DataParallel, torch.compile or an enclosing module adds."""
    names = {name: name.replace("._original_component", "") for name in state}
    for prefix in ("module.", "_orig_mod.", "model."):
        if all(name.startswith(prefix) for name in names.values()):
            names = {key: name.removeprefix(prefix) for key, name in names.items()}
    return {names[key]: tensor for key, tensor in state.items()}


def _checkpoints(loaded: Mapping[str, Any], key: str, path: Path) -> tuple[list[State], list[int], list[str]]:
    """Return a run's state dicts, the number of updates before each, and descriptions of what was assumed."""
    entries = loaded[key]
    items = entries.items() if isinstance(entries, Mapping) else enumerate(entries)
    numbered = [
        (int(number), state) for number, state in items if re.fullmatch(r"\d{1,12}", str(number)) and _is_state(state)
    ]
    if not numbered or len(numbered) < len(entries):
        raise UserError(
            f"{path}: `{key}`: expected a list of state dicts, or a dictionary from epoch to state dict; "
            f"{len(entries) - len(numbered)} of the {len(entries)} entries are neither."
        )
    numbered.sort(key=lambda item: item[0])
    states = [_without_prefixes(state) for _, state in numbered]
    if UPDATES in loaded:
        return states, _as_epochs(loaded, states, path, UPDATES), []
    for name in EPOCHS:
        if name in loaded:
            return states, [epoch + 1 for epoch in _as_epochs(loaded, states, path, name)], []
    if isinstance(entries, Mapping):
        return states, [number + 1 for number, _ in numbered], []
    interval = max(1, len(_numbers(loaded, "train_losses", path)) // len(states))
    text = f"checkpoints every {interval} epochs, the first after one update: the file has no `epochs`"
    return states, [number * interval + 1 for number, _ in numbered], [text]


def _as_epochs(loaded: Mapping[str, Any], states: list[State], path: Path, name: str) -> list[int]:
    """Return the epoch of each state dict, as listed under a key of the file."""
    epochs: list[int] = _counts(loaded, name, path).tolist()
    if len(epochs) != len(states) or epochs != sorted(set(epochs)):
        raise UserError(f"{path}: `{name}`: expected {len(states)} ascending numbers, one per checkpoint.")
    return epochs


def _last_epoch(loaded: Mapping[str, Any], path: Path) -> int | None:
    """Return the number of updates before the last network, or None if the file does not state it."""
    for name, offset in ((UPDATES, 0), ("epoch", 1)):
        if loaded.get(name) is not None:
            numbers = _counts(loaded, name, path)
            if not numbers.size:
                raise UserError(f"{path}: `{name}` is empty; expected a number of updates.")
            return int(numbers[-1]) + offset
    return len(_numbers(loaded, "train_losses", path)) or None


def _numbers(loaded: Mapping[str, Any], name: str, path: Path) -> NDArray[np.float64]:
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


def _counts(loaded: Mapping[str, Any], name: str, path: Path) -> NDArray[np.int64]:
    """Return the non-negative integers under a key as a flat array.

    Raises:
        UserError: the value is something else.
    """
    numbers = _numbers(loaded, name, path)
    if not (np.isfinite(numbers) & (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < 2**53)).all():
        raise UserError(f"{path}: `{name}`: expected integers from 0.")
    return numbers.astype(np.int64)


def _losses(loaded: Mapping[str, Any], run_key: str | None, path: Path) -> tuple[Losses | None, Losses | None]:
    """Return the train losses and the test losses in the file, each None if absent.

    Train losses are measured before each update. The authors' test losses are measured before the update too, possibly
    only every few epochs. The notebooks measure the test loss after each update.
    """
    train, test = (_numbers(loaded, f"{split}_losses", path) for split in ("train", "test"))
    if not train.size:
        return None, None
    train_losses = Losses(np.arange(len(train)), train)
    if not test.size:
        return train_losses, None
    if TEST_UPDATES in loaded:
        updates = _counts(loaded, TEST_UPDATES, path)
        if len(updates) != len(test):
            raise UserError(f"{path}: `{TEST_UPDATES}`: expected {len(test)} numbers, one per entry of `test_losses`.")
        return train_losses, Losses(updates, test)
    interval = max(1, round(len(train) / len(test)))
    delay = int(run_key == "checkpoints")
    return train_losses, Losses(np.arange(len(test)) * interval + delay, test)


def _optimizer(value: Any) -> dict[str, Any]:
    """Return the settings of the optimizer's parameter group, if it has exactly one."""
    """Return the settings of the optimizer's parameter group, if it has exactly one."""
    groups = _mapping(value).get("param_groups", [])
    return _mapping(groups[0]) if isinstance(groups, list) and len(groups) == 1 else {}


def _folder(files: Mapping[str, Any], path: Path) -> Contents:
    """Find the networks in a folder of numbered files.

    `init` is the network before the first update. Any other file is a checkpoint if it contains an epoch or has a number
    in its name, and is skipped otherwise.
    """
    states: dict[int, State] = {}
    last_contents, skipped = None, []
    for stem, loaded in files.items():
        contents = find_networks(loaded, path / stem)
        if len(contents.states) > 1:
            raise UserError(
                f"{path / stem} contains a run of {len(contents.states)} checkpoints; in a folder, each file must "
                "contain one network. Import this file on its own."
            )
        number = re.search(r"\d+", stem)
        if stem == "init":
            states[0] = contents.states[0]
        elif contents.epochs or number:
            epoch = contents.epochs[0] if contents.epochs else int(number.group()) + 1  # type: ignore[union-attr]
            if epoch in states:
                raise UserError(
                    f"{path / stem}: another file in the folder is a checkpoint after {epoch} updates too; remove one."
                )
            states[epoch] = contents.states[0]
            last_contents = contents if epoch == max(states) else last_contents
        else:
            skipped.append(stem)
    if not states:
        raise _no_network(path, "files without a number in their name or an `epoch` inside")
    epochs = sorted(states)
    result = _bare_contents([states[epoch] for epoch in epochs], epochs, f"a folder of {len(epochs)} networks")
    assumed = [f"files without a number are not checkpoints and are skipped: {', '.join(skipped)}"] if skipped else []
    if last_contents is None:
        return result._replace(assumed=assumed)
    return last_contents._replace(states=result.states, epochs=epochs, layout=result.layout, assumed=assumed)
