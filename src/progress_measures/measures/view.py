"""One checkpoint under the microscope: what measures look at, computed at most once and only when asked for."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures import fourier
from progress_measures.measures.keys import best_frequency, key_frequencies
from progress_measures.models import answers, foreign, pairs
from progress_measures.tasks import label_table, layout, task_module


class NoSplit(Exception):
    """It is not known on which pairs the run was trained, so there is nothing to measure on them, or on the others."""


class Scene:
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
            raise NoSplit
        return self._train

    @property
    def test(self) -> NDArray[np.bool_]:
        """True for the other pairs: [pair]."""
        return ~self.train

    @cached_property
    def pairs(self) -> pairs.Pairs:
        """All pairs, for one-layer networks."""
        every_a, every_b = (torch.from_numpy(index.reshape(1, -1)) for index in np.indices((self.n, self.n)))
        return pairs.Pairs(every_a, every_b, self.n, self.run.model.heads)

    @cached_property
    def places(self) -> answers.Places:
        """All pairs, for other networks, which are read at `=`."""
        a, b = np.indices((self.n, self.n)).reshape(2, 1, -1)
        tokens = torch.from_numpy(np.stack([a, b, np.full_like(a, self.n)], -1))
        return answers.Places(tokens, torch.full_like(tokens[..., :1], 2), self.n + 1)

    def view(self, weights: dict[str, NDArray], epoch: int) -> "View":
        """A checkpoint."""
        return View(self, weights)

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
    def final(self) -> "View":
        """The last checkpoint."""
        return View(self, self._final)

    @cached_property
    def key_frequencies(self) -> NDArray[np.int64]:
        """The key frequencies of the last checkpoint, applied to every other."""
        return key_frequencies(self.final.neuron_shares)

    @cached_property
    def neuron_frequency(self) -> tuple[NDArray[np.int64], NDArray]:
        """Each neuron's frequency at the last checkpoint, and the share that it explains."""
        return best_frequency(self.final.neuron_shares)


class View:
    """One checkpoint of a network on pairs. Arrays have its weights' precision. Neurons are those of the last layer.

    Pairs are lexicographic, index a * n + b; p = n for modular tasks.

    Attributes:
        trained: its tensors as they were trained.
        weights: tensors that compute the same and are all of `Architecture`: other than `trained` in imported networks.
    """

    def __init__(self, scene: Scene, weights: dict[str, NDArray]):
        self.scene = scene
        self.trained = weights
        imported = scene.run.imported is not None
        self.weights = foreign.as_ours(weights, layout(scene.run.task), scene.one_layer) if imported else weights

    @cached_property
    def _tables(self) -> pairs.Tables:
        with torch.no_grad():
            return pairs.tables({name: torch.from_numpy(w)[None] for name, w in self.weights.items()})

    @cached_property
    def _forward(self) -> tuple[NDArray, NDArray]:
        with torch.no_grad():
            if self.scene.one_layer:
                pre, logits = pairs.neurons_and_logits(self._tables, self.scene.pairs)
            elif self.scene.run.imported:
                return foreign.neurons_and_logits(self.weights, self.scene.n, self.scene.run.layer_norm)
            else:
                weights = {name: torch.from_numpy(w)[None] for name, w in self.weights.items()}
                pre, logits = answers.neurons_and_logits(
                    weights, self.scene.places, self.scene.run.model.doubled_residual
                )
        return pre[0].numpy(), logits[0].numpy()

    @property
    def train(self) -> tuple[NDArray, NDArray]:
        """Logits and labels of the training pairs."""
        return self.logits[self.scene.train], self.scene.labels[self.scene.train]

    @property
    def test(self) -> tuple[NDArray, NDArray]:
        """Logits and labels of the other pairs."""
        return self.logits[self.scene.test], self.scene.labels[self.scene.test]

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
            to_operands = self.scene.pairs.attention(self._tables.scores)[0].numpy()
        return np.concatenate([to_operands, 1 - to_operands.sum(-1, keepdims=True)], -1)

    @cached_property
    def first_attention(self) -> NDArray:
        """Attention of the first layer from every position to every one, in float64: [pair, head, query, position]."""
        run = self.scene.run
        # not `weights`, which in an imported network ask as it does at `=` alone
        own = foreign.as_ours(self.trained, layout(run.task), one_layer=False)
        weights = {name: tensor.astype(np.float64) for name, tensor in own.items()}
        return foreign.first_attention(weights, self.scene.n, run.layer_norm)

    @cached_property
    def W_L(self) -> NDArray:
        """Neuron-to-logit map W_out W_U: [neuron, output]."""
        if self.scene.one_layer:
            return self._tables.W_L[0].numpy()
        return self.weights["W_out"][-1] @ self.weights["W_U"]

    @cached_property
    def logit_marginals(self) -> fourier.Marginals:
        """Sums of the logits along lines of the (a, b) plane, in float64: [x, output] each."""
        return fourier.marginals(self.logits.reshape(self.scene.n, self.scene.n, -1).astype(np.float64))

    @cached_property
    def post_marginals(self) -> fourier.Marginals:
        """The same of the neurons after the ReLU: [x, neuron] each."""
        return fourier.marginals(self.post.reshape(self.scene.n, self.scene.n, -1))

    @cached_property
    def post_spectrum(self) -> fourier.Spectrum:
        """How the variance of the neurons after the ReLU is spread over frequencies."""
        return fourier.Spectrum.of(self.post, self.post_marginals)

    @cached_property
    def pre_spectrum(self) -> fourier.Spectrum:
        """The same before the ReLU."""
        return fourier.Spectrum.of(self.pre, fourier.marginals(self.pre.reshape(self.scene.n, self.scene.n, -1)))

    @cached_property
    def neuron_shares(self) -> NDArray:
        """Share of each neuron's variance in each frequency's block: [neuron, frequency], NaN where it never varies."""
        return self.post_spectrum.share("block", self.scene.sign).T

    @cached_property
    def logit_mean(self) -> NDArray:
        """Mean logits over all pairs: [output]."""
        return self.logit_marginals.a.sum(0) / self.scene.n**2

    @cached_property
    def directions(self) -> NDArray:
        """Each frequency's part of the logits along cos and sin of w_k(a + b): [frequency, a + b, output].

        For subtraction a - b stands in place of a + b, here and below.
        """
        line = self.logit_marginals.plus if self.scene.sign == 1 else self.logit_marginals.minus
        kernels = np.stack([fourier.kernel(self.scene.n, [k]) for k in fourier.frequencies(self.scene.n)])
        return np.tensordot(kernels, line, axes=1)

    @cached_property
    def key_directions(self) -> NDArray:
        """The key frequencies' part of the logits along those directions: [a + b, output]."""
        return self.directions[self.scene.key_frequencies - 1].sum(0)
