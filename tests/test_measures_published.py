"""Measures of the authors' network, compared to every stated digit with numbers computed independently in float64."""

import functools
from decimal import Decimal

import numpy as np
import pytest

from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import Experiment
from progress_measures.measures import measures
from progress_measures.measures.checkpoint import RunContext
from support.networks import needs_published_network, published_weights

pytestmark = needs_published_network

KEYS = np.array([6, 23, 37, 39, 41])

VALUES = {
    "train_loss": "9.202424e-9",
    "test_loss": "4.988379e-7",
    "restricted_loss_train": "2.092425e-9",
    "restricted_loss_test": "2.247700e-9",
    "restricted_loss": "2.201126e-9",
    "restricted_loss_neurons": "2.7006e-9",
    "excluded_loss": "8.385370",
    "key_blocks_only_loss": "4.12e-9",
    "key_blocks_removed_loss": "9.027",
    "sum_of_squared_weights": "1180.96572",
    "gini_W_E": "0.538591",
    "gini_W_E_without_constant": "0.535312",
    "gini_W_E_by_frequency": "0.526517",
    "gini_W_L": "0.757612",
    "gini_W_L_without_constant": "0.755514",
    "gini_W_L_by_frequency": "0.750052",
    "cosine_residual": "0.158840",
    "cosine_residual_all": "0.158836",
    "logit_fraction_explained_directions": "0.978015",
    "logit_fraction_explained_directions_centered_over_pairs": "0.978823",
    "logit_fraction_explained_directions_per_output": "0.978793",
    "logit_fraction_explained_cosines": "0.974770",
    "logit_fraction_explained_cosines_centered_over_pairs": "0.975575",
}

AT_KEYS = {
    "excluded_loss_by_frequency": ("0.0292582", "1.1757794", "4.356573e-4", "6.547721e-5", "2.608081e-4"),
    "cosine_coefficient": ("7962.942", "26586.029", "5779.603", "4289.791", "5153.483"),
    "cosine_similarity": ("0.269883", "0.901064", "0.195885", "0.145391", "0.174664"),
    "cluster_size": ("47", "31", "65", "11", "31"),
}


@functools.cache
def network():
    """Return the only checkpoint of the authors' network."""
    settings = {"title": "published", "seed": 1, "task": {"kind": "modular_addition"}, "training": {"epochs": 100}}
    run = Experiment.model_validate(settings).runs("published")[0]
    weights = published_weights()
    weights["W_U"] = weights["W_U"][:, :113]
    weights = {name: np.ascontiguousarray(tensor) for name, tensor in weights.items()}
    return RunContext(run, weights, train_mask(run)).final


def value(name):
    """Return the value of a measure."""
    return measures()[name].function(network())


def to_all_digits(expected):
    """Return an approximate decimal number, with a tolerance of half a unit of its last digit."""
    tolerance = Decimal("0.51").scaleb(Decimal(expected).as_tuple().exponent)
    return pytest.approx(float(expected), rel=0, abs=float(tolerance))


@pytest.mark.parametrize("name", VALUES)
def test_value(name):
    assert value(name) == to_all_digits(VALUES[name])


@pytest.mark.parametrize("name", AT_KEYS)
def test_values_at_key_frequencies(name):
    for actual, expected in zip(value(name)[KEYS - 1], AT_KEYS[name], strict=True):
        assert actual == to_all_digits(expected)


def test_loss_over_all_pairs():
    train_fraction = network().context.train.mean()
    assert train_fraction * value("train_loss") + (1 - train_fraction) * value("test_loss") == to_all_digits(
        "3.519741e-7"
    )


def test_height_of_the_cosine_of_frequency_6():
    assert value("cosine_coefficient")[6 - 1] / np.sqrt(113**3 / 2) == to_all_digits("9.37499")


def test_key_frequencies():
    assert (np.flatnonzero(value("key_frequency")) + 1).tolist() == KEYS.tolist()


def test_327_neurons_are_in_no_cluster():
    assert 512 - value("cluster_size").sum() == 327
