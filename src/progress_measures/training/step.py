"""One update of a batch of runs, over and over: called as it is on a CPU, replayed as a CUDA graph on a GPU.

A one-layer network's update is some sixty small kernels, which a GPU finishes sooner than Python can ask for them.
Recorded once as a graph they are asked for with one call. So nothing in an update may wait for the device: losses
stay there until `losses` fetches them, at checkpoints.
"""

from typing import Any

import torch
from torch import Tensor

from progress_measures.training.optimizer import AdamW


class Step:
    """Trains by one epoch at each call.

    Args:
        objective: gives the runs' train losses, as in `progress_measures.training.objectives`.
        optimizer: holds their weights.
        capacity: epochs between two fetches of the losses, at most.
    """

    def __init__(self, objective: Any, optimizer: AdamW, capacity: int):
        device = optimizer.parameters.device
        self._objective, self._optimizer = objective, optimizer
        self._losses = torch.zeros(optimizer.parameters.shape[0], capacity, dtype=objective.loss_dtype, device=device)
        self._column = torch.zeros(1, dtype=torch.int64, device=device)
        self._taken = 0
        self._graph: Any = None

    def __call__(self, epoch: int) -> None:
        """Update number `epoch`, from 0."""
        self._optimizer.set_rate(epoch)
        self._objective.prepare(epoch)
        if self._losses.device.type != "cuda":
            self._update()
        else:
            if self._graph is None:
                self._graph = self._record()
            self._graph.replay()
        self._taken += 1

    def losses(self) -> Tensor:
        """Train losses before each update since the last fetch: [run, update], on the CPU."""
        fetched = self._losses[:, : self._taken].double().cpu()
        self._column.zero_()
        self._taken = 0
        return fetched

    def _update(self) -> None:
        loss = self._objective.loss(self._optimizer.weights)
        self._losses.index_copy_(1, self._column, loss.detach()[:, None])
        self._column += 1
        self._optimizer.step(loss)

    def warm_up(self, times: int) -> None:
        """Update so many times and put everything back, in the same memory.

        Allocators and libraries must have settled before a graph is recorded.
        """
        kept = [tensor.clone() for tensor in self._mutable()]
        for _ in range(times):
            self._column.zero_()
            self._update()
        with torch.no_grad():
            for tensor, before in zip(self._mutable(), kept, strict=True):
                tensor.copy_(before)

    def _mutable(self) -> list[Tensor]:
        return [self._losses, self._column, *self._optimizer.tensors()]

    def _record(self) -> Any:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            self.warm_up(3)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._update()
        return graph
