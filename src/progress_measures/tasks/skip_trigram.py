"""One telling token somewhere in noise; the last token asks which it was (appendix D.3).

Token 0 comes first, token 1 last; then the noise tokens, then those that tell.
"""

from collections.abc import Iterator

import numpy as np

from progress_measures.tasks import Examples, Layout

NOISE = 2  # the first noise token


def layout(task):
    """First, last, noise and telling tokens in; an output for each telling token."""
    context_length = task.length + 2
    return Layout(
        vocabulary=2 + task.noise + task.answers,
        context_length=context_length,
        outputs=task.answers,
        read_to=context_length,
    )


def answer_names(task):
    """There is one answer a sequence."""
    return ["answer"]


def batches(task, seed: int, size: int) -> Iterator[Examples]:
    """Drawn as the authors' notebook does: all noise, then which token tells, then where it stands."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    telling = NOISE + task.noise
    while True:
        noise = torch.randint(NOISE, telling, (size, task.length), generator=generator).numpy()
        answer = torch.randint(0, task.answers, (size, 1), generator=generator).numpy()
        place = torch.randint(1, task.length + 1, (size, 1), generator=generator).numpy()
        tokens = np.concatenate([np.zeros_like(answer), noise, np.ones_like(answer)], axis=1)
        np.put_along_axis(tokens, place, telling + answer, axis=1)
        yield Examples(tokens, np.full_like(answer, task.length + 1), answer)
