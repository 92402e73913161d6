"""The Fourier basis and projections computed by marginals, compared with dense sums."""

import numpy as np
import pytest

from progress_measures import fourier
from support import definitions

PRIMES = [3, 5, 13, 17, 113]
P = 13
BY_SIGN = pytest.mark.parametrize("sign", [1, -1])


@pytest.fixture
def values(rng):
    """Four functions of (a, b)."""
    return rng.standard_normal((P, P, 4))


@pytest.mark.parametrize("p", PRIMES)
def test_basis_is_orthonormal(p):
    np.testing.assert_allclose(fourier.basis(p) @ fourier.basis(p).T, np.eye(p), atol=1e-13)


@pytest.mark.parametrize("p", PRIMES)
def test_basis_is_const_then_cos_and_sin_of_each_frequency(p):
    np.testing.assert_allclose(fourier.basis(p), definitions.basis(p), atol=1e-13)


@pytest.mark.parametrize("p", PRIMES)
def test_frequencies_go_up_to_half_of_p_and_include_it(p):
    assert fourier.frequencies(p).tolist() == list(range(1, (p + 1) // 2))
    assert fourier.component_names(p)[-2:] == [f"cos {(p - 1) // 2}", f"sin {(p - 1) // 2}"]


def test_harmonics_are_folded_and_listed_once():
    assert fourier.harmonics(113, [1, 5, 34, 42], (1, 2)).tolist() == [1, 2, 5, 10, 29, 34, 42, 45]
    assert fourier.harmonics(113, [1, 5, 34, 42]).tolist() == [1, 2, 3, 5, 10, 11, 13, 15, 29, 34, 42, 45]
    assert fourier.harmonics(12, [4, 6]).tolist() == [4, 6], "8 and 18 are folded, and 12, 24 are the constant"
    assert fourier.harmonics(12, []).size == 0


def test_component_names_are_the_rows():
    assert fourier.component_names(5) == ["const", "cos 1", "sin 1", "cos 2", "sin 2"]


def test_marginals_are_sums_over_lines(values):
    sums = fourier.marginals(values)
    expected = np.zeros((4, P, 4))
    for a in range(P):
        for b in range(P):
            for kind, x in enumerate((a, b, (a + b) % P, (a - b) % P)):
                expected[kind, x] += values[a, b]
    np.testing.assert_allclose(np.stack(sums), expected, atol=1e-13)


def test_marginals_of_one_function_need_no_extra_dimension(values):
    np.testing.assert_allclose(fourier.marginals(values[..., 0]).minus, fourier.marginals(values).minus[:, 0])


def test_marginals_keep_single_precision(values):
    assert {part.dtype for part in fourier.marginals(values.astype(np.float32))} == {np.dtype(np.float32)}


@pytest.mark.parametrize("p", PRIMES)
def test_kernel_is_the_sum_of_cosines_of_differences(p):
    k = (p - 1) // 2
    expected = [[2 / p**2 * np.cos(2 * np.pi * k * (x - y) / p) for y in range(p)] for x in range(p)]
    np.testing.assert_allclose(fourier.kernel(p, [k]), expected, atol=1e-14)


def test_kernel_of_no_frequency_is_zero():
    assert not fourier.kernel(P, np.array([], dtype=int)).any()


def test_kernel_of_several_frequencies_is_the_sum_of_their_kernels():
    np.testing.assert_allclose(fourier.kernel(P, [2, 6]), fourier.kernel(P, [2]) + fourier.kernel(P, [6]), atol=1e-15)


@BY_SIGN
@pytest.mark.parametrize("frequencies", [[1], [6], [2, 5], [1, 2, 3, 4, 5, 6], []])
@pytest.mark.parametrize("components", ["directions", "products", "block"])
def test_projection_on_components_equals_the_dense_projection(components, frequencies, sign, values):
    dense = {
        "directions": lambda: definitions.directions(values, frequencies, sign),
        "products": lambda: definitions.products(values, frequencies),
        "block": lambda: definitions.block(values, frequencies),
    }[components]()
    parts = fourier.project(fourier.marginals(values).along(components, sign), np.array(frequencies, dtype=int))
    np.testing.assert_allclose(fourier.on_plane(parts), dense, atol=1e-13)


def test_projecting_twice_changes_nothing(values):
    once = fourier.project(fourier.marginals(values), [2, 5])
    twice = fourier.project(fourier.marginals(fourier.on_plane(once)), [2, 5])
    np.testing.assert_allclose(np.stack(twice), np.stack(once), atol=1e-13)


@BY_SIGN
@pytest.mark.parametrize("components", ["directions", "products", "block"])
def test_energies_are_squared_norms_of_projections(components, sign, values):
    sums = fourier.marginals(values).along(components, sign)
    energies = sum(fourier.energies(part) for part in sums)
    for k in fourier.frequencies(P):
        projection = fourier.on_plane(fourier.project(sums, [k]))
        np.testing.assert_allclose(energies[k - 1], definitions.energy(projection), rtol=1e-11)


def test_directions_of_addition_and_subtraction_span_the_products(values):
    sum_of_projections = definitions.directions(values, [3], 1) + definitions.directions(values, [3], -1)
    np.testing.assert_allclose(sum_of_projections, definitions.products(values, [3]), atol=1e-13)


def test_on_plane_sums_the_functions_of_each_line(rng):
    parts = fourier.Marginals(*rng.standard_normal((4, P)))
    plane = fourier.on_plane(parts)
    a, b = 9, 11
    assert plane[a, b] == pytest.approx(parts.a[9] + parts.b[11] + parts.plus[7] + parts.minus[11])


EVEN = [2, 4, 12, 114]


@pytest.mark.parametrize("n", EVEN)
def test_basis_of_an_even_group_has_one_zero_row(n):
    F = fourier.basis(n)
    expected = np.eye(n + 1)
    expected[-1, -1] = 0
    np.testing.assert_allclose(F @ F.T, expected, atol=1e-12)
    np.testing.assert_allclose(F.T @ F, np.eye(n), atol=1e-12)
    assert fourier.component_names(n)[-2:] == [f"cos {n // 2}", f"sin {n // 2}"]


@BY_SIGN
@pytest.mark.parametrize("n", [4, 12])
@pytest.mark.parametrize("components", ["directions", "products", "block"])
def test_projections_with_the_nyquist_frequency_equal_dense_projections(components, n, sign, rng):
    """The dense projection is onto an orthonormal basis of the functions, found by a singular value decomposition."""
    values = rng.standard_normal((n, n, 3))
    sums = fourier.marginals(values)
    spectrum = fourier.Spectrum.of(values.reshape(n * n, 3), sums)
    fractions = spectrum.fraction_explained(components, sign)
    a, b = np.indices((n, n)).reshape(2, -1)
    for k in fourier.frequencies(n):
        lines = {"directions": [a + sign * b], "products": [a + b, a - b], "block": [a, b, a + b, a - b]}[components]
        waves = np.stack([wave(2 * np.pi * k * x / n) for x in lines for wave in (np.cos, np.sin)])
        _, sizes, rows = np.linalg.svd(waves, full_matrices=False)
        rows = rows[sizes > 1e-9 * sizes[0]]
        dense = rows.T @ (rows @ values.reshape(n * n, 3))
        parts = fourier.project(sums.along(components, sign), [k])
        np.testing.assert_allclose(fourier.on_plane(parts).reshape(n * n, 3), dense, atol=1e-12)
        energies = sum(fourier.energies(part) for part in sums.along(components, sign))[k - 1]
        np.testing.assert_allclose(energies, np.square(dense).sum(0), rtol=1e-10)
        np.testing.assert_allclose(fractions[k - 1], np.square(dense).sum(0) / spectrum.total, rtol=1e-10)


@pytest.mark.parametrize("n", [5, 12])
def test_all_blocks_and_mixed_products_have_all_energy_of_a_function_of_the_sum(n, rng):
    g = rng.standard_normal((n, 1))
    a, b = np.indices((n, n))
    values = g[(a + b) % n]
    spectrum = fourier.Spectrum.of(values.reshape(n * n, 1), fourier.marginals(values))
    assert spectrum.fraction_explained("directions", 1).sum() == pytest.approx(1)
    assert spectrum.fraction_explained("products", 1).sum() == pytest.approx(1)
