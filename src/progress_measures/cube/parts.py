"""Parts of an experiment: one process measures all runs of a part.

This module does not import torch, so that a dry run of the workflow stays fast.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from progress_measures import fingerprint
from progress_measures.measures.registry import families_of, family_fingerprint
from progress_measures.training import cost
from progress_measures.training.schedule import checkpoint_epochs

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

PART_LOGITS = 1e8
"""Number of logits that fill a part: a sixth of the logits at all pairs and all 401 checkpoints of a mainline run.

Measuring a full part takes several times as long as starting its process. The number is small enough that the two runs of
`quickstart` are two parts, which two cores measure at the same time.
"""


def parts(runs: list[Run]) -> dict[str, list[Run]]:
    """Divide the runs of an experiment into parts of consecutive runs.

    Runs are added to a part until its number of logits reaches `PART_LOGITS`. Small runs thus share a part, because starting a
    process takes longer than measuring one of them.

    Args:
        runs: runs of the experiment.

    Returns:
        Runs of each part, by name of the part's first run.
    """
    runs_by_part: dict[str, list[Run]] = {}
    part: list[Run] = []
    logits = 0.0
    for run in runs:
        if not part or logits >= PART_LOGITS:
            part, logits = runs_by_part.setdefault(run.name, []), 0.0
        part.append(run)
        logits += _logit_count(run)
    return runs_by_part


def _logit_count(run: Run) -> float:
    """Return the number of logits that measuring a run computes: checkpoints x examples x outputs.

    A run whose local learning coefficient is measured counts as a full part, because the coefficient takes much longer to
    compute than the logits.
    """
    if "sampling" in run.provides:
        return PART_LOGITS
    return len(checkpoint_epochs(run.training)) * cost.examples_per_evaluation(run) * run.task.sizes.outputs


def write_measuring_fingerprint(into: Path, experiment: str, runs: Collection[Run]) -> str:
    """Write a hash of the code and settings that determine the measures of an experiment, unless it is unchanged.

    Args:
        into: folder of the fingerprint files.
        experiment: name of the experiment.
        runs: runs of the experiment.

    Returns:
        The path of the file. The workflow measures the experiment again if the file changes.
    """
    families = sorted({family for run in runs for family in families_of(run)})
    settings = {run.settings_of_family(family) for run in runs for family in families}
    hashes = [family_fingerprint(family) for family in families]
    return fingerprint.write_hash(into, f"measured.{experiment}", " ".join([*hashes, *sorted(settings - {""})]))
