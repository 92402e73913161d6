"""Symmetries of networks: transformations of the weights that keep the function, and how each changes every measure.

A symmetry acts along named axes, which weights and measures share. A permutation of the neuron axis of W_in also permutes the
neuron axis of every measure that has one; measures without a transformed axis keep their values. A measure's declared
dimensions therefore determine its expected change. This module states only changes that they do not determine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from progress_measures.importing.names import AXES
from progress_measures.measures.heads import attention_frequency
from progress_measures.measures.readout import PRODUCTS
from progress_measures.measures.spectra import TERMS
from support.checkpoints import SmallNetwork
from support.networks import Weights

Along = Callable[[NDArray, int], NDArray]  # acts along one axis of an array


@dataclass(frozen=True)
class Symmetry:
    """A transformation of a network's weights that keeps its function.

    Attributes:
        axes: transformation along each named axis of weights and measures.
        change: further change of the weights.
        values: for measures that change further, a function that returns the expected values, given the values
            transformed along `axes` and the original checkpoint.
        differing: measures that are not invariant, and the reason why.
    """

    axes: Mapping[str, Along] = field(default_factory=dict)
    change: Callable[[Weights], Weights] = lambda weights: weights
    values: Mapping[str, Callable] = field(default_factory=dict)
    differing: Mapping[str, str] = field(default_factory=dict)

    def along(self, dims, array):
        """Return an array with named dimensions, transformed along the axes of this symmetry."""
        for axis, dim in enumerate(dims):
            if dim in self.axes:
                array = self.axes[dim](array, axis)
        return array

    def __call__(self, network: SmallNetwork) -> SmallNetwork:
        """Return the transformed network."""

        def transformed(weights):
            return self.change({name: self.along(AXES[name].split(), tensor) for name, tensor in weights.items()})

        return network.altered(transformed, lambda train: self.along(("a", "b"), train))


def take(order) -> Along:
    """Return a transformation that reorders an axis."""
    return lambda array, axis: np.take(array, order, axis)


def times(matrix) -> Along:
    """Return a transformation that multiplies each vector along an axis by a matrix."""
    return lambda array, axis: np.moveaxis(np.moveaxis(array, axis, -1) @ matrix, -1, axis)


def with_previous(array, axis):
    """Exchange an axis with the one before it."""
    return array.swapaxes(axis - 1, axis)


def sines(names):
    """Return the number of sines in each product of waves."""
    return np.array([name.count("sin") for name in names])


def by_component(sine_factors):
    """Return a factor for each row of the Fourier basis: given for the sine of each frequency, and 1 for other rows."""
    return np.r_[1, np.stack([np.ones_like(sine_factors), sine_factors], -1).ravel()]


def modulus(network):
    """Return p, or None for a task that is not modular."""
    return getattr(network.run.task, "prime", None)


UNIT = 3  # generates all units mod 7 and mod 17


def tokens_relabeled_by_a_unit(network):
    """Relabel every number x as u x: u a + u b = u (a + b), and a wave of frequency k becomes one of frequency k / u."""
    if not (p := modulus(network)):
        return None
    inverse = pow(UNIT, -1, p)
    quotient = inverse * np.arange((p + 1) // 2) % p  # k / u of each frequency k, and of 0
    new_frequency = np.minimum(quotient, p - quotient) % p
    sine_sign = np.where(quotient == new_frequency, 1, -1)  # sin of k / u is minus that of p - k / u
    old_frequency = new_frequency.argsort()[1:]  # the old frequency of each new one
    old_number = inverse * np.arange(p) % p  # the number that got each label
    component = np.r_[0, np.stack([2 * old_frequency - 1, 2 * old_frequency], -1).ravel()]
    return Symmetry(
        axes={
            "token": take([*old_number, p]),
            **dict.fromkeys(("output", "a", "b"), take(old_number)),
            "frequency": take(old_frequency - 1),
            **dict.fromkeys(("fourier_component", "fourier_component_a", "fourier_component_b"), take(component)),
        },
        values={
            **dict.fromkeys(("neuron_frequency", "attention_frequency"), lambda values, _: new_frequency[values]),
            **dict.fromkeys(
                ("score_fourier_coefficient", "W_L_fourier"),
                lambda values, _: values * by_component(sine_sign[old_frequency]),
            ),
            "attention_beta": lambda values, checkpoint: values * sine_sign[attention_frequency(checkpoint)],
            "neuron_fit_coefficient": lambda values, checkpoint: (
                values * sine_sign[checkpoint.context.neuron_frequency[0]][:, None] ** sines(TERMS)
            ),
            "readout_product_coefficient": lambda values, _: (
                values * sine_sign[old_frequency][:, None, None] ** (sines(["cos", "sin"])[:, None] + sines(PRODUCTS))
            ),
        },
    )


def a_and_b_exchanged(network):
    """Exchange a and b: a + b = b + a. For subtraction also change the signs of the answers: b - a = -(a - b).

    Measures of attention to a determine attention to b only if no head attends to `=`; otherwise return None.
    """
    run, subtraction = network.run, network.run.task.kind == "modular_subtraction"
    if run.on_sequences or run.model.layers > 1:  # a differs from b: only b attends to the other
        return None
    if (
        "attention_frequency" in {m.name for m in network.measures}
        and network.checkpoint.attention[..., 2].max() > 1e-12
    ):
        return None
    p = modulus(network)
    axes = {
        "position": take([1, 0, 2]),
        "b": with_previous,
        "fourier_component_b": with_previous,
        "product": take(
            [PRODUCTS.index(name) for name in ("cos a cos b", "sin a sin b", "cos a sin b", "sin a cos b")]
        ),
        "term": take([0, 3, 4, 1, 2, 5, 6, 8, 7]),
    }
    differing = {"mean_attention_by_query": "depends on causal attention: b attends to a, and a does not attend to b"}
    if not subtraction:
        return Symmetry(axes=axes, differing=differing)
    sine_sign = np.full(p // 2, -1)
    return Symmetry(
        axes=axes | {"output": take(-np.arange(p) % p)},
        values={
            "W_L_fourier": lambda values, _: values * by_component(sine_sign),
            "readout_product_coefficient": lambda values, _: values * np.array([1, -1])[:, None],
        },
    )


DEPEND_ON_THE_MEAN = (
    *("sum_of_squared_weights", "sum_of_squared_weights_by_parameter", "W_U", "gini_W_U"),
    *("W_L_fourier", "W_L_fourier_norm", "gini_W_L", "cluster_W_L_fourier_norm", "W_L_singular_value"),
    *("logit_norm", "logit_fourier_norm_2d", "moment_logit_fourier_norm_2d", "W_L_fraction_explained"),
    *("cosine_similarity", "cosine_residual", "cosine_residual_all"),
    *("logit_fraction_explained_cosines", "logit_fraction_explained_cosines_centered_over_pairs"),
    *("logit_fraction_explained_directions", "logit_fraction_explained_directions_centered_over_pairs"),
    "logit_fraction_explained_directions_per_output",
)


def a_number_added_to_all_logits(network):
    """Add a number to the logits of each pair, equal for all outputs, which keeps the probabilities."""
    direction = np.random.default_rng(7).standard_normal((network.run.model.d_model, 1))

    def change(weights):
        shifted = {"W_U": weights["W_U"] + direction}
        return weights | shifted | ({"b_U": weights["b_U"] + 2.5} if "b_U" in weights else {})

    reason = "includes the mean of the logits over outputs, which the softmax ignores"
    return Symmetry(change=change, differing=dict.fromkeys(DEPEND_ON_THE_MEAN, reason))


def neurons_permuted(network):
    """Reorder the neurons."""
    if network.run.model.attention_only:
        return None
    return Symmetry(axes={"neuron": take(np.random.default_rng(8).permutation(network.run.model.d_mlp))})


def heads_permuted(network):
    """Reorder the heads cyclically, so that each of three heads moves."""
    order = np.roll(np.arange(network.run.model.heads), 1)
    return Symmetry(axes={"head": take(order), "other_head": take(order)})


SCALE = 3.7
PROPORTIONAL_TO_NEURONS = (
    *("neuron_value_token", "neuron_value_position", "neuron_offset"),
    *("moment_neuron_value_token", "moment_neuron_value_position", "moment_neuron_offset"),
    *("neuron_fit_coefficient", "neuron_fourier_norm_2d"),
)
PROPORTIONAL_TO_W_L = ("W_L_fourier", "W_L_fourier_norm", "cluster_W_L_fourier_norm", "W_L_singular_value")


def neurons_scaled(network):
    """Multiply W_in and b_in by a positive number and divide W_out by it: ReLU(s x) = s ReLU(x)."""
    if network.run.model.attention_only:
        return None
    factors = {"W_in": SCALE, "b_in": SCALE, "W_out": 1 / SCALE}

    def squares(values, checkpoint):
        return values * np.array([factors.get(name, 1) ** 2 for name in checkpoint.trained])

    def change(weights):
        return {name: tensor * factors.get(name, 1) for name, tensor in weights.items()}

    return Symmetry(
        change=change,
        values={
            **dict.fromkeys(PROPORTIONAL_TO_NEURONS, lambda values, _: values * SCALE),
            **dict.fromkeys(PROPORTIONAL_TO_W_L, lambda values, _: values / SCALE),
            "sum_of_squared_weights_by_parameter": squares,
            "sum_of_squared_weights": lambda _, checkpoint: sum(
                np.square(tensor).sum() for tensor in change(checkpoint.trained).values()
            ),
        },
    )


def residual_stream_rotated(network):
    """Rotate the basis of the residual stream in all weights; a network with LayerNorms has no such symmetry."""
    if network.run.layer_norm:
        return None
    d_model = network.run.model.d_model
    rotation, _ = np.linalg.qr(np.random.default_rng(9).standard_normal((d_model, d_model)))
    return Symmetry(axes={"d_model": times(rotation), "residual": times(rotation)})


def _mixed_within_heads(w: Weights) -> Weights:
    rng, sizes = np.random.default_rng(10), w["W_V"].shape
    matrix = np.eye(sizes[-1]) + 0.2 * rng.standard_normal((2, sizes[0], sizes[1], sizes[-1], sizes[-1]))
    value, query = matrix
    key = np.linalg.inv(query).swapaxes(-1, -2)
    changed = {"W_O": np.linalg.inv(value) @ w["W_O"]}
    for letter, mixing in (("V", value), ("Q", query), ("K", key)):
        changed[f"W_{letter}"] = w[f"W_{letter}"] @ mixing
        if f"b_{letter}" in w:
            changed[f"b_{letter}"] = np.einsum("lhe,lhef->lhf", w[f"b_{letter}"], mixing)
    return {name: changed.get(name, tensor) for name, tensor in w.items()}


def heads_mixed_within(network):
    """Change the basis of each head's values, and the bases of its queries and keys inversely to each other."""
    reason = "is computed from single tensors, not from their products"
    return Symmetry(
        change=_mixed_within_heads,
        differing={"sum_of_squared_weights": reason, "sum_of_squared_weights_by_parameter": reason},
    )


SYMMETRIES = {
    f.__name__.replace("_", " "): f
    for f in (
        tokens_relabeled_by_a_unit,
        a_and_b_exchanged,
        a_number_added_to_all_logits,
        neurons_permuted,
        heads_permuted,
        neurons_scaled,
        residual_stream_rotated,
        heads_mixed_within,
    )
}
"""Functions, by name, that return a `Symmetry` of a network, or None if the network does not have it."""
