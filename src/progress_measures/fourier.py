"""The Fourier basis of Z_p, and functions of (a, b) taken apart in it.

F is orthonormal, p x p: row 0 constant, row 2k - 1 proportional to cos(2 pi k x / p), row 2k to sin(2 pi k x / p), for
k = 1 … (p - 1)/2 inclusive. In the plane of all pairs the functions of one frequency k span

    cos w_k a, sin w_k a                 functions of a alone
    cos w_k b, sin w_k b                 functions of b alone
    cos w_k (a + b), sin w_k (a + b)     the two `directions` of addition
    cos w_k (a - b), sin w_k (a - b)     the two of subtraction,

with w_k = 2 pi k / p. The last four are the plane's cos-sin `products`, and all eight are the frequency's `block`. So
projecting on any of them needs only four marginal sums of a function: over b, over a, and along both diagonals.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


def frequencies(p: int) -> NDArray[np.int64]:
    """1 … (p - 1)/2, all of them."""
    return np.arange(1, (p - 1) // 2 + 1)


def component_names(p: int) -> list[str]:
    """`const`, `cos 1`, `sin 1`, …: the rows of the basis."""
    return ["const"] + [f"{wave} {k}" for k in frequencies(p) for wave in ("cos", "sin")]


@functools.cache
def basis(p: int) -> NDArray[np.float64]:
    """The orthonormal Fourier basis F: [component, x]; p odd."""
    angle = 2 * np.pi * np.outer(frequencies(p), np.arange(p)) / p
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=1).reshape(p - 1, p) * np.sqrt(2 / p)
    return np.concatenate([np.full((1, p), p**-0.5), waves])


class Marginals(NamedTuple):
    """Sums of a function of (a, b) over lines of the plane; each [x, …], x being a, b, a + b or a - b mod p."""

    a: Array
    b: Array
    plus: Array
    minus: Array

    def along(self, components: str, sign: int) -> "Marginals":
        """Those that carry some components; the others are zero.

        Args:
            components: `directions`, `products` or `block`, as above.
            sign: 1 for addition, -1 for subtraction: whose two directions are meant.
        """
        zero = np.zeros_like(self.a)
        directions = {1: self._replace(a=zero, b=zero, minus=zero), -1: self._replace(a=zero, b=zero, plus=zero)}
        return {"directions": directions[sign], "products": self._replace(a=zero, b=zero), "block": self}[components]


def marginals(values: Array) -> Marginals:
    """The four marginal sums of values [a, b, …]."""
    p = len(values)
    plus, minus = np.zeros_like(values[0]), np.zeros_like(values[0])
    for a, row in enumerate(values):
        plus[a:] += row[: p - a]
        plus[:a] += row[p - a :]
        minus[: a + 1] += row[a::-1]
        minus[a + 1 :] += row[:a:-1]
    return Marginals(values.sum(1), values.sum(0), plus, minus)


def kernel(p: int, chosen: ArrayLike) -> NDArray[np.float64]:
    """What projects a marginal on frequencies: [x, x'] = 2/p^2 times the sum of cos(w_k (x - x')).

    The projection of a function on the waves of a + b, say, is `kernel @ marginals.plus`, at a + b.

    Args:
        chosen: the frequencies, integers.
    """
    x = np.arange(p)
    wave = np.cos(2 * np.pi * np.outer(np.asarray(chosen, dtype=float), x) / p).sum(0) * 2 / p**2
    return wave[(x[:, None] - x) % p]


def energies(marginal: Array) -> Array:
    """Sum of squares, over the plane, of the projection on each frequency's two waves: [frequency, …]."""
    p = len(marginal)
    return np.abs(np.fft.rfft(marginal, axis=0)[1:]) ** 2 * 2 / p**2


def on_plane(parts: Marginals) -> Array:
    """The function of (a, b) that is the sum of functions of a, b, a + b and a - b: [a, b, …]."""
    p = len(parts.a)
    a, b = np.ogrid[:p, :p]
    return parts.a[:, None] + parts.b[None] + parts.plus[(a + b) % p] + parts.minus[(a - b) % p]


def project(values: Marginals, chosen: ArrayLike) -> Marginals:
    """The projection, as functions of a, b, a + b and a - b, of what has these marginals on chosen frequencies."""
    matrix = kernel(len(values.a), chosen).astype(values.a.dtype)
    return Marginals(*(np.tensordot(matrix, part, axes=1) for part in values))


class Spectrum(NamedTuple):
    """Variance of functions of (a, b), and the energy in each frequency's waves of a, b, a + b and a - b."""

    total: NDArray  # [function]
    waves: Marginals  # [frequency, function] each

    @classmethod
    def of(cls, values: NDArray, sums: Marginals) -> "Spectrum":
        """From values [pair, function] and their marginals."""
        total = np.einsum("pf,pf->f", values, values, dtype=np.float64) - np.square(values.mean(0)) * len(values)
        constant = np.ptp(values, axis=0) == 0
        return cls(np.where(constant, 0, total), Marginals(*map(energies, sums)))

    def share(self, components: str, sign: int) -> NDArray:
        """Share of the variance in each frequency's `directions`, `products` or `block`: [frequency, function].

        NaN for functions that never vary.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            energy = sum(self.waves.along(components, sign))
            return np.where(self.total > 0, energy / self.total, np.nan)
