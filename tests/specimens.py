"""Small networks of every kind, as measures see them."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import test_importing
from literal import P, random_weights, settings, solving_weights, some_pairs
from numpy.typing import NDArray
from sequences import RUNS, run_of
from test_sequences import deep

from progress_measures.cube.structure import applies
from progress_measures.measures import families_of, family_measures
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.sequence_checkpoint import SequenceRunContext

Weights = dict[str, NDArray]


@dataclass(frozen=True)
class Specimen:
    """A checkpoint of a network, and what its measures look at beside it.

    Attributes:
        run: its settings.
        weights: of this checkpoint.
        final: of the run's last one.
        train: [a, b], true for training pairs; None for a task on sequences.
    """

    run: Any
    weights: Weights
    final: Weights
    train: NDArray[np.bool_] | None

    @functools.cached_property
    def checkpoint(self):
        """The checkpoint under the microscope."""
        if self.run.on_sequences:
            return SequenceRunContext(self.run, self.final, 60).checkpoint(self.weights, 20)
        return RunContext(self.run, self.final, self.train).checkpoint(self.weights, 20)

    @property
    def measures(self):
        """The measures that an extraction takes of it."""
        return [m for family in families_of(self.run) for m in family_measures(family) if applies(m, self.run)]

    def altered(self, change, train=lambda mask: mask):
        """Another specimen, by functions of weights and of the mask of training pairs."""
        weights = change(self.weights)
        final = weights if self.final is self.weights else change(self.final)
        return replace(self, weights=weights, final=final, train=None if self.train is None else train(self.train))


def last(run, weights, train=None):
    """A run's last checkpoint."""
    return Specimen(run, weights, weights, train)


def solving(kind):
    """A network that solves its task at three frequencies, and whose heads never look at `=`."""
    run, rng = settings(f"modular_{kind}"), np.random.default_rng(5)
    weights = solving_weights(run, rng)
    flag = 6  # of `=`
    weights["W_E"][:P, flag], weights["W_pos"][:, flag] = 0, 0
    weights["W_K"][0, :, flag, 0] -= 200
    return last(run, weights, some_pairs(P))


def earlier():
    """A checkpoint before the last one, whose frequencies are those of the last one."""
    after = solving("subtraction")
    noise = random_weights(after.run, np.random.default_rng(39), 0.3)
    weights = {name: 0.7 * tensor + noise[name] for name, tensor in after.weights.items()}
    return replace(after, weights=weights)


def untrained():
    """Three heads, no biases, and no key frequencies."""
    run = settings("modular_addition", heads=3, mlp_biases=False)
    return last(run, random_weights(run, np.random.default_rng(39)), some_pairs(P))


def two_layers():
    """Two blocks, and a key frequency."""
    checkpoint, _ = deep()
    return last(checkpoint.context.run, checkpoint.weights, some_pairs(P))


def integers():
    """Addition that is not modular."""
    run = settings("integer_addition")
    return last(run, random_weights(run, np.random.default_rng(39)), some_pairs(7))


def imported(layers, layer_norm, seed=0):
    """A network from elsewhere, with biases of every kind. With this seed no neuron fires at a single pair."""
    weights = test_importing.random_weights(np.random.default_rng(seed), layers, biases=True, norms=layer_norm)
    return last(test_importing.run_like(weights, layer_norm), weights, some_pairs(7))


def on_sequences(kind):
    """A network on sequences."""
    run = run_of(kind)
    return last(run, random_weights(run, np.random.default_rng(3)))


MAKE = {
    "addition": lambda: solving("addition"),
    "subtraction": lambda: solving("subtraction"),
    "earlier": earlier,
    "untrained": untrained,
    "two layers": two_layers,
    "integers": integers,
    "biases": lambda: imported(1, layer_norm=False),
    "LayerNorms": lambda: imported(1, layer_norm=True),
    "LayerNorms, two layers": lambda: imported(2, layer_norm=True),
    **{kind: functools.partial(on_sequences, kind) for kind in RUNS},
}


@functools.cache
def specimen(name):
    """A specimen by its name."""
    return MAKE[name]()
