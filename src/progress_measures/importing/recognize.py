"""What a network computes, told by its own answers to all pairs: the operation, and what its tensors do not say.

Tensors do not say whether a network normalizes what it reads (LayerNorms' weights may have been folded away), nor,
where its heads are stored as one matrix, how many there are. The reading under which the network gives most probability to
the answers of an operation is the right one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from progress_measures.errors import UserError
from progress_measures.experiments.schema import MOST_PAIRS, is_prime
from progress_measures.importing.reading import check_numbers, load_array
from progress_measures.models import imported
from progress_measures.tasks import Layout

Weights = dict[str, NDArray[Any]]

SHARE = 0.1  # of all pairs, that must follow an operation and no other for it to be recognized
BETTER = 0.01  # by so much must a network trust its answers more with LayerNorms than without for these to be believed

OPERATIONS = {
    "a+b": "modular_addition",
    "a-b": "modular_subtraction",
    "sum": "integer_addition",
}
"""Names of operations for people, and the kinds of task that they are."""


class Reading(NamedTuple):
    """One way to read a network, and what comes of it.

    Attributes:
        heads: how many.
        layer_norm: whether it normalizes.
        answers: its best output for every pair, of all its outputs but `=`: [a, b].
        shares: of pairs on which each operation holds, by name.
        trust: the mean probability that it gives to the answers of the operation that holds on most pairs.
    """

    heads: int
    layer_norm: bool
    answers: NDArray[np.int64]
    shares: dict[str, float]
    trust: float


def operands(weights: Weights, prime: int | None) -> int:
    """n: the values of a and of b. The vocabulary is they and `=`.

    Raises:
        UserError: the network cannot be one on `a b =`.
    """
    vocabulary, outputs, context_length = weights["W_E"].shape[0], weights["W_U"].shape[-1], weights["W_pos"].shape[0]
    n = prime or vocabulary - 1
    if n + 1 != vocabulary:
        raise UserError(
            f"--prime {prime}: the network has {vocabulary} tokens; {n + 1} were expected, 0 … p − 1 and `=`."
        )
    if context_length < 3 or n < 2:
        raise UserError(
            f"the network has {vocabulary} tokens and {context_length} positions; expected are sequences `a b =`: three "
            "positions or more, and one token more than a has values."
        )
    if n > MOST_PAIRS:
        raise UserError(
            f"the network has {vocabulary} tokens; expected are at most {MOST_PAIRS + 1}, values of a and `=`."
        )
    if outputs < n:
        raise UserError(f"the network has {outputs} outputs; expected at least {n}, one for each value of a.")
    return n


def right_answers(n: int, outputs: int) -> dict[str, NDArray[np.int64]]:
    """What each operation says of every pair: [a, b]."""
    a, b = np.indices((n, n))
    found = {"sum": a + b} if outputs >= 2 * n - 1 else {}
    return found | ({"a+b": (a + b) % n, "a-b": (a - b) % n} if n > 2 and is_prime(n) else {})


def likeliest(weights_with: Callable[[int], Weights], heads: list[int], layer_norm: list[bool], n: int) -> Reading:
    """The reading under which the network trusts an operation most; the first, where it follows none under any.

    Args:
        weights_with: the network's tensors, for a number of heads.
        heads, layer_norm: what is possible, the likeliest first.
        n: number of values of a and of b.
    """
    first, best = None, None
    for normalized in layer_norm:
        found = [_reading(weights_with(count), normalized, n) for count in heads]
        first = first or found[0]
        ahead = max((one for one in found if operation(one)), key=lambda one: one.trust, default=None)
        if ahead and (best is None or ahead.trust > best.trust + BETTER):
            best = ahead
    assert first is not None
    return best or first


def _reading(weights: Weights, layer_norm: bool, n: int) -> Reading:
    outputs = weights["W_U"].shape[-1]
    kept = n if outputs == n + 1 else outputs  # the last is `=`
    sizes = Layout(operands=n, vocabulary=n + 1, context_length=3, outputs=kept, read_to=3)
    with np.errstate(over="ignore", invalid="ignore"):
        single = {name: tensor.astype(np.float32) for name, tensor in imported.as_ours(weights, sizes, False).items()}
        _, logits = imported.neurons_and_logits(single, n, layer_norm)
    if not np.isfinite(logits).all():
        raise UserError("the network's logits are not finite in float32: its weights are too large, or damaged.")
    answers = logits.argmax(-1).reshape(n, n)
    right = right_answers(n, kept)
    shares = {name: float((answers == table).mean()) for name, table in right.items()}
    trust = 0.0
    if shares:
        best = right[max(shares, key=lambda name: shares[name])].reshape(-1, 1)
        trust = float(np.take_along_axis(softmax(logits.astype(np.float64), -1), best, -1).mean())
    return Reading(weights["W_Q"].shape[1], layer_norm, answers, shares, trust)


def operation(reading: Reading) -> str | None:
    """The operation that the answers follow, if there is one."""
    ordered = sorted(reading.shares, key=lambda name: reading.shares[name], reverse=True)
    others = [reading.shares[name] for name in ordered[1:]]
    clear = ordered and reading.shares[ordered[0]] >= max(others, default=0.0) + SHARE
    return ordered[0] if clear else None


def task(name: str, n: int, outputs: int, reading: Reading) -> dict[str, Any]:
    """The task of an operation, as in an experiment's file.

    Args:
        name: `a+b`, `a-b`, `sum`, `other` (the network's own answers count as right), or a file with the right answers.
        n: number of values of a and of b.
        outputs: of the network.
        reading: of the network.
    Raises:
        UserError: it does not fit the network.
    """
    kept = n if outputs == n + 1 else outputs
    if name in ("a+b", "a-b"):
        if n <= 2 or not is_prime(n):
            raise UserError(
                f"--operation {name}: a has {n} values, and measures of modular tasks need a prime number of them."
            )
        return {"kind": OPERATIONS[name], "prime": n}
    if name == "sum":
        if outputs < 2 * n - 1:
            raise UserError(f"--operation sum: the network has {outputs} outputs, fewer than the {2 * n - 1} sums.")
        return {"kind": OPERATIONS[name], "operands": n, "outputs": outputs}
    right = reading.answers if name == "other" else _table(Path(name), n, kept)
    return {"kind": "pair_table", "operands": n, "outputs": kept, "answers": right.ravel().tolist()}


def _table(path: Path, n: int, outputs: int) -> NDArray[np.int64]:
    """The right answers in a file: n lines of n numbers."""
    if not path.is_file():
        raise UserError(
            f"--operation {str(path)[:80]}: expected a+b, a-b, sum, other, or a file with the table of right answers."
        )
    try:
        delimiter = "," if path.suffix == ".csv" else None
        table = load_array(path) if path.suffix == ".npy" else np.loadtxt(path, delimiter=delimiter)
        check_numbers(table)
        whole = table.astype(np.int64)
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise UserError(f"--operation {path}: not a table of numbers ({error}).") from None
    if whole.shape != (n, n) or not np.array_equal(whole, table) or not 0 <= whole.min() <= whole.max() < outputs:
        raise UserError(
            f"--operation {path}: expected {n} lines, one a value of a, of {n} whole numbers below {outputs}."
        )
    return whole
