"""Layouts of the tokens of a pair: the token at each position of the input, such as `a b =` or `a 113 b 114`."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PAPER_LAYOUT = "a b ="
"""The paper's layout: operand values are the tokens 0 … n - 1, and `=` is token n."""

MAX_POSITIONS = 64
"""Largest number of positions of a layout: sequences of all pairs must fit into memory."""

MAX_TOKEN = 100_000
"""Largest number in a layout, as a token or after `+`: the embedding has a row for every token up to the largest."""

# one position of a layout; groups: operand, number added to its value, fixed token, `=`
_WORD = re.compile(r"([ab])(?:\+([0-9]+))?|([0-9]+)|(=)")


class Slot(NamedTuple):
    """A position of the layout: it holds the token of an operand, or a fixed token."""

    operand: str  # `a`, `b`, or empty for a fixed token
    token: int  # the fixed token; for an operand, the token of the value 0, to which the value is added


class TokenLayout(NamedTuple):
    """The tokens of a pair (a, b).

    Attributes:
        text: the layout as users write it.
        slots: the token or operand at each position.
        operand_count: number n of operand values.
    """

    text: str
    slots: tuple[Slot, ...]
    operand_count: int

    @classmethod
    def parse(cls, text: str, operand_count: int) -> TokenLayout:
        """Parse a layout.

        Args:
            text: words separated by spaces, one for each position: `a` or `b` for the operand's value, `a+N` or `b+N` for the
                value plus N, a number for a fixed token, and `=` for the token after the largest operand token.
            operand_count: number n of operand values.

        Returns:
            The layout; its `text` has one space between words.

        Raises:
            ValueError: a word is invalid, an operand does not occur exactly once, or there are too many positions.
        """
        words = text.split()
        matches = [_WORD.fullmatch(word) for word in words]
        for word, match in zip(words, matches, strict=True):
            if match is None or max(int(number or 0) for number in match.groups()[1:3]) > MAX_TOKEN:
                raise ValueError(
                    f"{word[:40]!r} is no token: expected `a`, `b`, `a+N` or `b+N` for a value plus N, a token's number, or "
                    f"`=` for the token after the largest operand token, such as `a b =` or `a 113 b 114`; N and a token's "
                    f"number are at most {MAX_TOKEN:,}"
                )
        if len(words) > MAX_POSITIONS:
            raise ValueError(f"{len(words)} positions; at most {MAX_POSITIONS} are allowed")
        for operand in "ab":
            if sum(match is not None and match[1] == operand for match in matches) != 1:
                raise ValueError(f"`{operand}` must occur once, as in `a b =`; found {text[:80]!r}")
        shifts = [int(match[2] or 0) for match in matches if match is not None and match[1]]
        equals = operand_count + max(shifts)
        slots = []
        for match in matches:
            assert match is not None
            if match[1]:
                slots.append(Slot(match[1], int(match[2] or 0)))
            else:
                slots.append(Slot("", equals if match[4] else int(match[3])))
        return cls(" ".join(words), tuple(slots), operand_count)

    @property
    def is_paper(self) -> bool:
        """Whether this is the paper's layout, written `a b =`."""
        return self.text == PAPER_LAYOUT

    @property
    def vocabulary(self) -> int:
        """Number of tokens: the largest token of the layout plus 1."""
        return max(slot.token + (self.operand_count if slot.operand else 1) for slot in self.slots)

    @property
    def shared_operand_tokens(self) -> NDArray[np.int64] | None:
        """Tokens of the operand values 0 … n - 1 if a and b have the same tokens, else None."""
        zero_tokens = {slot.token for slot in self.slots if slot.operand}  # tokens of a = 0 and b = 0
        return np.arange(self.operand_count) + zero_tokens.pop() if len(zero_tokens) == 1 else None

    @property
    def is_triple(self) -> bool:
        """Whether the layout is a, b and a fixed token, and differs from `a b =` only in the numbers of the tokens."""
        operands = [slot.operand for slot in self.slots]
        if operands != ["a", "b", ""] or self.shared_operand_tokens is None:
            return False
        return self.slots[2].token not in self.shared_operand_tokens

    def position(self, operand: str) -> int:
        """Return the position of the operand `a` or `b`."""
        return [slot.operand for slot in self.slots].index(operand)

    def sequences(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tokens of pairs.

        Args:
            a: values of a, of any shape.
            b: values of b, of the same shape.

        Returns:
            Tokens [..., position].
        """
        values = {"a": a, "b": b, "": np.zeros_like(a)}
        return np.stack([values[slot.operand] + slot.token for slot in self.slots], axis=-1)

    def names(self) -> list[str]:
        """Return a name for each position: `a`, `b`, `=` for a single fixed token, else the token's number."""
        fixed = [slot for slot in self.slots if not slot.operand]
        return [slot.operand or ("=" if len(fixed) == 1 else str(slot.token)) for slot in self.slots]
