"""Losses and accuracies of networks of any design, with gradients from torch's autograd.

The other two modules with an objective, `pairs` and `paper_design`, use backward passes that are written by hand where
autograd is slow.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from progress_measures.models import mlp, transformer
from progress_measures.models.design import design_of
from progress_measures.training.objectives.paper_design import PaperDesignObjective

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.models.forward_at_answers import DropoutMasks, TokenSequences, Weights


class AnyDesignObjective(PaperDesignObjective):
    """Losses at the answer positions of runs that train together, for networks of any design.

    Args:
        runs: runs of the same shape and design.
        train: mask of the training pairs of each run, as in `PaperDesignObjective`: [run, a, b].
        device: the device of the weights.
    """

    def __init__(self, runs: list[Run], train: Tensor, device: torch.device) -> None:
        first_run = runs[0]
        self._design = design_of(first_run.model)
        # Autocast must not cache the weights that it converts to bfloat16: a CUDA graph would reuse the converted
        # weights after an update.
        self._autocast = functools.partial(
            torch.autocast,
            device.type,
            torch.bfloat16,
            enabled=first_run.training.arithmetic == "bfloat16",
            cache_enabled=False,
        )
        self._answer_position = None if first_run.on_sequences else first_run.task.answer_position
        super().__init__(runs, train, device)

    def _logits(self, weights: Weights, sequences: TokenSequences, masks: DropoutMasks | None = None) -> Tensor:
        """Compute the logits at the answer positions: [run, example x answer, output].

        `masks` is not used, because the schema rejects dropout for runs that this module trains.
        """
        with self._autocast():
            return self._forward(weights, sequences).to(next(iter(weights.values())).dtype)

    def _forward(self, weights: Weights, sequences: TokenSequences) -> Tensor:
        if self._design.mlp_input is not None:
            return mlp.forward(weights, sequences.tokens, design=self._design)
        if self._answer_position is not None:
            # the dimension of positions has size 1, that of the answer
            return transformer.forward(weights, sequences.tokens, None, self._design, self._answer_position)[:, :, 0]
        return transformer.logits_at(weights, sequences.tokens, sequences.answer_positions, self._design)


Objective = AnyDesignObjective
"""Every objective module has its class under this name."""
