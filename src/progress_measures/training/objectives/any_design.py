"""Losses and accuracies of networks of any design, by plain autograd."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from progress_measures.models import mlp, transformer
from progress_measures.models.design import design_of
from progress_measures.training.objectives.general import GeneralObjective

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.models.forward_at_answers import DropoutMasks, TokenSequences, Weights


class AnyDesignObjective(GeneralObjective):
    """Losses of a batch of runs at their answer positions, for networks of any design.

    Args:
        runs: runs of the same shape and design.
        train: as in `GeneralObjective`.
        device: where the weights are.
    """

    def __init__(self, runs: list[Run], train: Tensor, device: torch.device) -> None:
        first = runs[0]
        self._design = design_of(first.model)
        # for bfloat16, products are computed in it; a CUDA graph must not keep a cache of converted weights
        self._autocast = functools.partial(
            torch.autocast,
            device.type,
            torch.bfloat16,
            enabled=first.training.arithmetic == "bfloat16",
            cache_enabled=False,
        )
        self._position = None if first.on_sequences else first.task.answer_position
        super().__init__(runs, train, device)

    def _logits(self, weights: Weights, sequences: TokenSequences, masks: DropoutMasks | None = None) -> Tensor:
        """Compute the logits at the answer positions: [run, example x answer, output]. There is no dropout."""
        with self._autocast():
            return self._by_design(weights, sequences).to(next(iter(weights.values())).dtype)

    def _by_design(self, weights: Weights, sequences: TokenSequences) -> Tensor:
        if self._design.mlp_input is not None:
            return mlp.forward(weights, sequences.tokens, design=self._design)
        if self._position is not None:
            return transformer.forward(weights, sequences.tokens, None, self._design, self._position)[:, :, 0]
        logits = transformer.forward(weights, sequences.tokens, design=self._design)  # [run, example, position, output]
        answers = sequences.answer_positions[..., None].expand(-1, -1, -1, logits.shape[-1])
        return logits.gather(2, answers).flatten(1, 2)


Objective = AnyDesignObjective
"""Every objective module has its class under this name."""
