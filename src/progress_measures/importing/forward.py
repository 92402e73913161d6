"""Compute the logits of an imported network with the user's own forward pass, the option `--forward`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from progress_measures.errors import UserError
from progress_measures.experiments.schema import Model
from progress_measures.importing.callables import CallableNetwork, Network, load_function
from progress_measures.importing.contents import Contents
from progress_measures.importing.findings import Choice, Finding
from progress_measures.importing.operations import task_of_operation
from progress_measures.importing.settings import ComputedNetwork, Options, operations_of, stated_modulus
from progress_measures.importing.sizes import Sizes
from progress_measures.section import MAX_OPERANDS
from progress_measures.tasks import PairTask
from progress_measures.tasks.tokens import PAPER_LAYOUT, TokenLayout

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def computed_by_forward(path: Path, contents: Contents, options: Options) -> ComputedNetwork:
    """Compute the logits of all checkpoints by the user's function; this runs the user's code.

    Args:
        path: path of the file or folder.
        contents: what the file contains.
        options: what the user states about the file; `forward` is set.

    Returns:
        The network. In place of tensors, it has logits and, if they are known, neurons and gradient cosines: the cosine
        between the gradients of a logit with respect to the embeddings of a and of b (see `CallableNetwork.activations`).

    Raises:
        UserError: the function or its network fails, or the options do not fit the network.
    """
    assert options.forward is not None
    prefix = f"--forward {options.forward}"
    function = load_function(options.forward)
    dtype = DTYPES[options.precision]

    def network_of(state: Mapping[str, NDArray[Any]]) -> tuple[Network, dict[str, Tensor]]:
        tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in state.items()}
        tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        try:
            network = function(tensors)
        except Exception as error:  # the user's code may raise anything
            raise UserError(f"{prefix}: the function raised {type(error).__name__}: {error}") from None
        if not callable(network):
            raise UserError(f"{prefix}: expected a callable from tokens to logits, found {type(network).__name__}.")
        return (network.to(dtype) if isinstance(network, nn.Module) else network), tensors

    sizes, task = _sizes(contents, options, prefix, *network_of(contents.states[-1]))
    stored = []
    for state in contents.states:
        network, tensors = network_of(state)
        parameters = None if isinstance(network, nn.Module) else tensors
        stored.append(CallableNetwork(network, task, prefix, parameters).activations())
    neurons, gradients = "neurons" in stored[-1], "gradient_cosines" in stored[-1]
    known = [name for name, present in (("logits", True), ("neurons", neurons), ("gradients", gradients)) if present]
    findings = [
        Finding("forward pass", options.forward, "option", "the code in this file was run"),
        Finding(
            "known activations", ", ".join(known), "inferred", "returned by the code; measures of weights do not apply"
        ),
    ]
    model = {"d_mlp": stored[-1]["neurons"].shape[-1]} if neurons else {}
    provenance = {
        "format": f"the forward pass of {options.forward}",
        "ignored": [],
        "logits_only": True,
        "neurons": neurons,
        "gradients": gradients,
    }
    logits = stored[-1]["logits"].astype(np.float64)
    return ComputedNetwork(
        stored=stored,
        logits=logits,
        sizes=sizes,
        tested=operations_of(options, sizes),
        findings=findings,
        doubts=[],
        tried="the forward pass given",
        model=model,
        provenance=provenance,
        unknown=unknown_settings(model),
    )


def unknown_settings(known: Mapping[str, Any]) -> dict[str, float | str]:
    """Return what a cube has for each field of `model` that is not known: NaN for a number, else `unknown`."""
    # fields whose default is None get a value of their type, which decides between NaN and `unknown`
    settings = Model().model_dump() | {"attention_scale": 0.0, "final_norm": False, "mlp_input": ""}
    settings["activation_function"] = settings.pop("activation")
    return {
        name: math.nan if isinstance(value, int | float) and not isinstance(value, bool) else "unknown"
        for name, value in settings.items()
        if name not in known
    }


def _sizes(
    contents: Contents, options: Options, prefix: str, network: Network, tensors: dict[str, Tensor]
) -> tuple[Sizes, PairTask]:
    """Return the numbers of operand values and outputs, layout and answer position, and an arbitrary task with these."""
    tokens = (
        Choice(options.tokens, "option")
        if options.tokens
        else Choice(PAPER_LAYOUT, "assumed", "the paper's layout (--tokens)")
    )
    read = Choice("last", "assumed", "the logits at the last position (--read)")
    read = read if options.read is None else Choice(options.read, "option")
    operands = stated_modulus(contents, options)  # n, which --modulus states for tasks without a modulus, too
    if operands is not None:
        _check_operand_count(operands.value)
    # n may be unknown here; `output_count` uses the pair (0, 0) only, whose tokens exist for any n
    probe = _any_task(2 if operands is None else operands.value, 2, tokens.value, read.value)
    outputs = CallableNetwork(network, probe, prefix, tensors).output_count()
    if operands is None:
        operands = Choice(outputs, "inferred", "the number of outputs (--modulus)")
        _check_operand_count(operands.value)
    return Sizes(operands, tokens, read, outputs), _any_task(operands.value, outputs, tokens.value, read.value)


def _check_operand_count(n: int) -> None:
    """Raise a `UserError` if the number of operand values is not supported."""
    if not 2 <= n <= MAX_OPERANDS:
        raise UserError(f"{n} values of a and b; expected 2 to {MAX_OPERANDS}. State their number with --modulus.")


def _any_task(n: int, outputs: int, tokens: str, read: int | str) -> PairTask:
    """Return some task with n operand values. The task's operation has no effect on the logits, so any will do."""
    try:
        TokenLayout.parse(tokens, n)
    except ValueError as error:
        raise UserError(f"--tokens {tokens!r}: {error}.") from None
    # a modular task needs n > 2 and at least n outputs; `sum` needs at least an output for each of its 2n - 1 sums
    return task_of_operation("a+b" if n > 2 else "sum", n, max(outputs, n if n > 2 else 2 * n - 1), tokens, read)
