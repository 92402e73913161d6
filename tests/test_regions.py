"""Regions of a phase diagram and power laws, on curves and points with known results."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure as Canvas

from progress_measures.analysis.regions import REGIONS, accuracy_delays, power_law, regions
from progress_measures.claims.quantities.sweeps import (
    delay_exponents,
    generalization_at_extreme_fractions,
    region_counts,
)
from progress_measures.figures import load_figure


def sweep(*learned):
    """Return the accuracies of runs that learn training and test pairs at given epochs; None is never."""
    epochs = np.arange(0, 5001, 100)
    curves = {
        name: np.array([epochs >= (np.inf if at is None else at) for at in times], dtype=float)
        for name, times in zip(("train", "test"), zip(*learned, strict=True), strict=True)
    }
    variables = {f"history_{name}_accuracy": (("run", "history_epoch"), curve) for name, curve in curves.items()}
    return xr.Dataset(variables, {"history_epoch": epochs})


@pytest.mark.parametrize(
    ("train", "test", "region", "delay"),
    [
        (200, 300, "comprehension", 100),
        (200, 1100, "comprehension", 900),
        (200, 1200, "grokking", 1000),
        (200, 5000, "grokking", 4800),
        (200, None, "memorization", np.inf),
        (None, None, "confusion", np.nan),
        (300, 200, "comprehension", -100),
    ],
)
def test_region_follows_from_the_delay(train, test, region, delay):
    cube = sweep((train, test), (200, 300))
    assert REGIONS[regions(cube)[0]] == region
    np.testing.assert_equal(accuracy_delays(cube)[0], delay)


def test_power_law_of_exact_points_has_a_narrow_interval():
    x = np.array([0.1, 0.3, 1.0, 3.0])
    fit = power_law(np.tile(x, 3), 50 * np.tile(x, 3) ** -0.7)
    assert fit == pytest.approx((50, -0.7, -0.7, -0.7))


def test_interval_of_a_power_law_contains_the_exponent_of_noisy_points(rng):
    x = np.tile(np.geomspace(0.1, 10, 8), 3)
    covered = 0
    for trial in range(40):
        y = 100 * x**-1.2 * np.exp(0.3 * rng.standard_normal(len(x)))
        fit = power_law(x, y, seed=trial)
        covered += fit.low <= -1.2 <= fit.high
    assert 33 <= covered <= 40


def test_runs_that_never_generalize_are_left_out_of_a_power_law():
    x = np.array([0.1, 0.3, 1.0, 3.0])
    assert power_law(x, np.array([np.inf, 4.0, 2.0, 1.0])).exponent < 0
    assert power_law(x, np.array([np.inf, np.inf, 2.0, 1.0])) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["beyond/phase_diagram", "beyond/delay_power_laws"])
def test_figures_of_a_sweep_have_a_cell_and_a_line_for_each_setting(name):
    """Networks learn test pairs later with less weight decay and fewer pairs; some learn nothing at all."""
    runs = [
        (decay, fraction, seed) for decay in (0.1, 1.0, 3.0, 30.0) for fraction in (0.2, 0.4, 0.8) for seed in (0, 1)
    ]
    times = [
        (None, None)
        if decay == 30
        else (100, None if fraction / seed_factor < 0.3 else round(400 / decay / fraction, -2))
        for decay, fraction, seed in runs
        for seed_factor in [1 + seed]
    ]
    settings = dict(zip(("weight_decay", "train_fraction", "seed"), zip(*runs, strict=True), strict=True))
    cube = sweep(*times).assign_coords({key: ("run", list(values)) for key, values in settings.items()})
    cube = cube.assign_coords(run=[f"run{i}" for i in range(len(runs))])
    figure = load_figure(name)
    fig = Canvas(figsize=figure.size, layout="constrained")
    figure.draw(fig, cube)
    fig.canvas.draw()
    assert not any(text.get_text().startswith("No ") for ax in fig.axes for text in ax.texts)
    assert len(fig.axes) == (3 if name.endswith("diagram") else 2)


@pytest.mark.parametrize("missing", [[], [3]])
def test_diagram_of_one_seed_has_a_cell_without_color_where_no_run_is(missing):
    settings = [run for i, run in enumerate([(0.1, 0.2), (0.1, 0.4), (2.0, 0.2), (2.0, 0.4)]) if i not in missing]
    cube = sweep(*[(100, 300)] * len(settings)).assign_coords(run=[f"run{i}" for i in range(len(settings))])
    columns = zip(("weight_decay", "train_fraction"), zip(*settings, strict=True), strict=True)
    cube = cube.assign_coords({name: ("run", list(values)) for name, values in columns} | {"seed": 0})
    figure = load_figure("beyond/phase_diagram")
    fig = Canvas(figsize=figure.size, layout="constrained")
    figure.draw(fig, cube)
    colors = fig.axes[0].collections[0].get_array()
    assert np.ma.count_masked(np.ma.masked_invalid(colors)) == len(missing)


def phase_diagram(delay):
    """Return a cube of 5 weight decays x 4 training fractions x 4 seeds; `delay` is a function of the two settings."""
    settings = [(d, f, s) for d in (0.1, 0.3, 1.0, 3.0, 10.0) for f in (0.1, 0.3, 0.6, 0.9) for s in range(4)]
    cube = sweep(*((100, None if (wait := delay(d, f)) is None else 100 + wait) for d, f, _ in settings))
    columns = zip(("weight_decay", "train_fraction", "seed"), zip(*settings, strict=True), strict=True)
    return cube.assign_coords({name: ("run", list(values)) for name, values in columns})


def test_quantities_of_a_sweep_have_known_values():
    cube = phase_diagram(lambda decay, fraction: None if fraction == 0.1 else 400 / np.sqrt(decay * fraction))
    counts = region_counts(cube)
    assert [counts[name] for name in REGIONS] == [40, 20, 20, 0]
    assert counts["fraction_of_cells_with_equal_seeds"] == 1
    exponents = delay_exponents(cube)
    assert list(exponents["exponent_of_weight_decay"]) == ["0.3", "0.6", "0.9"], "at 0.1 no network generalizes"
    assert list(exponents["exponent_of_train_fraction"]) == ["0.1", "0.3", "1", "3", "10"]
    for name in ("weight_decay", "train_fraction"):
        assert all(abs(exponent + 0.5) < 0.2 for exponent in exponents[f"exponent_of_{name}"].values())
        assert max(exponents[f"high_of_{name}"].values()) < 0
    assert generalization_at_extreme_fractions(cube) == {
        "generalizing_at_smallest_fraction": 0, "networks_at_smallest_fraction": 20, "largest_delay_from_0.6": 600,
    }  # fmt: skip


def test_exponents_of_a_delay_that_weight_decay_lengthens_are_positive():
    exponents = delay_exponents(phase_diagram(lambda decay, fraction: 500 * np.sqrt(decay)))
    assert min(exponents["low_of_weight_decay"].values()) > 0
    assert max(map(abs, exponents["exponent_of_train_fraction"].values())) < 1e-9


def test_seeds_in_different_regions_count_as_different():
    cube = phase_diagram(lambda decay, fraction: 200)
    cube["history_test_accuracy"][0] = 0.0
    assert region_counts(cube)["fraction_of_cells_with_equal_seeds"] == 19 / 20
    assert region_counts(cube)["memorization"] == 1
