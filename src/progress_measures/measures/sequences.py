"""Losses and accuracies at each answer position of a sequence, losses by trigram, induction scores (appendix D.3).

A skip trigram has three parts: a signal token, the last token of the sequence, and the answer that the signal token
determines. A trigram is numbered by its signal token, from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.measures.numerics import Array, Outcomes
    from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint

SECTION = "Nanda et al. 2023, appendix D.3"
BY_ANSWER = ("run", "epoch", "answer")
BY_TRIGRAM = ("run", "epoch", "trigram")
BY_HEAD = ("run", "epoch", "layer", "head")
INDUCTION = f"{SECTION}; Olsson et al. 2022"


def _by_answer(checkpoint: SequenceCheckpoint, values: NDArray) -> Array:
    """Return the mean over examples, at each answer position of a sequence: [answer].

    Args:
        checkpoint: the checkpoint.
        values: one value per answer of all examples, ordered by example and, within an example, by position.
    """
    return values.reshape(-1, checkpoint.context.test.labels.shape[1]).mean(0)


@measure(
    dims=BY_ANSWER, units="nat", long_name="Train loss of each answer", requires={"many_answers"},
    reference=f"{SECTION}, Fig. 29", dtype="float64",
)  # fmt: skip
def train_loss_by_answer(checkpoint: SequenceCheckpoint) -> Array:
    """Mean cross-entropy over training examples, at each answer position of a sequence."""
    return _by_answer(checkpoint, checkpoint.train_outcomes.loss)


@measure(
    dims=BY_ANSWER, units="nat", long_name="Test loss of each answer", requires={"many_answers"},
    reference=f"{SECTION}, Fig. 29", dtype="float64",
)  # fmt: skip
def test_loss_by_answer(checkpoint: SequenceCheckpoint) -> Array:
    """Mean cross-entropy over test examples, at each answer position of a sequence."""
    return _by_answer(checkpoint, checkpoint.test_outcomes.loss)


@measure(
    dims=BY_ANSWER, units="1", long_name="Test accuracy of each answer", requires={"many_answers"}, reference=SECTION
)
def test_accuracy_by_answer(checkpoint: SequenceCheckpoint) -> Array:
    """Fraction of test examples in which the answer is right, for each answer position of a sequence."""
    return _by_answer(checkpoint, checkpoint.test_outcomes.correct)


def _by_trigram(checkpoint: SequenceCheckpoint, outcomes: Outcomes) -> Array:
    """Return the mean loss over the examples of each trigram: [trigram]; NaN for a trigram without examples.

    The label of an example is the number of its trigram.
    """
    outputs = checkpoint.context.run.task.sizes.outputs
    with np.errstate(invalid="ignore"):
        return np.bincount(outcomes.labels, outcomes.loss, outputs) / np.bincount(outcomes.labels, minlength=outputs)


@measure(
    dims=BY_TRIGRAM, units="nat", long_name="Train loss of each trigram", requires={"trigrams"}, reference=SECTION,
    dtype="float64",
)  # fmt: skip
def train_loss_by_trigram(checkpoint: SequenceCheckpoint) -> Array:
    """Mean cross-entropy over the training examples with each signal token; NaN for a token without examples.

    Each example has one signal token, which determines the answer. A trigram has the number of its signal token.
    """
    return _by_trigram(checkpoint, checkpoint.train_outcomes)


@measure(
    dims=BY_TRIGRAM, units="nat", long_name="Test loss of each trigram", requires={"trigrams"}, reference=SECTION,
    dtype="float64",
)  # fmt: skip
def test_loss_by_trigram(checkpoint: SequenceCheckpoint) -> Array:
    """Mean cross-entropy over the test examples with each signal token; NaN for a token without examples.

    Each example has one signal token, which determines the answer. A trigram has the number of its signal token.
    """
    return _by_trigram(checkpoint, checkpoint.test_outcomes)


@measure(dims=BY_HEAD, units="1", long_name="Induction score", requires={"repeats", "attention"}, reference=INDUCTION)
def induction_score(checkpoint: SequenceCheckpoint) -> Array:
    """Attention from an answer position to tokens that equal the answer and follow an earlier copy of the current token.

    The current token is the one at the answer position. The attention is summed over these tokens, then averaged over
    all answer positions of 64 test examples. An earlier copy of the current token that is followed by a token other
    than the answer occurs by chance and does not count.
    """
    tokens, positions, labels = checkpoint.context.pattern_examples
    example = np.arange(len(tokens))[:, None]
    current = tokens[example, positions]  # [example, answer]
    is_copy = tokens[:, None, :-1] == current[..., None]  # [example, answer, position]
    precedes_answer = tokens[:, None, 1:] == labels[..., None]
    earlier = np.arange(tokens.shape[1] - 1) < positions[..., None]
    targets = is_copy & precedes_answer & earlier
    # Entry i of `targets` stands for position i + 1, the token after the copy. So the patterns, too, start at
    # position 1: [layer, head, example, answer, key].
    from_answers = checkpoint.patterns[:, :, example, positions, 1:]
    return (from_answers * targets[..., : from_answers.shape[-1]]).sum(-1).mean((-2, -1))


@measure(
    dims=BY_HEAD, units="1", long_name="Previous-token score", requires={"repeats", "attention"}, reference=INDUCTION
)
def previous_token_score(checkpoint: SequenceCheckpoint) -> Array:
    """Mean attention from each position but the first to the previous one, over positions and 64 test examples."""
    return np.diagonal(checkpoint.patterns, -1, -2, -1).mean((-2, -1))
