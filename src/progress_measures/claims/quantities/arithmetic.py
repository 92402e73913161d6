"""Quantities that check the paper's arithmetic: cosines of key frequencies (appendix B), and consistency of the tables.

Quantities with `variables=()` compute with the paper's published numbers only, and do not use the cube.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.readout import READOUT_VARIABLES, readout_rows, single_term_deviation
from progress_measures.analysis.runs import by_run
from progress_measures.claims.registry import Values, quantity
from progress_measures.claims.schema import load_claims

if TYPE_CHECKING:
    import xarray as xr

PAPER_P, PAPER_KEYS = 113, (14, 35, 41, 42, 52)
"""The prime and the key frequencies of the paper's mainline network."""


def _wave(k: int, x: int) -> float:
    """Compute f_k(x) = cos(2 pi k x / 113), as defined in appendix B.

    Args:
        k: frequency.
        x: argument, 0 to 112.

    Returns:
        f_k(x), from -1 to 1.
    """
    return float(np.cos(2 * np.pi * k * x / PAPER_P))


@quantity(variables=())
def waves_of_14(cube: xr.Dataset) -> Values:
    """Compute f_14(x) = cos(2 pi 14 x / 113) at x = 8, 105 and 16, and the largest difference from the published values."""
    published = {8: 0.998, 105: 0.998, 16: 0.994}
    values = {f"f14({x})": _wave(14, x) for x in published}
    return values | {"largest_difference": max(abs(_wave(14, x) - value) for x, value in published.items())}


@quantity(variables=())
def waves_of_35(cube: xr.Dataset) -> Values:
    """Compute f_35(x) = cos(2 pi 35 x / 113) at x = 8, 105 and 16, and the largest difference from the published values."""
    published = {8: -0.990, 105: -0.990, 16: 0.961}
    values = {f"f35({x})": _wave(35, x) for x in published}
    return values | {"largest_difference": max(abs(_wave(35, x) - value) for x, value in published.items())}


@quantity(variables=())
def wave_of_14_at_89(cube: xr.Dataset) -> Values:
    """Compute f_14(x) = cos(2 pi 14 x / 113) at x = 89, as printed in appendix B, and at x = 97, which is -16 mod 113."""
    return {"f14(89)": _wave(14, 89), "f14(97)": _wave(14, 97)}


@quantity(variables=())
def wave_of_52_at_16(cube: xr.Dataset) -> Values:
    """Compute f_52(x) = cos(2 pi 52 x / 113) at x = 16."""
    return {"f52(16)": _wave(52, 16)}


@quantity(variables=())
def interference(cube: xr.Dataset) -> Values:
    """Sum f_k(x) = cos(2 pi k x / 113) over the paper's five key frequencies k.

    Return the sum at x = 0, its maximum over x = 1 to 112 (`runner_up`), and the ratio of this maximum to the sum at 0.
    """
    wave_sum = np.array([sum(_wave(k, x) for k in PAPER_KEYS) for x in range(PAPER_P)])
    maximum = wave_sum[1:].max()
    return {"at_0": wave_sum[0], "runner_up": maximum, "runner_up_share": maximum / wave_sum[0]}


@quantity(variables=READOUT_VARIABLES)
def single_coefficients(cube: xr.Dataset) -> Values:
    """Compare the coefficient on cos or sin of w(a + b) with the coefficients on products, in each row of Tables 1 and 3.

    A row is about the neurons' projection on W_L cos_k or W_L sin_k, where W_L = W_out W_U, and cos_k and sin_k are the
    vectors over outputs c with entries cos wc and sin wc; w = 2 pi k/p. The projection is fitted by two products, such
    as cos wa cos wb and sin wa sin wb, and by the single function cos or sin of w(a + b). By the angle-sum identity,
    the single function is the sum or difference of the two products, so its coefficient should be the mean absolute
    coefficient on the products. The deviation of a row is the absolute difference between the coefficient on the single
    function and the mean absolute coefficient on the two products. Return the largest deviation over the published
    rows. Also return the largest over our runs' rows, there divided by the absolute coefficient on the single function;
    NaN if our runs have no key frequencies.
    """
    claims, rows = load_claims(), [row for rows_of_run in by_run(cube, readout_rows) for row in rows_of_run]
    tables = ["paper.table1", *(f"paper.table3.seed{seed}" for seed in (1, 2, 3, 4))]
    differences = []
    for row in (row for table in tables for row in claims[table].published):
        product_coefficients = [abs(value) for name, value in row.items() if name.startswith("coef_")]
        differences.append(abs(row["single_coef"] - sum(product_coefficients) / 2))
    return {
        "published_difference": max(differences),
        "measured_relative_difference": single_term_deviation(rows),
    }


@quantity(variables=())
def table_6_from_table_5(cube: xr.Dataset) -> Values:
    """Derive mean losses of Table 6 from the test losses of Table 5, for p = 53 and for dropout 0.2.

    Table 6 has mean losses over all pairs: 70 % are test pairs, and the loss on the training pairs is negligible. So a
    mean of Table 6 is 0.7 times the mean test loss over the networks of Table 5. Also return the largest relative
    difference between the derived means and those of Table 6, and, for p = 53, the standard deviation over networks of
    0.7 times the test loss.
    """
    claims = load_claims()
    prime_53 = [row["test_loss"] for row in claims["paper.table5.prime_53"].published]
    dropout = claims["paper.table5.dropout"].published
    dropout_02 = [row["test_loss"] for row in dropout if row["model"] == "p=0.2"]
    # the mean derived from Table 5, and the mean published in Table 6
    means = {"P=53": (0.7 * np.mean(prime_53), 5.96e-5), "dropout 0.2": (0.7 * np.mean(dropout_02), 0.215)}
    return {
        "means": {name: float(derived) for name, (derived, _) in means.items()},
        "largest_relative_difference": max(abs(derived / published - 1) for derived, published in means.values()),
        "sd_of_P=53": 0.7 * np.std(prime_53, ddof=1),
    }
