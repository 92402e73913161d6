"""Evaluate the user's own forward pass, a callable from tokens to logits, on all pairs of a task."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from progress_measures.errors import UserError
from progress_measures.measures.algorithm import TRIPLES, triples
from progress_measures.models.gradients import gradient_cosines
from progress_measures.tasks import PairTask
from progress_measures.tasks.order import Order

PAIRS_AT_ONCE = 2**12
"""Number of pairs on which a network is called at once, so that the activations of large networks fit into memory."""

Network = Callable[[Tensor], Any]
"""A function from tokens [batch, position] to logits [batch, output] or [batch, position, output].

It may also return logits and a dictionary of activations, a dictionary with the key `logits`, or an object with the
attribute `logits`. Of a dictionary, only `logits` and `neurons` [batch, neuron] or [batch, position, neuron] are used.
"""


def load_function(spec: str, option: str = "--forward") -> Callable[[dict[str, Tensor]], Network]:
    """Load the function that an option names. This runs the user's file.

    Args:
        spec: `FILE.py:FUNCTION`.
        option: name of the option, for error messages.

    Returns:
        The function. The one for `--forward` takes tensors by name and returns a network.

    Raises:
        UserError: the file or the function is missing, or the file raises an error.
    """
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py") or not Path(path).is_file():
        raise UserError(f"{option} {spec:.120}: expected FILE.py:FUNCTION with an existing file.")
    module_spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:  # the user's code may raise anything
        raise UserError(f"{option} {path}: running the file raised {type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"{option} {path}: the file defines no function {name!r}.")
    return function


def _array(tensor: Tensor) -> NDArray[np.floating]:
    """Return a tensor as an array of float64, or of float32 if it has less than double precision."""
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).detach().numpy()


class CallableNetwork:
    """A network that is a callable, evaluated on the pairs of a task.

    Args:
        network: the callable; a module is evaluated in evaluation mode.
        task: the task on pairs, with its token layout and answer position.
        prefix: name of the callable, with which error messages begin, such as `--forward net.py:build`.
        tensors: tensors from which the callable computes, one of which may be its embedding; None to use the parameters
            of the callable, if it is a module.
    """

    def __init__(
        self, network: Network, task: PairTask, prefix: str, tensors: Mapping[str, Tensor] | None = None
    ) -> None:
        self._network, self._task, self._prefix = network, task, prefix
        self._tensors = tensors
        if tensors is None and isinstance(network, nn.Module):
            self._tensors = dict(network.named_parameters())
        self._device = next((tensor.device for tensor in (self._tensors or {}).values()), torch.device("cpu"))

    def activations(self) -> dict[str, NDArray[np.floating]]:
        """Compute the logits of all pairs and, if they are known, neurons and gradient cosines.

        Returns:
            `logits` [pair, output]; `neurons` [pair, neuron] if the callable returns them; `gradient_cosines` [triple] if the
            task has a cyclic group and the network has embeddings with gradients: for random triples (a, b, c), the cosine
            between the gradients of the logit of c with respect to the embeddings of a and of b (Zhong et al. 2023,
            Definition 4.1). Logits and neurons are float32, or float64 if the network's are; the cosines are float64.

        Raises:
            UserError: the callable raises an error, or its logits or neurons are not finite or have a wrong shape or
                type.
        """
        n = self._task.operand_count
        a, b = np.divmod(np.arange(n * n), n)
        tokens = torch.from_numpy(self._task.token_layout.sequences(a, b))
        # A training program may call this in inference mode, but gradients need tensors made outside of this mode.
        with torch.inference_mode(False), self._evaluation_mode():
            with torch.no_grad():
                parts = [self._logits_and_neurons(batch) for batch in tokens.split(PAIRS_AT_ONCE)]
            result = {"logits": _array(torch.cat([logits for logits, _ in parts]))}
            neurons = [part for _, part in parts if part is not None]
            if len(neurons) == len(parts):
                result["neurons"] = _array(torch.cat(neurons))
            cosines = self._gradient_cosines(tokens)
        return result if cosines is None else result | {"gradient_cosines": cosines}

    def output_count(self) -> int:
        """Return the number of outputs, from the logits of the pair (0, 0)."""
        zero = np.zeros(1, dtype=np.int64)
        with torch.no_grad(), self._evaluation_mode():
            logits, _ = self._logits_and_activations(torch.from_numpy(self._task.token_layout.sequences(zero, zero)))
        if not logits.ndim:
            raise UserError(f"{self._prefix}: expected logits [batch, output], found a single number.")
        return logits.shape[-1]

    @contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        """Put a module and its parts into evaluation mode, and restore the mode of each at the end."""
        network = self._network
        modes = {m: m.training for m in network.modules()} if isinstance(network, nn.Module) else {}
        if not any(modes.values()):
            yield
            return
        assert isinstance(network, nn.Module)
        network.eval()
        try:
            yield
        finally:
            network.train(modes[network])  # `modules()` of TransformerLens's TransformerBridge lacks some parts
            for module, mode in modes.items():
                module.training = mode

    def _logits_and_activations(self, tokens: Tensor) -> tuple[Tensor, Mapping[str, Any]]:
        """Return what the network computes from tokens: logits, and activations by name, if it returns any."""
        logits = self._call(tokens)
        activations: Mapping[str, Any] = {}
        if isinstance(logits, tuple) and len(logits) == 2 and isinstance(logits[1], Mapping):
            logits, activations = logits
        elif isinstance(logits, Mapping) and "logits" in logits:
            logits, activations = logits["logits"], logits
        elif hasattr(logits, "logits"):
            logits = logits.logits
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            kind = f"a tensor of {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
            raise UserError(f"{self._prefix}: expected logits as a floating-point tensor, found {kind}.")
        return logits, activations

    def _logits_and_neurons(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits at the answer position and the neurons of some pairs; None if the network returns no neurons."""
        position = self._task.answer_position
        all_logits, activations = self._logits_and_activations(tokens)
        logits = self._at_answer(all_logits, tokens, position).cpu()
        if logits.ndim != 2 or len(logits) != len(tokens) or logits.shape[-1] < self._task.output_count:
            raise UserError(
                f"{self._prefix}: expected logits [{len(tokens)}, output] or [{len(tokens)}, {tokens.shape[1]}, output] with "
                f"{self._task.output_count} outputs or more, found the shape {list(all_logits.shape)}."
            )
        if not torch.isfinite(logits).all():
            raise UserError(f"{self._prefix}: some logits are not finite.")
        neurons = activations.get("neurons")
        if neurons is None:
            return logits, None
        if isinstance(neurons, Tensor):
            neurons = self._at_answer(neurons, tokens, position).cpu()
        if not (isinstance(neurons, Tensor) and neurons.ndim == 2 and len(neurons) == len(tokens)):
            found = list(neurons.shape) if isinstance(neurons, Tensor) else type(neurons).__name__
            raise UserError(
                f"{self._prefix}: neurons: expected a tensor [{len(tokens)}, neuron] or [{len(tokens)}, {tokens.shape[1]}, "
                f"neuron], found {found}."
            )
        if not torch.isfinite(neurons).all():
            raise UserError(f"{self._prefix}: some neurons are not finite.")
        return logits, neurons

    @staticmethod
    def _at_answer(values: Tensor, tokens: Tensor, position: int) -> Tensor:
        """Return values [batch, …] at the answer position, or at the only position; unchanged without positions."""
        if values.ndim == 3 and values.shape[1] == tokens.shape[1]:
            return values[:, position]
        return values[:, 0] if values.ndim == 3 and values.shape[1] == 1 else values

    def _call(self, tokens: Tensor) -> Any:
        try:
            return self._network(tokens.to(self._device))
        except UserError:
            raise
        except Exception as error:  # the user's code may raise anything
            raise UserError(f"{self._prefix}: the network raised {type(error).__name__}: {error}") from None

    def _gradient_cosines(self, tokens: Tensor) -> NDArray[np.float64] | None:
        """Return the gradient cosines, see `activations`: [triple].

        None if the task has no cyclic group, or if no embeddings with gradients are found.
        """
        task = self._task
        if "cyclic_group" not in task.provides:
            return None
        order = Order.of(task)
        a, b, c = triples(len(order.operands)).T
        triple_tokens = tokens[order.operands[a] * task.operand_count + order.operands[b]]
        outputs = torch.from_numpy(order.outputs[c])
        positions = (task.token_layout.position("a"), task.token_layout.position("b"))
        embedding = self._embedding_module(triple_tokens[:16])  # a few sequences suffice to recognize the module
        if embedding is not None:
            return self._cosines_by_module(embedding, triple_tokens, outputs, positions)
        return self._cosines_by_table(tokens, order)

    def _embedding_module(self, tokens: Tensor) -> nn.Module | None:
        """Return the module that embeds the tokens: it is called with them and returns a vector for each.

        If one such module contains another, the innermost counts. Return None if there is no such module, or if there
        are several that do not contain each other.
        """
        if not isinstance(self._network, nn.Module):
            return None
        candidates: list[nn.Module] = []

        def add_candidate(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if (
                module is not self._network
                and inputs
                and isinstance(inputs[0], Tensor)
                and inputs[0].shape == tokens.shape
                and not inputs[0].is_floating_point()
                and torch.equal(inputs[0].cpu(), tokens)
                and isinstance(output, Tensor)
                and output.ndim == 3
                and output.shape[:2] == tokens.shape
                and output.is_floating_point()
                and any(parameter.shape[-1] == output.shape[-1] for parameter in module.parameters())
            ):
                candidates.append(module)

        handles = [module.register_forward_hook(add_candidate) for module in self._network.modules()]
        try:
            with torch.no_grad():
                self._call(tokens)
        finally:
            for handle in handles:
                handle.remove()
        innermost = [
            m for m in candidates if not any(other is not m and other in set(m.modules()) for other in candidates)
        ]
        return innermost[0] if len(innermost) == 1 else None

    def _cosines_by_module(
        self, embedding: nn.Module, tokens: Tensor, outputs: Tensor, positions: tuple[int, int]
    ) -> NDArray[np.float64] | None:
        """Compute the gradient cosines by replacing the output of the embedding; None if the logits have no gradients."""
        with torch.no_grad():
            embed = embedding(tokens.to(self._device))

        def logits_of(replacement: Tensor) -> Tensor:
            handle = embedding.register_forward_hook(lambda *_: replacement)
            try:
                return self._logits_and_neurons(tokens)[0]
            finally:
                handle.remove()

        try:
            return gradient_cosines(logits_of, embed, outputs, positions).double().cpu().numpy()
        except RuntimeError:
            # There is no path from the embeddings to the logits, as in a network that computes without gradients.
            return None

    def _cosines_by_table(self, tokens: Tensor, order: Order) -> NDArray[np.float64] | None:
        """Compute the gradient cosines from gradients with respect to a table of embeddings; None if the table is not found.

        The table is the only tensor whose gradient for one pair is zero except at the rows (or columns) of the pair's tokens.
        Operands are drawn such that no value occurs twice in a batch of pairs: the gradient of each row then belongs to one
        pair. So a and b of a triple are always different, unlike in the triples of `measures.algorithm`.
        """
        tensors = {name: t for name, t in (self._tensors or {}).items() if t.is_floating_point() and t.ndim == 2}
        layout, n = self._task.token_layout, self._task.operand_count
        if not tensors or layout.shared_operand_tokens is None:  # None: a and b have different tokens
            return None
        rng = np.random.default_rng(0)
        count = len(order.operands) // 2  # pairs in a batch
        cosines: list[NDArray[np.float64]] = []
        table: tuple[str, int] | None = None  # name of the tensor, and its dimension that counts tokens
        while sum(map(len, cosines)) < TRIPLES:
            shuffled = order.operands[rng.permutation(len(order.operands))]
            operands = shuffled[: 2 * count].reshape(2, count)  # of a and of b; all different
            outputs = torch.from_numpy(order.outputs[rng.integers(len(order.operands), size=count)])
            gradients = self._gradients(tokens[operands[0] * n + operands[1]], outputs, tensors)
            if table is None:
                first_tokens = tokens[operands[0, :1] * n + operands[1, :1]]
                first_gradients = self._gradients(first_tokens, outputs[:1], tensors)
                table = self._embedding_table(first_gradients, set(first_tokens.flatten().tolist()), layout.vocabulary)
                if table is None:
                    return None
            rows = gradients[table[0]] if table[1] == 0 else gradients[table[0]].T
            a, b = (rows[layout.shared_operand_tokens[values]].double().cpu() for values in operands)
            cosines.append(((a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))).numpy())
        return np.concatenate(cosines)[:TRIPLES]

    def _gradients(self, tokens: Tensor, outputs: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the gradient of the sum of one logit per pair with respect to each tensor; zeros for an unused tensor.

        Args:
            tokens: the tokens of the pairs: [pair, position].
            outputs: index of the output whose logit is taken, for each pair: [pair].
            tensors: the tensors by name.
        """
        frozen = [tensor for tensor in tensors.values() if not tensor.requires_grad]
        for tensor in frozen:
            tensor.requires_grad_()
        try:
            with torch.enable_grad():
                logit_sum = self._logits_and_neurons(tokens)[0].gather(-1, outputs[:, None]).sum()
                if not logit_sum.requires_grad:
                    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
                gradients = torch.autograd.grad(logit_sum, list(tensors.values()), allow_unused=True)
        finally:
            for tensor in frozen:
                tensor.requires_grad_(False)
        return {
            name: torch.zeros_like(tensor) if gradient is None else gradient
            for (name, tensor), gradient in zip(tensors.items(), gradients, strict=True)
        }

    @staticmethod
    def _embedding_table(gradients: Mapping[str, Tensor], tokens: set[int], vocabulary: int) -> tuple[str, int] | None:
        """Return the name of the table of embeddings and the dimension of its tokens, 0 or 1; None unless just one fits.

        Args:
            gradients: gradients of a logit of one pair, by the tensor's name.
            tokens: the tokens of this pair.
            vocabulary: number of tokens; the dimension of the table that counts tokens has at least this length.
        """
        candidates = []
        for name, gradient in gradients.items():
            for dim in (0, 1):
                rows = gradient if dim == 0 else gradient.T
                nonzero = set(rows.abs().sum(-1).nonzero().flatten().tolist())
                if len(rows) >= vocabulary and nonzero and nonzero <= tokens:
                    candidates.append((name, dim))
        return candidates[0] if len(candidates) == 1 else None
