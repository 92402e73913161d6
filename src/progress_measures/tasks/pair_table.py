"""Any function of a and b, given as its table: what imported networks answer that learned none of the other tasks."""

import numpy as np

from progress_measures.tasks import Layout


def layout(task):
    """n operands and `=` in."""
    return Layout(
        operands=task.operands, vocabulary=task.operands + 1, context_length=3, outputs=task.outputs, read_to=3
    )


def labels(task, a, b):
    """What the table says."""
    return np.array(task.answers).reshape(task.operands, task.operands)[a, b]
