"""Find the pairs on which an imported network was trained: from `--split`, or from the file and its losses."""

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
from progress_measures.importing.findings import Choice, Finding
from progress_measures.importing.reading import check_numbers, load_array
from progress_measures.tasks.split import train_order

FORMS = "`shuffle:SEED:FRACTION`, `randperm:SEED:FRACTION`, `none`, or a file of indices (.txt, .csv, .json, .npy)"
"""The forms of the option `--split`; `ImportedSplit.method` explains `shuffle` and `randperm`."""

COMMON_TRAIN_FRACTIONS = (0.3, 0.25, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
COMMON_SEEDS = (0, 1, 42, 598, 999)  # 598 and 999 are the seeds of the notebooks that accompany the paper
"""Fractions and seeds that are tried against a file's losses, besides those that the file states."""

MAX_LOSS_RATIO = 1.5
"""Largest factor between a loss that the file states and the loss that we compute on a split that fits. It exceeds 1
because the file's train loss may be one update older."""

MAX_LOSS_RATIO_IF_NOT_STATED = 1.1
"""As `MAX_LOSS_RATIO`, for splits whose seed or fraction the file does not state. It is stricter, because many such splits are
tried."""

RANDOM_SPLITS = 20
"""Number of random splits that are compared with a file's losses, to test a split that fits these losses.

Each random split has as many training pairs as the tested split. The losses confirm the tested split only if no random
split fits the losses, too.
"""


class ImportedSplit(NamedTuple):
    """The training pairs of an imported network, and how they were found.

    Attributes:
        train: whether each pair is a training pair, [a, b]; None if unknown.
        method: `shuffle` (as in the authors' code) or `randperm` (PyTorch's) if the pairs are drawn from a seed, `listed`
            if the file or the user lists them, `none` if they are unknown.
        seed: seed of the methods `shuffle` and `randperm`; else None.
        fraction: train fraction of the methods `shuffle` and `randperm`; else None.
        finding: the split as a setting with its source.
        doubt: what contradicts the split; empty if nothing does.
    """

    train: NDArray[np.bool_] | None
    method: str
    seed: int | None
    fraction: float | None
    finding: Finding
    doubt: str = ""


class TrainAndTestLoss(NamedTuple):
    """Train and test loss at the last checkpoint, in nats, as the file states or as we compute; None for an unknown loss."""

    train: float | None
    test: float | None

    def fits_split(
        self, pair_losses: NDArray[np.float64], train: NDArray[np.bool_], defined: NDArray[np.bool_]
    ) -> bool:
        """Return whether these losses equal the losses computed on a split, up to the factor `MAX_LOSS_RATIO`.

        An unknown loss (None) fits any computed loss.

        Args:
            pair_losses: loss of every pair, computed from the weights, [a, b].
            train: whether each pair is a training pair, [a, b].
            defined: whether each pair has a right answer, [a, b].
        """
        for loss, mask in ((self.train, train), (self.test, defined & ~train)):
            computed = pair_losses[mask].mean() if mask.any() else np.nan
            if loss is not None and not _are_similar(loss, computed):
                return False
        return True

    def distance(self, pair_losses: NDArray[np.float64], train: NDArray[np.bool_], defined: NDArray[np.bool_]) -> float:
        """Compute how far the stated losses are from those of a split.

        Args:
            pair_losses: loss of each pair in nats, [a, b].
            train: whether each pair is a training pair, [a, b].
            defined: whether each pair has a right answer, [a, b].

        Returns:
            The maximum of |ln(stated loss / computed loss)| over train and test loss; 0 if neither is stated.
        """
        floor = 1e-12  # avoids the logarithm of 0
        return max(
            (
                abs(float(np.log(max(loss, floor) / max(pair_losses[mask].mean(), floor))))
                for loss, mask in ((self.train, train), (self.test, defined & ~train))
                if loss is not None
            ),
            default=0.0,
        )

    def __str__(self) -> str:
        parts = [
            f"{name} loss {loss:.4g}" for name, loss in zip(("train", "test"), self, strict=True) if loss is not None
        ]
        return " and ".join(parts)


def _are_similar(loss: float, computed: float) -> bool:
    """Return whether two losses are equal up to the factor `MAX_LOSS_RATIO`, or both below 1e-6, where float32 is inexact."""
    if max(loss, computed) < 1e-6:
        return True
    return loss > 0 and 1 / MAX_LOSS_RATIO < computed / loss < MAX_LOSS_RATIO


def find_split(
    option: str | None,
    contents: Contents,
    losses: TrainAndTestLoss,
    pair_losses: NDArray[np.float64],
    defined: NDArray[np.bool_],
) -> ImportedSplit:
    """Find the split of an imported network.

    Args:
        option: the value of `--split`, in one of the `FORMS`; None to take the split from the file.
        contents: what the file contains.
        losses: the file's losses at the last checkpoint.
        pair_losses: loss of every pair at the last checkpoint, computed from the weights, [a, b].
        defined: whether each pair has a right answer, [a, b].

    Returns:
        The split, with method `none` if the option is `none` or no split is found. `doubt` is set if the file's losses
        contradict the split that the option or the file states, or if no split is found although the file states enough
        to find one (see `_inferred_split`).

    Raises:
        UserError: the option or the file's list of training pairs is wrong, or a split has no training pairs.
    """
    if option is not None:
        return _with_doubt(_split_from_option(option, defined), losses, pair_losses, defined)
    if contents.train_indices is not None:
        detail = "train_indices"
        return _with_doubt(
            _listed_split(contents.train_indices, defined, Choice("", "file", detail)), losses, pair_losses, defined
        )
    return _inferred_split(contents, losses, pair_losses, defined)


def _with_doubt(
    split: ImportedSplit, losses: TrainAndTestLoss, pair_losses: NDArray[np.float64], defined: NDArray[np.bool_]
) -> ImportedSplit:
    """Add a doubt if the file's losses are not those that we compute on a split that the option or the file states."""
    if split.train is None or losses.fits_split(pair_losses, split.train, defined):
        return split
    return split._replace(doubt=_describe_misfit(split, losses, pair_losses, defined))


def _describe_misfit(
    split: ImportedSplit, losses: TrainAndTestLoss, pair_losses: NDArray[np.float64], defined: NDArray[np.bool_]
) -> str:
    assert split.train is not None
    computed = TrainAndTestLoss(train=pair_losses[split.train].mean(), test=pair_losses[defined & ~split.train].mean())
    return f"the file has {losses}; with the split {split.finding.value} we compute {computed}"


def _inferred_split(
    contents: Contents, losses: TrainAndTestLoss, pair_losses: NDArray[np.float64], defined: NDArray[np.bool_]
) -> ImportedSplit:
    """Infer the split from the file's losses, and from the seed or the fraction or both that the file states.

    If the file states neither seed nor fraction, the split is unknown. If it states no losses, the split is the one by
    `shuffle` with the stated seed and fraction, and unknown if one of them is missing. Otherwise splits with the stated
    and with common seeds and fractions are tried, and the result is the first of these that exists:

    1. the split that fits the losses best, among those that fit although random splits do not;
    2. the split by `shuffle` with the stated seed and fraction, if it fits;
    3. an unknown split, with a doubt if none of the tried splits fits, or if the file states both seed and fraction.
    """
    stated = {
        name: contents.stated[name] for name in ("data_seed", "seed", "train_fraction") if name in contents.stated
    }
    seeds = [entry.value for name, entry in stated.items() if name != "train_fraction" and is_seed(entry.value)]
    fraction = stated["train_fraction"].value if "train_fraction" in stated else None
    fractions = [float(fraction)] if isinstance(fraction, float) and 0 < fraction < 1 else []
    finding = Finding("split", "unknown", "assumed", "only measures over all pairs apply (--split)")
    unknown = ImportedSplit(None, "none", seed=None, fraction=None, finding=finding)
    sources = ", ".join(entry.source for entry in stated.values())
    if losses.train is None and losses.test is None:
        if not (seeds and fractions):
            return unknown
        choice = Choice(
            "", "inferred", f"{sources}; shuffled as in the authors' code, which nothing confirms (--split)"
        )
        return _seeded_split("shuffle", seeds[0], fractions[0], defined, choice)
    if not seeds and not fractions:
        return unknown
    # distance from the file's losses, whether the file states seed and fraction, the split
    fitting: list[tuple[float, bool, ImportedSplit]] = []
    tried = 0
    for seed in dict.fromkeys([*seeds, *COMMON_SEEDS]):
        for method in ("shuffle", "randperm"):
            for tried_fraction in dict.fromkeys([*fractions, *COMMON_TRAIN_FRACTIONS]):
                split = _seeded_split(method, seed, tried_fraction, defined, Choice("", "inferred", sources))
                assert split.train is not None
                tried += 1
                if losses.fits_split(pair_losses, split.train, defined):
                    is_stated = seed in seeds and tried_fraction in fractions
                    distance = losses.distance(pair_losses, split.train, defined)
                    if is_stated or distance < np.log(MAX_LOSS_RATIO_IF_NOT_STATED):
                        fitting.append((distance, is_stated, split))
    fitting.sort(key=lambda entry: entry[0])
    for _, _, split in fitting:
        assert split.train is not None
        if _is_confirmed(split.train, losses, pair_losses, defined):
            return _with_detail(split, f"confirmed by the file's {losses}")
    for _, is_stated, split in fitting:
        if is_stated and split.method == "shuffle":
            return _with_detail(
                split, f"fits the file's {losses}, as random splits do, so nothing confirms it (--split)"
            )
    if fitting and not (seeds and fractions):
        return unknown
    doubt = (
        f"the file has {losses}; of {tried} splits (its seed and fraction and common ones, each with shuffle and randperm), "
        "none fits better than random splits"
    )
    return unknown._replace(doubt=doubt)


def _with_detail(split: ImportedSplit, detail: str) -> ImportedSplit:
    """Return a split with a detail added to its finding."""
    parts = [split.finding.detail, detail]
    return split._replace(finding=split.finding._replace(detail="; ".join(part for part in parts if part)))


def _is_confirmed(
    train: NDArray[np.bool_], losses: TrainAndTestLoss, pair_losses: NDArray[np.float64], defined: NDArray[np.bool_]
) -> bool:
    """Return whether no random split with as many training pairs fits the file's losses."""
    rng, indices = np.random.default_rng(0), np.flatnonzero(defined.ravel())
    for _ in range(RANDOM_SPLITS):
        random_train = np.zeros(defined.size, dtype=bool)
        random_train[rng.permutation(indices)[: int(train.sum())]] = True
        if losses.fits_split(pair_losses, random_train.reshape(defined.shape), defined):
            return False
    return True


def is_seed(value: Any) -> TypeGuard[int]:
    """Return whether a value in an imported configuration is a valid seed."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEED


def _split_from_option(option: str, defined: NDArray[np.bool_]) -> ImportedSplit:
    """Return the split that the option `--split` gives in one of the `FORMS`."""
    if option == "none":
        finding = Finding("split", "unknown", "option", "only measures over all pairs apply")
        return ImportedSplit(None, "none", seed=None, fraction=None, finding=finding)
    seeded = re.fullmatch(r"(shuffle|randperm):([0-9]{1,10}):([0-9]*\.?[0-9]+)", option)
    if seeded and 0 < float(seeded[3]) < 1 and int(seeded[2]) <= MAX_SEED:
        return _seeded_split(seeded[1], int(seeded[2]), float(seeded[3]), defined, Choice("", "option", ""))
    if not Path(option).is_file():
        raise UserError(f"--split {option:.80}: expected {FORMS}; FRACTION lies between 0 and 1.")
    return _listed_split(_read_indices(Path(option)), defined, Choice("", "option", option))


def _seeded_split(method: str, seed: int, fraction: float, defined: NDArray[np.bool_], choice: Choice) -> ImportedSplit:
    """Draw the training pairs from a seed, among the pairs with a right answer, as training does."""
    n = len(defined)
    order = train_order(method, seed, n)
    order = order[defined.ravel()[order]]
    indices = order[: int(fraction * len(order))]
    name = f"{method}:{seed}:{fraction:g}"
    if not indices.size:
        raise UserError(
            f"split {name}: {fraction:g} of {len(order)} pairs is less than one pair; give a larger fraction."
        )
    return _split_from_indices(indices, n, method, seed, fraction, name, choice)


def _listed_split(indices: NDArray[Any], defined: NDArray[np.bool_], choice: Choice) -> ImportedSplit:
    """Check a list of training pairs, as indices a · n + b, and return the split."""
    n = len(defined)
    if not indices.size or len(set(indices.tolist())) < indices.size or not 0 <= indices.min() <= indices.max() < n**2:
        raise UserError(f"split from {choice.detail}: expected distinct indices a · {n} + b, from 0 to {n**2 - 1}.")
    if indices.size == n**2:
        raise UserError(
            f"split from {choice.detail}: all {n**2} pairs are training pairs, which leaves no test pairs; give --split none."
        )
    without_answer = indices[~defined.ravel()[indices.astype(np.int64)]]
    if without_answer.size:
        a, b = divmod(int(without_answer[0]), n)
        raise UserError(
            f"split from {choice.detail}: {without_answer.size} of the {indices.size} training pairs have no right answer, "
            f"such as ({a}, {b}). Correct the list, or give the operation that the network learned (--operation)."
        )
    return _split_from_indices(indices, n, "listed", seed=None, fraction=None, name="a list", choice=choice)


def _split_from_indices(
    indices: NDArray[Any], n: int, method: str, seed: int | None, fraction: float | None, name: str, choice: Choice
) -> ImportedSplit:
    """Return the split with the training pairs `indices`, each a · n + b. Of `choice`, only source and detail are used."""
    train = np.zeros(n**2, dtype=bool)
    train[indices] = True
    finding = Finding("split", f"{name}, {train.sum()} of {n**2} pairs", choice.source, choice.detail)
    return ImportedSplit(train.reshape(n, n), method, seed, fraction, finding)


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
        raise UserError(
            f"--split {path}: expected a file of integers a · n + b, with n operand values ({error})."
        ) from None
    return indices
