"""How a batch of runs computes its losses: one module a way.

`pairs` is the exact fast path for one-layer networks on pairs; `plain` is autograd through the general transformer,
for every other network.
"""

from typing import Any

PAIR_TASKS = ("modular_addition", "modular_subtraction", "integer_addition")


def objective_module(run: Any) -> str:
    """The name of the module that trains a run."""
    one_layer = run.model.layers == 1 and not run.model.attention_only
    return f"{__name__}.{'pairs' if one_layer and run.task.kind in PAIR_TASKS else 'plain'}"
