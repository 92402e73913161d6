"""Find a network's operation, its number of heads and whether it has LayerNorms, from its answers to all pairs.

The tensors do not show whether a network has LayerNorms, because LayerNorm weights may have been folded into the next
matrices. If all heads are stored in one matrix, the tensors do not show the number of heads either. Each possible
combination of the two is a reading of the network. The chosen reading is the one under which the network gives the right
answers of an operation the highest mean probability.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from progress_measures.errors import UserError
from progress_measures.importing.reading import check_numbers, load_array
from progress_measures.models import imported
from progress_measures.section import MAX_OPERANDS
from progress_measures.tasks import Layout
from progress_measures.tasks.base import is_prime

Weights = dict[str, NDArray[Any]]

# Smallest lead of the recognized operation over any other, in the fraction of pairs whose answers follow it.
MIN_LEAD = 0.1
# The second choice, with or without LayerNorms, is taken only if it raises the confidence by more than this.
MIN_CONFIDENCE_GAIN = 0.01

OPERATIONS = {
    "a+b": "modular_addition",
    "a-b": "modular_subtraction",
    "sum": "integer_addition",
}
"""Task kind of each operation, by the name that users give with `--operation`."""


class Reading(NamedTuple):
    """A possible reading of a network, and the answers that follow from it.

    Attributes:
        heads: number of heads.
        layer_norm: whether the network has LayerNorms.
        answers: output with the largest logit for every pair, without the output for `=`, [a, b].
        agreement: by operation, the fraction of all pairs whose answers follow it.
        confidence: mean probability of the right answers of the operation with the highest agreement; 0 without operations.
    """

    heads: int
    layer_norm: bool
    answers: NDArray[np.int64]
    agreement: dict[str, float]
    confidence: float


def operands(weights: Weights, prime: int | None) -> int:
    """Return n, the number of values of a and of b; the vocabulary has these values and `=`.

    Args:
        weights: tensors with our names and axes.
        prime: the n that the user states; None to take it from the vocabulary.

    Returns:
        n.

    Raises:
        UserError: the sizes do not fit a network on `a b =`, or n is not `prime`.
    """
    vocabulary, outputs, context_length = weights["W_E"].shape[0], weights["W_U"].shape[-1], weights["W_pos"].shape[0]
    n = prime or vocabulary - 1
    if n + 1 != vocabulary:
        raise UserError(
            f"--prime {prime}: the network has {vocabulary} tokens; expected {n + 1}, for 0 … p − 1 and `=`. Omit --prime "
            "to take p from the number of tokens."
        )
    if context_length < 3 or n < 2:
        raise UserError(
            f"the network has {vocabulary} tokens and {context_length} positions; expected a network on sequences `a b =` "
            "with at least 3 positions and at least 3 tokens: the values of a and b, and `=`."
        )
    if n > MAX_OPERANDS:
        raise UserError(
            f"the network has {vocabulary} tokens; expected at most {MAX_OPERANDS + 1}, for the values of a and `=`."
        )
    if outputs < n:
        raise UserError(f"the network has {outputs} outputs; expected at least {n}, one for each value of a.")
    return n


def right_answers(n: int, outputs: int) -> dict[str, NDArray[np.int64]]:
    """Compute the right answers for each operation that a network of this size can compute.

    Args:
        n: number of values of a and of b.
        outputs: number of outputs of the network.

    Returns:
        Right answers [a, b] by the name of the operation. Modular operations require an odd prime n.
    """
    a, b = np.indices((n, n))
    answers = {"sum": a + b} if outputs >= 2 * n - 1 else {}
    return answers | ({"a+b": (a + b) % n, "a-b": (a - b) % n} if n > 2 and is_prime(n) else {})


def most_likely_reading(
    weights_with: Callable[[int], Weights], heads: list[int], layer_norm: list[bool], n: int
) -> Reading:
    """Return the reading under which the right answers of an operation have the highest mean probability.

    Args:
        weights_with: function from a number of heads to the network's tensors.
        heads: possible numbers of heads, the most likely first.
        layer_norm: possible values of whether the network has LayerNorms, the more likely first.
        n: number of values of a and of b.

    Returns:
        The reading with the highest confidence; the first one if no operation is recognized under any reading.
    """
    first, best = None, None
    for normalized in layer_norm:
        readings = [_reading(weights_with(count), normalized, n) for count in heads]
        first = first or readings[0]
        candidate = max(
            (reading for reading in readings if operation(reading)),
            key=lambda reading: reading.confidence,
            default=None,
        )
        if candidate and (best is None or candidate.confidence > best.confidence + MIN_CONFIDENCE_GAIN):
            best = candidate
    assert first is not None
    return best or first


def _reading(weights: Weights, layer_norm: bool, n: int) -> Reading:
    """Compute the network's answers under one reading; raise a `UserError` if its logits are not finite."""
    outputs = weights["W_U"].shape[-1]
    kept_outputs = n if outputs == n + 1 else outputs  # the last of n + 1 outputs is for `=`
    sizes = Layout(operands=n, vocabulary=n + 1, context_length=3, outputs=kept_outputs, input_length=3)
    with np.errstate(over="ignore", invalid="ignore"):
        weights32 = {
            name: tensor.astype(np.float32)
            for name, tensor in imported.to_native_weights(weights, sizes, False).items()
        }
        _, logits = imported.neurons_and_logits(weights32, n, layer_norm)
    if not np.isfinite(logits).all():
        raise UserError(
            "the network's logits are not finite in float32: its weights are too large, or the file is damaged."
        )
    answers = logits.argmax(-1).reshape(n, n)
    answer_tables = right_answers(n, kept_outputs)
    agreement = {name: float((answers == table).mean()) for name, table in answer_tables.items()}
    confidence = 0.0
    if agreement:
        labels = answer_tables[max(agreement, key=lambda name: agreement[name])].reshape(-1, 1)
        confidence = float(np.take_along_axis(softmax(logits.astype(np.float64), -1), labels, -1).mean())
    return Reading(weights["W_Q"].shape[1], layer_norm, answers, agreement, confidence)


def operation(reading: Reading) -> str | None:
    """Return the operation with the highest agreement if it leads any other by `MIN_LEAD` or more, else None."""
    ordered = sorted(reading.agreement, key=lambda name: reading.agreement[name], reverse=True)
    other_agreement = [reading.agreement[name] for name in ordered[1:]]
    has_lead = ordered and reading.agreement[ordered[0]] >= max(other_agreement, default=0.0) + MIN_LEAD
    return ordered[0] if has_lead else None


def task(name: str, n: int, outputs: int, reading: Reading) -> dict[str, Any]:
    """Return the task of an operation, as in an experiment's file.

    Args:
        name: `a+b`, `a-b`, `sum`, `other` (the network's own answers count as right), or the path of a file with the
            right answers.
        n: number of values of a and of b.
        outputs: number of outputs of the network.
        reading: the reading of the network, whose answers `other` uses.

    Returns:
        The fields of the section `task`.

    Raises:
        UserError: the operation does not fit the network.
    """
    kept_outputs = n if outputs == n + 1 else outputs
    if name in ("a+b", "a-b"):
        if n <= 2 or not is_prime(n):
            raise UserError(
                f"--operation {name}: a has {n} values; measures of modular tasks require an odd prime. Use --operation "
                "other, or give a file with the table of right answers."
            )
        return {"kind": OPERATIONS[name], "prime": n}
    if name == "sum":
        if outputs < 2 * n - 1:
            raise UserError(
                f"--operation sum: the network has {outputs} outputs; expected at least {2 * n - 1}, one per sum."
            )
        return {"kind": OPERATIONS[name], "operands": n, "outputs": outputs}
    answers = reading.answers if name == "other" else _read_answers(Path(name), n, kept_outputs)
    return {"kind": "pair_table", "operands": n, "outputs": kept_outputs, "answers": answers.ravel().tolist()}


def _read_answers(path: Path, n: int, outputs: int) -> NDArray[np.int64]:
    """Read the right answers [a, b] from a file with n lines of n numbers."""
    if not path.is_file():
        raise UserError(
            f"--operation {str(path)[:80]}: expected a+b, a-b, sum, other, or a file with the table of right answers."
        )
    try:
        delimiter = "," if path.suffix == ".csv" else None
        table = load_array(path) if path.suffix == ".npy" else np.loadtxt(path, delimiter=delimiter)
        check_numbers(table)
        answers = table.astype(np.int64)
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise UserError(f"--operation {path}: not a table of numbers ({error}).") from None
    if (
        answers.shape != (n, n)
        or not np.array_equal(answers, table)
        or not 0 <= answers.min() <= answers.max() < outputs
    ):
        raise UserError(
            f"--operation {path}: expected {n} lines, one per value of a, with {n} integers from 0 to {outputs - 1} each."
        )
    return answers
