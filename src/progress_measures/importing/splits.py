"""Which pairs an imported network was trained on: as its file says, or as `--split` does."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.experiments.schema import LARGEST_SEED
from progress_measures.importing.contents import Contents
from progress_measures.importing.reading import check_numbers, load_array
from progress_measures.tasks.split import train_order

FORMS = "`shuffle:SEED:FRACTION`, `randperm:SEED:FRACTION`, `none`, or a file of indices (.txt, .csv, .json, .npy)"


class ImportedSplit(NamedTuple):
    """Training pairs, and where they come from.

    Attributes:
        train: [a, b]; None where they are not known.
        method: `shuffle`, `randperm`, `listed`, `none`.
        seed, fraction: of the first two.
        words: for people.
        given: by the user or the file, and not assumed.
    """

    train: NDArray[np.bool_] | None
    method: str
    seed: int | None
    fraction: float | None
    words: str
    given: bool


def split(option: str | None, held: Contents, n: int) -> ImportedSplit:
    """The split of an imported network.

    Args:
        option: what `--split` says.
        held: of its file.
        n: number of values of a and of b.
    Raises:
        UserError: it makes no sense.
    """
    if option is not None:
        return _given(option, n)
    if held.train_indices is not None:
        return _listed(held.train_indices, n, "`train_indices` of the file")
    seed, fraction = held.config.get("seed"), held.config.get("frac_train")
    if is_seed(seed) and isinstance(fraction, float) and 0 < fraction < 1:
        return _drawn("shuffle", seed, fraction, n, "shuffled as the authors' code does, by its configuration's seed")
    return ImportedSplit(None, "none", None, None, "not known: only what is measured over all pairs", False)


def is_seed(value: Any) -> TypeGuard[int]:
    """Whether a value of somebody's configuration can be a seed of ours."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SEED


def _given(option: str, n: int) -> ImportedSplit:
    if option == "none":
        return ImportedSplit(None, "none", None, None, "none: only what is measured over all pairs", True)
    drawn = re.fullmatch(r"(shuffle|randperm):([0-9]{1,10}):([0-9]*\.?[0-9]+)", option)
    if drawn and 0 < float(drawn[3]) < 1 and int(drawn[2]) <= LARGEST_SEED:
        return _drawn(drawn[1], int(drawn[2]), float(drawn[3]), n, option)
    if not Path(option).is_file():
        raise UserError(f"--split {option:.80}: expected {FORMS}; FRACTION lies between 0 and 1.")
    return _listed(_indices(Path(option)), n, option)


def _drawn(method: str, seed: int, fraction: float, n: int, words: str) -> ImportedSplit:
    order = train_order(method, seed, n)[: int(fraction * n**2)]
    if not order.size:
        raise UserError(f"split {words}: {fraction:g} of {n**2} pairs is less than one.")
    return _found(order, n, method, seed, fraction, words)


def _listed(indices: NDArray[Any], n: int, words: str) -> ImportedSplit:
    if not indices.size or len(set(indices.tolist())) < indices.size or not 0 <= indices.min() <= indices.max() < n**2:
        raise UserError(f"split {words}: expected different indices a · {n} + b, from 0 to {n**2 - 1}.")
    if indices.size == n**2:
        raise UserError(f"split {words}: all {n**2} pairs are training pairs, so that none tests; give --split none.")
    return _found(indices, n, "listed", None, None, words)


def _found(
    indices: NDArray[Any], n: int, method: str, seed: int | None, fraction: float | None, words: str
) -> ImportedSplit:
    train = np.zeros(n**2, dtype=bool)
    train[indices] = True
    return ImportedSplit(train.reshape(n, n), method, seed, fraction, f"{words}: {train.sum()} of {n**2} pairs", True)


def _indices(path: Path) -> NDArray[np.int64]:
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
            raise ValueError("some are no whole numbers")
    except (ValueError, TypeError, OSError, EOFError, OverflowError, RecursionError) as error:
        raise UserError(f"--split {path}: not a file of whole numbers ({error}).") from None
    return whole
