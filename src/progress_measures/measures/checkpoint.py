"""A checkpoint of a network on pairs, with the intermediate results that measures share.

Each result is computed on first use, and at most once per checkpoint.
"""

from __future__ import annotations

import weakref
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from progress_measures import fourier
from progress_measures.measures.keys import best_frequency, key_frequencies, key_frequencies_of_logits
from progress_measures.measures.numerics import Outcomes
from progress_measures.models import forward_at_answers, network, pairs, transformer
from progress_measures.models.design import design_of
from progress_measures.models.native import in_order, native_weights
from progress_measures.tasks.order import Order

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class SplitUnknown(Exception):
    """The training pairs of a run are unknown, so that measures on training or test pairs do not apply."""


class NoFinalCheckpoint(Exception):
    """The last checkpoint of a run does not exist yet, so that measures that require it cannot be computed."""


class RunContext:
    """Data that all checkpoints of a run on pairs share: task, split, and results of the last checkpoint.

    Args:
        run: settings of the run.
        final: weights of the last checkpoint, without a `run` dimension; None while the run trains.
        train: true for training pairs [a, b], in natural order; None if they are unknown.
        order: order of operand values and outputs; None for their natural order, 0, 1, 2, ….

    Attributes:
        n: number of operand values in this order. The order of a cyclic group may leave out some: for products modulo a
            prime p, it leaves out 0, so n = p - 1.
        labels: index of each pair's right answer among the outputs in this order [pair]; of no use where `defined` is
            false.
        defined: whether each pair has a right answer [pair].
        closed_form: whether the fast path (`models.pairs`, an exact computation from small tables) applies.
    """

    def __init__(
        self,
        run: Run,
        final: dict[str, NDArray] | None,
        train: NDArray[np.bool_] | None,
        order: Order | None = None,
    ) -> None:
        self.run = run
        self.order = order or Order.natural(run.task)
        operands = self.order.operands
        self.n = len(operands)
        grid = np.ix_(operands, operands)
        index_in_order = np.empty(run.task.sizes.outputs, dtype=np.int64)  # of each output
        index_in_order[self.order.outputs] = np.arange(run.task.sizes.outputs)
        self.labels = index_in_order[run.task.label_table()[grid]].ravel()
        self.defined = run.task.defined()[grid].ravel()
        self._train_in_natural_order, self._final = train, final
        self._natural: RunContext | None = None  # the context in natural order, if this one is in another order
        self._train = None if train is None else train.reshape(run.task.defined().shape)[grid].ravel()
        self.closed_form = run.closed_form

    @property
    def in_group_order(self) -> RunContext:
        """The same data in the order of the task's cyclic group.

        It is this context itself if it has this order already, or if there is no group.
        """
        return self._in_non_natural_order or self

    @cached_property
    def _in_non_natural_order(self) -> RunContext | None:
        """The context in the group's order; None if this context has that order already, or if there is no group."""
        order = Order.of_group(self.run.task)
        if order is None or self._natural is not None:
            return None
        context = RunContext(self.run, self._final, self._train_in_natural_order, order)
        context._natural = self
        return context

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
        return self.defined & ~self.train

    @cached_property
    def pairs(self) -> pairs.PairBatch:
        """All pairs, as `models.pairs` requires them; only for runs with `closed_form` true."""
        a, b = (torch.from_numpy(index.reshape(1, -1)) for index in np.indices((self.n, self.n)))
        return pairs.PairBatch(a, b, self.n, self.run.model.heads)

    @property
    def natural_pair_index(self) -> NDArray[np.int64]:
        """For each pair, in the order of this context, the index that it has among all pairs in natural order."""
        operands, all_operands = self.order.operands, self.run.task.sizes.operand_count
        return (operands[:, None] * all_operands + operands).ravel()

    @cached_property
    def tokens(self) -> torch.Tensor:
        """The tokens of all pairs: [pair, position]."""
        operands = self.order.operands
        a, b = (operands[index.ravel()] for index in np.indices((self.n, self.n)))
        return torch.from_numpy(self.run.task.token_layout.sequences(a, b))

    @cached_property
    def token_sequences(self) -> forward_at_answers.TokenSequences:
        """All pairs with their answer position, for `models.forward_at_answers`."""
        task, tokens = self.run.task, self.tokens[None]
        answer_positions = torch.full_like(tokens[..., :1], task.answer_position)
        return forward_at_answers.TokenSequences(tokens, answer_positions, task.token_layout.vocabulary)

    def checkpoint(self, weights: dict[str, NDArray], epoch: int) -> Checkpoint:
        """Return a checkpoint of the run in the order of this context.

        Args:
            weights: weights of the checkpoint, without a `run` dimension.
            epoch: number of updates before the checkpoint.
        """
        if self._natural is not None:
            return self._natural.checkpoint(weights, epoch).in_group_order
        return Checkpoint(self, weights, epoch)

    @cached_property
    def sign(self) -> int:
        """1 if the right answer is a + b mod n in the order of the cyclic group, -1 if it is a - b mod n.

        Only for tasks with a cyclic group.
        """
        group = self.run.task.group
        assert group is not None
        return group.sign

    @cached_property
    def sum_index(self) -> NDArray[np.int64]:
        """Sum a + b mod n of each pair, or difference a - b mod n for subtraction: [pair].

        Pairs with equal values lie on one diagonal line of the (a, b) plane.
        """
        a, b = np.indices((self.n, self.n)).reshape(2, -1)
        return (a + self.sign * b) % self.n

    @property
    def final(self) -> Checkpoint:
        """Last checkpoint of the run; a new object at each access, so that its intermediate results do not stay in memory.

        Raises:
            NoFinalCheckpoint: the run still trains.
        """
        if self._natural is not None:
            return self._natural.final.in_group_order
        if self._final is None:
            raise NoFinalCheckpoint
        return self.checkpoint(self._final, self.run.training.epochs)

    @cached_property
    def key_frequencies(self) -> NDArray[np.int64]:
        """Key frequencies of the last checkpoint, ascending; measures use them at every checkpoint.

        The rule by neurons finds them, or the rule by logits if the neurons are unknown (see `measures.keys`).
        """
        if "neurons" in self.run.provides:
            return key_frequencies(self._final_fractions)
        final = self.final
        # sums over the pairs on a line of equal a + b, or of equal a - b for subtraction
        line_sums = final.logit_marginals.plus if self.sign == 1 else final.logit_marginals.minus
        centered = final.logits.astype(np.float64) - final.logit_mean
        return key_frequencies_of_logits(final.group_outputs(line_sums), float(np.square(centered).sum()))

    @cached_property
    def neuron_frequency(self) -> tuple[NDArray[np.int64], NDArray]:
        """Frequency that explains the largest fraction of each neuron's variance, and this fraction.

        Both arrays are [neuron], at the last checkpoint; see `keys.best_frequency`.
        """
        return best_frequency(self._final_fractions)

    @cached_property
    def _final_fractions(self) -> NDArray:
        """`variance_fractions` of the last checkpoint: [neuron, frequency]."""
        return self.final.variance_fractions


def _tables_of(weights: dict[str, NDArray]) -> pairs.Tables:
    with torch.no_grad():
        return pairs.tables({name: torch.from_numpy(w)[None] for name, w in weights.items()})


class Checkpoint:
    """A checkpoint of a network on pairs.

    Arrays have the precision of the weights. Pairs are in lexicographic order, with index a * n + b, where n is
    `context.n`. All neurons are neurons of the last layer. A frequency k has w_k = 2πk/n.

    Args:
        context: data that all checkpoints of the run share.
        weights: weights of the checkpoint, without a `run` dimension.
        epoch: number of updates before the checkpoint; None if it is unknown.

    Attributes:
        stored: the arrays of the checkpoint as they are stored: the trained tensors. For a run without the capability
            `weights` (a network imported with the user's own forward pass), they are `logits` and, if they are known,
            `neurons` and `gradient_cosines`.
        weights: the trained tensors in the order of the context and in native form. This is the form of the paper's design,
            into which the tensors of other designs are folded (see `models.native`). Empty for a run without the
            capability `weights`.
    """

    def __init__(self, context: RunContext, weights: dict[str, NDArray], epoch: int | None = None) -> None:
        self.context, self.epoch = context, epoch
        self.stored = weights
        has_weights = "weights" in context.run.provides
        self.weights = in_order(native_weights(weights, context.run), context.order) if has_weights else {}
        self._natural: Checkpoint | None = None  # the checkpoint in natural order, if this one is in another order
        self._in_group_order: weakref.ref[Checkpoint] | None = None

    @property
    def in_group_order(self) -> Checkpoint:
        """This checkpoint with operand values and outputs in the order of the task's cyclic group.

        It is this checkpoint itself if there is no group, or if the group's order is the natural one. Otherwise the same object
        is returned as long as it is in use, so that its results are computed once.
        """
        context = self.context.in_group_order
        if context is self.context:
            return self
        checkpoint = None if self._in_group_order is None else self._in_group_order()
        if checkpoint is None:
            checkpoint = Checkpoint(context, self.stored, self.epoch)
            checkpoint._natural = self
            # weak, because in a cycle of references all results would stay in memory until Python's next garbage collection
            self._in_group_order = weakref.ref(checkpoint)
        return checkpoint

    @cached_property
    def _tables(self) -> pairs.Tables:
        return _tables_of(self.weights)

    def logits_with(self, weights: dict[str, NDArray]) -> NDArray:
        """Return the logits of all pairs with other weights in native form: [pair, output]. Only with `closed_form` true."""
        return pairs.logits(_tables_of(weights), self.context.pairs)[0].numpy()

    @cached_property
    def _forward(self) -> tuple[NDArray, NDArray, NDArray]:
        """Neurons before and after the activation function [pair, neuron], and logits [pair, output].

        An array of neurons is [pair, 0] if the network has no neurons or they are unknown.
        """
        if self._natural is not None:
            pre, post, logits = self._natural._forward
            index = self.context.natural_pair_index
            return pre[index], post[index], logits[index][:, self.context.order.outputs]
        run = self.context.run
        if "weights" not in run.provides:
            logits = self.stored["logits"]
            unknown = np.empty((len(logits), 0), dtype=logits.dtype)
            return unknown, self.stored.get("neurons", unknown), logits
        if self.context.closed_form:
            pre, logits = (tensor[0].numpy() for tensor in pairs.neurons_and_logits(self._tables, self.context.pairs))
            return pre, np.maximum(pre, 0), logits
        weights = {name: torch.from_numpy(np.ascontiguousarray(w))[None] for name, w in self.stored.items()}
        # an imported W_E may have more rows than the layout has tokens, which `forward_at_answers` does not support
        if run.has_paper_design and run.imported is None:
            tensors = forward_at_answers.neurons_and_logits(
                weights, self.context.token_sequences, run.model.doubled_residual
            )
            pre, logits = (tensor[0].numpy() for tensor in tensors)
            return pre, np.maximum(pre, 0), logits
        module = f"blocks.{run.model.layers - 1}.mlp"
        activation_names = [] if run.model.attention_only else [f"{module}.hook_pre", f"{module}.hook_post"]
        design, position = design_of(run.model), run.task.answer_position
        output_logits, neurons = network.logits_and_activations(
            weights, self.context.tokens, position, design, activation_names
        )
        logits = output_logits.numpy()
        if not activation_names:
            no_neurons = np.empty((len(logits), 0), dtype=logits.dtype)
            return no_neurons, no_neurons, logits
        pre, post = ((values[:, 0] if values.ndim == 3 else values).numpy() for values in neurons)
        return pre, post, logits

    @cached_property
    def outcomes(self) -> Outcomes:
        """Losses and correctness of all pairs; of no use for pairs without a right answer (`context.defined` is false)."""
        return Outcomes.of(self.logits, self.context.labels)

    @property
    def train_outcomes(self) -> Outcomes:
        """Outcomes of the training pairs."""
        return self.outcomes.select(self.context.train)

    @property
    def test_outcomes(self) -> Outcomes:
        """Outcomes of the test pairs."""
        return self.outcomes.select(self.context.test)

    @property
    def pre(self) -> NDArray:
        """Pre-activations of the neurons, before the activation function: [pair, neuron]; [pair, 0] if unknown or none."""
        return self._forward[0]

    @property
    def post(self) -> NDArray:
        """Activations of the neurons, after the activation function: [pair, neuron]; [pair, 0] if unknown or none."""
        return self._forward[1]

    @property
    def logits(self) -> NDArray:
        """Logits of all pairs: [pair, output]; computed from the weights, or read if only logits were imported."""
        return self._forward[2]

    @cached_property
    def attention(self) -> NDArray:
        """Attention from `=` to a, b and `=`: [pair, head, position]. Only with `closed_form` true."""
        with torch.no_grad():
            to_operands = self.context.pairs.attention(self._tables.scores)[0].numpy()
        return np.concatenate([to_operands, 1 - to_operands.sum(-1, keepdims=True)], -1)

    @cached_property
    def first_attention(self) -> NDArray:
        """Attention of the first layer between all positions, in float64: [pair, head, query, position]."""
        run = self.context.run
        # not from `self.weights`: if there are attention biases, the native form has the right queries only at `=`
        weights = {name: torch.from_numpy(tensor.astype(np.float64))[None] for name, tensor in self.stored.items()}
        patterns: list[torch.Tensor] = []

        def record_pattern(name: str, value: torch.Tensor) -> None:
            if name == "blocks.0.attn.hook_pattern":
                patterns.append(value[0])

        width = max(tensor.shape[-1] for name, tensor in weights.items() if name.startswith("W_"))
        pairs_at_a_time = max(1, network.MAX_ENTRIES // (3 * width))  # a pair has three positions
        with torch.no_grad():
            for tokens in self.context.tokens.split(pairs_at_a_time):
                transformer.forward(weights, tokens, record_pattern, design_of(run.model))
        return torch.cat(patterns).numpy()

    @cached_property
    def W_L(self) -> NDArray:
        """Neuron-logit map W_out W_U: [neuron, output]."""
        return self._tables.W_L[0].numpy() if self.context.closed_form else self.neuron_to_logit_map(self.pre.dtype)

    def neuron_to_logit_map(self, dtype: DTypeLike) -> NDArray:
        """Return W_out W_U of the last layer, computed with this data type: [neuron, output].

        An MLP without attention has no W_U; its W_out maps the neurons to logits.
        """
        W_out = self.weights["W_out"].astype(dtype)
        if self.context.run.model.mlp_input is None:
            W_out = W_out[-1]
        return W_out @ self.weights["W_U"].astype(dtype) if "W_U" in self.weights else W_out

    def group_outputs(self, values: NDArray) -> NDArray:
        """Select from values [..., output] the outputs that are elements of the cyclic group, in its order: [..., n]."""
        return values[..., : self.context.n]

    @cached_property
    def logit_marginals(self) -> fourier.Marginals:
        """Sums of the logits over pairs with equal a, b, a + b or a - b, in float64: four arrays [common value, output]."""
        return fourier.marginals(self.logits.reshape(self.context.n, self.context.n, -1).astype(np.float64))

    @cached_property
    def post_marginals(self) -> fourier.Marginals:
        """Sums of the activations over pairs with equal a, b, a + b or a - b: four arrays [common value, neuron]."""
        return fourier.marginals(self.post.reshape(self.context.n, self.context.n, -1))

    @cached_property
    def post_spectrum(self) -> fourier.Spectrum:
        """Variance over pairs of the activations after the activation function, by frequency."""
        return fourier.Spectrum.of(self.post, self.post_marginals)

    @cached_property
    def pre_spectrum(self) -> fourier.Spectrum:
        """Variance over pairs of the pre-activations, by frequency."""
        return fourier.Spectrum.of(self.pre, fourier.marginals(self.pre.reshape(self.context.n, self.context.n, -1)))

    @cached_property
    def variance_fractions(self) -> NDArray:
        """Fraction of each neuron's variance over pairs that each frequency k explains: [neuron, frequency].

        Frequency k explains the projection on cos and sin of w_k a and of w_k b, and on their products. NaN for a
        constant neuron.
        """
        return self.post_spectrum.fraction_explained("block", self.context.sign).T

    @cached_property
    def logit_mean(self) -> NDArray:
        """Mean logits over all pairs: [output]."""
        return self.logit_marginals.a.sum(0) / self.context.n**2

    @cached_property
    def direction_logits(self) -> NDArray:
        """Part of the logits along cos and sin of w_k(a + b), for each frequency k: [frequency, a + b, output].

        For subtraction, a - b replaces a + b.
        """
        line_sums = self.logit_marginals.plus if self.context.sign == 1 else self.logit_marginals.minus
        return np.tensordot(fourier.kernels(self.context.n), line_sums, axes=1)

    @cached_property
    def key_direction_logits(self) -> NDArray:
        """Part of the logits along cos and sin of w_k(a + b), summed over the key frequencies k: [a + b, output].

        For subtraction, a - b replaces a + b.
        """
        return self.direction_logits[self.context.key_frequencies - 1].sum(0)
