"""The list of measures, and how one is declared.

Importing it imports neither torch nor zarr, so that a dry run stays quick.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

DIMENSIONS = {
    "run": "one trained network",
    "epoch": "weights after that many updates",
    "moment": "an epoch at which maps of some neurons are kept",
    "history_epoch": "an epoch at which training itself noted losses and accuracies",
    "frequency": "k = 1 … (p - 1)/2",
    "fourier_component": "a row of the orthonormal Fourier basis: const, cos 1, sin 1, …",
    "fourier_component_a": "a row of that basis, for functions of a",
    "fourier_component_b": "a row of that basis, for functions of b",
    "wave": "cos or sin",
    "product": "a product of a wave of a and a wave of b",
    "term": "a term of degree 2 in the waves of a and b",
    "singular_value": "by size, from the largest",
    "intervention": "what was removed from the network's computation, or replaced",
    "split": "train, test or all pairs",
    "head": "attention head",
    "other_head": "another attention head",
    "residual": "direction of the residual stream",
    "output": "c, an answer that has a logit",
    "layer": "transformer block",
    "neuron": "MLP neuron of the last block",
    "kept_neuron": "one of the dozen neurons whose maps are kept over time",
    "token": "0 … n - 1 and `=`",
    "position": "place in `a b =`",
    "query": "place in `a b =` that attends",
    "a": "the first number of a pair",
    "b": "the second number of a pair",
    "embedding": "what is left of the embedding of the numbers",
    "parameter": "a trained tensor",
    "activation": "pre or post: before or after the ReLU",
    "threshold": "a loss or accuracy to be reached",
    "answer": "one of the answers of a sequence, in order",
    "trigram": "the token that tells, by its number",
}


@dataclass(frozen=True)
class Measure:
    """One measure and its declaration.

    Attributes:
        name: of the function and the cube's variable.
        dims: of the variable. With `epoch` it is taken at every checkpoint, with `moment` at a few, without either at
            the last one. Without `run` it is taken of the experiment's first run alone.
        units: `nat`, `1`, `epoch`, ….
        long_name: for axes and tables.
        reference: equation, figure or section of the paper.
        family: the module it is in.
        function: of a `View` (or of a run's dataset, in the family `phases`).
        dtype: of the variable.
        digits: binary digits of the mantissa that the published cube keeps; None for all.
        needs: `any` run; `pairs`, a one-layer network on pairs; `modular`, a network with MLPs, of which the last layer's
            are looked at, on a modular task; `answers`, a task with several answers a sequence; or a kind of task.
        labels: what stands along dimensions that no other measure need know of.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    reference: str
    family: str
    function: Callable[..., Any]
    dtype: str
    digits: int | None
    needs: str
    labels: Mapping[str, tuple[str, ...]]

    @property
    def attributes(self) -> dict[str, str]:
        """What the cube says of the variable."""
        formula = (self.function.__doc__ or "").strip().partition("\n")[0]
        return {"long_name": self.long_name, "units": self.units, "reference": self.reference, "description": formula}


_REGISTRY: dict[str, Measure] = {}


F = TypeVar("F", bound=Callable[..., Any])


def measure(
    *,
    dims: tuple[str, ...],
    units: str,
    long_name: str,
    reference: str,
    dtype: str = "float32",
    digits: int | None = None,
    needs: str = "modular",
    labels: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[F], F]:
    """Declare a function as a measure; the function itself is returned untouched. See `Measure` for the fields."""
    unknown = set(dims) - set(DIMENSIONS)
    if unknown:
        raise ValueError(f"unknown dimensions {sorted(unknown)}; there are {sorted(DIMENSIONS)}")
    if digits is not None:
        bits = np.finfo(dtype).nmant if np.dtype(dtype).kind == "f" else 0
        if digits > bits:
            raise ValueError(f"digits={digits}: {dtype} has {bits} bits of mantissa")

    def declare(function: F) -> F:
        family = function.__module__.rpartition(".")[2]
        if function.__name__ in _REGISTRY:
            raise ValueError(f"a measure {function.__name__} exists in family {_REGISTRY[function.__name__].family}")
        _REGISTRY[function.__name__] = Measure(
            function.__name__, dims, units, long_name, reference, family, function, dtype, digits, needs, labels or {}
        )
        return function

    return declare


_PLUMBING = {"registry", "view", "sequence_view", "numerics", "keys", "last_position"}


def _families() -> tuple[str, ...]:
    import progress_measures.measures as package

    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in _PLUMBING))


@functools.cache
def measures() -> dict[str, Measure]:
    """All measures by name, in the order of families and of their files."""
    for family in _families():
        importlib.import_module(f"progress_measures.measures.{family}")
    return dict(_REGISTRY)


def family_measures(family: str) -> list[Measure]:
    """The measures of one family."""
    importlib.import_module(f"progress_measures.measures.{family}")
    return [measure for measure in _REGISTRY.values() if measure.family == family]


ONE_LAYER = ("heads", "maps")
"""Families that write out the computation of a network's only layer."""

LINEAR = ("interventions", "readout")
"""Families that add up the parts of the logits, which LayerNorms do not allow."""

ON_SEQUENCES = ("losses", "sequences", "weights")
"""Families that have measures of networks on sequences."""

ON_INTEGERS = ("integers", "losses", "maps", "neurons", "spectra", "weights")
"""Families that have measures of networks that add integers."""

DERIVED = ("phases",)
"""Families computed from a run's other measures when they are gathered, not from weights."""

FAMILIES = tuple(name for name in _families() if name not in DERIVED)
"""Families measured on checkpoints: one store a run and family."""


def families_of(run: Any) -> tuple[str, ...]:
    """The families that have a measure which can be taken of a run; no measure is imported for it."""
    chosen: tuple[str, ...]
    if run.on_sequences:
        chosen = ON_SEQUENCES
    elif run.task.kind == "integer_addition":
        chosen = ON_INTEGERS
    else:
        chosen = tuple(name for name in FAMILIES if name not in ("integers", "sequences"))
    left_out = {*(() if run.one_layer else ONE_LAYER), *(LINEAR if run.layer_norm else ())}
    return tuple(name for name in FAMILIES if name in chosen and name not in left_out)
