"""One checkpoint under the microscope: what measures look at, computed at most once and only when asked for."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures import fourier
from progress_measures.measures.keys import best_frequency, key_frequencies
from progress_measures.models import forward_at, imported, pairs
from progress_measures.tasks import label_table, layout, task_module


class SplitUnknown(Exception):
    """It is not known on which pairs the run was trained, so there is nothing to measure on them, or on the others."""


class RunContext:
    """What all checkpoints of a run have in common: the task, the split, and what the last checkpoint tells.

    Args:
        run: the run's settings.
        final: weights of the last checkpoint, without a `run` dimension.
        train: [a, b], true for training pairs; None where they are not known.
    """

    def __init__(self, run: Any, final: dict[str, NDArray], train: NDArray[np.bool_] | None):
        self.run = run
        self.n = layout(run.task).operands
        self.labels = label_table(run.task).ravel()
        self._train = None if train is None else train.ravel()
        self._final = final
        self.one_layer = run.one_layer

    @property
    def train(self) -> NDArray[np.bool_]:
        """True for training pairs: [pair].

        Raises:
            NoSplit: they are not known.
        """
        if self._train is None:
            raise SplitUnknown
        return self._train

    @property
    def test(self) -> NDArray[np.bool_]:
        """True for the other pairs: [pair]."""
        return ~self.train

    @cached_property
    def pairs(self) -> pairs.PairBatch:
        """All pairs, for one-layer networks."""
        every_a, every_b = (torch.from_numpy(index.reshape(1, -1)) for index in np.indices((self.n, self.n)))
        return pairs.PairBatch(every_a, every_b, self.n, self.run.model.heads)

    @cached_property
    def places(self) -> forward_at.ReadPositions:
        """All pairs, for other networks, which are read at `=`."""
        a, b = np.indices((self.n, self.n)).reshape(2, 1, -1)
        tokens = torch.from_numpy(np.stack([a, b, np.full_like(a, self.n)], -1))
        return forward_at.ReadPositions(tokens, torch.full_like(tokens[..., :1], 2), self.n + 1)

    def checkpoint(self, weights: dict[str, NDArray], epoch: int) -> "Checkpoint":
        """A checkpoint."""
        return Checkpoint(self, weights)

    @cached_property
    def sign(self) -> int:
        """1 where logits follow cos(w(a + b - c)), -1 where they follow cos(w(a - b - c))."""
        return int(task_module(self.run.task.kind).SIGN)

    @cached_property
    def line(self) -> NDArray[np.int64]:
        """a + b (or a - b) mod p of each pair: [pair], lexicographic."""
        a, b = np.indices((self.n, self.n)).reshape(2, -1)
        return (a + self.sign * b) % self.n

    @cached_property
    def final(self) -> "Checkpoint":
        """The last checkpoint."""
        return Checkpoint(self, self._final)

    @cached_property
    def key_frequencies(self) -> NDArray[np.int64]:
        """The key frequencies of the last checkpoint, applied to every other."""
        return key_frequencies(self.final.neuron_shares)

    @cached_property
    def neuron_frequency(self) -> tuple[NDArray[np.int64], NDArray]:
        """Each neuron's frequency at the last checkpoint, and the share that it explains."""
        return best_frequency(self.final.neuron_shares)


class Checkpoint:
    """One checkpoint of a network on pairs. Arrays have its weights' precision. Neurons are those of the last layer.

    Pairs are lexicographic, index a * n + b; p = n for modular tasks.

    Attributes:
        trained: its tensors as they were trained.
        weights: tensors that compute the same and are all of `Architecture`: other than `trained` in imported networks.
    """

    def __init__(self, context: RunContext, weights: dict[str, NDArray]):
        self.context = context
        self.trained = weights
        if context.run.imported is not None:
            self.weights = imported.as_ours(weights, layout(context.run.task), context.one_layer)
        else:
            self.weights = weights

    @cached_property
    def _tables(self) -> pairs.Tables:
        with torch.no_grad():
            return pairs.tables({name: torch.from_numpy(w)[None] for name, w in self.weights.items()})

    @cached_property
    def _forward(self) -> tuple[NDArray, NDArray]:
        with torch.no_grad():
            if self.context.one_layer:
                pre, logits = pairs.neurons_and_logits(self._tables, self.context.pairs)
            elif self.context.run.imported:
                return imported.neurons_and_logits(self.weights, self.context.n, self.context.run.layer_norm)
            else:
                weights = {name: torch.from_numpy(w)[None] for name, w in self.weights.items()}
                pre, logits = forward_at.neurons_and_logits(
                    weights, self.context.places, self.context.run.model.doubled_residual
                )
        return pre[0].numpy(), logits[0].numpy()

    @property
    def train(self) -> tuple[NDArray, NDArray]:
        """Logits and labels of the training pairs."""
        return self.logits[self.context.train], self.context.labels[self.context.train]

    @property
    def test(self) -> tuple[NDArray, NDArray]:
        """Logits and labels of the other pairs."""
        return self.logits[self.context.test], self.context.labels[self.context.test]

    @property
    def pre(self) -> NDArray:
        """Neurons before the ReLU: [pair, neuron]."""
        return self._forward[0]

    @cached_property
    def post(self) -> NDArray:
        """Neurons after the ReLU: [pair, neuron]."""
        return np.maximum(self.pre, 0)

    @property
    def logits(self) -> NDArray:
        """[pair, output]."""
        return self._forward[1]

    @cached_property
    def attention(self) -> NDArray:
        """Attention from `=` to a, b and `=`: [pair, head, position]."""
        with torch.no_grad():
            to_operands = self.context.pairs.attention(self._tables.scores)[0].numpy()
        return np.concatenate([to_operands, 1 - to_operands.sum(-1, keepdims=True)], -1)

    @cached_property
    def first_attention(self) -> NDArray:
        """Attention of the first layer from every position to every one, in float64: [pair, head, query, position]."""
        run = self.context.run
        # not `weights`, which in an imported network ask as it does at `=` alone
        own = imported.as_ours(self.trained, layout(run.task), one_layer=False)
        weights = {name: tensor.astype(np.float64) for name, tensor in own.items()}
        return imported.first_attention(weights, self.context.n, run.layer_norm)

    @cached_property
    def W_L(self) -> NDArray:
        """Neuron-to-logit map W_out W_U: [neuron, output]."""
        if self.context.one_layer:
            return self._tables.W_L[0].numpy()
        return self.weights["W_out"][-1] @ self.weights["W_U"]

    @cached_property
    def logit_marginals(self) -> fourier.Marginals:
        """Sums of the logits along lines of the (a, b) plane, in float64: [x, output] each."""
        return fourier.marginals(self.logits.reshape(self.context.n, self.context.n, -1).astype(np.float64))

    @cached_property
    def post_marginals(self) -> fourier.Marginals:
        """The same of the neurons after the ReLU: [x, neuron] each."""
        return fourier.marginals(self.post.reshape(self.context.n, self.context.n, -1))

    @cached_property
    def post_spectrum(self) -> fourier.Spectrum:
        """How the variance of the neurons after the ReLU is spread over frequencies."""
        return fourier.Spectrum.of(self.post, self.post_marginals)

    @cached_property
    def pre_spectrum(self) -> fourier.Spectrum:
        """The same before the ReLU."""
        return fourier.Spectrum.of(self.pre, fourier.marginals(self.pre.reshape(self.context.n, self.context.n, -1)))

    @cached_property
    def neuron_shares(self) -> NDArray:
        """Share of each neuron's variance in each frequency's block: [neuron, frequency], NaN where it never varies."""
        return self.post_spectrum.share("block", self.context.sign).T

    @cached_property
    def logit_mean(self) -> NDArray:
        """Mean logits over all pairs: [output]."""
        return self.logit_marginals.a.sum(0) / self.context.n**2

    @cached_property
    def directions(self) -> NDArray:
        """Each frequency's part of the logits along cos and sin of w_k(a + b): [frequency, a + b, output].

        For subtraction a - b stands in place of a + b, here and below.
        """
        line = self.logit_marginals.plus if self.context.sign == 1 else self.logit_marginals.minus
        kernels = np.stack([fourier.kernel(self.context.n, [k]) for k in fourier.frequencies(self.context.n)])
        return np.tensordot(kernels, line, axes=1)

    @cached_property
    def key_directions(self) -> NDArray:
        """The key frequencies' part of the logits along those directions: [a + b, output]."""
        return self.directions[self.context.key_frequencies - 1].sum(0)
