"""The Fourier basis of the integers modulo n, and the decomposition of functions of a pair (a, b) in this basis.

The basis F is orthonormal. Row 0 is constant, row 2k - 1 is proportional to cos(2 pi k x / n) and row 2k to
sin(2 pi k x / n), for k = 1 … n/2, rounded down. On the plane of all pairs, frequency k has the functions

    cos w_k a, sin w_k a                 functions of a alone
    cos w_k b, sin w_k b                 functions of b alone
    cos w_k (a + b), sin w_k (a + b)     the two `directions` of addition
    cos w_k (a - b), sin w_k (a - b)     the two `directions` of subtraction,

with w_k = 2 pi k / n. The last four span the `products` of a cosine or sine of a and one of b. All eight span the `block` of
the frequency. So the projection onto any of these three subspaces (`directions`, `products`, `block`) needs only four marginal
sums of a function: over b, over a, and along both diagonals.

If n is even, the last frequency is the Nyquist frequency n/2: cos w x = (-1)^x and sin w x = 0. F has a zero row for
this sine, so that every frequency has two rows. At the Nyquist frequency the directions of addition and subtraction are
the same function, (-1)^(a + b), which counts once in the products and in the block.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


def frequencies(n: int) -> NDArray[np.int64]:
    """Return all frequencies k = 1 … n/2, rounded down."""
    return np.arange(1, n // 2 + 1)


def harmonics(n: int, selected: ArrayLike, multiples: tuple[int, ...] = (1, 2, 3)) -> NDArray[np.int64]:
    """Return the frequencies of cos(m w_k x) for the selected frequencies k and the multiples m.

    Frequency n - k has the same cosine as k. A multiple of n is the constant, which is left out.

    Args:
        n: The modulus.
        selected: The selected frequencies k, integers [frequency].
        multiples: The multiples m.

    Returns:
        The frequencies in ascending order, each once.
    """
    residues = np.outer(multiples, np.asarray(selected, dtype=np.int64)).ravel() % n
    folded = np.minimum(residues, n - residues)
    return np.unique(folded[folded > 0])


def nyquist_factor(n: int, k: NDArray[Any]) -> NDArray[np.float64]:
    """Return (n/2) / (sum over x of cos(w_k x)^2) for each frequency k.

    Args:
        n: number of operand values.
        k: frequencies [frequency].

    Returns:
        1/2 at the Nyquist frequency n/2, otherwise 1: [frequency].
    """
    return np.where(2 * k == n, 0.5, 1.0)


def cosine_norms(n: int, k: NDArray[Any]) -> NDArray[np.float64]:
    """Return the norm of cos w_k(a + b - c) over all (a, b, c), for each frequency k.

    Args:
        n: number of operand values.
        k: frequencies [frequency].

    Returns:
        The norms [frequency].
    """
    norms: NDArray[np.float64] = np.sqrt(n**3 / 2) / np.sqrt(nyquist_factor(n, k))
    return norms


def component_names(n: int) -> list[str]:
    """Return the names of the rows of the basis: `const`, `cos 1`, `sin 1`, …."""
    return ["const"] + [f"{wave} {k}" for k in frequencies(n) for wave in ("cos", "sin")]


@functools.cache
def basis(n: int) -> NDArray[np.float64]:
    """Compute the Fourier basis F [component, x]: n orthonormal rows, and a zero row for the last sine if n is even."""
    k = frequencies(n)
    angle = 2 * np.pi * np.outer(k, np.arange(n)) / n
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.sqrt(2 / n)
    if n % 2 == 0:
        waves[-1] *= [[0.5**0.5], [0]]
    return np.concatenate([np.full((1, n), n**-0.5), waves.reshape(-1, n)])


class Marginals(NamedTuple):
    """Sums of a function over the pairs with equal a, equal b, equal a + b mod n or equal a - b mod n: four arrays [x, …].

    x is the common value of a, b, a + b or a - b. The same four fields hold functions of a, b, a + b and a - b in `project`, and
    energies in `Spectrum`.
    """

    a: Array
    b: Array
    plus: Array
    minus: Array

    def along(self, subspace: str, sign: int) -> "Marginals":
        """Replace the marginals that do not belong to a subspace by zeros.

        For `products` and `block`, the Nyquist frequency is also removed from `minus`, because it counts once, in `plus`.

        Args:
            subspace: `directions`, `products` or `block`.
            sign: 1 for the directions of addition, -1 for those of subtraction; not used for `products` and `block`.

        Returns:
            The marginals, of which only those that belong to the subspace are nonzero.
        """
        zero = np.zeros_like(self.a)
        if subspace == "directions":
            diagonals = self._replace(a=zero, b=zero)
            return diagonals._replace(minus=zero) if sign == 1 else diagonals._replace(plus=zero)
        nyquist_once = self._replace(minus=_without_nyquist(self.minus))
        return nyquist_once._replace(a=zero, b=zero) if subspace == "products" else nyquist_once


def _without_nyquist(marginal: Array) -> Array:
    """Return a marginal [x, …] without its projection onto (-1)^x, if n is even."""
    n = len(marginal)
    if n % 2:
        return marginal
    alternating = 1 - 2 * (np.arange(n) % 2).astype(marginal.dtype)
    return marginal - np.multiply.outer(alternating, np.tensordot(alternating, marginal, axes=1) / n)


def marginals(values: Array) -> Marginals:
    """Compute the marginal sums of a function from its values [a, b, …]."""
    n = len(values)
    plus, minus = np.zeros_like(values[0]), np.zeros_like(values[0])
    for a, row in enumerate(values):
        plus[a:] += row[: n - a]
        plus[:a] += row[n - a :]
        minus[: a + 1] += row[a::-1]
        minus[a + 1 :] += row[:a:-1]
    return Marginals(values.sum(1), values.sum(0), plus, minus)


def kernel(n: int, selected: ArrayLike) -> NDArray[np.float64]:
    """Compute the matrix that projects a marginal onto frequencies.

    For example, `kernel @ marginals.plus` is the projection of a function onto cos and sin of w_k(a + b) of all selected
    frequencies k. It is a function of a + b.

    Args:
        n: The modulus.
        selected: The selected frequencies, integers [frequency].

    Returns:
        2/n^2 times the sum over the selected frequencies of cos(w_k (x - x')); the Nyquist frequency counts half: [x, x'].
        n^2/2 is the sum of squares of cos(w_k (a + b)) over all pairs, except at the Nyquist frequency, where it is n^2.
    """
    x, k = np.arange(n), np.asarray(selected, dtype=float)
    waves = np.cos(2 * np.pi * np.outer(k, x) / n) * nyquist_factor(n, k)[:, None]
    return (waves.sum(0) * 2 / n**2)[(x[:, None] - x) % n]


@functools.cache
def kernels(n: int) -> NDArray[np.float64]:
    """Return `kernel(n, [k])` for each frequency k: [frequency, x, x']."""
    return np.stack([kernel(n, [k]) for k in frequencies(n)])


def energies(marginal: Array) -> Array:
    """Compute the energy of a marginal at each frequency.

    The energy is the sum of squares, over all pairs, of the function's projection onto the cosine and sine of the
    frequency.

    Args:
        marginal: Sums of the function over the pairs with equal x, where x is a, b, a + b or a - b: [x, …].

    Returns:
        Energies [frequency, …].
    """
    n = len(marginal)
    sums_of_squares = np.abs(np.fft.rfft(marginal, axis=0)[1:]) ** 2 * 2 / n**2
    if n % 2 == 0:
        sums_of_squares[-1] /= 2
    return sums_of_squares


def _windows(values: Array) -> Array:
    """Return a view [start, offset, …] of values [x, …]. Its entries are the values at x = start + offset mod n."""
    twice = np.concatenate([values, values])
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(twice, len(values), axis=0), -1, 1)


def at_sums(values: Array) -> Array:
    """Return a function of a + b, given as values [a + b, …], at every pair: a view [a, b, …]."""
    return _windows(values)[: len(values)]


def at_differences(values: Array) -> Array:
    """Return a function of a - b, given as values [a - b, …], at every pair: a view [a, b, …]."""
    negated = np.roll(values[::-1], 1, axis=0)  # a function of b - a, which is the sum of n - a and b
    return _windows(negated)[:0:-1]


def on_plane(parts: Marginals) -> Array:
    """Add a function of a, one of b, one of a + b and one of a - b, at every pair: [a, b, …]."""
    return parts.a[:, None] + parts.b[None] + at_sums(parts.plus) + at_differences(parts.minus)


def project(values: Marginals, selected: ArrayLike) -> Marginals:
    """Project a function onto selected frequencies, from its marginals.

    Args:
        values: The marginals of the function, as `along` returns them, so that the Nyquist frequency counts once.
        selected: The selected frequencies, integers [frequency].

    Returns:
        Four functions, of a, b, a + b and a - b; the projection is their sum.
    """
    matrix = kernel(len(values.a), selected).astype(values.a.dtype)
    return Marginals(*(np.tensordot(matrix, part, axes=1) for part in values))


class Spectrum(NamedTuple):
    """Sums of squares of functions of (a, b): the total, and the energy of the cosine and sine of each frequency.

    The cosine and sine are those of w_k a, w_k b, w_k(a + b) and w_k(a - b); see `energies`.
    """

    total: NDArray[np.floating]  # total sum of squares about the mean, exactly 0 for a constant function: [function]
    waves: Marginals  # energy of the cosine and sine of a, b, a + b and a - b: [frequency, function] each
    has_nyquist: bool = False  # whether the last frequency is n/2

    @classmethod
    def of(cls, values: NDArray[np.floating], sums: Marginals) -> "Spectrum":
        """Compute the spectrum of functions.

        Args:
            values: Values of the functions: [pair, function].
            sums: Marginals of the same functions: [x, function] each.

        Returns:
            The spectrum.
        """
        squares = np.zeros(values.shape[-1])
        for rows in np.split(values, len(sums.a)):  # n pairs at a time, small enough for the processor's cache
            float64_rows = rows.astype(np.float64)
            squares += np.einsum("pf,pf->f", float64_rows, float64_rows)
        total = squares - np.square(sums.a.sum(0, dtype=np.float64)) / len(values)
        total[_is_constant(values)] = 0
        return cls(total, Marginals(*map(energies, sums)), len(sums.a) % 2 == 0)

    def _along(self, subspace: str, sign: int) -> list[NDArray[np.floating]]:
        """Return one array of energies [frequency, function] for each marginal that belongs to a subspace."""
        if subspace == "directions":
            return [self.waves.plus if sign == 1 else self.waves.minus]
        minus = self.waves.minus
        if self.has_nyquist:  # at n/2, the direction of subtraction equals that of addition and counts once
            minus = np.concatenate([minus[:-1], np.zeros_like(minus[-1:])])
        return [self.waves.plus, minus] if subspace == "products" else [*self.waves._replace(minus=minus)]

    def energy(self, subspace: str, sign: int) -> NDArray[np.floating]:
        """Compute the energy in a subspace of each frequency: the sum of squares of the projection over all pairs.

        Args:
            subspace: `directions`, `products` or `block`.
            sign: 1 for the directions of addition, -1 for those of subtraction; not used for `products` and `block`.

        Returns:
            Sums of squares [frequency, function].
        """
        return np.sum(self._along(subspace, sign), axis=0)

    def fraction_explained(self, subspace: str, sign: int) -> NDArray[np.floating]:
        """Compute the fraction of each function's variance explained by a subspace of each frequency.

        Args:
            subspace: `directions`, `products` or `block`.
            sign: 1 for the directions of addition, -1 for those of subtraction; not used for `products` and `block`.

        Returns:
            Fractions [frequency, function]; NaN for constant functions.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.total > 0, self.energy(subspace, sign) / self.total, np.nan)


def _is_constant(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether each function has one value at all pairs, for values [pair, function]: [function]."""
    constant = (values[::97] == values[0]).all(0)  # a sample of the pairs suffices to exclude most functions
    constant[constant] = (values[:, constant] == values[0, constant]).all(0)
    return constant


def component_indices(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices in the Fourier basis of the cosine and sine of each key frequency.

    The key frequencies keep their order; each cosine is followed by its sine.
    """
    return np.array([index for k in keys for index in (2 * k - 1, 2 * k)], dtype=int)
