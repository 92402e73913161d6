"""What networks on sequences answer rightly, and how they find it (appendix D.3)."""

import numpy as np

from progress_measures.measures.numerics import correct, cross_entropy
from progress_measures.measures.registry import measure

SECTION = "Nanda et al. 2023, appendix D.3"
BY_ANSWER = ("run", "epoch", "answer")
BY_TRIGRAM = ("run", "epoch", "trigram")
BY_HEAD = ("run", "epoch", "layer", "head")
INDUCTION = f"{SECTION}; Olsson et al. 2022"


def _by_answer(checkpoint, values):
    """Mean over examples: [answer]."""
    return values.reshape(-1, checkpoint.context.test.labels.shape[1]).mean(0)


@measure(
    dims=BY_ANSWER, units="nat", long_name="Train loss of each answer", reference=f"{SECTION}, Fig. 29",
    dtype="float64", needs="answers",
)  # fmt: skip
def train_loss_by_answer(checkpoint):
    """Mean cross-entropy over training examples of each of their answers."""
    return _by_answer(checkpoint, cross_entropy(*checkpoint.train))


@measure(
    dims=BY_ANSWER, units="nat", long_name="Test loss of each answer", reference=f"{SECTION}, Fig. 29",
    dtype="float64", needs="answers",
)  # fmt: skip
def test_loss_by_answer(checkpoint):
    """Mean cross-entropy over test examples of each of their answers."""
    return _by_answer(checkpoint, cross_entropy(*checkpoint.test))


@measure(dims=BY_ANSWER, units="1", long_name="Test accuracy of each answer", reference=SECTION, needs="answers")
def test_accuracy_by_answer(checkpoint):
    """Share of test examples of which each answer is right."""
    return _by_answer(checkpoint, correct(*checkpoint.test))


def _by_trigram(checkpoint, logits, labels):
    """Mean loss over the examples of each telling token, NaN where there are none: [trigram]."""
    losses, count = cross_entropy(logits, labels), np.bincount(labels, minlength=logits.shape[-1])
    with np.errstate(invalid="ignore"):
        return np.bincount(labels, losses, logits.shape[-1]) / count


@measure(
    dims=BY_TRIGRAM, units="nat", long_name="Train loss of each trigram", reference=SECTION,
    dtype="float64", needs="skip_trigram",
)  # fmt: skip
def train_loss_by_trigram(checkpoint):
    """Mean cross-entropy over the training examples that hold each telling token."""
    return _by_trigram(checkpoint, *checkpoint.train)


@measure(
    dims=BY_TRIGRAM, units="nat", long_name="Test loss of each trigram", reference=SECTION,
    dtype="float64", needs="skip_trigram",
)  # fmt: skip
def test_loss_by_trigram(checkpoint):
    """Mean cross-entropy over the test examples that hold each telling token."""
    return _by_trigram(checkpoint, *checkpoint.test)


@measure(dims=BY_HEAD, units="1", long_name="Induction score", reference=INDUCTION, needs="repeated_subsequence")
def induction_score(checkpoint):
    """Attention from each asked token to the tokens that came right after it earlier, if they equal the one that comes now.

    Mean over the answers of 64 test examples. Earlier occurrences that another token followed, which are there by
    chance, do not count.
    """
    tokens, positions, labels = checkpoint.context.looked_at
    example = np.arange(len(tokens))[:, None]
    asked = tokens[example, positions]  # [example, answer]
    stood_before = tokens[:, None, :-1] == asked[..., None]  # [example, answer, place]
    followed_by_it = tokens[:, None, 1:] == labels[..., None]
    earlier = np.arange(tokens.shape[1] - 1) < positions[..., None]
    targets = stood_before & followed_by_it & earlier
    from_answers = checkpoint.patterns[:, :, example, positions, 1:]  # [layer, head, example, answer, key]
    return (from_answers * targets).sum(-1).mean((-2, -1))


@measure(dims=BY_HEAD, units="1", long_name="Previous-token score", reference=INDUCTION, needs="repeated_subsequence")
def previous_token_score(checkpoint):
    """Attention from each position but the first to the one before it: mean over positions and 64 test examples."""
    return np.diagonal(checkpoint.patterns, -1, -2, -1).mean((-2, -1))
