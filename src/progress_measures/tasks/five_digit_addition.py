"""x + y, digit by digit (appendix D.3).

`x x x x x + y y y y y = s s s s s s`, the most significant digit first; operands may begin with zeros, the sum with the
carry. The network reads all of it and predicts each digit of the sum from what stands before it.
"""

from collections.abc import Iterator

import numpy as np

from progress_measures.tasks import Examples, Layout

PLUS, EQUALS = 10, 11  # after the ten digits


def layout(task):
    """Digits, `+` and `=` in, digits out."""
    context_length = 3 * task.digits + 3
    return Layout(vocabulary=12, context_length=context_length, outputs=10, read_to=context_length - 1)


def answer_names(task):
    """What is answered, in order."""
    return ["carry", *(f"10^{power}" for power in reversed(range(task.digits)))]


def batches(task, seed: int, size: int) -> Iterator[Examples]:
    """Digits drawn uniformly, as the authors' notebook draws them: batch by batch, all of x, then all of y."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    while True:
        x, y = (torch.randint(0, 10, (size, task.digits), generator=generator).numpy() for _ in range(2))
        yield examples(x, y)


def examples(x, y) -> Examples:
    """Sums of numbers given by their digits: [example, digit] each."""
    digits = x.shape[1]
    tens = 10 ** np.arange(digits, -1, -1)
    total = (x + y) @ tens[1:]
    answer = total[:, None] // tens % 10
    sign = np.ones((len(x), 1), dtype=np.int64)
    tokens = np.concatenate([x, PLUS * sign, y, EQUALS * sign, answer], axis=1)
    before = np.arange(2 * digits + 1, 3 * digits + 2)  # from `=` on
    return Examples(tokens, np.broadcast_to(before, answer.shape), answer)
