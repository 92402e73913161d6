"""Expressions of a and b modulo n, such as `a^2 + a*b + b^2` or `a + b if a < b else a - b`.

An expression is parsed into a syntax tree and computed node by node on arrays. It is never run as Python: names other than
`a` and `b`, calls and attributes are errors.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MAX_LENGTH = 200  # largest number of characters of an expression
MAX_EXPONENT = 1000  # limited, because a power is computed by repeated multiplication

Integers = NDArray[np.int64]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Integers, Integers], NDArray[np.bool_]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


class ExpressionError(ValueError):
    """An expression is invalid; the message explains the mistake to the author of the expression."""


def evaluate(expression: str, modulus: int, a: Integers, b: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Compute an expression modulo n, elementwise.

    `/` multiplies by the inverse modulo n; where the divisor has no inverse, the value is undefined. `^` and `**` are
    powers whose exponent is an integer constant from 0 to `MAX_EXPONENT`. Comparisons are between residues 0 … n - 1.

    Args:
        expression: the expression, in `a`, `b`, integers, `+ - * / ^`, parentheses, and `x if y < z else w`.
        modulus: n.
        a: values of a.
        b: values of b, of the same shape.

    Returns:
        The residues, 0 where the value is undefined, and the mask of defined values; both have the shape of a and b.

    Raises:
        ExpressionError: the expression is invalid.
    """
    values, defined = _Evaluator(modulus, a, b).compute(parse(expression))
    defined = np.broadcast_to(defined, a.shape)
    return np.where(defined, np.broadcast_to(values, a.shape), 0), defined.copy()


def parse(expression: str) -> ast.expr:
    """Return the syntax tree of an expression; its nodes are not checked.

    Raises:
        ExpressionError: the text is too long or is not a Python expression after `^` is replaced by `**`.
    """
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(expression)} characters; at most {MAX_LENGTH} are allowed")
    try:
        return ast.parse(expression.strip().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(
            f"{expression!r} is no expression of a and b, such as a + b, a*b, a/b or a^2 + a*b + b^2"
        ) from None


class _Evaluator:
    """Computes the nodes of a syntax tree; each value comes with a mask of where it is defined."""

    def __init__(self, modulus: int, a: Integers, b: Integers) -> None:
        self._n = modulus
        self._operands = {"a": a % modulus, "b": b % modulus}

    def compute(self, node: ast.expr) -> tuple[Integers, NDArray[np.bool_]]:
        """Return the residues of a node, and the mask of where they are defined.

        Raises:
            ExpressionError: the node, or a node below it, is not allowed.
        """
        match node:
            case ast.Name(id=name) if name in self._operands:
                return self._operands[name], np.array(True)
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                return np.array(number % self._n), np.array(True)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value, defined = self.compute(operand)
                return -value % self._n, defined
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.compute(operand)
            case ast.BinOp(left=base, op=ast.Pow(), right=ast.Constant(value=int(exponent))) if (
                not isinstance(exponent, bool) and 0 <= exponent <= MAX_EXPONENT
            ):
                value, defined = self.compute(base)
                return self._power(value, exponent), defined
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as op, right=right):
                return self._binary(op, self.compute(left), self.compute(right))
            case ast.IfExp(test=ast.Compare(left=left, ops=[op], comparators=[right]), body=body, orelse=otherwise) if (
                type(op) in _COMPARISONS
            ):
                (x, x_defined), (y, y_defined) = self.compute(left), self.compute(right)
                condition = _COMPARISONS[type(op)](x, y)
                (if_true, true_defined), (if_false, false_defined) = self.compute(body), self.compute(otherwise)
                value = np.where(condition, if_true, if_false)
                return value, x_defined & y_defined & np.where(condition, true_defined, false_defined)
        raise ExpressionError(
            f"{ast.unparse(node)!r:.80} is not allowed: use a, b, integers, + - * / ^ with a fixed exponent up to "
            f"{MAX_EXPONENT}, parentheses, and `x if y < z else w`"
        )

    def _binary(
        self, op: ast.operator, left: tuple[Integers, NDArray[np.bool_]], right: tuple[Integers, NDArray[np.bool_]]
    ) -> tuple[Integers, NDArray[np.bool_]]:
        (x, x_defined), (y, y_defined) = left, right
        defined = x_defined & y_defined
        match op:
            case ast.Add():
                return (x + y) % self._n, defined
            case ast.Sub():
                return (x - y) % self._n, defined
            case ast.Mult():
                return x * y % self._n, defined
            case ast.Div():
                inverses = np.array([_inverse(residue, self._n) for residue in range(self._n)])
                return x * inverses[y] % self._n, defined & (inverses[y] > 0)
        raise AssertionError(op)

    def _power(self, value: Integers, exponent: int) -> Integers:
        result = np.ones_like(value) % self._n
        for _ in range(exponent):
            result = result * value % self._n
        return result


def _inverse(residue: int, modulus: int) -> int:
    """Return the multiplicative inverse of a residue, or 0 if it has none."""
    try:
        return pow(residue, -1, modulus)
    except ValueError:
        return 0
