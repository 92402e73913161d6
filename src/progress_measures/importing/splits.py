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
"""The forms of the option `--split`."""


class ImportedSplit(NamedTuple):
    """The training pairs of an imported network, and how they were found.

    Attributes:
        train: whether each pair is a training pair, [a, b]; None if unknown.
        method: `shuffle` (as in the authors' code) or `randperm` (PyTorch's) if the pairs are drawn from a seed, `listed`
            if the file or the user lists them, `none` if they are unknown.
        seed: seed of the methods `shuffle` and `randperm`; else None.
        fraction: fraction of pairs that `shuffle` and `randperm` train on; else None.
        description: text for reports and messages, which follows the word "split".
        stated: whether the user or the file states the split, so that nothing is assumed.
    """

    train: NDArray[np.bool_] | None
    method: str
    seed: int | None
    fraction: float | None
    description: str
    stated: bool


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
        return _split_from_option(option, n)
    if contents.train_indices is not None:
        return _listed_split(contents.train_indices, n, "from `train_indices` in the file")
    seed, fraction = contents.config.get("seed"), contents.config.get("frac_train")
    if is_seed(seed) and isinstance(fraction, float) and 0 < fraction < 1:
        return _seeded_split(
            "shuffle", seed, fraction, n, "shuffled as in the authors' code, with the configuration's seed"
        )
    return ImportedSplit(
        None, "none", None, None, "not known: only measures over all pairs are computed (--split)", False
    )


def is_seed(value: Any) -> TypeGuard[int]:
    """Return whether a value in an imported configuration is a valid seed."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEED


def _split_from_option(option: str, n: int) -> ImportedSplit:
    """Return the split that the option `--split` describes."""
    if option == "none":
        return ImportedSplit(None, "none", None, None, "none: only measures over all pairs are computed", True)
    seeded = re.fullmatch(r"(shuffle|randperm):([0-9]{1,10}):([0-9]*\.?[0-9]+)", option)
    if seeded and 0 < float(seeded[3]) < 1 and int(seeded[2]) <= MAX_SEED:
        return _seeded_split(seeded[1], int(seeded[2]), float(seeded[3]), n, option)
    if not Path(option).is_file():
        raise UserError(f"--split {option:.80}: expected {FORMS}; FRACTION lies between 0 and 1.")
    return _listed_split(_read_indices(Path(option)), n, option)


def _seeded_split(method: str, seed: int, fraction: float, n: int, description: str) -> ImportedSplit:
    """Draw a split from a seed, as training does."""
    indices = train_order(method, seed, n)[: int(fraction * n**2)]
    if not indices.size:
        raise UserError(
            f"split {description}: {fraction:g} of {n**2} pairs is less than one pair; give a larger fraction."
        )
    return _split_from_indices(indices, n, method, seed, fraction, description)


def _listed_split(indices: NDArray[Any], n: int, description: str) -> ImportedSplit:
    """Check a list of training pairs, as indices a * n + b, and return the split."""
    if not indices.size or len(set(indices.tolist())) < indices.size or not 0 <= indices.min() <= indices.max() < n**2:
        raise UserError(f"split {description}: expected distinct indices a · {n} + b, from 0 to {n**2 - 1}.")
    if indices.size == n**2:
        raise UserError(
            f"split {description}: all {n**2} pairs are training pairs, which leaves no test pairs; give --split none."
        )
    return _split_from_indices(indices, n, "listed", None, None, description)


def _split_from_indices(
    indices: NDArray[Any], n: int, method: str, seed: int | None, fraction: float | None, description: str
) -> ImportedSplit:
    train = np.zeros(n**2, dtype=bool)
    train[indices] = True
    description = f"{description}: {train.sum()} of {n**2} pairs"
    return ImportedSplit(train.reshape(n, n), method, seed, fraction, description, True)


def _read_indices(path: Path) -> NDArray[np.int64]:
    """Read indices of pairs from a .npy or .json file, or from a text file with any separators."""
    try:
        if path.suffix == ".npy":
            values = load_array(path)
        elif path.suffix == ".json":
            values = np.array(json.loads(path.read_text(encoding="utf-8")))
        else:
            values = np.array(re.split(r"[\s,;]+", path.read_text(encoding="utf-8").strip()), dtype=np.float64)
        check_numbers(values)
        indices = values.astype(np.int64).ravel()
        if not np.array_equal(indices, values.ravel()):
            raise ValueError("some values are not integers")
    except (ValueError, TypeError, OSError, EOFError, OverflowError, RecursionError) as error:
        raise UserError(f"--split {path}: expected a file of integers a · p + b ({error}).") from None
    return indices
