"""The registry of measures, and the decorator that declares a measure.

Importing this module imports neither torch nor zarr, so that a dry run stays fast.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from progress_measures.capabilities import CAPABILITIES
from progress_measures.fingerprint import DERIVED as DERIVED_SETTINGS
from progress_measures.fingerprint import fingerprint

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

DIMENSIONS = {
    "run": "one trained network",
    "epoch": "number of updates before the checkpoint",
    "moment": "selected epoch: one of the few checkpoints at which large maps are stored",
    "history_epoch": "epoch at which the training loop recorded losses and accuracies",
    "frequency": "frequency k in w_k = 2πk/n, from 1 to n/2 rounded down; n is p for sums mod p, p - 1 for products",
    "fourier_component": "row of the orthonormal Fourier basis: const, cos 1, sin 1, …",
    "fourier_component_a": "row of the orthonormal Fourier basis for functions of a: const, cos 1, sin 1, …",
    "fourier_component_b": "row of the orthonormal Fourier basis for functions of b: const, cos 1, sin 1, …",
    "wave": "cos or sin",
    "product": "product of cos or sin of w_k a and cos or sin of w_k b",
    "term": "term of a polynomial of degree 2 in cos and sin of w_k a and w_k b",
    "singular_value": "number of the singular value in descending order; 1 is the largest",
    "intervention": "part of the network's computation that is removed or replaced",
    "split": "train, test or all pairs",
    "head": "attention head",
    "other_head": "attention head with which `head` is compared",
    "residual": "dimension of the residual stream",
    "output": "possible answer c, with one logit each",
    "layer": "transformer block",
    "neuron": "MLP neuron of the last block",
    "kept_neuron": "one of up to twelve neurons whose maps are stored at each selected epoch",
    "token": "operand 0 … n - 1, or `=`",
    "position": "position in `a b =`",
    "query": "position in `a b =` from which a head attends",
    "a": "first operand of a pair",
    "b": "second operand of a pair",
    "embedding": "principal components to which the embedding of the operands is reduced",
    "parameter": "trained weight tensor",
    "activation": "pre (before the activation function) or post (after it)",
    "threshold": "loss or accuracy that a curve must reach",
    "answer": "answer of a sequence, in order",
    "trigram": "signal token that determines the answer of a sequence, numbered from 0",
}
"""Dimensions of the variables of a cube; each text is the `long_name` of the dimension's coordinate."""


@dataclass(frozen=True)
class Measure:
    """A measure and its declaration.

    Attributes:
        name: name of the function and of the cube's variable.
        dims: dimensions of the variable. A measure with `epoch` is computed at every checkpoint, a measure with
            `moment` at the selected epochs, any other measure at the last checkpoint. Measures of the family `phases`
            are computed from the curves of other measures instead. A measure without `run` is computed for the first
            run of an experiment only.
        units: `nat`, `1` or `epoch`.
        long_name: name for axes and tables.
        reference: equation, figure or section that defines the measure, or `not in the sources`.
        family: name of the module that defines the measure, without its package.
        function: function of a checkpoint or, in the family `phases`, of the cube of one run.
        dtype: data type of the variable.
        mantissa_bits: number of mantissa bits that values keep in the published cube; 3/4 of this number if the cube's
            file would be too large. None to keep all bits.
        requires: capabilities that a run must provide for the measure to apply; keys of `CAPABILITIES`.
        labels: labels of the dimensions that `cube.structure.coordinates` does not label, by name of the dimension.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    reference: str
    family: str
    function: Callable[..., Any]
    dtype: str
    mantissa_bits: int | None
    requires: frozenset[str]
    labels: Mapping[str, tuple[str, ...]]

    def applies_to(self, run: Run) -> bool:
        """Return whether a run provides all capabilities that the measure requires."""
        return self.requires <= run.provides

    def in_required_order(self, checkpoint: Any) -> Any:
        """Return the checkpoint with operand values and outputs in the order that the measure's function requires.

        For measures that require `cyclic_group` or `one_layer`, this is the order of the task's cyclic group, if it has
        one: 0 … n - 1 for sums mod n, the order of discrete logarithms for products mod p. Other measures, such as
        losses and accuracies, use the natural order, 0 … n - 1.
        """
        return checkpoint.in_group_order if self.requires & {"one_layer", "cyclic_group"} else checkpoint

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes of the variable in the cube; `description` is the first line of the function's docstring."""
        definition = (self.function.__doc__ or "").strip().partition("\n")[0]
        return {
            "long_name": self.long_name,
            "units": self.units,
            "reference": self.reference,
            "description": definition,
        }


_REGISTRY: dict[str, Measure] = {}  # measures by name, in the order in which they are declared


F = TypeVar("F", bound=Callable[..., Any])


def measure(
    *,
    dims: tuple[str, ...],
    units: str,
    long_name: str,
    requires: set[str],
    reference: str,
    dtype: str = "float32",
    mantissa_bits: int | None = None,
    labels: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[F], F]:
    """Declare a function as a measure and return it unchanged.

    Args:
        dims: dimensions of the variable; keys of `DIMENSIONS`.
        units: units of the variable: `nat`, `1` or `epoch`.
        long_name: name for axes and tables.
        requires: capabilities that a run must provide for the measure to apply; keys of `CAPABILITIES`.
        reference: equation, figure or section that defines the measure, or `not in the sources`.
        dtype: data type of the variable.
        mantissa_bits: number of mantissa bits that values keep in the published cube; 3/4 of this number if the cube's
            file would be too large. None to keep all bits.
        labels: labels of the dimensions that `cube.structure.coordinates` does not label, by name of the dimension.

    Returns:
        A decorator that registers the function under its name.

    Raises:
        ValueError: a dimension or a capability is unknown, `mantissa_bits` exceeds the mantissa of `dtype`, or another
            measure has the function's name.
    """
    if unknown_dims := set(dims) - set(DIMENSIONS):
        raise ValueError(f"unknown dimensions {sorted(unknown_dims)}; known dimensions are {sorted(DIMENSIONS)}")
    if unknown_capabilities := requires - set(CAPABILITIES):
        raise ValueError(
            f"unknown capabilities {sorted(unknown_capabilities)}; known capabilities are {sorted(CAPABILITIES)}"
        )
    if mantissa_bits is not None:
        available = np.finfo(dtype).nmant if np.dtype(dtype).kind == "f" else 0
        if mantissa_bits > available:
            raise ValueError(f"mantissa_bits={mantissa_bits}: {dtype} has {available} bits of mantissa")

    def declare(function: F) -> F:
        family = function.__module__.rpartition(".")[2]
        if function.__name__ in _REGISTRY:
            raise ValueError(
                f"a measure {function.__name__} already exists in family {_REGISTRY[function.__name__].family}"
            )
        _REGISTRY[function.__name__] = Measure(
            name=function.__name__,
            dims=dims,
            units=units,
            long_name=long_name,
            reference=reference,
            family=family,
            function=function,
            dtype=dtype,
            mantissa_bits=mantissa_bits,
            requires=frozenset(requires),
            labels=labels or {},
        )
        return function

    return declare


_NOT_FAMILIES = {"registry", "checkpoint", "sequence_checkpoint", "numerics", "keys", "last_position"}
"""Modules of the package that define no measures."""


def _families() -> tuple[str, ...]:
    import progress_measures.measures as package

    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in _NOT_FAMILIES))


@functools.cache
def measures() -> dict[str, Measure]:
    """Return all measures by name, ordered by family and, within a family, as in the family's module."""
    for family in _families():
        importlib.import_module(f"progress_measures.measures.{family}")
    # sorted, because other modules may have imported a family first
    return dict(sorted(_REGISTRY.items(), key=lambda item: item[1].family))


def family_measures(family: str) -> list[Measure]:
    """Import the module of a family and return its measures."""
    importlib.import_module(f"progress_measures.measures.{family}")
    return [measure for measure in _REGISTRY.values() if measure.family == family]


DERIVED_FAMILIES = ("phases",)
"""Families that `cube.gather` computes from the other measures of a run, not from checkpoints."""

FAMILIES = tuple(name for name in _families() if name not in DERIVED_FAMILIES)
"""Families that are measured on checkpoints; each run has one store per family."""


def family_fingerprint(family: str) -> str:
    """Return the hash of the code on which the values of a family's measures depend."""
    # DERIVED_SETTINGS names a module: values that it computes from settings determine a run's data or weights
    return fingerprint(f"progress_measures.measures.{family}", "progress_measures.cube.extract", DERIVED_SETTINGS)


def families_of(run: Run) -> tuple[str, ...]:
    """Return the families of `FAMILIES` with at least one measure that applies to a run."""
    return _families_with(run.provides)


@functools.cache
def _families_with(provided: frozenset[str]) -> tuple[str, ...]:
    applicable = {m.family for m in measures().values() if m.requires <= provided}
    return tuple(family for family in FAMILIES if family in applicable)
