"""Quantities of the subtraction notebook, on networks with known results."""

import numpy as np
import pytest
import xarray as xr

from progress_measures import fourier
from progress_measures.claims.quantities import subtraction as of

P, RESIDUAL = 13, 20


def curve(values, spacing=100):
    """Return values at checkpoints that start at 0."""
    return xr.DataArray(np.asarray(values, dtype=float), {"epoch": spacing * np.arange(len(values))}, ("epoch",))


def embedding(directions, keys=(2, 5), noise=0.0):
    """Return a cube whose embedding contains the waves of the key frequencies in these directions, and noise."""
    places = [place for k in keys for place in (2 * k - 1, 2 * k)]
    numbers = fourier.basis(P)[places].T @ directions
    numbers = numbers + noise * np.random.default_rng(1).standard_normal(numbers.shape)
    W_E = np.concatenate([numbers, np.ones((1, RESIDUAL))])
    frequency = fourier.frequencies(P)
    norms = np.linalg.norm(fourier.basis(P) @ numbers, axis=1)
    return xr.Dataset(
        {
            "W_E": (("run", "token", "residual"), W_E[None]),
            "key_frequency": (("run", "frequency"), np.isin(frequency, keys)[None]),
            "W_E_fourier_norm": (("run", "epoch", "fourier_component"), norms[None, None]),
        },
        {
            "run": ["one"], "epoch": [0], "frequency": frequency, "prime": ("run", [P]),
            "task": ("run", ["modular_subtraction"]),
        },
    )  # fmt: skip


ORTHOGONAL = np.linalg.qr(np.random.default_rng(0).standard_normal((RESIDUAL, 4)))[0].T * [[4], [3], [2], [1]]


def test_waves_are_their_own_principal_components():
    measured = of.singular_vector_frequencies(embedding(ORTHOGONAL))
    assert measured["in_one_frequency"] == pytest.approx([1] * 4)
    assert measured["in_key_frequencies"] == pytest.approx([1] * 4)


def test_noise_is_not_a_wave():
    measured = of.singular_vector_frequencies(embedding(ORTHOGONAL, noise=20))
    assert max(measured["in_one_frequency"]) < 0.9


def test_an_embedding_of_two_waves_has_rank_four():
    measured = of.embedding_singular_values(embedding(ORTHOGONAL))
    assert measured["above_a_tenth_less_2n"] == [0]
    assert measured["fraction_of_first_2n"] == pytest.approx([1])
    assert 0 < measured["random_least_over_largest"] < 1


def test_share_of_the_key_frequencies_is_of_the_squared_norm():
    cube = embedding(ORTHOGONAL)
    assert of.embedding_keys(cube)["share"] == pytest.approx([1])
    cube["key_frequency"] = cube.key_frequency & (cube.frequency == 2)  # directions of length 4 and 3; then 2 and 1
    measured = of.embedding_keys(cube)
    assert measured["share"] == pytest.approx([25 / 30])
    assert measured["places"] == ["3, 4"]


def test_cosines_between_key_directions_do_not_depend_on_their_lengths():
    assert of.key_directions_orthogonal(embedding(ORTHOGONAL))["largest_cosine"] == pytest.approx([0], abs=1e-12)
    skew = ORTHOGONAL.copy()
    skew[3] = ORTHOGONAL[0] / 4 + ORTHOGONAL[3]
    assert of.key_directions_orthogonal(embedding(skew))["largest_cosine"] == pytest.approx([0.5**0.5])


def test_printed_train_loss_is_from_before_the_update():
    epochs = np.arange(0, 1001, 50)
    cube = xr.Dataset(
        {
            "history_train_loss": (("run", "history_epoch"), np.exp(-epochs / 30)[None]),
            "test_loss": (("run", "epoch"), np.exp(-epochs / 60)[None]),
        },
        {"history_epoch": epochs, "epoch": epochs},
    )
    train, test = of._printed_losses(cube, [100, 1000, 2000])
    assert train[0, :2] == pytest.approx(np.exp([-99 / 30, -999 / 30]))
    assert test[0, :2] == pytest.approx(np.exp([-100 / 60, -1000 / 60]))
    assert np.isnan([train[0, 2], test[0, 2]]).all()


def test_ratio_shifted_by_a_checkpoint_differs_most_where_the_loss_falls_fastest():
    cube = xr.Dataset({"test_loss": curve([8, 4, 4, 1, 1]).expand_dims("run")})
    measured = of.ratio_misaligned(cube)
    assert float(measured["largest_factor"][0]) == 4
    assert int(measured["at_epoch"][0]) == 300


def test_labels_are_differences():
    cube = embedding(ORTHOGONAL)
    assert of.first_pairs(cube)["rows"][:2] == [[0, 0, P], [0, 1, P]]
    assert of.first_pairs(cube)["first_labels"] == [0, 12, 11, 10, 9]
