"""How a batch of runs computes its losses: one module a way.

`pairs` is the exact fast path for one-layer networks on pairs; `general` is for every other network and task. An
objective's `prepare` has what an update needs in place before its `loss` is asked for, and outside of a CUDA graph.
"""

from typing import Any


def objective_module(run: Any) -> str:
    """The name of the module that trains a run."""
    return f"{__name__}.{'pairs' if run.one_layer and not run.on_sequences else 'general'}"
