"""Functions of cubes that figures, tables and claims share, on curves and networks with known results."""

import numpy as np
import pytest
import xarray as xr

from progress_measures import fourier
from progress_measures.analysis import clusters, crossings, embedding, grid, pair_maps, phases, readout, runs, select
from progress_measures.analysis.paper_tables import table_5_row, table_6_row
from progress_measures.analysis.select import runs_with
from progress_measures.cube.open import open_cube
from progress_measures.errors import UserError
from progress_measures.tasks.split import train_order


@pytest.fixture(scope="module")
def cube(results):
    """The cube of two small networks."""
    return open_cube(results / "results/small/cube.zarr").load()


def curve(values, spacing=100):
    """Return values at checkpoints that start at 0."""
    return xr.DataArray(np.asarray(values, dtype=float), {"epoch": spacing * np.arange(len(values))}, ("epoch",))


# ---- curves


def test_first_epoch_is_found_at_checkpoints_and_in_the_history():
    assert crossings.first_below(curve([5, 3, 1, 4]), 3) == 200
    assert crossings.first_reaching(curve([5, 3, 1, 4]).rename(epoch="history_epoch"), 4) == 0
    assert crossings.first_below(curve([5, 3]), 1) == np.inf


@pytest.mark.parametrize(
    ("early", "late", "lead"),
    [
        ([5, 0, 0, 0, 0], [5, 5, 5, 0, 0], 20),  # all values are known
        ([5, 0, 0, 0, 0], [5, 0, 0, 0, 0], 0),
        ([5, None, 0, None, 0], [5, 5, 5, 5, 0], 20),
        ([5, None, 0, None, 0], [5, 5, 0, 0, 0], np.nan),  # both cross between the same known checkpoints
        ([None, None, 0, None, 0], [5, 5, 5, 5, 0], np.nan),  # the early curve may have crossed before
        ([5, None, 5, None, 0], [5, 5, 0, 0, 0], -20),
    ],
)
def test_lead_is_known_if_the_known_values_decide_the_order(early, late, lead):
    curves = [
        xr.DataArray([np.array(curve, dtype=float)], {"epoch": np.arange(0, 50, 10)}, ("run", "epoch"))
        for curve in (late, early)
    ]
    *_, actual = crossings.lead_where_known(*curves, crossing=lambda curve: crossings.first_below(curve, 1))
    np.testing.assert_array_equal(actual, [lead])


def test_delay_is_from_train_to_test_loss():
    losses = {"train": [[5, 1e-3, 1e-3], [5, 1e-3, 1e-3], [5, 5, 5]], "test": [[5, 5, 1e-3], [5, 5, 5], [5, 5, 5]]}
    variables = {f"history_{split}_loss": (("run", "history_epoch"), values) for split, values in losses.items()}
    delays = crossings.loss_delays(xr.Dataset(variables, {"history_epoch": [0, 100, 300]}))
    np.testing.assert_equal(delays, [200, np.inf, np.nan])


def test_values_are_read_at_checkpoints_only():
    curves = xr.concat([curve([1, 2, 3]), curve([4, 5, 6]), curve([7, 8, 9])], "run").assign_coords(run=list("abc"))
    np.testing.assert_equal(crossings.at_epochs(curves, [100, np.nan, 150]), [2, np.nan, np.nan])
    assert float(crossings.nearest_checkpoint(curves[0], 160)) == 3
    assert float(crossings.nearest_checkpoint(curves[0], 50)) == 1
    assert np.isnan(crossings.nearest_checkpoint(curves[0], np.nan))


def test_rises_are_of_the_mean_over_a_thousand_epochs():
    falling = np.linspace(5, 1, 40)
    spike, hump = falling.copy(), falling.copy()
    spike[20] += 0.05
    hump[20:] += 2
    assert crossings.count_rises(curve(falling)) == 0
    assert crossings.count_rises(curve(spike)) == 0
    assert crossings.count_rises(curve(hump)) > 0
    assert np.isnan(crossings.count_rises(curve(falling[:10])))
    assert np.isnan(crossings.count_rises(curve([])))


def test_slingshots_are_counted_between_two_epochs():
    losses = [1, 1e-3, 1, 1, 1e-3, 1, 1e-3]
    run_cube = xr.Dataset({"history_train_loss_max": ("history_epoch", losses)}, {"history_epoch": range(7)})
    assert crossings.count_slingshots(run_cube, 0) == 2
    assert crossings.count_slingshots(run_cube, 0, 4) == 1
    assert np.isnan(crossings.count_slingshots(run_cube, np.inf))


# ---- phases


def with_ends(*ends, epochs=1000):
    """Return the cube of one run with the given ends of its phases."""
    measured = {name: float(end) for name, end in zip(phases.PHASE_ENDS, ends, strict=True)}
    return xr.Dataset(measured, {"epoch": [0, epochs]})


@pytest.mark.parametrize(
    ("epoch", "phase"),
    [(0, "memorization"), (99, "memorization"), (100, "circuit formation"), (500, "cleanup"), (900, "generalized")],
)
def test_phase_begins_at_the_end_of_the_one_before(epoch, phase):
    assert phases.phase_at(with_ends(100, 500, 900), epoch) == phase


def test_phase_is_unknown_if_its_end_is_not_found():
    assert phases.phase_at(with_ends(np.nan, np.nan, np.nan), 1000) == ""
    assert phases.phase_at(with_ends(np.nan, 500, 900), 400) == ""
    assert phases.phase_at(with_ends(100, 500, np.nan), 600) == ""
    assert phases.phase_at(with_ends(np.nan, 500, 900), 600) == "cleanup"


@pytest.mark.parametrize(
    ("test_loss", "excluded", "expected"),
    [
        ([5, 6, 7, 8], [5, 4, 3, 2], phases.BEFORE_CLEANUP),
        ([5, 6, 7, 8], [5, 1e-3, 1e-2, 1], phases.BEFORE_CLEANUP),  # the rule needs the fall of the test loss
        ([8, 8, 8, 8, 8, 1e-2, 1e-4, 1e-5], [5, 1e-3, 1, 1, 5, 5, 5, 5], "cleanup"),
        ([8, 8, 8, *[1e-7] * 20], [5, 1e-3, 1, *[5] * 20], "generalized"),
    ],
)
def test_phase_of_a_run_that_trains(test_loss, excluded, expected):
    curves = {"test_loss": curve(test_loss), "maximal_excluded_loss": curve(excluded)}
    assert phases.phase_so_far(xr.Dataset(curves)) == expected


def test_last_plotted_epoch_is_twice_the_end_of_cleanup():
    assert phases.last_plotted_epoch(with_ends(1, 2, 6900)) == 14_000
    assert phases.last_plotted_epoch(with_ends(1, 2, np.nan)) is None
    assert phases.last_plotted_epoch(with_ends(1, 2, 900)) is None


def test_checkpoints_of_phases_need_all_ends():
    assert phases.phase_checkpoints(with_ends(100, 500, 900)) == [100, 500, 900, 1000]
    assert phases.phase_checkpoints(with_ends(100, 500, np.nan)) == []


def test_slopes_are_from_end_to_end():
    cube = with_ends(100, 300, 400).expand_dims(run=["one"]).drop_vars("epoch")
    curves = curve([0, 1, 2, 5, 9]).expand_dims(run=["one"])
    assert phases.phase_slopes(cube, curves) == [pytest.approx([0.02]), pytest.approx([0.04])]


# ---- runs


def test_operands_of_modular_and_other_tasks():
    assert runs.operand_count(xr.Dataset(coords={"prime": ("run", [13, 13])})) == 13
    assert runs.operand_count(xr.Dataset(coords={"operands": 6})) == 6


def test_training_pairs_are_the_first_of_the_split(cube):
    run_cube = cube.isel(run=0)
    train, test = runs.split_pairs(run_cube)
    assert runs.split_sizes(cube) == (169, 101, 68, 0.6)
    assert (len(train), len(test)) == (101, 68)
    order = train_order(str(run_cube.split_method.values), int(run_cube.split_seed), 13)
    np.testing.assert_array_equal(np.r_[train, test], order)


def test_labels_are_those_of_the_pairs(cube):
    inputs, labels = runs.labeled_inputs(cube, np.array([0, 14, 168, -1]))
    assert inputs == [[0, 0, 13], [1, 1, 13], [12, 12, 13], [12, 12, 13]]
    assert labels == [0, 2, 11, 11]


def test_cube_with_selected_variables_keeps_its_coordinates(cube):
    part = select.keep_only(cube, ("test_loss", "not a variable"))
    assert list(part.data_vars) == ["test_loss"]
    assert set(part.coords) == set(cube.coords)
    assert part.attrs == cube.attrs


# ---- networks


def test_clusters_are_above_the_threshold():
    last = xr.Dataset({"neuron_fraction_explained": ("neuron", [0.9, 0.84, 0.86, 0.95]),
                       "neuron_frequency": ("neuron", [2, 2, 5, 2])})  # fmt: skip
    assert clusters.clustered(last).tolist() == [True, False, True, True]
    assert clusters.cluster_frequencies(last).tolist() == [2, 0, 5, 2]
    assert {k: mask.nonzero()[0].tolist() for k, mask in clusters.cluster_masks(last).items()} == {2: [0, 3], 5: [2]}


def test_spectrum_of_a_product_of_waves_is_one_component():
    F = fourier.basis(13)
    spectrum = pair_maps.spectrum_2d(np.outer(F[3], F[4])[..., None])
    assert spectrum[3, 4, 0] == pytest.approx(1)
    spectrum[3, 4, 0] = 0
    np.testing.assert_allclose(spectrum, 0, atol=1e-12)


def test_spectra_of_clusters_are_means_over_their_neurons(cube):
    made = cube.assign(
        key_frequency=cube.key_frequency.copy(data=np.tile(cube.frequency.values == 2, (2, 1))),
        neuron_fraction_explained=cube.neuron_fraction_explained * 0 + 1,
        neuron_frequency=cube.neuron_frequency * 0 + 2,
    )
    (spectrum,) = clusters.cluster_spectra(made).values()
    squares = np.square(pair_maps.neuron_maps(cube).values)
    assert spectrum.sum() == pytest.approx(squares.sum((0, 1)).mean())  # the basis is orthonormal
    stopped = made.assign_coords(stopped_at=("run", [made.epoch.values[-2], np.nan]))
    after_stop = (stopped.run == made.run[0]) & (stopped.epoch == made.epoch[-1])
    stopped["neuron_fraction_explained"] = made.neuron_fraction_explained.where(~after_stop)
    np.testing.assert_array_equal(clusters.cluster_spectra(stopped)[2], spectrum)


def test_logits_of_W_L_are_a_linear_function_of_the_neurons(cube):
    logits = pair_maps.W_L_logits(cube)
    assert logits.shape == (13, 13, 13)
    expected = pair_maps.neuron_maps(cube).values[3, 5] @ cube.W_L_fourier.values @ fourier.basis(13)
    np.testing.assert_allclose(logits[3, 5], expected, rtol=1e-6)
    assert 0 <= readout.gaussian_similarity(cube) < 0.2


def test_singular_vectors_have_a_sign(rng):
    matrix = rng.standard_normal((9, 4))
    vectors, values = embedding.singular_vectors(matrix)
    assert (vectors[np.abs(vectors).argmax(0), range(4)] > 0).all()
    np.testing.assert_allclose(values, np.linalg.svd(matrix, compute_uv=False))


def test_energy_of_a_frequency_is_of_its_two_waves():
    np.testing.assert_array_equal(embedding.frequency_energies(np.array([9.0, 1, 2, 3, 4])), [5, 25])


def test_significant_frequencies_exceed_the_median(cube):
    run_cube = cube.isel(run=0, epoch=-1)
    norms = np.ones(13)
    norms[[3, 9]] = 9, 8  # cos 2 and cos 5
    made = run_cube.assign(
        W_E_fourier_norm=run_cube.W_E_fourier_norm.copy(data=norms.astype("float32")),
        key_frequency=run_cube.key_frequency.copy(data=run_cube.frequency.values == 2),
    )
    assert embedding.significant_frequencies(made).tolist() == [2, 5]
    assert embedding.operand_embedding(run_cube).shape == embedding.gaussian_matrix(run_cube).shape == (13, 32)


def test_deviation_of_the_single_term_is_relative():
    rows = [readout.ReadoutRow(1, "cos", 2.0, -2.0, 2.0, 0.9), readout.ReadoutRow(1, "sin", 3.0, 1.0, 4.0, 0.9)]
    assert readout.single_term_deviation(rows) == 0.5
    assert np.isnan(readout.single_term_deviation([]))


# ---- tables


def test_row_of_table_5_is_nan_without_key_frequencies(cube):
    last = cube.isel(run=0, epoch=-1)
    row = table_5_row(last.assign(key_frequency=last.key_frequency & False))
    assert row["test loss"] == float(last.test_loss)
    assert row["keys"] == ""
    assert np.isnan(row["MLP FVE"])


def test_row_of_table_6_is_a_mean_over_runs(cube):
    losses = cube.intervention_loss.sel(split="all", intervention=["none", "MLP skip at its mean"]).values
    row = table_6_row(cube)
    assert [row["loss"], row["ablated loss"]] == pytest.approx(losses.mean(0).tolist())
    assert row["loss SD"] == pytest.approx(losses[:, 0].std(ddof=1))
    assert np.isnan(table_6_row(cube.isel(run=[0]))["loss SD"])


def test_sweep_becomes_a_grid_of_its_settings():
    runs = [(decay, fraction, seed) for decay in (0.3, 1.0) for fraction in (0.2, 0.4) for seed in (0, 1)][:-1]
    decays, fractions, seeds = zip(*runs, strict=True)
    sweep = xr.Dataset(
        {"loss": (("run", "epoch"), np.arange(14.0).reshape(7, 2))},
        {"run": [f"run{i}" for i in range(7)], "epoch": [0, 10], "weight_decay": ("run", list(decays))}
        | {"train_fraction": ("run", list(fractions)), "seed": ("run", list(seeds))}
        | {"split_seed": ("run", list(seeds)), "prime": ("run", [59] * 7)},
    )
    grids = grid(sweep, "train_fraction", "weight_decay")
    assert grids.loss.dims == ("train_fraction", "weight_decay", "seed", "epoch")
    for i, (decay, fraction, seed) in enumerate(runs):
        values = grids.loss.sel(weight_decay=decay, train_fraction=fraction, seed=seed)
        np.testing.assert_array_equal(values, [2 * i, 2 * i + 1])
    assert np.isnan(grids.loss.sel(weight_decay=1.0, train_fraction=0.4, seed=1)).all(), "the run that is missing"
    with pytest.raises(UserError, match=r"`prime` does not vary.*weight_decay, train_fraction, seed"):
        grid(sweep, "prime")


def test_epoch_at_which_runs_stop_is_no_setting_of_a_grid():
    coordinates = {"seed": ("run", [0, 0, 1, 1]), "weight_decay": ("run", [0.0, 1.0, 0.0, 1.0])}
    sweep = xr.Dataset({"loss": ("run", [1.0, 2.0, 3.0, 4.0])}, {"run": list("abcd")} | coordinates)
    for stops in ([np.nan] * 4, [100.0, 200.0, 300.0, np.nan]):
        grids = grid(sweep.assign_coords(stopped_at=("run", stops)), "seed")
        assert dict(grids.sizes) == {"seed": 2, "weight_decay": 2}
        np.testing.assert_array_equal(grids.stopped_at.values.ravel(), stops)


def test_no_run_has_a_setting_that_the_cube_lacks(cube):
    for settings in ({"optimizer": "lion"}, {"momentum": 0.9}, {"seed": 0, "optimizer": "lion"}):
        assert runs_with(cube, **settings).sizes["run"] == 0
    assert runs_with(cube, seed=1, task="modular_addition").run.values.tolist() == ["seed1"]
