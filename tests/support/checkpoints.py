"""Checkpoints of small networks of every kind; for some, also the `Network` that computes their measures by definition."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from progress_measures.experiments.schema import Experiment
from progress_measures.measures import families_of, family_measures
from progress_measures.measures.checkpoint import Checkpoint, RunContext
from progress_measures.measures.registry import Measure
from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint, SequenceRunContext
from support.definitions import Network, TwoLayerNetwork
from support.experiments import SEQUENCES, P, pair_run, sequence_run
from support.networks import (
    Weights,
    imported_run,
    imported_weights,
    random_mask,
    random_weights,
    solving_weights,
    two_layer_network,
)

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

# ---- checkpoints with definitions


@functools.cache
def solving_network(
    kind: str = "modular_addition", scale: float = 1.0, noise: float = 0.02
) -> tuple[RunContext, Network]:
    """Return the context of a run whose last checkpoint solves its task, and the `Network` of that checkpoint.

    Args:
        kind: the task.
        scale: factor on W_U.
        noise: standard deviation of the noise on every weight.
    """
    run, train = pair_run(kind), random_mask(P)
    weights = solving_weights(run, np.random.default_rng(5), scale, noise)
    return RunContext(run, weights, train), Network(run, weights, train)


@functools.cache
def checkpoint_and_definitions(kind: str, state: str) -> tuple[Checkpoint, Network]:
    """Return a checkpoint, and the `Network` that computes its measures by definition.

    Args:
        kind: the task.
        state: `solving` for the last checkpoint of a run, `earlier` for another checkpoint of that run, `random` for a
            network without key frequencies and biases. With this seed no neuron of the random network is active at
            exactly one pair; all frequencies would explain such a neuron equally well.
    """
    run = pair_run(kind, mlp_biases=state != "random")
    train, rng = random_mask(7 if kind == "integer_addition" else P), np.random.default_rng(39)
    if state == "solving":
        return solving_network(kind)[0].final, solving_network(kind)[1]
    if state == "random":
        weights = random_weights(run, rng)
        return RunContext(run, weights, train).final, Network(run, weights, train)
    context, final = solving_network(kind)
    noise = random_weights(run, rng, 0.3)
    weights = {name: 0.7 * tensor + noise[name] for name, tensor in final.weights.items()}
    weights["b_in"][0, 5] = -50  # dead at this checkpoint
    return Checkpoint(context, weights), Network(run, weights, train, final)


@functools.cache
def two_layer_checkpoint() -> tuple[Checkpoint, TwoLayerNetwork]:
    """Return the last checkpoint of the two-layer network, and the `Network` that computes its measures by definition."""
    run, weights = two_layer_network()
    train = random_mask(P)
    return RunContext(run, weights, train).final, TwoLayerNetwork(run, weights, train)


# ---- small networks of every kind


@dataclass(frozen=True)
class SmallNetwork:
    """A small network at one checkpoint, with the other inputs of its measures.

    Attributes:
        run: the run of the network.
        weights: the weights at the checkpoint.
        final: the weights of the run's last checkpoint.
        train: [a, b], true for training pairs; None for a task on sequences.
    """

    run: Run
    weights: Weights
    final: Weights
    train: NDArray[np.bool_] | None

    @functools.cached_property
    def checkpoint(self) -> Checkpoint | SequenceCheckpoint:
        """The checkpoint at epoch 20, from which measures are computed."""
        if self.run.on_sequences:
            return SequenceRunContext(self.run, self.final, 60).checkpoint(self.weights, 20)
        return RunContext(self.run, self.final, self.train).checkpoint(self.weights, 20)

    @property
    def measures(self) -> list[Measure]:
        """The measures that an extraction computes for this network."""
        return [m for family in families_of(self.run) for m in family_measures(family) if m.applies_to(self.run)]

    def altered(
        self,
        change: Callable[[Weights], Weights],
        train: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] = lambda mask: mask,
    ) -> SmallNetwork:
        """Return a network with changed weights and training mask.

        Args:
            change: function that returns the changed weights.
            train: function that returns the changed training mask.
        """
        weights = change(self.weights)
        final = weights if self.final is self.weights else change(self.final)
        return replace(self, weights=weights, final=final, train=None if self.train is None else train(self.train))


def last_checkpoint(run: Run, weights: Weights, train: NDArray[np.bool_] | None = None) -> SmallNetwork:
    """Return a network at the last checkpoint of its run."""
    return SmallNetwork(run, weights, weights, train)


def _solving(kind: str) -> SmallNetwork:
    """Return a network that solves its task with three frequencies, and whose heads never attend to `=`."""
    run, rng = pair_run(f"modular_{kind}"), np.random.default_rng(5)
    weights = solving_weights(run, rng)
    equals_flag = 6  # the dimension of the residual stream that marks `=`
    weights["W_E"][:P, equals_flag], weights["W_pos"][:, equals_flag] = 0, 0
    weights["W_K"][0, :, equals_flag, 0] -= 200
    return last_checkpoint(run, weights, random_mask(P))


def _earlier() -> SmallNetwork:
    """Return a network at a checkpoint before the last; the last checkpoint determines the key frequencies."""
    last = _solving("subtraction")
    noise = random_weights(last.run, np.random.default_rng(39), 0.3)
    weights = {name: 0.7 * tensor + noise[name] for name, tensor in last.weights.items()}
    return replace(last, weights=weights)


def _untrained() -> SmallNetwork:
    """Return a network with three heads, no biases and no key frequencies."""
    run = pair_run("modular_addition", heads=3, mlp_biases=False)
    return last_checkpoint(run, random_weights(run, np.random.default_rng(39)), random_mask(P))


def _two_layers() -> SmallNetwork:
    """Return a network with two layers and one key frequency."""
    run, weights = two_layer_network()
    return last_checkpoint(run, weights, random_mask(P))


def _integers() -> SmallNetwork:
    """Return a network on integer addition."""
    run = pair_run("integer_addition")
    return last_checkpoint(run, random_weights(run, np.random.default_rng(39)), random_mask(7))


def _products() -> SmallNetwork:
    """Return an attention-only network on products."""
    task = {"kind": "operation", "expression": "a*b", "modulus": P}
    model = {"d_model": 16, "heads": 2, "d_head": 6, "attention_only": True}
    settings = {"title": "small", "task": task, "model": model, "training": {"epochs": 100}}
    (run,) = Experiment.model_validate(settings).runs("small")
    return last_checkpoint(run, random_weights(run, np.random.default_rng(39)), random_mask(P))


def imported_network(layers: int, layer_norm: bool, seed: int = 0) -> SmallNetwork:
    """Return an imported network with every kind of bias; with seed 0 no neuron is active at exactly one pair."""
    weights = imported_weights(np.random.default_rng(seed), layers, biases=True, norms=layer_norm)
    return last_checkpoint(imported_run(weights, layer_norm), weights, random_mask(7))


def _on_sequences(kind: str) -> SmallNetwork:
    """Return a network on sequences."""
    run = sequence_run(kind)
    return last_checkpoint(run, random_weights(run, np.random.default_rng(3)))


SMALL_NETWORKS: dict[str, Callable[[], SmallNetwork]] = {
    "addition": lambda: _solving("addition"),
    "subtraction": lambda: _solving("subtraction"),
    "earlier": _earlier,
    "untrained": _untrained,
    "two layers": _two_layers,
    "integers": _integers,
    "products": _products,
    "biases": lambda: imported_network(1, layer_norm=False),
    "LayerNorms": lambda: imported_network(1, layer_norm=True),
    "LayerNorms, two layers": lambda: imported_network(2, layer_norm=True),
    **{kind: functools.partial(_on_sequences, kind) for kind in SEQUENCES},
}
"""Functions that build each small network, by name."""


@functools.cache
def small_network(name: str) -> SmallNetwork:
    """Return a small network by its name in `SMALL_NETWORKS`; repeated calls share its cached checkpoint."""
    return SMALL_NETWORKS[name]()
