"""Find a network's design and operation from its answers to pairs, where neither the file nor the user states them.

A design says how a network computes with its weights. The possible designs differ in what tensors do not show: the number
of heads if all heads are stored in one matrix, the activation, the kind of norms and whether there are any, and how
positions are encoded if the file has no position vectors. The chosen design is the one under which the network gives the
right answers of an operation the highest mean probability; of designs within 0.01 of the highest, it is the most ordinary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from progress_measures.errors import UserError
from progress_measures.experiments.schema import Model
from progress_measures.importing.designs import ModelFields, model_section
from progress_measures.importing.names import FormatMatch
from progress_measures.importing.operations import CandidateOperation
from progress_measures.models import network
from progress_measures.models.design import design_of
from progress_measures.tasks.tokens import TokenLayout

Weights = dict[str, NDArray[Any]]

MIN_AGREEMENT = 0.5
"""A network has learned an operation only if its answers follow the operation at this fraction of pairs or more."""
MIN_GAP = 0.1
"""The fraction of answers that follow the recognized operation is larger by at least this than for any other operation."""
MIN_CONFIDENCE_GAIN = 0.01
"""Smallest difference in the mean probability of right answers at which one design is preferred to another."""
SAMPLE = 1500
"""Largest number of pairs on which possible designs are compared."""


class DesignFit(NamedTuple):
    """A possible design, and how well the network's answers fit an operation under it.

    Attributes:
        heads: number of heads.
        design: fields of the section `model` of an experiment that the tensors do not determine.
        operation: name of the operation with the highest agreement; empty if the design was not compared with others,
            if its logits are not finite, or if no answer follows an operation. Then agreement and confidence are 0.
        agreement: fraction of the pairs whose answers follow the operation, on a sample of up to `SAMPLE` pairs.
        confidence: mean probability of the operation's right answers on this sample.
    """

    heads: int
    design: ModelFields
    operation: str = ""
    agreement: float = 0.0
    confidence: float = 0.0


class ChosenDesign(NamedTuple):
    """The chosen design, and the fields that the network's answers do not determine.

    Attributes:
        fit: the chosen design.
        undecided: fields for which other values fit as well, each with the list of these other values.
        tested: number of possible designs; with only one, nothing is compared.
    """

    fit: DesignFit
    undecided: dict[str, list[Any]]
    tested: int


def choose_design(
    possible: Iterable[tuple[int, ModelFields]],
    match: FormatMatch,
    operations: list[CandidateOperation],
    layout: TokenLayout,
    answer_position: int,
) -> ChosenDesign:
    """Choose the design under which the right answers of an operation have the highest mean probability.

    Args:
        possible: numbers of heads and designs, in order of preference (see `possible_designs`).
        match: the state dict of the file's last checkpoint, matched against its format.
        operations: the operations that are tested.
        layout: the layout of the tokens.
        answer_position: position whose logits are scored.

    Returns:
        The design. Among designs whose confidence is within `MIN_CONFIDENCE_GAIN` of the highest, it is the first in
        the order of preference, with the number of heads that gives it the highest confidence. The fields in which
        these designs differ are undecided.

    Raises:
        UserError: there is no possible design.
    """
    n = layout.operand_count
    pairs = np.arange(n**2)
    if n**2 > SAMPLE:
        pairs = np.random.default_rng(0).choice(n**2, SAMPLE, replace=False)
    candidates = list(possible)
    if not candidates:  # `possible_designs` leaves out rotary positions if d_head is odd, and nothing else
        raise UserError(
            "`positions: rotary` requires an even d_head, but d_head is odd for every possible number of heads."
        )
    if len(candidates) == 1:
        heads, design = candidates[0]
        return ChosenDesign(DesignFit(heads, design), undecided={}, tested=1)
    fits = []
    for heads, design in candidates:
        weights = match.weights(heads=heads)
        logits = pair_logits(weights, design, layout, answer_position, pairs, np.float32)
        fits.append(_design_fit(heads, design, logits, operations, pairs))
    best = max(fits, key=lambda fit: fit.confidence)
    similar = [fit for fit in fits if fit.confidence > best.confidence - MIN_CONFIDENCE_GAIN]
    preferred = min((fit.design for fit in similar), key=[design for _, design in candidates].index)
    chosen = max((fit for fit in similar if fit.design == preferred), key=lambda fit: fit.confidence)
    undecided: dict[str, list[Any]] = {}
    for name, value in {**chosen.design, "heads": chosen.heads}.items():
        values = dict.fromkeys(fit.heads if name == "heads" else fit.design[name] for fit in similar)
        if others := [other for other in values if other != value]:
            undecided[name] = others
    return ChosenDesign(chosen, undecided, len(fits))


def _design_fit(
    heads: int,
    design: ModelFields,
    logits: NDArray[np.floating],
    operations: list[CandidateOperation],
    pairs: NDArray[np.int64],
) -> DesignFit:
    """Return how well the logits of some pairs fit an operation, for the operation with the highest agreement."""
    if not np.isfinite(logits).all():
        return DesignFit(heads, design)
    answers, log_probabilities = logits.argmax(-1), log_softmax(logits.astype(np.float64), -1)
    best = DesignFit(heads, design)
    for operation in operations:
        labels = operation.labels.ravel()[pairs]
        defined = labels >= 0
        agreement = float((answers == labels)[defined].mean())
        if agreement > best.agreement:
            label_log_probabilities = log_probabilities[defined, labels[defined]]
            best = DesignFit(heads, design, operation.name, agreement, float(np.exp(label_log_probabilities).mean()))
    return best


def pair_logits(
    weights: Weights,
    design: ModelFields,
    layout: TokenLayout,
    answer_position: int,
    pairs: NDArray[np.int64],
    dtype: type[np.floating],
) -> NDArray[np.floating]:
    """Compute a network's logits at the answer position.

    Args:
        weights: tensors with our names and axes.
        design: fields of the section `model` that the tensors do not determine.
        layout: the layout of the tokens.
        answer_position: position whose logits are scored.
        pairs: indices a * n + b of the pairs.
        dtype: precision of the computation.

    Returns:
        Logits [pair, output].
    """
    section = model_section(weights, design)
    tokens = torch.from_numpy(layout.sequences(*np.divmod(pairs, layout.operand_count)))
    with np.errstate(over="ignore", invalid="ignore"):
        tensors = {name: torch.from_numpy(np.ascontiguousarray(w, dtype))[None] for name, w in weights.items()}
    logits, _ = network.logits_and_activations(
        tensors, tokens, answer_position, design_of(Model.model_validate(section)), []
    )
    return logits.numpy()


def agreement(logits: NDArray[np.floating], operations: list[CandidateOperation]) -> dict[str, float]:
    """Return, for each operation by name, the fraction of pairs whose answers follow it.

    Only pairs for which the operation is defined count.

    Args:
        logits: logits of all pairs [pair, output].
        operations: the operations that are tested.
    """
    answers = logits.argmax(-1)
    fractions = {}
    for operation in operations:
        labels = operation.labels.ravel()
        fractions[operation.name] = float((answers == labels)[labels >= 0].mean())
    return fractions


def check_finite(logits: NDArray[np.floating], path: Path) -> None:
    """Check that logits are finite.

    Args:
        logits: logits of a network, of any shape.
        path: path of the network's file, for the message.

    Raises:
        UserError: a logit is NaN or infinite.
    """
    if not np.isfinite(logits).all():
        raise UserError(
            f"{path}: the network's logits are not finite: its weights are too large, or the file is damaged."
        )


def chosen_operation(fractions: Mapping[str, float]) -> str | None:
    """Return the operation with the highest agreement, or None if no operation stands out.

    An operation stands out if its agreement is at least `MIN_AGREEMENT` and exceeds that of every other operation by
    `MIN_GAP`.

    Args:
        fractions: agreement of each operation, as `agreement` returns it.
    """
    ordered = sorted(fractions, key=lambda name: fractions[name], reverse=True)
    if not ordered or fractions[ordered[0]] < MIN_AGREEMENT:
        return None
    return (
        ordered[0] if fractions[ordered[0]] >= max((fractions[n] for n in ordered[1:]), default=0.0) + MIN_GAP else None
    )
