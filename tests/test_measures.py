"""Every measure of a network, compared with its slow definition and with known results."""

import functools
import itertools
from decimal import Decimal, localcontext
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from progress_measures.analysis.pair_maps import attention_map, neuron_map, neuron_maps
from progress_measures.measures import interventions, maps, measures, numerics, registry
from progress_measures.measures.checkpoint import Checkpoint, RunContext
from progress_measures.measures.interventions import INTERVENTIONS
from progress_measures.measures.registry import DERIVED_FAMILIES
from support.checkpoints import checkpoint_and_definitions, solving_network
from support.comparing import assert_close
from support.curves import EXPECTED_PHASES
from support.definitions import NEED_KEY_FREQUENCIES, REFERENCES, block, cross_entropy, directions
from support.experiments import P, pair_run
from support.networks import CONSTANT, DEAD, KEYS, random_mask

ADDITION, SUBTRACTION, INTEGERS = "modular_addition", "modular_subtraction", "integer_addition"
OF_INTEGERS = [name for name in REFERENCES if measures()[name].applies_to(pair_run(INTEGERS))]


def value(name, checkpoint):
    """Return the value of a measure at a checkpoint."""
    return measures()[name].function(checkpoint)


@pytest.mark.parametrize("name", REFERENCES)
def test_measure_equals_its_definition(name):
    for case in itertools.product((ADDITION, SUBTRACTION), ("solving", "earlier", "random")):
        checkpoint, network = checkpoint_and_definitions(*case)
        assert_close(value(name, checkpoint), REFERENCES[name](network), case=case)


@pytest.mark.parametrize("name", OF_INTEGERS)
def test_measure_of_integer_addition_equals_its_definition(name):
    checkpoint, network = checkpoint_and_definitions(INTEGERS, "random")
    assert_close(value(name, checkpoint), REFERENCES[name](network))


def test_every_measure_is_tested():
    of_networks = {
        name for name, measure in measures().items() if measure.family not in (*DERIVED_FAMILIES, "sequences")
    }
    assert set(REFERENCES) == of_networks
    of_sequences = {name for name, measure in measures().items() if measure.family == "sequences"}
    assert set(REFERENCES) | set(EXPECTED_PHASES) | of_sequences == set(measures())


@pytest.mark.parametrize("name", REFERENCES)
def test_measure_has_its_declared_shape(name):
    sizes = {"frequency": 8, "fourier_component": P, "head": 2, "neuron": 54, "kept_neuron": 12, "token": P + 1}
    sizes |= {"position": 3, "parameter": 11, "activation": 2, "fourier_component_a": P, "fourier_component_b": P}
    sizes |= {"other_head": 2, "residual": 16, "output": P, "singular_value": P, "a": P, "b": P, "query": 3}
    sizes |= {dim: len(labels) for dim, labels in measures()[name].labels.items()}
    dims = [dim for dim in measures()[name].dims if dim not in ("run", "epoch", "moment")]
    assert np.shape(value(name, solving_network()[0].final)) == tuple(sizes[dim] for dim in dims)


@functools.cache
def in_single_precision():
    """Return the solving network with float32 weights."""
    context, _ = solving_network()
    return Checkpoint(context, {name: tensor.astype(np.float32) for name, tensor in context.final.weights.items()})


# ---- key frequencies


@pytest.mark.parametrize("kind", [ADDITION, SUBTRACTION])
def test_key_frequencies_match_the_construction(kind):
    assert tuple(checkpoint_and_definitions(kind, "solving")[0].context.key_frequencies) == KEYS


@pytest.mark.parametrize("kind", [ADDITION, SUBTRACTION])
def test_random_network_has_no_key_frequencies(kind):
    assert checkpoint_and_definitions(kind, "random")[0].context.key_frequencies.size == 0


def test_key_frequencies_are_those_of_the_last_checkpoint():
    checkpoint, _ = checkpoint_and_definitions(ADDITION, "earlier")
    assert tuple(RunContext(checkpoint.context.run, checkpoint.weights, checkpoint.context.train).key_frequencies) == ()
    assert tuple(checkpoint.context.key_frequencies) == KEYS


@pytest.mark.parametrize("name", REFERENCES)
def test_without_key_frequencies_exactly_the_measures_that_need_them_are_nan(name):
    values = np.asarray(value(name, checkpoint_and_definitions(ADDITION, "random")[0]), dtype=float)
    if name.startswith("intervention_"):
        is_defined = np.isfinite(values).all(-1)
        assert [
            intervention for intervention, defined in zip(INTERVENTIONS, is_defined, strict=True) if not defined
        ] == list(interventions.KEY_FREQUENCY_INTERVENTIONS)
        return
    assert np.isnan(values).all() if name in NEED_KEY_FREQUENCIES else np.isfinite(values).all()


@pytest.mark.parametrize("neuron", [DEAD, CONSTANT])
def test_neuron_that_never_varies_has_no_frequency(neuron):
    checkpoint = solving_network()[0].final
    assert value("neuron_frequency", checkpoint)[neuron] == 0
    assert value("neuron_fraction_explained", checkpoint)[neuron] == 0
    assert np.isnan(value("neuron_frequency_share", checkpoint)[neuron]).all()


def test_constant_neurons_have_no_frequency_in_single_precision():
    fractions = value("neuron_frequency_share", in_single_precision())
    assert np.flatnonzero(np.isnan(fractions).any(-1)).tolist() == [DEAD, CONSTANT]


# ---- losses too small for a plain log-softmax


def exact_cross_entropy(logits, label):
    """Return the cross-entropy in decimal arithmetic with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        exact = [Decimal(float(logit)) for logit in logits]
        return float((sum((x - exact[label]).exp() for x in exact)).ln())


@pytest.mark.parametrize("margin", [-700, -30, -1, -1e-3, 0, 1e-3, 1, 10, 28, 35, 100])
def test_cross_entropy_is_exact(margin, rng):
    logits = rng.standard_normal((20, 12))
    labels = rng.integers(0, 12, 20)
    logits[range(20), labels] = logits.max(-1) + margin
    expected = [exact_cross_entropy(row, label) for row, label in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(numerics.cross_entropy(logits, labels), expected, rtol=1e-13, atol=0)


def test_cross_entropy_of_1e_12_is_exact():
    logits = np.array([[40.0, 40 - np.log(1e12), 40 - np.log(2e12)]])
    np.testing.assert_allclose(numerics.cross_entropy(logits, np.array([0])), [1.5e-12 - 1.125e-24], rtol=1e-13, atol=0)


def test_smallest_cross_entropy_is_not_zero():
    assert numerics.cross_entropy(np.array([[700.0, 0.0]]), np.array([0])) == [np.exp(-700)]


def test_cross_entropy_of_float32_logits_is_computed_in_float64(rng):
    logits, labels = 9 * rng.standard_normal((50, 7)).astype(np.float32), rng.integers(0, 7, 50)
    np.testing.assert_array_equal(
        numerics.cross_entropy(logits, labels), numerics.cross_entropy(logits.astype(float), labels)
    )


def test_cross_entropy_does_not_change_the_logits(rng):
    logits = rng.standard_normal((5, 7))
    before = logits.copy()
    numerics.cross_entropy(logits, np.zeros(5, int))
    np.testing.assert_array_equal(logits, before)


def test_cross_entropy_agrees_with_scipy(rng):
    logits, labels = rng.standard_normal((50, 7)), rng.integers(0, 7, 50)
    np.testing.assert_allclose(numerics.cross_entropy(logits, labels), cross_entropy(logits, labels), rtol=1e-12)


LOSSES = [name for name in REFERENCES if "loss" in name]


@pytest.mark.parametrize("name", LOSSES)
def test_small_losses_are_precise(name, monkeypatch):
    def exact(logits, labels):
        return numerics.cross_entropy(logits.reshape(-1, P), labels.ravel()).reshape(labels.shape)

    context, network = solving_network(scale=12.0, noise=1e-4)
    assert value("test_loss", context.final) < 1e-8
    monkeypatch.setattr("support.definitions.cross_entropy", exact)
    assert_close(value(name, context.final), REFERENCES[name](network))


# ---- known results


class LogitTable(Checkpoint):
    """A checkpoint that has only the given logits."""

    def __init__(self, logits, keys=(3,), kind=ADDITION):
        context = RunContext(pair_run(kind), {}, random_mask(P))
        context.key_frequencies = np.array(keys)
        super().__init__(context, {})
        self._table = logits.reshape(P * P, P)

    @property
    def logits(self):
        """The given logits."""
        return self._table


def wave(k, sign, height=2.5):
    """Return height cos(w_k(a ± b - c)): [a, b, c]."""
    a, b, c = np.indices((P, P, P))
    return height * np.cos(2 * np.pi * k / P * (a + sign * b - c))


BY_SIGN = pytest.mark.parametrize(("kind", "sign"), [(ADDITION, 1), (SUBTRACTION, -1)])
LOSS_OF_ONE_WAVE = np.log(np.exp(2.5 * np.cos(2 * np.pi / P * np.arange(P))).sum()) - 2.5


@BY_SIGN
@pytest.mark.parametrize(
    "name", ["train_loss", "test_loss", "restricted_loss", "restricted_loss_test", "key_blocks_only_loss"]
)
def test_restricting_to_the_only_wave_keeps_its_loss(name, kind, sign):
    assert_close(value(name, LogitTable(wave(3, sign), kind=kind)), LOSS_OF_ONE_WAVE)


@BY_SIGN
@pytest.mark.parametrize("name", ["excluded_loss", "maximal_excluded_loss", "key_blocks_removed_loss"])
def test_removing_the_only_wave_gives_the_loss_of_guessing(name, kind, sign):
    assert_close(value(name, LogitTable(wave(3, sign), kind=kind)), np.log(P))


@BY_SIGN
@pytest.mark.parametrize(
    "name", ["excluded_loss_by_frequency", "ablated_loss_by_frequency", "ablated_loss_by_frequency_all"]
)
def test_removing_another_frequency_changes_nothing(name, kind, sign):
    expected = np.full(8, LOSS_OF_ONE_WAVE)
    expected[3 - 1] = np.log(P)
    assert_close(value(name, LogitTable(wave(3, sign), kind=kind)), expected)


@pytest.mark.parametrize("height", [2.5, 250, 400, 3000])  # exp overflows float64 above 700
@pytest.mark.parametrize(
    ("name", "removed_part"),
    [
        ("excluded_loss_by_frequency", lambda values, k: directions(values, [k], sign=1)),
        ("ablated_loss_by_frequency_all", lambda values, k: block(values, [k])),
    ],
)
def test_logits_may_have_any_range(name, removed_part, height, rng):
    waves = wave(3, 1) + wave(8, 1, 1.5) + wave(5, -1, 1) + 0.3 * rng.standard_normal((P, P, P))
    table = LogitTable(height / 2.5 * waves)
    logits, labels = table.logits.reshape(P, P, P), table.context.labels.reshape(P, P)
    split = random_mask(P) if name.startswith("excluded") else ...
    assert_close(
        value(name, table), [cross_entropy(logits - removed_part(logits, k), labels)[split].mean() for k in range(1, 9)]
    )


@BY_SIGN
def test_wave_along_the_other_diagonal_is_in_the_block_but_not_in_the_directions(kind, sign):
    table = LogitTable(wave(3, -sign), kind=kind)
    assert_close(value("excluded_loss", table), value("train_loss", table))
    assert_close(value("restricted_loss", table), np.log(P))
    assert_close(value("key_blocks_removed_loss", table), np.log(P))
    assert_close(value("key_blocks_only_loss", table), value("test_loss", table))


@BY_SIGN
def test_cosine_coefficients_are_the_heights_of_the_waves(kind, sign):
    table = LogitTable(wave(3, sign) + wave(8, sign, 0.5) - wave(1, sign, 0.25), kind=kind)
    heights = np.array([-0.25, 0, 2.5, 0, 0, 0, 0, 0.5])
    np.testing.assert_allclose(value("cosine_coefficient", table) / np.sqrt(P**3 / 2), heights, atol=1e-13)
    assert_close(value("cosine_similarity", table)[2], 2.5 / np.sqrt(np.square(heights).sum()))
    assert_close(value("cosine_residual", table), np.sqrt((0.25**2 + 0.5**2) / np.square(heights).sum()))
    assert value("cosine_residual_all", table) < 1e-7


@pytest.mark.parametrize("name", [name for name in REFERENCES if name.startswith("logit_fraction_explained")])
def test_waves_of_key_frequencies_are_fully_explained(name):
    assert_close(value(name, LogitTable(wave(3, 1) + wave(8, 1, 0.5), keys=(3, 8))), 1.0)


def test_centering_removes_the_named_mean(rng):
    of_pairs, of_outputs = rng.standard_normal((P, P, 1)), rng.standard_normal(P)
    explained = "logit_fraction_explained_cosines"
    over_outputs, over_pairs = f"{explained}_centered_over_outputs", f"{explained}_centered_over_pairs"
    assert_close(value(over_outputs, LogitTable(wave(3, 1) + of_pairs)), 1.0)
    assert_close(value(over_pairs, LogitTable(wave(3, 1) + of_outputs)), 1.0)
    assert value(over_pairs, LogitTable(wave(3, 1) + of_pairs)) < 0.9
    assert value(over_outputs, LogitTable(wave(3, 1) + of_outputs)) < 0.9


def test_gini_of_equal_numbers_is_0():
    assert numerics.gini(np.full(7, 0.3)) == pytest.approx(0, abs=1e-15)


def test_gini_of_one_number_alone_is_nearly_1():
    assert numerics.gini(np.eye(8)[3]) == pytest.approx(7 / 8)


def test_gini_does_not_depend_on_order_and_scale(rng):
    numbers = rng.random(20)
    assert numerics.gini(7 * rng.permutation(numbers)) == pytest.approx(numerics.gini(numbers))


# ---- maps rebuilt from factors


@functools.cache
def small_cube():
    """Return a cube with the family `maps` of a network at two selected epochs, and the `Network` at each epoch."""
    earlier, last = (
        checkpoint_and_definitions(SUBTRACTION, "earlier"),
        checkpoint_and_definitions(SUBTRACTION, "solving"),
    )
    selected = last[1].selected_neurons
    tokens = [str(number) for number in range(P)] + ["="]
    cube = xr.Dataset(
        coords={"run": ["first", "second"], "moment": [0, 100], "head": [0, 1], "neuron": np.arange(54)}
        | {"kept_neuron": selected, "token": tokens, "position": ["a", "b", "="]}
    )
    for name, measure in measures().items():
        if measure.family == "maps":
            leading, other_dims = (measure.dims[0], measure.dims[1:])
            checkpoints = {"moment": (earlier, last), "run": (last, earlier)}.get(leading)
            if checkpoints is None:
                cube[name] = measure.dims, value(name, last[0])
            else:
                cube[name] = (
                    (leading, *other_dims),
                    np.stack([value(name, checkpoint) for checkpoint, _ in checkpoints]),
                )
    return cube, {0: earlier[1], 100: last[1]}


@pytest.mark.parametrize("head", [0, 1])
@pytest.mark.parametrize(("where", "moment"), [({}, 100), ({"run": "second"}, 0), ({"epoch": 0}, 0)])
def test_attention_map_is_rebuilt(head, where, moment):
    cube, networks = small_cube()
    rebuilt = attention_map(cube, head, **where)
    assert rebuilt.dims == ("a", "b", "position")
    assert_close(rebuilt, networks[moment].attention[:, :, head])


@pytest.mark.parametrize("neuron", [DEAD, CONSTANT, 20, 53])
def test_neuron_map_is_rebuilt(neuron):
    cube, networks = small_cube()
    assert_close(neuron_map(cube, neuron), networks[100].post[..., neuron])
    assert_close(neuron_map(cube, neuron, relu=False), networks[100].pre[..., neuron])


def test_all_neuron_maps_are_rebuilt():
    cube, networks = small_cube()
    assert_close(neuron_maps(cube), networks[100].post)
    assert_close(neuron_maps(cube, relu=False), networks[100].pre)


@pytest.mark.parametrize("moment", [0, 100])
@pytest.mark.parametrize("index", [0, 2, 3, 11])
def test_kept_neuron_map_is_rebuilt(index, moment):
    cube, networks = small_cube()
    neuron = int(cube.kept_neuron[index])
    assert_close(neuron_map(cube, neuron, epoch=moment, relu=False), networks[moment].pre[..., neuron])


def test_measure_cannot_declare_more_mantissa_bits_than_it_has():
    with pytest.raises(ValueError, match="mantissa_bits=26: float32 has 23 bits of mantissa"):
        registry.measure(
            dims=("epoch",), units="1", long_name="A loss", requires={"split"}, reference="here", mantissa_bits=26
        )


def test_kept_neurons_are_distinct_if_every_neuron_is_the_best_of_its_frequency():
    context = SimpleNamespace(
        neuron_frequency=(np.array([1, 2, 2]), np.array([0.86, 0.9, 0.95])), key_frequencies=np.array([1, 2])
    )
    assert maps.kept_neurons(context).tolist() == [0, 2, 1]
