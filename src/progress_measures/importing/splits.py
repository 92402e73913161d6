"""Find the pairs on which an imported network was trained, from its file or from `--split`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.experiments.schema import MAX_SEED
from progress_measures.importing.contents import Contents
from progress_measures.importing.reading import check_numbers, load_array
from progress_measures.tasks.split import train_order

FORMS = "`shuffle:SEED:FRACTION`, `randperm:SEED:FRACTION`, `none`, or a file of indices (.txt, .csv, .json, .npy)"


class ImportedSplit(NamedTuple):
    """Training pairs and their origin.

    Attributes:
        train: whether each pair is a training pair, [a, b]; None if unknown.
        method: `shuffle`, `randperm`, `listed` or `none`.
        seed: seed of the methods `shuffle` and `randperm`; else None.
        fraction: fraction of pairs that these two methods train on; else None.
        description: text for reports and messages, which follows the word "split".
        given: whether the user or the file states the split, so that nothing is assumed.
    """

    train: NDArray[np.bool_] | None
    method: str
    seed: int | None
    fraction: float | None
    description: str
    given: bool


def find_split(option: str | None, contents: Contents, n: int) -> ImportedSplit:
    """Find the split of an imported network.

    Args:
        option: the value of `--split`, in one of the `FORMS`; None to take the split from the file.
        contents: what the file contains.
        n: number of values of a and of b.

    Returns:
        The split, with method `none` if neither the option nor the file states it.

    Raises:
        UserError: the option or the file's list of training pairs is wrong.
    """
    if option is not None:
        return _from_option(option, n)
    if contents.train_indices is not None:
        return _listed(contents.train_indices, n, "from `train_indices` in the file")
    seed, fraction = contents.config.get("seed"), contents.config.get("frac_train")
    if is_seed(seed) and isinstance(fraction, float) and 0 < fraction < 1:
        return _drawn("shuffle", seed, fraction, n, "shuffled as in the authors' code, with the configuration's seed")
    return ImportedSplit(None, "none", None, None, "not known: only measures over all pairs are taken (--split)", False)


def is_seed(value: Any) -> TypeGuard[int]:
    """Return whether a value of a foreign configuration is a valid seed."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEED


def _from_option(option: str, n: int) -> ImportedSplit:
    if option == "none":
        return ImportedSplit(None, "none", None, None, "none: only measures over all pairs are taken", True)
    drawn = re.fullmatch(r"(shuffle|randperm):([0-9]{1,10}):([0-9]*\.?[0-9]+)", option)
    if drawn and 0 < float(drawn[3]) < 1 and int(drawn[2]) <= MAX_SEED:
        return _drawn(drawn[1], int(drawn[2]), float(drawn[3]), n, option)
    if not Path(option).is_file():
        raise UserError(f"--split {option:.80}: expected {FORMS}; FRACTION lies between 0 and 1.")
    return _listed(_indices(Path(option)), n, option)


def _drawn(method: str, seed: int, fraction: float, n: int, description: str) -> ImportedSplit:
    """Draw the split from a seed, as training does."""
    order = train_order(method, seed, n)[: int(fraction * n**2)]
    if not order.size:
        raise UserError(
            f"split {description}: {fraction:g} of {n**2} pairs is less than one pair; give a larger fraction."
        )
    return _from_indices(order, n, method, seed, fraction, description)


def _listed(indices: NDArray[Any], n: int, description: str) -> ImportedSplit:
    """Check a list of training pairs and make a split of it."""
    if not indices.size or len(set(indices.tolist())) < indices.size or not 0 <= indices.min() <= indices.max() < n**2:
        raise UserError(f"split {description}: expected distinct indices a · {n} + b, from 0 to {n**2 - 1}.")
    if indices.size == n**2:
        raise UserError(
            f"split {description}: all {n**2} pairs are training pairs, which leaves no test pairs; give --split none."
        )
    return _from_indices(indices, n, "listed", None, None, description)


def _from_indices(
    indices: NDArray[Any], n: int, method: str, seed: int | None, fraction: float | None, description: str
) -> ImportedSplit:
    train = np.zeros(n**2, dtype=bool)
    train[indices] = True
    description = f"{description}: {train.sum()} of {n**2} pairs"
    return ImportedSplit(train.reshape(n, n), method, seed, fraction, description, True)


def _indices(path: Path) -> NDArray[np.int64]:
    """Read indices of pairs from a .npy or .json file, or from a text file with any separators."""
    try:
        if path.suffix == ".npy":
            values = load_array(path)
        elif path.suffix == ".json":
            values = np.array(json.loads(path.read_text(encoding="utf-8")))
        else:
            values = np.array(re.split(r"[\s,;]+", path.read_text(encoding="utf-8").strip()), dtype=np.float64)
        check_numbers(values)
        whole = values.astype(np.int64).ravel()
        if not np.array_equal(whole, values.ravel()):
            raise ValueError("some values are not integers")
    except (ValueError, TypeError, OSError, EOFError, OverflowError, RecursionError) as error:
        raise UserError(f"--split {path}: expected a file of integers a · p + b ({error}).") from None
    return whole
