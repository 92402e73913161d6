"""a + b as integers, not reduced: the integer addition notebook's task."""

from progress_measures.tasks import Layout


def layout(task):
    """n operands and `=` in; 2n - 1 sums and whatever classes the notebook left unused out."""
    return Layout(
        operands=task.operands, vocabulary=task.operands + 1, context_length=3, outputs=task.outputs, read_to=3
    )


def labels(task, a, b):
    """The sum."""
    return a + b
