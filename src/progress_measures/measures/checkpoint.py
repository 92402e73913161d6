"""A checkpoint of a network on pairs, with the intermediate results that measures share.

Each result is computed on first use, and at most once per checkpoint.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures import fourier
from progress_measures.measures.keys import best_frequency, key_frequencies
from progress_measures.models import forward_at, imported, pairs

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class SplitUnknown(Exception):
    """The training pairs of a run are unknown, so that measures on training or test pairs do not apply."""


class RunContext:
    """Data that all checkpoints of a run on pairs share: task, split, and results of the last checkpoint.

    Args:
        run: settings of the run.
        final: weights of the last checkpoint, without a `run` dimension.
        train: [a, b], true for training pairs; None if they are unknown.

    Attributes:
        n: number of operand values; n = p in a modular task.
        labels: right answer of each pair [pair].
        one_layer: whether the network has one layer with an MLP and no LayerNorm.
    """

    def __init__(self, run: Run, final: dict[str, NDArray], train: NDArray[np.bool_] | None) -> None:
        self.run = run
        self.n = run.task.layout.operands
        self.labels = run.task.label_table().ravel()
        self._train = None if train is None else train.ravel()
        self._final = final
        self.one_layer = run.one_layer

    @property
    def train(self) -> NDArray[np.bool_]:
        """Whether each pair is a training pair: [pair].

        Raises:
            SplitUnknown: the training pairs are unknown.
        """
        if self._train is None:
            raise SplitUnknown
        return self._train

    @property
    def test(self) -> NDArray[np.bool_]:
        """Whether each pair is a test pair: [pair].

        Raises:
            SplitUnknown: the training pairs are unknown.
        """
        return ~self.train

    @cached_property
    def pairs(self) -> pairs.PairBatch:
        """All pairs as a batch for `models.pairs`; for networks with `one_layer` true."""
        a, b = (torch.from_numpy(index.reshape(1, -1)) for index in np.indices((self.n, self.n)))
        return pairs.PairBatch(a, b, self.n, self.run.model.heads)

    @cached_property
    def read_positions(self) -> forward_at.ReadPositions:
        """All pairs as sequences `a b =` with `=` as the answer position; for networks with `one_layer` false."""
        a, b = np.indices((self.n, self.n)).reshape(2, 1, -1)
        tokens = torch.from_numpy(np.stack([a, b, np.full_like(a, self.n)], -1))
        return forward_at.ReadPositions(tokens, torch.full_like(tokens[..., :1], 2), self.n + 1)

    def checkpoint(self, weights: dict[str, NDArray], epoch: int) -> Checkpoint:
        """Return a checkpoint of the run.

        Args:
            weights: weights of the checkpoint, without a `run` dimension.
            epoch: number of updates before the checkpoint.
        """
        return Checkpoint(self, weights, epoch)

    @cached_property
    def sign(self) -> int:
        """1 if the right answer is a + b mod p, -1 if it is a - b mod p."""
        return int(self.run.task.sign)

    @cached_property
    def line(self) -> NDArray[np.int64]:
        """Right answer a + b mod p of each pair, or a - b mod p for subtraction: [pair]."""
        a, b = np.indices((self.n, self.n)).reshape(2, -1)
        return (a + self.sign * b) % self.n

    @cached_property
    def final(self) -> Checkpoint:
        """Last checkpoint of the run."""
        return Checkpoint(self, self._final, self.run.training.epochs)

    @cached_property
    def key_frequencies(self) -> NDArray[np.int64]:
        """Key frequencies of the last checkpoint, ascending; measures use them at every checkpoint."""
        return key_frequencies(self.final.variance_fractions)

    @cached_property
    def neuron_frequency(self) -> tuple[NDArray[np.int64], NDArray]:
        """Each neuron's frequency at the last checkpoint, and the fraction of variance that the frequency explains.

        Both arrays are [neuron].
        """
        return best_frequency(self.final.variance_fractions)


class Checkpoint:
    """A checkpoint of a network on pairs.

    Arrays have the precision of the weights. Pairs are in lexicographic order, with index a * n + b; n = p in a modular
    task. All neurons are neurons of the last layer.

    Args:
        context: data that all checkpoints of the run share.
        weights: weights of the checkpoint, without a `run` dimension.
        epoch: number of updates before the checkpoint; None if it is unknown.

    Attributes:
        trained: the trained tensors, unchanged.
        weights: tensors with the names of `Architecture` that compute the same logits as `trained`; only in imported
            networks do they differ from `trained`.
    """

    def __init__(self, context: RunContext, weights: dict[str, NDArray], epoch: int | None = None) -> None:
        self.context, self.epoch = context, epoch
        self.trained = weights
        if context.run.imported is not None and "weights" in context.run.provides:
            self.weights = imported.to_native_weights(weights, context.run.task.layout, context.one_layer)
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
                    weights, self.context.read_positions, self.context.run.model.doubled_residual
                )
        return pre[0].numpy(), logits[0].numpy()

    @property
    def train(self) -> tuple[NDArray, NDArray]:
        """Logits [pair, output] and labels [pair] of the training pairs."""
        return self.logits[self.context.train], self.context.labels[self.context.train]

    @property
    def test(self) -> tuple[NDArray, NDArray]:
        """Logits [pair, output] and labels [pair] of the test pairs."""
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
        """Logits of all pairs: [pair, output]; computed from the weights, or read if only logits were imported."""
        return self._forward[1] if "weights" in self.context.run.provides else self.weights["logits"]

    @cached_property
    def attention(self) -> NDArray:
        """Attention from `=` to a, b and `=`: [pair, head, position]."""
        with torch.no_grad():
            to_operands = self.context.pairs.attention(self._tables.scores)[0].numpy()
        return np.concatenate([to_operands, 1 - to_operands.sum(-1, keepdims=True)], -1)

    @cached_property
    def first_attention(self) -> NDArray:
        """Attention of the first layer between all positions, in float64: [pair, head, query, position]."""
        run = self.context.run
        # not from `weights`: in an imported one-layer network they give the right queries at `=` only
        tensors = imported.to_native_weights(self.trained, run.task.layout, one_layer=False)
        weights = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        return imported.first_attention(weights, self.context.n, run.layer_norm)

    @cached_property
    def W_L(self) -> NDArray:
        """Neuron-to-logit map W_out W_U: [neuron, output]."""
        if self.context.one_layer:
            return self._tables.W_L[0].numpy()
        return self.weights["W_out"][-1] @ self.weights["W_U"]

    @cached_property
    def logit_marginals(self) -> fourier.Marginals:
        """Sums of the logits over pairs with equal a, b, a + b or a - b, in float64: four arrays [sum, output]."""
        return fourier.marginals(self.logits.reshape(self.context.n, self.context.n, -1).astype(np.float64))

    @cached_property
    def post_marginals(self) -> fourier.Marginals:
        """Sums of the neurons after the ReLU over pairs with equal a, b, a + b or a - b: four arrays [sum, neuron]."""
        return fourier.marginals(self.post.reshape(self.context.n, self.context.n, -1))

    @cached_property
    def post_spectrum(self) -> fourier.Spectrum:
        """Variance of the neurons after the ReLU, by frequency."""
        return fourier.Spectrum.of(self.post, self.post_marginals)

    @cached_property
    def pre_spectrum(self) -> fourier.Spectrum:
        """Variance of the neurons before the ReLU, by frequency."""
        return fourier.Spectrum.of(self.pre, fourier.marginals(self.pre.reshape(self.context.n, self.context.n, -1)))

    @cached_property
    def variance_fractions(self) -> NDArray:
        """Fraction of each neuron's variance in each frequency's block: [neuron, frequency]; NaN for constant neurons."""
        return self.post_spectrum.fraction_explained("block", self.context.sign).T

    @cached_property
    def logit_mean(self) -> NDArray:
        """Mean logits over all pairs: [output]."""
        return self.logit_marginals.a.sum(0) / self.context.n**2

    @cached_property
    def directions(self) -> NDArray:
        """Part of the logits along cos and sin of w_k(a + b), for each frequency k: [frequency, a + b, output].

        For subtraction, a - b replaces a + b.
        """
        line = self.logit_marginals.plus if self.context.sign == 1 else self.logit_marginals.minus
        kernels = np.stack([fourier.kernel(self.context.n, [k]) for k in fourier.frequencies(self.context.n)])
        return np.tensordot(kernels, line, axes=1)

    @cached_property
    def key_directions(self) -> NDArray:
        """Part of the logits along cos and sin of w_k(a + b), summed over the key frequencies k: [a + b, output].

        For subtraction, a - b replaces a + b.
        """
        return self.directions[self.context.key_frequencies - 1].sum(0)
