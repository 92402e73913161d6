"""What needs no network: cosines of the paper's frequencies (appendix B), and its tables among themselves."""

import numpy as np

from progress_measures.claims.ledger import load_claims
from progress_measures.claims.registry import quantity

PAPER_P, PAPER_KEYS = 113, (14, 35, 41, 42, 52)


def wave(k, x):
    """cos(2 pi k x / 113)."""
    return float(np.cos(2 * np.pi * k * x / PAPER_P))


@quantity
def waves_of_14(cube):
    """f_14 near its side peaks."""
    published = {8: 0.998, 105: 0.998, 16: 0.994}
    values = {f"f14({x})": wave(14, x) for x in published}
    return values | {"largest_difference": max(abs(wave(14, x) - y) for x, y in published.items())}


@quantity
def waves_of_35(cube):
    """f_35 at the same places."""
    published = {8: -0.990, 105: -0.990, 16: 0.961}
    values = {f"f35({x})": wave(35, x) for x in published}
    return values | {"largest_difference": max(abs(wave(35, x) - y) for x, y in published.items())}


@quantity
def wave_of_14_at_89(cube):
    """f_14 at 89, which the text gives, and at 97, the mirror of 16."""
    return {"f14(89)": wave(14, 89), "f14(97)": wave(14, 97)}


@quantity
def wave_of_52_at_16(cube):
    """f_52 at 16."""
    return {"f52(16)": wave(52, 16)}


@quantity
def interference(cube):
    """The sum of the five waves at 0, and its largest value elsewhere."""
    total = np.array([sum(wave(k, x) for k in PAPER_KEYS) for x in range(PAPER_P)])
    return {"at_0": total[0], "runner_up": total[1:].max(), "runner_up_share": total[1:].max() / total[0]}


@quantity
def single_coefficients(cube):
    """Whether single coefficients are the mean size of the two: in the published tables, and in our runs."""
    from progress_measures.claims.quantities.mechanism import readout_identities

    claims = load_claims()
    tables = ["paper.table1", *(f"paper.table3.seed{seed}" for seed in (1, 2, 3, 4))]
    differences = []
    for row in (row for table in tables for row in claims[table].published):
        two = [abs(value) for name, value in row.items() if name.startswith("coef_")]
        differences.append(abs(row["single_coef"] - sum(two) / 2))
    return {
        "published_difference": max(differences),
        "measured_relative_difference": readout_identities(cube)["single_term_identity"],
    }


@quantity
def table_6_from_table_5(cube):
    """Table 6's means and Table 5's: 0.7 times the mean test loss, since train losses hardly count."""
    claims = load_claims()
    prime = [row["test_loss"] for row in claims["paper.table5.prime_53"].published]
    dropout = claims["paper.table5.dropout"].published
    two = [row["test_loss"] for row in dropout if row["model"] == "p=0.2"]
    table_6 = {"P=53": (0.7 * np.mean(prime), 5.96e-5), "dropout 0.2": (0.7 * np.mean(two), 0.215)}
    return {
        "means": {name: float(mean) for name, (mean, _) in table_6.items()},
        "largest_relative_difference": max(abs(mean / given - 1) for mean, given in table_6.values()),
        "sd_of_P=53": 0.7 * np.std(prime, ddof=1),
    }
