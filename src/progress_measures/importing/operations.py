"""Operations, such as a + b mod n, with which the importer compares a network's answers, and the task of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.importing.reading import check_numbers, load_array
from progress_measures.tasks import TASKS, PairTask
from progress_measures.tasks.groups import is_prime

MODULAR = ("a+b", "a-b", "b-a", "a*b", "a/b")
"""Operations modulo n that are tested on every network with n > 2 operand values and at least n outputs.

On networks with at least 2n - 1 outputs, `sum` (a + b without modulus) is tested, too.
"""

SYMMETRIC_GROUP = re.compile(r"s([3-6])", re.IGNORECASE)
"""Names of operations that compose permutations of 3 to 6 elements."""


class CandidateOperation(NamedTuple):
    """An operation that a network may compute, with its task.

    Attributes:
        name: `a+b`, …, `sum` (a + b without modulus), an expression, `s5`, or the path of a file with right answers.
        task: the task with this operation.
    """

    name: str
    task: PairTask

    @property
    def labels(self) -> NDArray[np.int64]:
        """Right answer of every pair, -1 where none is defined: [a, b]."""
        return np.where(self.task.defined(), self.task.label_table(), -1)


def task_of_operation(name: str, n: int, outputs: int, tokens: str, read: int | str) -> PairTask:
    """Return the task of an operation.

    Args:
        name: `a+b`, …, `sum`, an expression of a and b, `s3` to `s6` for the composition of permutations, or the path of a
            file with the table of right answers.
        n: number of operand values.
        outputs: number of outputs of the network, which may exceed the number of right answers.
        tokens: the layout of the tokens, as in `tasks.tokens`.
        read: the answer position, or `last` for the last one.

    Raises:
        UserError: no operation has this name, its file is missing or not valid, or the operation does not fit the numbers of
            operand values and outputs.
    """
    layout: dict[str, Any] = {"tokens": tokens, "read": read}
    content: dict[str, Any]
    kinds = {"a+b": "modular_addition", "a-b": "modular_subtraction"}
    symmetric = SYMMETRIC_GROUP.fullmatch(name)
    try:
        if name == "sum":
            content = {"kind": "integer_addition", "operands": n, "outputs": outputs}
        elif name in kinds and n > 2 and is_prime(n):
            content = {"kind": kinds[name], "prime": n} | ({"outputs": outputs} if outputs != n else {})
        elif symmetric:
            content = {"kind": "permutation_composition", "degree": int(symmetric[1])}
        elif is_path(name):
            answers = read_answers(Path(name), n, outputs)
            content = {"kind": "pair_table", "operands": n, "outputs": outputs, "answers": answers.ravel().tolist()}
        else:
            content = {"kind": "operation", "expression": name, "modulus": n}
            content |= {"outputs": outputs} if outputs != n else {}
        task = TASKS[str(content["kind"])].model_validate(content | layout)
    except ValidationError as error:
        if n == 2 and name in MODULAR:
            raise UserError(
                f"--operation {name}: operations mod n need at least 3 operand values, and there are 2 (--modulus). State a file "
                "with the table of right answers."
            ) from None
        reasons = "; ".join(str(entry["msg"]).removeprefix("Value error, ") for entry in error.errors())
        raise UserError(
            f"--operation {name[:80]}: {reasons}. Expected {', '.join(MODULAR)}, sum, s5, an expression of a and b such as "
            "a^2 + a*b + b^2, or a file with the table of right answers."
        ) from None
    assert isinstance(task, PairTask)
    if task.operand_count != n:
        raise UserError(
            f"--operation {name}: this operation has {task.operand_count} operand values; the network has {n}."
        )
    if outputs < task.output_count:
        raise UserError(
            f"--operation {name}: the network has {outputs} outputs; expected at least {task.output_count}, one per answer."
        )
    return task


def candidates(n: int, outputs: int, tokens: str, read: int | str) -> list[CandidateOperation]:
    """Return the operations for which a network is tested; none if it has too few operand values or outputs.

    Args:
        n: number of operand values.
        outputs: number of outputs of the network.
        tokens: the layout of the tokens.
        read: the answer position, or `last`.
    """
    names = list(MODULAR) if outputs >= n and n > 2 else []
    names += ["sum"] if outputs >= 2 * n - 1 and n > 1 else []
    return [CandidateOperation(name, task_of_operation(name, n, outputs, tokens, read)) for name in names]


def is_path(name: str) -> bool:
    """Return whether the name of an operation is the path of a file with a table of right answers."""
    return Path(name).suffix in (".csv", ".txt", ".npy", ".tsv", ".dat") or Path(name).is_file()


def read_answers(path: Path, n: int, outputs: int) -> NDArray[np.int64]:
    """Read the right answers from a file with n lines of n numbers.

    Args:
        path: path of a .npy file, or of a text file with numbers separated by spaces, or by commas in a .csv file.
        n: number of operand values.
        outputs: number of outputs; every right answer must be smaller.

    Returns:
        The right answers [a, b].

    Raises:
        UserError: the file is missing, or is not a table of n x n integers from 0 to `outputs` - 1.
    """
    if not path.is_file():
        raise UserError(f"--operation {str(path)[:80]}: there is no such file; expected a table of right answers.")
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
