"""Symmetries of networks: transformations of the weights that keep the function, and how each changes every measure.

A symmetry acts along named axes, which weights and measures share. A permutation of the neuron axis of W_in also permutes the
neuron axis of every measure that has one; measures without a transformed axis keep their values. A measure's declared
dimensions therefore determine its expected change. This module states only the changes that dimensions do not determine.
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

AxisTransformation = Callable[[NDArray, int], NDArray]  # of an array, along one axis


@dataclass(frozen=True)
class Symmetry:
    """A transformation of a network's weights that keeps its function.

    Attributes:
        axes: transformation along each named axis of weights and measures.
        change: change of the weights after the transformations along `axes`.
        values: by name of a measure, a function that returns the expected values. Its arguments are the values transformed
            along `axes` and the original checkpoint. Other measures change only along `axes`.
        differing: measures that are not invariant, and the reason why.
    """

    axes: Mapping[str, AxisTransformation] = field(default_factory=dict)
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


def reorder(order) -> AxisTransformation:
    """Return a transformation that reorders an axis."""
    return lambda array, axis: np.take(array, order, axis)


def multiply(matrix) -> AxisTransformation:
    """Return a transformation that multiplies each vector along an axis by a matrix."""
    return lambda array, axis: np.moveaxis(np.moveaxis(array, axis, -1) @ matrix, -1, axis)


def swap_with_previous(array, axis):
    """Swap an axis with the axis before it, such as b with a."""
    return array.swapaxes(axis - 1, axis)


def count_sines(names):
    """Return the number of sines in each named product of waves."""
    return np.array([name.count("sin") for name in names])


def component_factors(sine_factors):
    """Expand `sine_factors` [frequency] to one factor per row of the Fourier basis; the constant and the cosines get 1."""
    return np.r_[1, np.stack([np.ones_like(sine_factors), sine_factors], -1).ravel()]


def modulus(network):
    """Return p, or None for a task that is not modular."""
    return getattr(network.run.task, "prime", None)


SAMPLED = dict.fromkeys(
    ("gradient_symmetricity", "gradient_symmetricity_error"), "is a mean over a sample of triples (a, b, c)"
)

UNIT = 3  # generates all units mod 7 and mod 17


def tokens_relabeled_by_a_unit(network):
    """Relabel every number x as u x mod p: sums stay sums, and a wave of frequency k becomes a wave of frequency k / u."""
    if not (p := modulus(network)):
        return None
    inverse = pow(UNIT, -1, p)
    quotient = inverse * np.arange((p + 1) // 2) % p  # k / u mod p, for k = 0 and for each frequency k
    new_frequency = np.minimum(quotient, p - quotient) % p
    sine_sign = np.where(quotient == new_frequency, 1, -1)  # the sine of frequency p - k / u is minus the sine of k / u
    old_frequency = new_frequency.argsort()[1:]  # by new frequency
    old_number = inverse * np.arange(p) % p  # by new label
    component = np.r_[0, np.stack([2 * old_frequency - 1, 2 * old_frequency], -1).ravel()]
    return Symmetry(
        axes={
            "token": reorder([*old_number, p]),
            **dict.fromkeys(("output", "a", "b"), reorder(old_number)),
            "frequency": reorder(old_frequency - 1),
            **dict.fromkeys(("fourier_component", "fourier_component_a", "fourier_component_b"), reorder(component)),
        },
        values={
            **dict.fromkeys(("neuron_frequency", "attention_frequency"), lambda values, _: new_frequency[values]),
            **dict.fromkeys(
                ("score_fourier_coefficient", "W_L_fourier"),
                lambda values, _: values * component_factors(sine_sign[old_frequency]),
            ),
            "attention_beta": lambda values, checkpoint: values * sine_sign[attention_frequency(checkpoint)],
            "neuron_fit_coefficient": lambda values, checkpoint: (
                values * sine_sign[checkpoint.context.neuron_frequency[0]][:, None] ** count_sines(TERMS)
            ),
            "readout_product_coefficient": lambda values, _: (
                values
                * sine_sign[old_frequency][:, None, None]
                ** (count_sines(["cos", "sin"])[:, None] + count_sines(PRODUCTS))
            ),
        },
        differing=SAMPLED,
    )


def a_and_b_exchanged(network):
    """Exchange a and b: a + b = b + a. For subtraction also change the signs of the answers: b - a = -(a - b).

    Return None if a head attends to `=`: attention to b is then not 1 minus attention to a, so the expected values cannot
    be computed.
    """
    run, subtraction = network.run, network.run.task.kind == "modular_subtraction"
    if run.on_sequences or run.model.layers > 1:  # b attends to a, but a does not attend to b
        return None
    if (
        "attention_frequency" in {m.name for m in network.measures}
        and network.checkpoint.attention[..., 2].max() > 1e-12
    ):
        return None
    p = modulus(network)
    axes = {
        "position": reorder([1, 0, 2]),
        "b": swap_with_previous,
        "fourier_component_b": swap_with_previous,
        "product": reorder(
            [PRODUCTS.index(name) for name in ("cos a cos b", "sin a sin b", "cos a sin b", "sin a cos b")]
        ),
        "term": reorder([0, 3, 4, 1, 2, 5, 6, 8, 7]),
    }
    differing = {
        "mean_attention_by_query": "depends on causal attention: b attends to a, and a does not attend to b"
    } | SAMPLED
    if not subtraction:
        return Symmetry(axes=axes, differing=differing)
    sine_sign = np.full(p // 2, -1)
    return Symmetry(
        axes=axes | {"output": reorder(-np.arange(p) % p)},
        values={
            "W_L_fourier": lambda values, _: values * component_factors(sine_sign),
            "readout_product_coefficient": lambda values, _: values * np.array([1, -1])[:, None],
        },
        differing=SAMPLED,
    )


DEPEND_ON_THE_MEAN = (
    *("sum_of_squared_weights", "sum_of_squared_weights_by_parameter", "W_U", "gini_W_U"),
    *("W_L_fourier", "W_L_fourier_norm", "gini_W_L", "cluster_W_L_fourier_norm", "W_L_singular_value"),
    *("logit_norm", "logit_fourier_norm_2d", "moment_logit_fourier_norm_2d", "W_L_fraction_explained"),
    *("cosine_similarity", "cosine_residual", "cosine_residual_all"),
    *("logit_fraction_explained_cosines", "logit_fraction_explained_cosines_centered_over_pairs"),
    *("logit_fraction_explained_directions", "logit_fraction_explained_directions_centered_over_pairs"),
    "logit_fraction_explained_directions_per_output",
    *("gradient_symmetricity", "gradient_symmetricity_error", "distance_irrelevance"),
)


def a_number_added_to_all_logits(network):
    """Add to all logits of a pair the same number, which does not change the probabilities."""
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
    return Symmetry(axes={"neuron": reorder(np.random.default_rng(8).permutation(network.run.model.d_mlp))})


def heads_permuted(network):
    """Reorder the heads cyclically, so that every head moves."""
    order = np.roll(np.arange(network.run.model.heads), 1)
    return Symmetry(axes={"head": reorder(order), "other_head": reorder(order)})


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
        return values * np.array([factors.get(name, 1) ** 2 for name in checkpoint.stored])

    def change(weights):
        return {name: tensor * factors.get(name, 1) for name, tensor in weights.items()}

    return Symmetry(
        change=change,
        values={
            **dict.fromkeys(PROPORTIONAL_TO_NEURONS, lambda values, _: values * SCALE),
            **dict.fromkeys(PROPORTIONAL_TO_W_L, lambda values, _: values / SCALE),
            "sum_of_squared_weights_by_parameter": squares,
            "sum_of_squared_weights": lambda _, checkpoint: sum(
                np.square(tensor).sum() for tensor in change(checkpoint.stored).values()
            ),
        },
    )


def residual_stream_rotated(network):
    """Rotate the basis of the residual stream in all weights; a network with LayerNorms has no such symmetry."""
    if network.run.model.normalization != "none":
        return None
    d_model = network.run.model.d_model
    rotation, _ = np.linalg.qr(np.random.default_rng(9).standard_normal((d_model, d_model)))
    return Symmetry(axes={"d_model": multiply(rotation), "residual": multiply(rotation)})


def _mixed_within_heads(w: Weights) -> Weights:
    """Return weights with the values, queries and keys of each head in another basis."""
    rng, sizes = np.random.default_rng(10), w["W_V"].shape
    value, query = np.eye(sizes[-1]) + 0.2 * rng.standard_normal((2, sizes[0], sizes[1], sizes[-1], sizes[-1]))
    key = np.linalg.inv(query).swapaxes(-1, -2)
    changed = {"W_O": np.linalg.inv(value) @ w["W_O"]}
    for letter, mixing in (("V", value), ("Q", query), ("K", key)):
        changed[f"W_{letter}"] = w[f"W_{letter}"] @ mixing
        if f"b_{letter}" in w:
            changed[f"b_{letter}"] = np.einsum("lhe,lhef->lhf", w[f"b_{letter}"], mixing)
    return {name: changed.get(name, tensor) for name, tensor in w.items()}


def heads_mixed_within(network):
    """Change the basis of each head's values, and the bases of its queries and keys so that the scores stay equal."""
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
