"""Shrunk versions of long experiments: each trains, and its cube has what its figures, tables and claims read."""

import contextlib

import pytest
import xarray as xr
import yaml
from matplotlib.figure import Figure as Canvas

from progress_measures.analysis.select import select
from progress_measures.claims import load_claims
from progress_measures.claims.describe import summaries
from progress_measures.claims.judge import NOT_RUN, judge
from progress_measures.cube.extract import CheckpointReader, compute_measures, measures_for
from progress_measures.cube.gather import history_of, join, run_part
from progress_measures.data.dataset import train_masks, write_dataset
from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.figures import figure_ids, load_figure
from progress_measures.measures import families_of
from progress_measures.paths import dataset_store, runs_folder
from progress_measures.tables import load_table, table_ids
from progress_measures.training.launcher.shards import group_by_shape
from progress_measures.training.loop import train
from support.experiments import SEQUENCES

LONG = [
    *("data_fraction_low", "data_fraction_high", "mainline", "weight_decay", "low_precision", "dropout", "l1"),
    *("prime_53", "prime_109", "prime_401", "prime_401_fractions", "two_layer", "width"),
    *("five_digit_addition", "five_digit_addition_finite", "repeated_subsequence", "repeated_subsequence_finite"),
    *("skip_trigram", "skip_trigram_finite"),
    *("five_digit_addition_notebook", "five_digit_addition_paper", "five_digit_addition_finite_paper"),
    *("repeated_subsequence_paper", "skip_trigram_paper", "skip_trigram_finite_paper"),
    *("five_digit_addition_finite_saved", "skip_trigram_finite_64", "dropout_weight_decay_01"),
]


def shrunk(name):
    """Return an experiment's settings with its recipe and grid, but a small task, a small network and 20 epochs.

    It has two seeds, or all of them if a claim names runs.
    """
    experiment = load_experiment(name)
    settings = experiment.model_dump(mode="json", exclude_unset=True)
    recipe = settings["training"] | {"epochs": 20, "checkpoint_every": 10, "evaluate_every": 10, "warmup": 2}
    if "seed" in settings.get("grid", {}) and not any(name in c.cubes and c.runs for c in load_claims().values()):
        settings["grid"]["seed"] = settings["grid"]["seed"][:2]
    kind = settings["task"]["kind"]
    if kind in SEQUENCES:
        few = {"examples": 24} if "examples" in settings["split"] else {}
        batch = {"batch": 12} if "batch" in recipe else {}
        sizes = {"task": {"kind": kind} | SEQUENCES[kind]["task"], "split": {"test_examples": 30} | few}
        return settings | sizes | {"model": settings["model"] | SEQUENCES[kind]["model"], "training": recipe | batch}
    sizes = {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 32}
    if name == "width":
        settings["grid"] = {"model.d_model, model.d_head, model.d_mlp": [[16, 8, 32], [24, 8, 48]]}
    return settings | {
        "task": {"kind": kind, "prime": 13},
        "model": settings["model"] | sizes,
        "training": recipe,
    }


def measured(run, first):
    """Return a run's part of the cube, without writing intermediate stores, which other tests cover."""
    run_measures = [m for family in families_of(run) for m in measures_for(family, run, first)]
    mask = train_masks(dataset_store(run.experiment), [run.name])[0]
    return run_part(
        run, xr.merge([compute_measures(run, run_measures, CheckpointReader(run), mask), history_of(run)]), first
    )


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """The cube of each experiment in `LONG`, by name."""
    return gathered({name: shrunk(name) for name in LONG}, tmp_path_factory.mktemp("appendices"))


def gathered(files, folder):
    """Train and measure experiments, given as settings by name, and return their cubes by name."""
    (folder / "config/experiments").mkdir(parents=True)
    cubes = {}
    with contextlib.chdir(folder):
        for name, settings in files.items():
            (folder / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(settings))
            runs = load_experiment(name).runs(name)
            write_dataset(runs, dataset_store(name))
            for group in group_by_shape(runs):
                train(group, dataset_store(name), runs_folder(name))
            cubes[name] = join([measured(run, run is runs[0]) for run in runs], runs, runs)
    return cubes


def drawn_from_long(load, ids):
    """Return the figures or tables whose experiments are all in `LONG`, except those that read only the mainline."""
    experiments = {name: set(load(name).experiments) for name in ids}
    return [name for name, needed in experiments.items() if needed <= set(LONG) and needed != {"mainline"}]


@pytest.mark.parametrize("name", drawn_from_long(load_figure, figure_ids()))
def test_figures_draw(cubes, name):
    figure = load_figure(name)
    canvas = Canvas(figsize=figure.size)
    figure.draw(canvas, *(select(cubes[experiment], figure.variables, name) for experiment in figure.experiments))
    assert any(ax.has_data() for ax in canvas.axes)


@pytest.mark.parametrize("name", drawn_from_long(load_table, table_ids()))
def test_tables_are_written(cubes, name):
    table = load_table(name)
    assert len(table.rows(*(select(cubes[experiment], table.variables, name) for experiment in table.experiments)))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, claim in load_claims().items()
        if claim.quantity and claim.kind != "contradiction" and set(claim.cubes) <= set(LONG) - {"mainline"}
    ],
)
def test_claims_are_judged(cubes, name):
    """Small networks may not have learned what a rule needs; then the claim cannot be judged."""
    assert judge(load_claims()[name], cubes.get).verdict != NOT_RUN


SIZES = "model.d_model, model.d_head, model.heads, model.d_mlp, model.mlp_biases"


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """A cube of networks of two sizes; the first has one head, four neurons and no biases."""
    grid = {SIZES: [[16, 8, 1, 4, False], [24, 12, 2, 48, True]]}
    settings = shrunk("mainline") | {"grid": grid}
    return gathered({"sizes": settings}, tmp_path_factory.mktemp("sizes"))["sizes"]


def test_values_that_a_smaller_network_lacks_are_nan(sizes):
    small, large = (sizes.isel(run=run) for run in range(2))
    for dim, size in (("neuron", 4), ("head", 1), ("residual", 16)):
        variables = [name for name, values in sizes.items() if {"run", dim} <= set(values.dims)]
        assert variables
        for name in variables:
            assert small[name].isel({dim: slice(size, None)}).isnull().all(), name
    assert small.sum_of_squared_weights_by_parameter.sel(parameter="b_in").isnull().all()
    assert large.neuron_fraction_explained.isel(epoch=0).notnull().any()


def test_description_counts_the_neurons_of_each_network(sizes):
    all_keys = sizes.assign(key_frequency=sizes.key_frequency | True)
    descriptions = summaries(all_keys)
    for run, neurons in zip(sizes.run.values, (4, 48), strict=True):
        clustered = int(sizes.cluster_size.sel(run=run).sum())
        assert f"{neurons - clustered} neurons in no cluster" in descriptions[run]


OF_NEURON_5 = ("demo/05_neurons5", "demo/20_neurons5b", "demo/25_neuron5_2d")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", figure_ids())
def test_figures_ignore_the_padding_of_smaller_networks(sizes, name):
    figure = load_figure(name)
    if not set(figure.variables) <= set(sizes.data_vars):
        pytest.skip("reads measures of another task")
    part = select(sizes, figure.variables, name)
    assert part.sizes.get("neuron", 4) == 4
    assert part.sizes.get("residual", 16) == 16
    refused = pytest.raises(UserError, match="There is no neuron") if name in OF_NEURON_5 else contextlib.nullcontext()
    with refused:
        figure.draw(Canvas(figsize=figure.size), *[part] * len(figure.experiments))
