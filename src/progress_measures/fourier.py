"""The Fourier basis of Z_p and the decomposition of functions of (a, b) in it.

The basis F is an orthonormal matrix, p x p. Row 0 is constant, row 2k - 1 is proportional to cos(2 pi k x / p) and row 2k to
sin(2 pi k x / p), for k = 1 … (p - 1)/2. On the plane of all pairs, frequency k has the functions

    cos w_k a, sin w_k a                 functions of a alone
    cos w_k b, sin w_k b                 functions of b alone
    cos w_k (a + b), sin w_k (a + b)     the two `directions` of addition
    cos w_k (a - b), sin w_k (a - b)     the two `directions` of subtraction,

with w_k = 2 pi k / p. The last four span the cos-sin `products`; all eight span the `block` of the frequency. Projections
onto any of these spaces therefore need only four marginal sums of a function: over b, over a, and along both diagonals.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


def frequencies(p: int) -> NDArray[np.int64]:
    """Return all frequencies k = 1 … (p - 1)/2."""
    return np.arange(1, (p - 1) // 2 + 1)


def component_names(p: int) -> list[str]:
    """Return the names of the rows of the basis: `const`, `cos 1`, `sin 1`, …."""
    return ["const"] + [f"{wave} {k}" for k in frequencies(p) for wave in ("cos", "sin")]


@functools.cache
def basis(p: int) -> NDArray[np.float64]:
    """Compute the orthonormal Fourier basis F [component, x] for odd p."""
    angle = 2 * np.pi * np.outer(frequencies(p), np.arange(p)) / p
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=1).reshape(p - 1, p) * np.sqrt(2 / p)
    return np.concatenate([np.full((1, p), p**-0.5), waves])


class Marginals(NamedTuple):
    """Sums of a function over pairs with equal a, equal b, equal a + b or equal a - b mod p: [sum, …] each."""

    a: Array
    b: Array
    plus: Array
    minus: Array

    def along(self, components: str, sign: int) -> "Marginals":
        """Return the marginals, with zeros in place of the marginals that do not belong to `components`.

        Args:
            components: `directions`, `products` or `block`.
            sign: 1 for the directions of addition, -1 for the directions of subtraction.

        Returns:
            The marginals of the given components.
        """
        zero = np.zeros_like(self.a)
        directions = {1: self._replace(a=zero, b=zero, minus=zero), -1: self._replace(a=zero, b=zero, plus=zero)}
        return {"directions": directions[sign], "products": self._replace(a=zero, b=zero), "block": self}[components]


def marginals(values: Array) -> Marginals:
    """Compute the four marginal sums of values [a, b, …]."""
    p = len(values)
    plus, minus = np.zeros_like(values[0]), np.zeros_like(values[0])
    for a, row in enumerate(values):
        plus[a:] += row[: p - a]
        plus[:a] += row[p - a :]
        minus[: a + 1] += row[a::-1]
        minus[a + 1 :] += row[:a:-1]
    return Marginals(values.sum(1), values.sum(0), plus, minus)


def kernel(p: int, selected: ArrayLike) -> NDArray[np.float64]:
    """Compute the matrix that projects a marginal onto frequencies.

    `kernel @ marginals.plus`, for example, is the projection of a function onto the waves of a + b, as a function of
    a + b.

    Args:
        p: The modulus.
        selected: The frequencies, integers [frequency].

    Returns:
        2/p^2 times the sum over the frequencies of cos(w_k (x - x')): [x, x'].
    """
    x = np.arange(p)
    wave = np.cos(2 * np.pi * np.outer(np.asarray(selected, dtype=float), x) / p).sum(0) * 2 / p**2
    return wave[(x[:, None] - x) % p]


def energies(marginal: Array) -> Array:
    """Compute the sum of squares, over all pairs, of the projection onto each frequency's cosine and sine.

    The marginal has the shape [x, …], the result [frequency, …].
    """
    p = len(marginal)
    return np.abs(np.fft.rfft(marginal, axis=0)[1:]) ** 2 * 2 / p**2


def on_plane(parts: Marginals) -> Array:
    """Evaluate the sum of functions of a, b, a + b and a - b on the plane: [a, b, …]."""
    p = len(parts.a)
    a, b = np.ogrid[:p, :p]
    return parts.a[:, None] + parts.b[None] + parts.plus[(a + b) % p] + parts.minus[(a - b) % p]


def project(values: Marginals, selected: ArrayLike) -> Marginals:
    """Project a function, given by its marginals, onto frequencies.

    Args:
        values: The marginals of the function.
        selected: The frequencies, integers [frequency].

    Returns:
        The projection as a sum of functions of a, b, a + b and a - b.
    """
    matrix = kernel(len(values.a), selected).astype(values.a.dtype)
    return Marginals(*(np.tensordot(matrix, part, axes=1) for part in values))


class Spectrum(NamedTuple):
    """Total sum of squares of functions of (a, b), and the energy of each frequency in waves of a, b, a + b and a - b."""

    total: NDArray[np.floating]  # total sum of squares about the mean: [function]
    waves: Marginals  # [frequency, function] each

    @classmethod
    def of(cls, values: NDArray[np.floating], sums: Marginals) -> "Spectrum":
        """Compute the spectrum of functions.

        Args:
            values: Values of the functions: [pair, function].
            sums: Marginals of the same functions.

        Returns:
            The spectrum.
        """
        total = np.einsum("pf,pf->f", values, values, dtype=np.float64) - np.square(values.mean(0)) * len(values)
        constant = np.ptp(values, axis=0) == 0
        return cls(np.where(constant, 0, total), Marginals(*map(energies, sums)))

    def fraction_explained(self, components: str, sign: int) -> NDArray[np.floating]:
        """Compute the fraction of variance explained by the given components of each frequency.

        Args:
            components: `directions`, `products` or `block`.
            sign: 1 for the directions of addition, -1 for the directions of subtraction.

        Returns:
            Fractions [frequency, function]; NaN for constant functions.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            energy = sum(self.waves.along(components, sign))
            return np.where(self.total > 0, energy / self.total, np.nan)


def component_indices(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices in the Fourier basis of the cosine and sine of each frequency, cosine first: [2 key]."""
    return np.array([index for k in keys for index in (2 * k - 1, 2 * k)], dtype=int)
