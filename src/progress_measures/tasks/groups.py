"""The cyclic group in which a task's right answers are sums or differences, found from the task's table of labels.

In the order of the group, the operand values are elements g_0 … g_(m-1) such that the right answer for (g_i, g_j) depends on
i + j mod m alone, or on i - j mod m alone. A sum or difference mod n has this form in the order 0 … n - 1, with m = n. A
product or quotient mod a prime p has it for the m = p - 1 residues other than 0, in the order of their discrete logarithms to
a primitive root.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Group(NamedTuple):
    """A cyclic group of m operand values: of all n (m = n), or of all but 0 (m = n - 1).

    Attributes:
        elements: operand values g_0 … g_(m-1) in the order of the group [m].
        outputs: right answers in the order of the group: that for (g_i, g_j) is `outputs[(i + sign * j) % m]` [m].
        sign: 1 for sums and products, -1 for differences and quotients.
        generator: the primitive root that is the base of the discrete logarithms; 0 for sums and differences.
    """

    elements: NDArray[np.int64]
    outputs: NDArray[np.int64]
    sign: int
    generator: int = 0

    @property
    def is_natural(self) -> bool:
        """Whether operand values and outputs are already in the order 0, 1, 2, …."""
        order = np.arange(len(self.elements))
        return bool((self.elements == order).all() and (self.outputs == order).all())


def find_group(labels: NDArray[np.int64], defined: NDArray[np.bool_] | None = None) -> Group | None:
    """Find the cyclic group in which the labels of a table are sums or differences.

    Args:
        labels: label of every pair [a, b].
        defined: whether each pair has a label [a, b]; None if all have one.

    Returns:
        The group; None if the right answer is neither a sum or difference mod n, nor a product or quotient mod a prime
        n > 3, nor a one-to-one function of one of these.
    """
    n = len(labels)
    has_label = np.ones_like(labels, dtype=bool) if defined is None else defined
    orders = [(np.arange(n), 0)]  # operand values in an order that may be the group's, and its primitive root or 0
    generator = primitive_root(n)
    if generator and n > 3:  # for n = 3, the group has two elements, in which a sum and a difference are the same
        orders.append((discrete_powers(n, generator), generator))
    for elements, base in orders:
        if not has_label[np.ix_(elements, elements)].all():
            continue
        table = labels[np.ix_(elements, elements)]
        for sign in (1, -1):
            outputs = table[:, 0]  # at j = 0, the right answer depends on i alone
            i, j = np.indices(table.shape)
            if (table == outputs[(i + sign * j) % len(elements)]).all() and len(set(outputs.tolist())) == len(elements):
                return Group(elements, outputs, sign, base)
    return None


def discrete_powers(p: int, generator: int) -> NDArray[np.int64]:
    """Return the powers of a primitive root, which are the residues other than 0.

    Args:
        p: a prime.
        generator: a primitive root g mod p.

    Returns:
        g^0 … g^(p - 2) mod p, [p - 1].
    """
    powers = [1]
    for _ in range(p - 2):
        powers.append(powers[-1] * generator % p)
    return np.array(powers)


def is_prime(number: int) -> bool:
    """Return whether a number is prime."""
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def primitive_root(p: int) -> int:
    """Return the smallest primitive root modulo p; 0 if p is 2 or not a prime."""
    if p < 3 or not is_prime(p):
        return 0
    return next(g for g in range(2, p + 1) if p == 3 or len(set(discrete_powers(p, g).tolist())) == p - 1)
