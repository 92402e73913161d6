"""What a file holds: networks over epochs, and what is said of their training.

Known are bare state dicts; dictionaries around one, as the paper's authors and many others save them (`model`, beside it
`epoch`, `config`, `optimizer`, losses); the authors' whole runs (`state_dicts`, `epochs`) and the notebooks' (`checkpoints`,
`checkpoint_epochs`, `train_indices`); folders of numbered files. Epochs here count updates: all of these save after
the update that they number from 0, so that number e is after e + 1 of them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError

State = dict[str, NDArray[Any]]

ONE = ("model", "final_state_dict", "model_state_dict", "state_dict")
SEVERAL = ("checkpoints", "state_dicts")
UPDATES, TEST_UPDATES = "updates", "test_updates"  # our own exports count these
EPOCHS = ("checkpoint_epochs", "epochs")


class Losses(NamedTuple):
    """Losses as training saw them, by the updates that were done when they were measured."""

    updates: NDArray[np.int64]
    values: NDArray[np.float64]


class Contents(NamedTuple):
    """Networks over epochs, ascending, and what the file says of them.

    Attributes:
        states: state dicts under their own names.
        epochs: updates done before each; None where the file does not say.
        layout: in words, how the file is arranged.
        config: settings under their own names.
        optimizer: those of the optimizer's only group, such as `weight_decay`.
        train, test: losses, as far as the file has them.
        train_indices: training pairs, as indices a * n + b.
        assumed: what was taken for granted.
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


def contents(loaded: Any, path: Path) -> Contents:
    """Find the networks in what was read from a file.

    Raises:
        UserError: there are none.
    """
    if path.is_dir():
        return _folder(loaded["files"], path)
    if _is_state(loaded):
        return _empty([_tidy(loaded)], None, "a bare state dict")
    if not isinstance(loaded, Mapping):
        raise _nothing(path, f"a {type(loaded).__name__}")
    several = next((name for name in SEVERAL if isinstance(loaded.get(name), Mapping | list) and loaded[name]), None)
    one = next((name for name in ONE if _is_state(loaded.get(name))), None)
    if several is None and one is None:
        raise _nothing(path, f"a dictionary of {', '.join(f'{name:.60}' for name in list(loaded)[:8])}")
    train, test = _losses(loaded, several, path)
    states: list[State] = []
    epochs: list[int] | None = None
    assumed: list[str] = []
    if several is not None:
        states, epochs, assumed = _checkpoints(loaded, several, path)
    done = _updates_at_the_end(loaded, path)
    if one is not None and (several is None or (done is not None and epochs and done > epochs[-1])):
        states = [*states, _tidy(loaded[one])]
        epochs = None if done is None else [*(epochs or []), done]
    layout = f"`{several}`, a run of {len(states)} checkpoints" if several else f"one network, under `{one}`"
    indices = _whole(loaded, "train_indices", path) if loaded.get("train_indices") is not None else None
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


def _empty(states: list[State], epochs: list[int] | None, layout: str) -> Contents:
    return Contents(states, epochs, layout, {}, {}, None, None, None, [])


def _nothing(path: Path, found: str) -> UserError:
    known = ", ".join(f"`{name}`" for name in (*ONE, *SEVERAL))
    return UserError(
        f"{path} holds {found}, and no network that could be found. Expected a state dict (names of tensors with their "
        f"values), or a dictionary with one of {known}."
    )


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0 and all(isinstance(one, np.ndarray) for one in value.values())


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _tidy(state: Mapping[str, NDArray[Any]]) -> State:
    """Without the prefixes of wrappers: DataParallel's, torch.compile's, those of a larger module."""
    names = {name: name.replace("._original_component", "") for name in state}
    for prefix in ("module.", "_orig_mod.", "model."):
        if all(name.startswith(prefix) for name in names.values()):
            names = {key: name.removeprefix(prefix) for key, name in names.items()}
    return {names[key]: tensor for key, tensor in state.items()}


def _checkpoints(loaded: Mapping[str, Any], key: str, path: Path) -> tuple[list[State], list[int], list[str]]:
    """State dicts of a run, the updates before each, and what was assumed of them."""
    found = loaded[key]
    pairs = found.items() if isinstance(found, Mapping) else enumerate(found)
    numbered = [
        (int(number), state) for number, state in pairs if re.fullmatch(r"\d{1,12}", str(number)) and _is_state(state)
    ]
    if not numbered or len(numbered) < len(found):
        raise UserError(
            f"{path}: `{key}` should be a list of state dicts, or have them by epoch; {len(found) - len(numbered)} of its "
            "entries are none."
        )
    numbered.sort(key=lambda pair: pair[0])
    states = [_tidy(state) for _, state in numbered]
    if UPDATES in loaded:
        return states, _as_epochs(loaded, states, path, UPDATES), []
    for name in EPOCHS:
        if name in loaded:
            return states, [epoch + 1 for epoch in _as_epochs(loaded, states, path, name)], []
    if isinstance(found, Mapping):
        return states, [number + 1 for number, _ in numbered], []
    every = max(1, len(_numbers(loaded, "train_losses", path)) // len(states))
    text = f"checkpoints {every} epochs apart, the first after one update: the file has no `epochs`"
    return states, [number * every + 1 for number, _ in numbered], [text]


def _as_epochs(loaded: Mapping[str, Any], states: list[State], path: Path, name: str) -> list[int]:
    epochs: list[int] = _whole(loaded, name, path).tolist()
    if len(epochs) != len(states) or epochs != sorted(set(epochs)):
        raise UserError(f"{path}: `{name}` should have {len(states)} ascending numbers, one for each checkpoint.")
    return epochs


def _updates_at_the_end(loaded: Mapping[str, Any], path: Path) -> int | None:
    for name, more in ((UPDATES, 0), ("epoch", 1)):
        if loaded.get(name) is not None:
            numbers = _whole(loaded, name, path)
            if not numbers.size:
                raise UserError(f"{path}: `{name}` is empty; expected is a number of updates.")
            return int(numbers[-1]) + more
    return len(_numbers(loaded, "train_losses", path)) or None


def _numbers(loaded: Mapping[str, Any], name: str, path: Path) -> NDArray[np.float64]:
    """Numbers under a name, one after the other; none where it is not there.

    Raises:
        UserError: they are something else.
    """
    try:
        found = np.asarray(loaded.get(name, ()))
    except ValueError:  # lists of several lengths
        found = np.array(None)
    if found.size and found.dtype.kind not in "iuf":
        raise UserError(f"{path}: `{name}` should be numbers, found {loaded[name]!r:.60}.")
    return found.astype(np.float64).ravel()


def _whole(loaded: Mapping[str, Any], name: str, path: Path) -> NDArray[np.int64]:
    """Numbers that count something: whole, and none below 0.

    Raises:
        UserError: they are something else.
    """
    found = _numbers(loaded, name, path)
    if not (np.isfinite(found) & (found == np.floor(found)) & (found >= 0) & (found < 2**53)).all():
        raise UserError(f"{path}: `{name}` should be whole numbers, none below 0.")
    return found.astype(np.int64)


def _losses(loaded: Mapping[str, Any], several: str | None, path: Path) -> tuple[Losses | None, Losses | None]:
    """Losses, train and test.

    Train losses are measured before each update. So are the authors' test losses, of which there may be one in so many
    epochs; the notebooks' are measured after it, and there is one for each.
    """
    train, test = (_numbers(loaded, f"{split}_losses", path) for split in ("train", "test"))
    if not train.size:
        return None, None
    before = Losses(np.arange(len(train)), train)
    if not test.size:
        return before, None
    if TEST_UPDATES in loaded:
        updates = _whole(loaded, TEST_UPDATES, path)
        if len(updates) != len(test):
            raise UserError(f"{path}: `{TEST_UPDATES}` should have {len(test)} numbers, one for each of `test_losses`.")
        return before, Losses(updates, test)
    every = max(1, round(len(train) / len(test)))
    after = int(several == "checkpoints")
    return before, Losses(np.arange(len(test)) * every + after, test)


def _optimizer(value: Any) -> dict[str, Any]:
    groups = _mapping(value).get("param_groups", [])
    return _mapping(groups[0]) if isinstance(groups, list) and len(groups) == 1 else {}


def _folder(files: Mapping[str, Any], path: Path) -> Contents:
    """Numbered files; `init` stands before the first update, others say themselves or are left aside."""
    found: dict[int, State] = {}
    last, left = None, []
    for stem, loaded in files.items():
        one = contents(loaded, path / stem)
        if len(one.states) > 1:
            raise UserError(f"{path / stem} holds a run of its own; import it alone.")
        number = re.search(r"\d+", stem)
        if stem == "init":
            found[0] = one.states[0]
        elif one.epochs or number:
            epoch = one.epochs[0] if one.epochs else int(number.group()) + 1  # type: ignore[union-attr]
            if epoch in found:
                raise UserError(f"{path / stem}: another file of the folder is of {epoch} updates too; take one out.")
            found[epoch] = one.states[0]
            last = one if epoch == max(found) else last
        else:
            left.append(stem)
    if not found:
        raise _nothing(path, "files of which none has a number or an `epoch`")
    epochs = sorted(found)
    result = _empty([found[epoch] for epoch in epochs], epochs, f"a folder of {len(epochs)} networks")
    assumed = [f"files without a number are left aside: {', '.join(left)}"] if left else []
    if last is None:
        return result._replace(assumed=assumed)
    return last._replace(states=result.states, epochs=epochs, layout=result.layout, assumed=assumed)
