"""Quantities and the figure of recipes that are said to accelerate grokking, on curves whose truth is known."""

import matplotlib.figure
import numpy as np
import pytest
import xarray as xr

from progress_measures.analysis.recipes import by_recipe
from progress_measures.claims.quantities.recipes import acceleration, circuits_by_recipe
from progress_measures.figures.registry import load_figure

SEEDS = (0, 1, 2)
EPOCHS = np.arange(0, 10_001, 100)


def step(epochs):
    """Return curves that rise from 0 to 1 at the given epochs, which may be infinite: [run, epoch]."""
    return (np.array([EPOCHS]) >= np.array([epochs]).T).astype(float)


def cube_of(test, restricted, **variables):
    """Return a cube of one run per recipe and seed that answers test pairs from the epochs `test[recipe]` on.

    The recipe's networks answer training pairs from epoch 100 on, and all pairs with the key frequencies alone from the epochs
    `restricted[recipe]` on. The seeds are in reverse order.
    """
    runs = [(name, seed) for name in test for seed in SEEDS[::-1]]
    test_curves = step([test[name][seed] for name, seed in runs])
    both = ("run", "epoch")
    kept = EPOCHS % 500 == 0
    cube = {
        "history_test_accuracy": (("run", "history_epoch"), test_curves),
        "history_train_accuracy": (("run", "history_epoch"), step([100] * len(runs))),
        "test_accuracy": (both, test_curves),
        "restricted_accuracy": (both, np.where(kept, step([restricted[name][seed] for name, seed in runs]), np.nan)),
        "excluded_accuracy": (both, np.full((len(runs), EPOCHS.size), 0.01)),
        "distance_irrelevance": (both, np.full((len(runs), EPOCHS.size), 0.8), {"long_name": "Distance irrelevance"}),
        "gradient_symmetricity": (both, np.full((len(runs), EPOCHS.size), 0.3)),
        "key_frequency": (("run", "frequency"), np.arange(1, 57) <= np.full((len(runs), 1), 5)),
        "memorization_end": ("run", np.full(len(runs), 500.0)),
        "circuit_formation_end": ("run", np.full(len(runs), 1000.0)),
        "cleanup_end": ("run", np.full(len(runs), 1500.0)),
    }
    coordinates = {"run": [f"{name}_seed{seed}" for name, seed in runs], "seed": ("run", [seed for _, seed in runs])}
    return xr.Dataset(cube | variables, coordinates | {"epoch": EPOCHS, "history_epoch": EPOCHS})


@pytest.fixture
def cube():
    """AdamW generalizes with two of three seeds; the other recipe is faster with these, and slower with the third."""
    test = {"adamw": (4000, 8000, 6000), "muon": (2000, 2000, 7000), "grokfast": (np.inf,) * 3}
    restricted = {"adamw": (3000, 6000, 6000), "muon": (1000, 2000, 5000), "grokfast": (np.inf,) * 3}
    return cube_of(test, restricted)


@pytest.mark.filterwarnings("error")
def test_acceleration_is_measured_seed_by_seed(cube):
    values = acceleration(cube)
    assert values["adamw_epochs"] == [4000, 8000, 6000], "in the order of the seeds"
    assert values["muon_sooner"] == 2
    assert values["muon_factor"] == 3
    assert values["muon_mean_ratio"] == pytest.approx(11 / 18)
    assert values["muon_delay_ratio"] == 1900 / 5900
    assert (values["grokfast_generalizing"], values["grokfast_sooner"], values["grokfast_factor"]) == (0, 0, 0)


@pytest.mark.filterwarnings("error")
def test_seeds_are_matched_by_number_if_runs_are_missing(cube):
    without = ["adamw_seed0", "muon_seed2"]
    values = acceleration(cube.sel(run=[run for run in cube.run.values if run not in without]))
    assert values["muon_sooner"] == 1  # seed 1; seed 0 has no run of AdamW, seed 2 none of Muon


@pytest.mark.filterwarnings("error")
def test_no_recipe_is_faster_than_one_that_never_generalizes_if_it_does_not_either():
    never = dict.fromkeys(("adamw", "muon"), (np.inf,) * 3)
    values = acceleration(cube_of(never, never))
    assert values["muon_sooner"] == 0
    assert np.isnan(values["muon_factor"])


@pytest.mark.filterwarnings("error")
def test_circuits_are_counted_among_networks_that_generalize(cube):
    values = circuits_by_recipe(cube)
    assert values["adamw_sparse"] == values["adamw_clock"] == values["adamw_phases"] == 3
    assert values["grokfast_sparse"] == values["grokfast_generalizing"] == 0
    assert values["adamw_progress"] == 2, "with seed 2 both reach 95 % at the same checkpoint"
    assert values["fraction_progress"] == pytest.approx(2 / 3)
    cube.excluded_accuracy[by_recipe(cube)["muon"].run.size] = (
        0.9  # the first run of muon answers without key frequencies
    )
    cube.cleanup_end[0] = np.nan
    values = circuits_by_recipe(cube)
    assert values["fraction_sparse"] == values["fraction_phases"] == pytest.approx(2 / 3)
    assert values["fraction_clock"] == 1


@pytest.mark.filterwarnings("error")
def test_figure_has_a_row_for_each_network_and_a_label_for_each_recipe(cube):
    figure = load_figure("beyond/accelerators")
    fig = matplotlib.figure.Figure(figsize=figure.size, layout="constrained")
    figure.draw(fig, cube)
    fig.canvas.draw()
    events = fig.axes[0]
    assert [text.get_text() for text in events.get_yticklabels()] == ["AdamW", "Muon", "Grokfast-EMA"]
    drawn = {line.get_label(): line.get_xydata() for line in events.get_lines()[:3]}
    assert drawn["95 % test accuracy"].tolist() == [[4000, 0], [8000, 1], [6000, 2]]
    assert (
        len(np.unique([y for line in events.get_lines() for y in line.get_ydata() if len(line.get_ydata()) == 3])) == 9
    )
