"""Rows of the paper's Tables 1 and 3, the loss of the key cosines alone (section 4.2), and related checks, from cubes.

W_L = W_out W_U. A key cosine is cos w_k(a + b - c) at a key frequency k, as a function of the pair (a, b) and the
output c, with w_k = 2πk/p and p operand values. The projection of the neurons is their scalar product with the vector
W_L cos_k or W_L sin_k; the coordinate `wave` (cos or sin) of the cube says with which. cos_k and sin_k are the vectors
with the entries cos w_k c and sin w_k c, scaled to norm 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from progress_measures.analysis.pair_maps import W_L_logits
from progress_measures.analysis.runs import by_run, key_frequencies_of, operand_count
from progress_measures.fourier import cosine_norms

READOUT_VARIABLES = (
    "key_frequency", "readout_product_coefficient", "readout_coefficient", "readout_fraction_explained",
)  # fmt: skip
"""Variables that `readout_rows` reads, at one checkpoint of one run."""


class ReadoutRow(NamedTuple):
    """One row of Table 1: the neurons projected on W_L cos_k or W_L sin_k, and this projection fitted by functions of the pair.

    Attributes:
        frequency: the key frequency k.
        wave: `cos` or `sin`.
        first_product: coefficient on cos w_k a cos w_k b if the wave is cos, on sin w_k a cos w_k b if it is sin.
        second_product: coefficient on sin w_k a sin w_k b if the wave is cos, on cos w_k a sin w_k b if it is sin.
        single: coefficient on cos w_k(a + b) if the wave is cos, on sin w_k(a + b) if it is sin; for subtraction, a - b
            replaces a + b.
        fraction_explained: fraction of the projection's variance over pairs that the function of `single` explains.
    """

    frequency: int
    wave: str
    first_product: float
    second_product: float
    single: float
    fraction_explained: float


def readout_rows(run_cube: xr.Dataset) -> list[ReadoutRow]:
    """Compute the rows of Table 1 of one run.

    Args:
        run_cube: the cube of one run, with `READOUT_VARIABLES`.

    Returns:
        Two rows for each key frequency, for `cos` and for `sin`; an empty list if the run has no key frequencies.
    """
    rows = []
    for k in key_frequencies_of(run_cube):
        at_key = run_cube.sel(frequency=k)
        products_of_wave = {"cos": ("cos a cos b", "sin a sin b"), "sin": ("sin a cos b", "cos a sin b")}
        for wave, names in products_of_wave.items():
            first, second = (float(at_key.readout_product_coefficient.sel(wave=wave, product=name)) for name in names)
            rows.append(
                ReadoutRow(
                    frequency=int(k),
                    wave=wave,
                    first_product=first,
                    second_product=second,
                    single=float(at_key.readout_coefficient.sel(wave=wave)),
                    fraction_explained=float(at_key.readout_fraction_explained.sel(wave=wave)),
                )
            )
    return rows


def cosine_loss(run_cube: xr.Dataset) -> float:
    """Compute the loss, in nat, of logits that consist of the fitted key cosines only.

    These logits depend only on a + b - c, so the loss is equal at every pair. Without key frequencies, all logits are 0.

    Args:
        run_cube: the cube of one run at one checkpoint, with `key_frequency` and `cosine_coefficient`.
    """
    p, keys = operand_count(run_cube), key_frequencies_of(run_cube)
    # The stored coefficients are for cosines scaled to norm 1 over all (a, b, c). Without this scale, the norm is sqrt(p^3 / 2);
    # at the Nyquist frequency it is sqrt(2) times as large.
    amplitudes = run_cube.cosine_coefficient.sel(frequency=keys).values.astype(float) / cosine_norms(p, keys)
    # entry x is the logit of the output c with a + b - c = x mod p; the right answer has x = 0
    logits = amplitudes @ np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p)
    return float(np.log1p(np.exp(logits[1:] - logits[0]).sum()))


def single_term_deviation(rows: list[ReadoutRow]) -> float:
    """Compute the largest relative deviation of rows of Table 1 from the angle-sum identity.

    The deviation of a row is ||s| - (|c1| + |c2|) / 2| / |s|, where c1 and c2 are the coefficients on the two products, and s is
    the coefficient on the single function cos or sin of w_k(a + b). By the identity, |c1| = |c2| = |s|.

    Args:
        rows: rows of Table 1, as `readout_rows` returns them, of one or more runs.

    Returns:
        The largest deviation over the rows; NaN if there are no rows.
    """
    deviations = [
        abs(abs(row.single) - (abs(row.first_product) + abs(row.second_product)) / 2) / abs(row.single) for row in rows
    ]
    return max(deviations, default=np.nan)


def at_key_frequencies(cube: xr.Dataset, name: str) -> list[float]:
    """Return the values of a variable at the key frequencies of each run, at the last checkpoint.

    Args:
        cube: cube with `key_frequency`.
        name: name of a variable [run, epoch, frequency].

    Returns:
        One number per key frequency, run by run.
    """
    values = by_run(cube, lambda run_cube: run_cube[name].sel(frequency=key_frequencies_of(run_cube)).values)
    return [float(value) for values_of_run in values for value in values_of_run]


def gaussian_similarity(cube: xr.Dataset) -> float:
    """Compute the absolute cosine similarity of Gaussian noise with the neurons' part of the logits: neurons times W_L.

    The logits are those of the first run at the last checkpoint. The noise is drawn with a fixed seed. The value shows which
    similarity to expect by chance.

    Args:
        cube: cube with the variables that `pair_maps.W_L_logits` reads.
    """
    logits = W_L_logits(cube)
    gaussian = np.random.default_rng(0).standard_normal(logits.shape)
    return float(abs((logits * gaussian).sum() / np.linalg.norm(logits) / np.linalg.norm(gaussian)))
