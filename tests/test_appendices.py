"""The experiments that take long, shrunk: each trains, and what its figures, tables and claims read is in its cube."""

import contextlib

import pytest
import xarray as xr
import yaml
from matplotlib.figure import Figure as Canvas
from sequences import RUNS

from progress_measures.claims import load_claims
from progress_measures.claims.judge import DIFFERS, HOLDS, judge
from progress_measures.cube.extract import Checkpoints, measure, taken
from progress_measures.cube.gather import history_of, join, one_run
from progress_measures.cube.select import select
from progress_measures.experiments import load_experiment
from progress_measures.figures import figure_ids, load_figure
from progress_measures.measures import families_of
from progress_measures.paths import dataset_store, runs_folder
from progress_measures.tables import load_table, table_ids
from progress_measures.tasks.dataset import train_masks, write_dataset
from progress_measures.training.loop import train

LONG = [
    *("data_fraction_low", "data_fraction_high", "mainline", "weight_decay", "low_precision", "dropout", "l1"),
    *("prime_53", "prime_109", "prime_401", "prime_401_fractions", "two_layer", "width"),
    *("five_digit_addition", "five_digit_addition_finite", "repeated_subsequence", "repeated_subsequence_finite"),
    *("skip_trigram", "skip_trigram_finite"),
]


def shrunk(experiment):
    """The file of an experiment with its grid and recipe, on few tokens, by a small network, for 40 epochs."""
    file = experiment.model_dump(mode="json", exclude_unset=True)
    recipe = file["training"] | {"epochs": 40, "checkpoint_every": 10, "evaluate_every": 10, "warmup": 2}
    kind = file["task"]["kind"]
    if kind in RUNS:
        few = {"examples": 24} if "examples" in file["split"] else {}
        batch = {"batch": 12} if "batch" in recipe else {}
        sizes = {"task": {"kind": kind} | RUNS[kind]["task"], "split": {"test_examples": 30} | few}
        return file | sizes | {"model": file["model"] | RUNS[kind]["model"], "training": recipe | batch}
    sizes = {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 32}
    if experiment.title == load_experiment("width").title:
        file["grid"] = {"model.d_model, model.d_head, model.d_mlp": [[16, 8, 32], [24, 8, 48]]}
    return file | {
        "task": {"kind": kind, "prime": 13},
        "model": file["model"] | sizes,
        "training": recipe,
    }


def measured(run, first):
    """A run's part of the cube, without the stores between: those are tested elsewhere."""
    chosen = [m for family in families_of(run) for m in taken(family, run, first)]
    mask = train_masks(dataset_store(run.experiment), [run.name])[0]
    return one_run(run, xr.merge([measure(run, chosen, Checkpoints(run), mask), history_of(run)]), first)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """A cube of each, by name."""
    files = {name: shrunk(load_experiment(name)) for name in LONG}
    folder = tmp_path_factory.mktemp("appendices")
    (folder / "config/experiments").mkdir(parents=True)
    found = {}
    with contextlib.chdir(folder):
        for name, file in files.items():
            (folder / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(file))
            runs = load_experiment(name).runs(name)
            write_dataset(runs, dataset_store(name))
            for run in runs:
                train([run], dataset_store(name), runs_folder(name))
            found[name] = join([measured(run, run is runs[0]) for run in runs], runs, runs[0])
    return found


def of_these(load, ids):
    """Those that are made of these experiments alone, and not of the mainline alone."""
    experiments = {name: set(load(name).experiments) for name in ids}
    return [name for name, needed in experiments.items() if needed <= set(LONG) and needed != {"mainline"}]


@pytest.mark.parametrize("name", of_these(load_figure, figure_ids()))
def test_its_figures_draw(cubes, name):
    figure = load_figure(name)
    canvas = Canvas(figsize=figure.size)
    figure.draw(canvas, *(select(cubes[one], figure.variables, name) for one in figure.experiments))
    assert any(ax.has_data() for ax in canvas.axes)


@pytest.mark.parametrize("name", of_these(load_table, table_ids()))
def test_its_tables_are_made(cubes, name):
    table = load_table(name)
    assert len(table.rows(*(select(cubes[one], table.variables, name) for one in table.experiments)))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, claim in load_claims().items()
        if claim.quantity and claim.kind != "contradiction" and set(claim.cubes) <= set(LONG) - {"mainline"}
    ],
)
def test_its_claims_are_judged(cubes, name):
    assert judge(load_claims()[name], cubes.get).verdict in (HOLDS, DIFFERS)
