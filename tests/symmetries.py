"""Ways to write a network in other words, each with how what is measured of it must change.

A symmetry acts along named axes, those of the weights and of the measures alike: what permutes neurons along an axis of
W_in permutes them along that axis of whatever is said of neurons, and what is said along no axis that it touches stays as
it is. So a measure's declared dimensions tell what must become of it. Only what they cannot tell is spelled out here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from specimens import Specimen, Weights

from progress_measures.importing.names import AXES
from progress_measures.measures.heads import attention_frequency
from progress_measures.measures.readout import PRODUCTS
from progress_measures.measures.spectra import TERMS

Along = Callable[[NDArray, int], NDArray]  # acts along one axis of an array


@dataclass(frozen=True)
class Symmetry:
    """How to write a network in other words.

    Attributes:
        axes: what is done along axes of weights and of measures, by their names.
        change: what else is done to weights.
        values: what becomes of measures whose values change too, of what `axes` make of them and the view before.
        sees: measures that tell the two networks apart, and why they may.
    """

    axes: Mapping[str, Along] = field(default_factory=dict)
    change: Callable[[Weights], Weights] = lambda weights: weights
    values: Mapping[str, Callable] = field(default_factory=dict)
    sees: Mapping[str, str] = field(default_factory=dict)

    def along(self, dims, array):
        """An array that has these axes."""
        for axis, dim in enumerate(dims):
            if dim in self.axes:
                array = self.axes[dim](array, axis)
        return array

    def __call__(self, specimen: Specimen) -> Specimen:
        """The network in other words."""

        def rewritten(weights):
            return self.change({name: self.along(AXES[name].split(), tensor) for name, tensor in weights.items()})

        return specimen.altered(rewritten, lambda train: self.along(("a", "b"), train))


def take(order) -> Along:
    """Put in another order."""
    return lambda array, axis: np.take(array, order, axis)


def times(matrix) -> Along:
    """Each vector along the axis, times a matrix."""
    return lambda array, axis: np.moveaxis(np.moveaxis(array, axis, -1) @ matrix, -1, axis)


def with_previous(array, axis):
    """Exchanged with the axis before it."""
    return array.swapaxes(axis - 1, axis)


def sines(names):
    """How many sines there are in each product of waves."""
    return np.array([name.count("sin") for name in names])


def by_component(of_sines):
    """Factors of the rows of the Fourier basis, from those of the sine of each frequency: [component]."""
    return np.r_[1, np.stack([np.ones_like(of_sines), of_sines], -1).ravel()]


def modulus(specimen):
    """p, or None for a task that is not modular."""
    return getattr(specimen.run.task, "prime", None)


UNIT = 3  # generates all units mod 7 and mod 17


def tokens_relabeled_by_a_unit(specimen):
    """Every number x is called u x: u a + u b = u (a + b), and what was a wave of frequency k now has k / u."""
    if not (p := modulus(specimen)):
        return None
    inverse = pow(UNIT, -1, p)
    divided = inverse * np.arange((p + 1) // 2) % p  # k / u of each frequency k, and of 0
    new = np.minimum(divided, p - divided) % p
    turn = np.where(divided == new, 1, -1)  # sin of k / u is minus that of p - k / u
    old = new.argsort()[1:]  # of each new frequency
    number = inverse * np.arange(p) % p  # what was called so
    component = np.r_[0, np.stack([2 * old - 1, 2 * old], -1).ravel()]
    return Symmetry(
        axes={
            "token": take([*number, p]),
            **dict.fromkeys(("output", "a", "b"), take(number)),
            "frequency": take(old - 1),
            **dict.fromkeys(("fourier_component", "fourier_component_a", "fourier_component_b"), take(component)),
        },
        values={
            **dict.fromkeys(("neuron_frequency", "attention_frequency"), lambda values, _: new[values]),
            **dict.fromkeys(
                ("score_fourier_coefficient", "W_L_fourier"), lambda values, _: values * by_component(turn[old])
            ),
            "attention_beta": lambda values, checkpoint: values * turn[attention_frequency(checkpoint)],
            "neuron_fit_coefficient": lambda values, checkpoint: (
                values * turn[checkpoint.context.neuron_frequency[0]][:, None] ** sines(TERMS)
            ),
            "readout_product_coefficient": lambda values, _: (
                values * turn[old][:, None, None] ** (sines(["cos", "sin"])[:, None] + sines(PRODUCTS))
            ),
        },
    )


def a_and_b_exchanged(specimen):
    """What was a is b: a + b = b + a. For subtraction the answers' signs are changed as well: b - a = -(a - b).

    Where heads look at a, b and `=`, what is said of their attention to a says nothing of that to b.
    """
    run, minus = specimen.run, specimen.run.task.kind == "modular_subtraction"
    if run.on_sequences or run.model.layers > 1:  # a cannot be seen from b
        return None
    if (
        "attention_frequency" in {m.name for m in specimen.measures}
        and specimen.checkpoint.attention[..., 2].max() > 1e-12
    ):
        return None
    p = modulus(specimen)
    axes = {
        "position": take([1, 0, 2]),
        "b": with_previous,
        "fourier_component_b": with_previous,
        "product": take(
            [PRODUCTS.index(name) for name in ("cos a cos b", "sin a sin b", "cos a sin b", "sin a cos b")]
        ),
        "term": take([0, 3, 4, 1, 2, 5, 6, 8, 7]),
    }
    sees = {"mean_attention_by_query": "b sees a, and a does not see b"}
    if not minus:
        return Symmetry(axes=axes, sees=sees)
    turn = np.full(p // 2, -1)
    return Symmetry(
        axes=axes | {"output": take(-np.arange(p) % p)},
        values={
            "W_L_fourier": lambda values, _: values * by_component(turn),
            "readout_product_coefficient": lambda values, _: values * np.array([1, -1])[:, None],
        },
    )


SEE_THE_MEAN = (
    *("sum_of_squared_weights", "sum_of_squared_weights_by_parameter", "W_U", "gini_W_U"),
    *("W_L_fourier", "W_L_fourier_norm", "gini_W_L", "cluster_W_L_fourier_norm", "W_L_singular_value"),
    *("logit_norm", "logit_fourier_norm_2d", "moment_logit_fourier_norm_2d", "W_L_fraction_explained"),
    *("cosine_similarity", "cosine_residual", "cosine_residual_all"),
    *("logit_fraction_explained_cosines", "logit_fraction_explained_cosines_centered_over_pairs"),
    *("logit_fraction_explained_directions", "logit_fraction_explained_directions_centered_over_pairs"),
    "logit_fraction_explained_directions_per_output",
)


def a_number_added_to_all_logits(specimen):
    """Another number for each pair, the same for all outputs, so that probabilities stay."""
    of_residual = np.random.default_rng(7).standard_normal((specimen.run.model.d_model, 1))

    def change(weights):
        shifted = {"W_U": weights["W_U"] + of_residual}
        return weights | shifted | ({"b_U": weights["b_U"] + 2.5} if "b_U" in weights else {})

    why = "is of the logits, or of what makes them, with their mean over outputs, which no softmax sees"
    return Symmetry(change=change, sees=dict.fromkeys(SEE_THE_MEAN, why))


def neurons_permuted(specimen):
    """Neurons in another order."""
    if specimen.run.model.attention_only:
        return None
    return Symmetry(axes={"neuron": take(np.random.default_rng(8).permutation(specimen.run.model.d_mlp))})


def heads_permuted(specimen):
    """Heads in another order, and three of them each in another's place."""
    order = np.roll(np.arange(specimen.run.model.heads), 1)
    return Symmetry(axes={"head": take(order), "other_head": take(order)})


SCALE = 3.7
OF_NEURONS = (  # what is said of the neurons' own size
    *("neuron_value_token", "neuron_value_position", "neuron_offset"),
    *("moment_neuron_value_token", "moment_neuron_value_position", "moment_neuron_offset"),
    *("neuron_fit_coefficient", "neuron_fourier_norm_2d"),
)
OF_READERS = ("W_L_fourier", "W_L_fourier_norm", "cluster_W_L_fourier_norm", "W_L_singular_value")


def neurons_scaled(specimen):
    """W_in and b_in times a positive number, W_out divided by it: ReLU(s x) = s ReLU(x)."""
    if specimen.run.model.attention_only:
        return None
    factors = {"W_in": SCALE, "b_in": SCALE, "W_out": 1 / SCALE}

    def squares(values, checkpoint):
        return values * np.array([factors.get(name, 1) ** 2 for name in checkpoint.trained])

    def change(weights):
        return {name: tensor * factors.get(name, 1) for name, tensor in weights.items()}

    return Symmetry(
        change=change,
        values={
            **dict.fromkeys(OF_NEURONS, lambda values, _: values * SCALE),
            **dict.fromkeys(OF_READERS, lambda values, _: values / SCALE),
            "sum_of_squared_weights_by_parameter": squares,
            "sum_of_squared_weights": lambda _, checkpoint: sum(
                np.square(tensor).sum() for tensor in change(checkpoint.trained).values()
            ),
        },
    )


def residual_stream_rotated(specimen):
    """Another orthonormal basis of the residual stream, whatever writes to it or reads from it; no LayerNorm allows that."""
    if specimen.run.layer_norm:
        return None
    d_model = specimen.run.model.d_model
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


def heads_mixed_within(specimen):
    """Other bases of each head's values, and of its queries and keys."""
    own = "is of the tensors themselves"
    return Symmetry(
        change=_mixed_within_heads,
        sees={"sum_of_squared_weights": own, "sum_of_squared_weights_by_parameter": own},
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
"""By their names: functions of a specimen that give a `Symmetry`, or None where it is none of that network."""
