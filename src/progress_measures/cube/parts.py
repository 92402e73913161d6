"""Parts of an experiment: runs that one process measures. Imports no torch, so that a dry run stays fast."""

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

# A sixth of the logits that the mainline's 401 checkpoints have over all pairs. Measuring them takes several times as long as
# starting the process, and the quickstart's two runs still keep two cores busy.
PART_LOGITS = 1e8


def parts(runs: list[Run]) -> dict[str, list[Run]]:
    """Divide the runs of an experiment into parts of consecutive runs.

    A large run is a part of its own. Small runs share a part, because starting a process takes longer than measuring them.

    Args:
        runs: runs of the experiment.

    Returns:
        Runs of each part, by name of the part's first run.
    """
    divided: dict[str, list[Run]] = {}
    part: list[Run] = []
    logits = 0.0
    for run in runs:
        if not part or logits >= PART_LOGITS:
            part, logits = divided.setdefault(run.name, []), 0.0
        part.append(run)
        logits += _logits(run)
    return divided


def _logits(run: Run) -> float:
    """Return the number of logits that measuring a run computes: checkpoints x examples x outputs.

    A run whose local learning coefficient is measured counts as a whole part.
    """
    if "sampling" in run.provides:
        return PART_LOGITS
    return len(checkpoint_epochs(run.training)) * cost.examples_per_evaluation(run) * run.task.layout.outputs


def write_fingerprint(into: Path, experiment: str, runs: Collection[Run]) -> str:
    """Write the fingerprints of all families of measures of an experiment, and their settings, unless they are unchanged.

    Args:
        into: folder of the fingerprint files.
        experiment: name of the experiment.
        runs: runs of the experiment.

    Returns:
        The path of the file; the workflow measures the experiment again if it changes.
    """
    families = sorted({family for run in runs for family in families_of(run)})
    settings = {run.settings_of_family(family) for run in runs for family in families}
    hashes = [family_fingerprint(family) for family in families]
    return fingerprint.write_hash(into, f"measured.{experiment}", " ".join([*hashes, *sorted(settings - {""})]))
