"""Measure a run while it trains: the training loop passes each checkpoint to an `Observer`.

The loop imports this module with `importlib` during training, so that the fingerprint of the training code does not include
the code of the measures.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.cube.extract import MeasuringPass, measures_for
from progress_measures.cube.measured_in_training import write_measured_in_training
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.registry import families_of, family_fingerprint
from progress_measures.measures.sequence_checkpoint import SequenceRunContext
from progress_measures.training.schedule import checkpoint_epochs

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


def code_of_measures(run: Run) -> str:
    """Return a fingerprint of the code of all measures of a run. Training resumes only from a state with the same fingerprint."""
    return hashlib.sha256(" ".join(map(family_fingerprint, families_of(run))).encode()).hexdigest()[:16]


class Observer:
    """Computes, at each checkpoint of one run, the measures with the dimension `epoch` that do not require the final network.

    Args:
        run: settings of the run.
        train: [a, b], true for training pairs; not used for tasks on sequences.
    """

    def __init__(self, run: Run, train: NDArray[np.bool_]) -> None:
        self._run = run
        # `first=True`, because it is not known here whether the run is the experiment's first. For any other run, the
        # measures that only a first run has are computed but not used. Measures at selected epochs are computed after
        # training, from kept checkpoints.
        self._measures = [
            m for family in families_of(run) for m in measures_for(family, run, first=True) if "epoch" in m.dims
        ]
        context = (
            SequenceRunContext(run, None, run.training.epochs) if run.on_sequences else RunContext(run, None, train)
        )
        self._pass = MeasuringPass(run, self._measures, context, checkpoint_epochs(run.training))

    def add(self, weights: dict[str, NDArray[np.float32]], epoch: int) -> None:
        """Measure the next checkpoint.

        Args:
            weights: weights of the checkpoint, without a `run` dimension.
            epoch: epoch of the checkpoint.
        """
        threads = torch.get_num_threads()
        # One thread, as in measuring after training: sums computed by several threads may round differently.
        torch.set_num_threads(1)
        try:
            self._pass.add(weights, epoch)
        finally:
            torch.set_num_threads(threads)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the results so far, by name of the measure: [checkpoint, …]; the argument of `resume`."""
        return self._pass.results

    def resume(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from the results that `state` returned."""
        self._pass.resume(state)

    def finish(self, folder: Path) -> None:
        """Write the results to `during.zarr` in the run's folder.

        Args:
            folder: folder of the run.
        """
        results = self._pass.results
        write_measured_in_training(self._run, [m for m in self._measures if m.name in results], results, folder)
