"""How an imported network reads pairs: the number n of operand values, the layout of tokens and the answer position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from progress_measures.errors import UserError
from progress_measures.importing.findings import Choice
from progress_measures.section import MAX_OPERANDS
from progress_measures.tasks.tokens import PAPER_LAYOUT, TokenLayout


class Sizes(NamedTuple):
    """How a network reads pairs.

    Attributes:
        operands: number n of operand values.
        tokens: the layout of the tokens, as in `tasks.tokens`.
        read: the answer position, or `last`.
        outputs: number of outputs.
    """

    operands: Choice
    tokens: Choice
    read: Choice
    outputs: int


def find_sizes(
    weights: Mapping[str, Any], one_hot: bool, tokens: Choice | None, read: Choice | None, modulus: Choice | None
) -> Sizes:
    """Find the number n of operand values, the layout of the tokens, the answer position and the number of outputs.

    Args:
        weights: tensors with this project's names and axes.
        one_hot: whether the network reads one-hot vectors of a and b, without an embedding.
        tokens: the layout, if the user or the file states it.
        read: the answer position, if it is stated.
        modulus: n, if it is stated.

    Returns:
        The sizes. What is not stated follows from the tensors, or is assumed to be as in the paper.

    Raises:
        UserError: the sizes fit no network on pairs, or what is stated does not fit the tensors.
    """
    vocabulary = weights["W_in"].shape[0] // 2 if one_hot else weights["W_E"].shape[0]
    positions = len(weights["W_pos"]) if "W_pos" in weights else None
    output_matrix = "W_U" if "W_U" in weights else "W_out"
    tied = "W_Q" in weights and "W_U" not in weights
    outputs = vocabulary if tied else weights[output_matrix].shape[-1]
    if tokens is None:
        if "W_Q" not in weights:
            tokens = Choice("a b", "tensors", "an MLP reads a and b")
        elif positions == 2:
            raise UserError(
                "the network has two positions, too few for the layout `a b =`. State the layout, such as --tokens 'a b'."
            )
        else:
            tokens = Choice(PAPER_LAYOUT, "assumed", "the paper's layout (--tokens)")
    if modulus is None:
        modulus = Choice(
            _operand_count(tokens.value, vocabulary, outputs), "tensors", f"{vocabulary} tokens, {outputs} outputs"
        )
    n = modulus.value
    if not 2 <= n <= MAX_OPERANDS:
        raise UserError(
            f"the network has {vocabulary} tokens, which leaves {n} values of a and b with the layout {tokens.value!r}; "
            f"expected 2 to {MAX_OPERANDS}. State the layout with --tokens, such as `a b =` or `a 113 b 114`, and n with "
            "--modulus."
        )
    try:
        layout = TokenLayout.parse(tokens.value, n)
    except ValueError as error:
        raise UserError(f"--tokens {tokens.value!r}: {error}.") from None
    if layout.vocabulary > vocabulary:
        raise UserError(
            f"--tokens {tokens.value!r} with {n} values of a and b needs {layout.vocabulary} tokens; the network has "
            f"{vocabulary}. State another layout with --tokens, or another n with --modulus."
        )
    if positions is not None and len(layout.slots) > positions:
        raise UserError(
            f"--tokens {tokens.value!r} has {len(layout.slots)} positions; the network has {positions}. Expected a network "
            "on pairs; state the layout of its tokens with --tokens."
        )
    read = read or Choice("last", "assumed", "the logits at the last position (--read)")
    if read.value != "last" and not 0 <= read.value < len(layout.slots):
        raise UserError(f"--read {read.value}: expected `last` or a position from 0 to {len(layout.slots) - 1}.")
    if outputs < 2:
        raise UserError(f"the network has {outputs} output; expected one for each possible answer.")
    return Sizes(modulus, tokens, read, outputs)


def _operand_count(tokens: str, vocabulary: int, outputs: int) -> int:
    """Return the number n of operand values: how many of the tokens are left for them.

    `=` takes the last token, if the layout has it. The operands' tokens begin at the token of the value 0 and end
    before the next fixed token, such as 113 in `a 113 b 114`. With more than two outputs, n is at most the number of
    outputs. Two outputs do not limit n, because they may be two classes.
    """
    try:
        layout = TokenLayout.parse(tokens, 1)
    except ValueError as error:
        raise UserError(f"--tokens {tokens!r}: {error}.") from None
    # The token of the operand value 0; the larger one if a and b have different tokens.
    first_token = max(slot.token for slot in layout.slots if slot.operand)
    fixed = [slot.token for slot, word in zip(layout.slots, tokens.split(), strict=True) if word.isdigit()]
    fixed_after = [token for token in fixed if token >= first_token]
    end = min([vocabulary - ("=" in tokens.split()), *fixed_after])
    n = end - first_token
    return min(n, outputs) if outputs > 2 else n
