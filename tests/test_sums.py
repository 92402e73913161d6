"""Quantities of integer addition: principal components, correlations, fits and probes with known results."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import pearsonr

from progress_measures import principal_components
from progress_measures.analysis import integer_sums
from progress_measures.analysis.pair_maps import neuron_maps
from progress_measures.claims.quantities import integer_addition as of
from progress_measures.cube.open import open_cube

N, RESIDUAL = 10, 20
NUMBER = np.arange(N)
LINE, PARABOLA = NUMBER - 4.5, (NUMBER - 4.5) ** 2 - 8.25


@pytest.fixture(scope="module")
def cube(integers):
    """The cube of a small network."""
    return open_cube(integers / "results/integers/cube.zarr").load()


def embedding(rng, noise=0.0):
    """Return an embedding with a line in one direction and a parabola in another, far from 0, and both directions."""
    directions = np.linalg.qr(rng.standard_normal((RESIDUAL, 2)))[0].T
    rows = 3 + np.outer(LINE, 2 * directions[0]) + np.outer(PARABOLA, directions[1] / 4)
    return rows + noise * rng.standard_normal(rows.shape), directions


def with_embedding(rows):
    """Return a cube with an embedding of the numbers, and ones for `=`."""
    return xr.Dataset({"W_E": (("run", "token", "residual"), np.concatenate([rows, np.ones((1, RESIDUAL))])[None])})


# ---- principal components


def test_known_components_are_found(rng):
    rows, directions = embedding(rng)
    pcs = principal_components.components(rows)
    np.testing.assert_allclose(np.abs(pcs.axes[:2] @ directions.T), np.eye(2), atol=1e-12)
    np.testing.assert_allclose(pcs.scores[:, 0], -2 * LINE, atol=1e-12)
    np.testing.assert_allclose(pcs.scores[:, 1], PARABOLA / 4, atol=1e-12)
    energy = np.array([4 * (LINE**2).sum(), (PARABOLA**2).sum() / 16])
    np.testing.assert_allclose(pcs.fractions_explained[:2], energy / energy.sum(), atol=1e-12)


def test_all_components_reproduce_the_embedding(rng):
    rows, _ = embedding(rng, noise=1)
    pcs = principal_components.components(rows)
    np.testing.assert_allclose(pcs.reconstruct(list(range(N))), rows, atol=1e-12)
    np.testing.assert_allclose(pcs.reconstruct([]), np.tile(rows.mean(0), (N, 1)), atol=1e-12)
    assert (pcs.scores[0] >= 0).all()


def test_shares_are_eigenvalues_of_the_covariance(rng):
    rows, _ = embedding(rng, noise=1)
    values = np.linalg.eigvalsh(np.cov(rows.T))[::-1][:N]
    np.testing.assert_allclose(
        principal_components.components(rows).fractions_explained, values / values.sum(), atol=1e-12
    )


def test_quantities_of_a_line_and_a_parabola(rng):
    cube = with_embedding(embedding(rng)[0])
    line, parabola = of.first_component_line(cube), of.second_component_parabola(cube)
    assert line["r2"] == pytest.approx(1)
    assert (line["slope"], line["intercept"]) == pytest.approx((-2, 9))
    assert line["intercept_over_slope"] == pytest.approx(-line["mean_number"])
    assert (parabola["r2"], parabola["vertex"]) == pytest.approx((1, 4.5))
    assert of.numbers_in_order(cube)["monotone"]
    assert of.component_shares(cube)["both"] == pytest.approx(1)
    assert of.smooth_embedding(cube)["autocorrelation"] > 0.5


def test_noise_is_not_a_line(rng):
    cube = with_embedding(rng.standard_normal((N, RESIDUAL)))
    assert of.first_component_line(cube)["r2"] < 0.9
    assert not of.numbers_in_order(cube)["monotone"]
    assert abs(of.smooth_embedding(cube)["autocorrelation"]) < 0.4


# ---- neurons


def test_correlations_equal_pearsons(cube):
    maps = neuron_maps(cube).values
    a, b = np.indices(maps.shape[:2])
    correlations = integer_sums.correlations(cube)
    for neuron in range(maps.shape[-1]):
        values = maps[..., neuron].ravel()
        for name, target in (("a", a), ("b", b), ("a+b", a + b)):
            expected = pearsonr(values, target.ravel())[0] if np.ptp(values) > 0 else 0
            assert correlations[name][neuron] == pytest.approx(expected, abs=1e-9)
    order = integer_sums.neurons_by_correlation(cube)
    assert (np.diff(np.abs(correlations["a+b"])[order]) <= 0).all()


def test_fit_is_least_squares_with_an_intercept(rng):
    x = rng.standard_normal((40, 3))
    y = x @ [1.0, -2.0, 0.5] + 4 + 0.1 * rng.standard_normal(40)
    fit = integer_sums.least_squares(x, y)
    expected = np.linalg.lstsq(np.column_stack([x, np.ones(40)]), y)[0]
    np.testing.assert_allclose([*fit.coefficients, fit.intercept], expected, rtol=1e-10)
    assert fit.r2 == pytest.approx(1 - ((y - fit(x)) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def test_fit_with_more_regressors_than_rows_has_the_least_norm(rng):
    x, y = rng.standard_normal((5, 9)), rng.standard_normal(5)
    fit = integer_sums.least_squares(x, y)
    np.testing.assert_allclose(fit(x), y, atol=1e-12)
    centered = x - x.mean(0)
    np.testing.assert_allclose(fit.coefficients, np.linalg.pinv(centered) @ (y - y.mean()), atol=1e-12)


def test_split_of_the_probe_is_that_of_scikit_learn():
    """These are the first held-out rows of `train_test_split(range(100), test_size=0.3, random_state=42)`."""
    assert np.random.RandomState(integer_sums.PROBE_SEED).permutation(100)[:5].tolist() == [83, 53, 70, 45, 44]


def test_probe_is_evaluated_on_held_out_pairs(cube):
    probe = integer_sums.probe(cube)
    assert len(probe.sums) == 11  # of 36
    assert probe.baseline_r2 <= 0
    assert probe.r2 > probe.baseline_r2


def test_fit_of_a_neuron_uses_pairs_whose_sum_is_an_operand(cube):
    neuron = int(integer_sums.neurons_by_correlation(cube)[0])
    scores = principal_components.components(cube.W_E[0].values[:-1]).scores
    pre = neuron_maps(cube, relu=False).values[..., neuron]
    rows = [(a, b) for a in range(6) for b in range(6) if a + b < 6]
    x = [[*scores[a, :2], *scores[b, :2], 1] for a, b in rows]
    expected = np.linalg.lstsq(np.array(x), np.array([pre[pair] for pair in rows]))[0]
    fit = integer_sums.neuron_fit(cube, neuron)
    np.testing.assert_allclose([*fit.coefficients, fit.intercept], expected, rtol=1e-8)


# ---- ablations


def answers(wrong):
    """Return a cube whose answers with only the mean and PC 1 are wrong at some pairs."""
    a, b = np.indices((N, N))
    table = np.stack([a + b, a + b + wrong, a + b])[None]
    names = ["whole", "mean and PC 1", "all but PC 2"]
    return xr.Dataset(
        {"answer_by_embedding": (("run", "embedding", "a", "b"), table)},
        {"embedding": names, "a": range(N), "b": range(N)},
    )


def test_failures_are_counted_as_in_the_notebook():
    wrong = np.zeros((N, N), dtype=int)
    wrong[0, 1:9] = wrong[1:9, 0] = 1
    failures = of.component_ablation_failures(answers(wrong))
    assert (failures["count"], failures["with_a_zero_as_stated"], failures["symmetric"]) == (16, 1, 1)
    assert failures["fraction_in_the_middle"] == 0
    wrong[0, 0] = wrong[0, 9] = 1
    failures = of.component_ablation_failures(answers(wrong))
    assert failures["with_a_zero_as_stated"] == pytest.approx(17 / 19)
    assert failures["symmetric"] == pytest.approx(0.98)
    accuracies = of.component_ablation(answers(wrong))
    assert (accuracies["before"], accuracies["mean_and_PC1"], accuracies["all_but_PC2"]) == pytest.approx((1, 0.82, 1))


def test_answers_with_the_whole_embedding_are_those_of_the_network(cube):
    """The accuracy with the whole embedding is the mean of both splits."""
    whole = 1 - float(integer_sums.failures(cube).sel(embedding="whole").mean())
    last = cube.isel(run=0, epoch=-1)
    train = int(0.7 * 36)
    mean = (train * float(last.train_accuracy) + (36 - train) * float(last.test_accuracy)) / 36
    assert whole == pytest.approx(mean)


def test_basis_of_an_even_number_has_a_vector_of_length_0(cube):
    assert of.even_fourier_basis(cube)["norm"] < 1e-12
