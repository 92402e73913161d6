"""The update of runs that train together: computed directly on a CPU, replayed as a CUDA graph on a GPU.

An update of a one-layer network consists of dozens of small kernels, which a GPU finishes faster than Python can launch
them. A CUDA graph is captured once and then launches all of them with one call. During an update, nothing may wait for
the device, so losses stay on the device until `Step.losses` copies them: at each checkpoint, and when progress is shown
or a state saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from progress_measures.training.objectives.pairs import PairsObjective
    from progress_measures.training.objectives.paper_design import PaperDesignObjective
    from progress_measures.training.optimizers.base import BatchOptimizer


class Step:
    """Computes one update of all runs at each call, and collects their train losses.

    Args:
        objective: the object that computes the train losses of the runs.
        optimizer: the optimizer, which holds the weights.
        capacity: largest number of updates between two calls of `losses`.
    """

    def __init__(
        self, objective: PaperDesignObjective | PairsObjective, optimizer: BatchOptimizer, capacity: int
    ) -> None:
        device = optimizer.parameters.device
        self._objective, self._optimizer = objective, optimizer
        self._losses = torch.zeros(optimizer.parameters.shape[0], capacity, dtype=objective.loss_dtype, device=device)
        # column of `_losses` that the next update writes
        self._column = torch.zeros(1, dtype=torch.int64, device=device)
        self._unfetched = 0  # number of updates since the last call of `losses`
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, epoch: int) -> None:
        """Compute update number `epoch`, counted from 0."""
        self._optimizer.set_rates(epoch)
        self._objective.prepare(epoch)
        if self._losses.device.type != "cuda":
            self._update()
        else:
            if self._graph is None:
                self._graph = self._capture()
            self._graph.replay()
        self._unfetched += 1

    def losses(self) -> Tensor:
        """Return the train loss before each update since the last call of `losses`, on the CPU: [run, update]."""
        fetched = self._losses[:, : self._unfetched].double().cpu()
        self._column.zero_()
        self._unfetched = 0
        return fetched

    def _update(self) -> None:
        """Compute one update and store the loss before it."""
        loss = self._objective.loss(self._optimizer.weights)
        self._losses.index_copy_(1, self._column, loss.detach()[:, None])
        self._column += 1
        self._optimizer.step(loss)

    def warm_up(self, updates: int) -> None:
        """Compute `updates` updates, then restore in place all tensors that later updates and `losses` read.

        Allocators and libraries must have allocated their buffers before a graph is captured.
        """
        copies = [tensor.clone() for tensor in self._changed_tensors()]
        for _ in range(updates):
            self._column.zero_()
            self._update()
        with torch.no_grad():
            for tensor, saved in zip(self._changed_tensors(), copies, strict=True):
                tensor.copy_(saved)

    def _changed_tensors(self) -> list[Tensor]:
        """Return the tensors that an update changes and that later updates or `losses` read."""
        return [self._losses, self._column, *self._optimizer.tensors()]

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Capture one update as a CUDA graph; losses, weights and the state of the optimizer remain as they were."""
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            self.warm_up(3)  # on another stream, as torch requires before a capture
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._update()
        return graph
