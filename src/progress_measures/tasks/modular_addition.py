"""(a + b) mod p, the paper's task (section 3)."""

from progress_measures.tasks import Layout

SIGN = 1  # logits follow cos(w(a + b - c))


def layout(task):
    """p operands and `=` in, p residues out."""
    return Layout(operands=task.prime, vocabulary=task.prime + 1, context_length=3, outputs=task.prime, read_to=3)


def labels(task, a, b):
    """The residue of a + b."""
    return (a + b) % task.prime
