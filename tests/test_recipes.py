"""Recipes: each optimizer, filter, loss and schedule against plain torch, in batches, and after an interruption."""

import functools
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from pydantic import ValidationError

from progress_measures.cube.extract import CheckpointReader, measure_run
from progress_measures.cube.gather import gather
from progress_measures.cube.open import open_cube, open_run
from progress_measures.data.dataset import train_masks, write_dataset
from progress_measures.data.label_noise import training_labels
from progress_measures.edit import edit
from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.load import validation_message
from progress_measures.experiments.schema import Experiment
from progress_measures.importing.import_network import import_network
from progress_measures.importing.settings import Options
from progress_measures.logs import kinds_of, write_logs
from progress_measures.measures import families_of
from progress_measures.models import pairs
from progress_measures.models.initialize import initial_weights
from progress_measures.training import cost, loop
from progress_measures.training.launcher.shards import group_by_shape
from progress_measures.training.loss import criterion_of
from progress_measures.training.objectives import objective_module
from progress_measures.training.optimizers import optimizer_module
from progress_measures.training.optimizers.muon import newton_schulz
from progress_measures.training.start import starting_weights
from support.experiments import SEQUENCES, SMALL, folder_with, sequence_runs, trained_bytes
from support.interruption import signal_at
from support.plain_recipes import noisy_labels, plain_loss, plain_weights

UPDATES = 50
"""Updates after which recipes are compared with plain torch."""

RECIPES = {
    "adamw": {},
    "adam": {"training": {"optimizer": "adam", "weight_decay": 0.01}},
    "epsilon": {"training": {"adam_epsilon": 0.01, "betas": [0.8, 0.9]}},
    "sgd": {"training": {"optimizer": "sgd", "learning_rate": 0.3, "weight_decay": 0.001, "momentum": 0.8}},
    "sgd, default momentum": {"training": {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0}},
    "muon": {"training": {"optimizer": "muon", "learning_rate": 0.02, "adamw_learning_rate": 0.003}},
    "muon, momentum": {"training": {"optimizer": "muon", "momentum": 0.5, "weight_decay": 0.1}},
    "lion": {"training": {"optimizer": "lion", "learning_rate": 3e-4, "betas": [0.9, 0.99]}},
    "grokfast_ema": {"training": {"gradient_filter": "grokfast_ema", "grokfast_decay": 0.9, "grokfast_factor": 3}},
    "grokfast_ma": {"training": {"gradient_filter": "grokfast_ma", "grokfast_window": 7, "grokfast_factor": 5}},
    "orthograd": {"training": {"gradient_filter": "orthograd", "weight_decay": 0.0}},
    "clipping": {"training": {"optimizer": "sgd", "learning_rate": 1.0, "weight_decay": 0.0, "clip_norm": 0.3}},
    "linear": {"training": {"learning_rate_schedule": {"shape": "linear", "final": 0.1, "updates": 15}}},
    "cosine": {
        "training": {
            "learning_rate_schedule": {"shape": "cosine"},
            "weight_decay_schedule": {"shape": "cosine", "final": 3.0, "updates": 12},
        }
    },
    "piecewise": {
        "training": {
            "learning_rate_schedule": {"shape": "piecewise", "points": [[8, 0.5], [18, 2.0]]},
            "weight_decay_schedule": {"shape": "piecewise", "points": [[0, 0.0], [12, 5.0]]},
        }
    },
    "mse": {"training": {"loss": "mse", "learning_rate": 0.01}},
    "mse, smoothed": {"training": {"loss": "mse", "label_smoothing": 0.2}},
    "stablemax": {"training": {"loss": "stablemax"}},
    "stablemax, smoothed": {"training": {"loss": "stablemax", "label_smoothing": 0.2}},
    "label smoothing": {"training": {"label_smoothing": 0.2}},
    "label noise": {"split": {"label_noise": 0.3}},
    "initial scale": {"model": {"initial_scale": 2.5}},
    "fixed norm": {"training": {"fixed_norm": 12.0}},
    "initial norm": {"training": {"fixed_norm": "initial", "optimizer": "sgd", "learning_rate": 1.0}},
    "batches": {"training": {"batch": 24}},
}


def runs_of(recipe, seeds=1, **training):
    """Return runs of 60 epochs with a recipe that differ in their seeds."""
    changed = RECIPES[recipe]
    sections = {section: SMALL[section] | changed.get(section, {}) for section in ("split", "model")}
    recipe_settings = (
        {"epochs": 60, "checkpoint_every": 20, "evaluate_every": 20} | changed.get("training", {}) | training
    )
    settings = SMALL | sections | {"training": recipe_settings, "grid": {"seed": list(range(seeds))}}
    return Experiment.model_validate(settings).runs("small")


def trained(folder, runs):
    write_dataset(runs, folder / "dataset.zarr")
    loop.train(runs, folder / "dataset.zarr", folder / "runs")
    return folder


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """Return the cube of two primes with different recipes, and of each of its runs alone, by name."""
    sgd = {"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.1, "weight_decay": 0.0}
    recipe = {"epochs": 20, "checkpoint_every": 20, "evaluate_every": 20}
    named = {
        "plain": {"task.prime": 11},
        "other": {"task.prime": 13} | {f"training.{field}": value for field, value in sgd.items()},
    }

    def measured(name, **settings):
        runs = Experiment.model_validate(SMALL | {"training": recipe} | settings).runs(name)
        write_dataset(runs, Path("results") / name / "dataset.zarr")
        for group in group_by_shape(runs):
            loop.train(group, Path("results") / name / "dataset.zarr", Path("results") / name / "runs")
        for run in runs:
            measure_run(run, families_of(run), first=run is runs[0])
        gather(name, "Small", runs)
        return xr.open_zarr(f"results/{name}/cube.zarr", consolidated=False).load()

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("grid"))
        return {
            "grid": measured("grid", grid={"recipe": named}),
            "plain": measured("alone", task=SMALL["task"] | {"prime": 11}, grid={}),
            "other": measured("other", training=recipe | sgd, grid={}),
        }


@pytest.mark.parametrize("name", ["plain", "other"])
def test_cube_of_several_primes_has_the_values_of_each_prime(cubes, name):
    """Entries that a run lacks, such as pairs and frequencies beyond its prime, are NaN or false."""
    grid, alone = cubes["grid"], cubes[name]
    assert grid.token.values.tolist() == [str(i) for i in range(13)] + ["="]
    booleans = {variable: False for variable, values in alone.data_vars.items() if values.dtype == bool}
    labels = {dim: grid[dim] for dim in alone.dims if dim != "run" and dim in grid.coords}
    expected = alone.reindex(labels, fill_value=booleans).isel(run=0)
    assert set(expected.data_vars) == set(grid.data_vars)
    for variable, values in grid.sel(run=name).data_vars.items():
        if "run" in grid[variable].dims or name == "plain":  # others are of the first run
            np.testing.assert_array_equal(values.values, expected[variable].values, err_msg=variable)


def test_cube_has_the_settings_and_names_in_which_recipes_differ(cubes):
    grid, alone = cubes["grid"], cubes["plain"]
    assert grid.prime.values.tolist() == [11, 13]
    assert grid.recipe.values.tolist() == ["plain", "other"]
    assert grid.optimizer.values.tolist() == ["adamw", "sgd"]
    assert grid.momentum.values.tolist() == [0.0, 0.5]
    assert "loss" not in grid.coords, "a setting with its default in all runs"
    assert not {"optimizer", "momentum", "recipe", "label_noise"} & set(alone.coords)


def test_settings_of_published_cubes_stay_the_same():
    """A field added to the schema adds no coordinate to the cubes of experiments that leave it at its default."""
    runs = load_experiment("mainline").runs("mainline")
    stored = open_cube("mainline", published=True)
    along_run = {str(key) for key, values in stored.coords.items() if values.dims == ("run",)} - {"run", "stopped_at"}
    assert along_run == set(runs[0].settings) - runs[0].omitted_settings


def test_dataset_of_several_primes_is_padded(tmp_path):
    runs = Experiment.model_validate(SMALL | {"grid": {"task.prime": [11, 13]}}).runs("small")
    write_dataset(runs, tmp_path / "dataset.zarr")
    data = xr.open_zarr(tmp_path / "dataset.zarr", consolidated=False)
    assert data.label.dims == data.train.dims == ("run", "a", "b")
    assert (data.label.values[0, :11, :11] == runs[0].task.label_table()).all()
    assert (data.label.values[0, 11:] == -1).all()
    assert not data.train.values[0, 11:].any()
    for run in runs:
        assert (train_masks(tmp_path / "dataset.zarr", [run.name])[0] == train_mask(run)).all()


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Work in a folder with an experiment `small`, and return a function that writes and loads one that starts from it."""
    folder_with(tmp_path, epochs=40)
    monkeypatch.chdir(tmp_path)

    def starting(train=True, **content):
        if train and not Path("results/small").exists():
            trained(Path("results/small"), load_experiment("small").runs("small"))
        own = {
            "title": "starting",
            "extends": "small",
            "start_from": {"experiment": "small", "run": "seed1", "epoch": 20},
        }
        folder_with(tmp_path, "starting", own | {"grid": {}} | content)
        return load_experiment("starting").runs("starting")

    return starting


def test_run_starts_from_the_weights_of_another(sources):
    """The optimizer starts anew, with another recipe; the source's settings are part of the hash."""
    recipe = {"optimizer": "lion", "warmup": 0}
    (run,) = sources(training=recipe)
    trained(Path("results/starting"), [run])
    source = xr.open_zarr("results/small/runs/seed1/checkpoints.zarr", consolidated=False).sel(epoch=20)
    weights = xr.open_zarr("results/starting/runs/seed0/checkpoints.zarr", consolidated=False)
    assert run.start_from.weights == load_experiment("small").runs("small")[1].hash
    for name in initial_weights(run):
        assert (weights[name].values[0] == source[name].values).all()
        assert (weights[name].values[1] != source[name].values).any()
    (other,) = sources(training=recipe | {"learning_rate": 0.1})
    folder_with(Path(), epochs=40, learning_rate=0.002)  # the experiment from which the runs start
    (changed,) = load_experiment("starting").runs("starting")
    assert len({run.hash, other.hash, changed.hash}) == 3
    message = (
        "small/seed1 was trained with settings that differ from its YAML file; train it again: progress-measures train"
    )
    with pytest.raises(UserError, match=message):
        starting_weights(changed)


def test_runs_start_from_several_others(sources):
    runs = sources(False, grid={"start_from.run": ["seed0", "seed1"], "start_from.epoch": [0, 40]})
    assert [run.name for run in runs] == ["epoch0_runseed0", "epoch0_runseed1", "epoch40_runseed0", "epoch40_runseed1"]
    assert len({run.start_from.weights for run in runs}) == 2
    assert runs[0].settings["start_from"] == "small/seed0 at 0"
    with pytest.raises(
        UserError, match="small/seed0 is not trained; train it first: progress-measures train small --run"
    ):
        starting_weights(runs[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"start_from": {"experiment": "small", "run": "seed7"}},
            "small has no run 'seed7'; its runs are: seed0, seed1",
        ),
        ({"start_from": {"experiment": "starting", "run": "seed0"}}, "starting starts from starting; remove one"),
        ({"start_from": {"experiment": "absent", "run": "seed0"}}, "There is no experiment 'absent'"),
        (
            {"model": {"initial_scale": 2.0}},
            "`model.initial_scale` scales random initial weights, but `start_from` gives",
        ),
        ({"start_from": None, "grid": {"start_from.run": ["seed0"]}}, "the file needs the section `start_from` too"),
    ],
)
def test_weights_from_which_a_run_cannot_start_are_refused(sources, content, message):
    with pytest.raises(UserError, match=message):
        sources(False, **content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"start_from": {"experiment": "small", "run": "seed0", "epoch": 7}},
            "no weights of epoch 7; the nearest is 0",
        ),
        ({"model": {"d_mlp": 32}}, r"W_in is \(1, 32, 32\) in seed0 and \(1, 32, 64\) in small/seed1"),
        ({"model": {"mlp_biases": False}}, r"b_in is absent in seed0 and \(1, 64\) in small/seed1"),
    ],
)
def test_weights_that_do_not_fit_are_refused(sources, content, message):
    (run,) = sources(**content)
    with pytest.raises(UserError, match=message):
        starting_weights(run)


EDITS = """
def without_last_neurons(weights):
    weights["W_out"][:, 32:] = 0
    return weights

def renamed(weights):
    return {"W": weights["W_E"]}

def cut(weights):
    return weights | {"W_U": weights["W_U"][:, 1:]}

def infinite(weights):
    return weights | {"W_U": weights["W_U"] * float("inf")}

def texts(weights):
    return weights | {"W_U": "none"}

def broken(weights):
    raise KeyError("W_X")
"""


def test_run_starts_from_edited_weights(sources):
    """`edit` writes a file, `import` makes it a network of the project, and another run starts from it."""
    sources()
    Path("edits.py").write_text(EDITS)
    edit(open_run("small", "seed0"), 40, "edits.py:without_last_neurons", Path("edited.safetensors"))
    options = Options(split="shuffle:0:0.6", operation="a+b", accept_doubtful=True)
    import_network(Path("edited.safetensors"), Path("results/edited"), options)
    (run,) = sources(start_from={"experiment": "edited", "run": "imported"})
    weights = starting_weights(run)
    original = open_run("small", "seed0").weights(40)
    assert not weights["W_out"][:, 32:].any()
    assert (weights["W_out"].numpy()[:, :32] == original["W_out"][:, :32]).all()
    assert all((weights[name].numpy() == tensor).all() for name, tensor in original.items() if name != "W_out")
    for function, message in (
        ("renamed", "expected a dictionary of W_E, .*; the function returned W"),
        ("cut", r"shape \(32, 13\) for W_U, found shape \(32, 12\)"),
        ("infinite", "for W_U, .* with NaN or infinity"),
        ("texts", "expected arrays of numbers"),
        ("broken", "the function raised KeyError: 'W_X'"),
        ("absent", r"--function edits\.py: the file defines no function 'absent'"),
    ):
        with pytest.raises(UserError, match=message):
            edit(open_run("small", "seed0"), 40, f"edits.py:{function}", Path("wrong.safetensors"))


class Parts:
    """The training loop's own objective and optimizer of some runs, without stores."""

    def __init__(self, runs):
        device = torch.device("cpu")
        masks = torch.zeros(len(runs), 1)  # sequences have none
        if not runs[0].on_sequences:
            masks = torch.stack([torch.from_numpy(train_mask(run)) for run in runs])
        self.objective = import_module(objective_module(runs[0])).Objective(runs, masks, device)
        self.optimizer = import_module(optimizer_module(runs[0])).Optimizer(
            runs, list(map(initial_weights, runs)), device
        )

    def train(self, first, last):
        for update in range(first, last):
            self.optimizer.set_rates(update)
            self.objective.prepare(update)
            self.optimizer.step(self.objective.loss(self.optimizer.weights))
        return self

    def bytes(self, run=0):
        """Return the weights and the optimizer's buffers of a run, for bitwise comparison."""
        return {name: tensor[run].numpy().tobytes() for name, tensor in self.optimizer.state().items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_equals_plain_torch(recipe, monkeypatch):
    (run,) = runs_of(recipe, arithmetic="float64", precision="float64")
    weights = Parts([run]).train(0, UPDATES).optimizer.weights
    expected = plain_weights(run, UPDATES, monkeypatch)
    for name, tensor in expected.items():
        found = weights[name][0].detach()
        torch.testing.assert_close(found, tensor, rtol=1e-6, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}")


@functools.cache
def batch_of_two(recipe):
    """Return two runs with a recipe, and their state after 15 updates in one batch."""
    runs = runs_of(recipe, seeds=2)
    return runs, Parts(runs).train(0, 15)


@pytest.mark.parametrize("recipe", RECIPES)
def test_batch_of_a_recipe_trains_each_run_as_if_alone(recipe):
    runs, together = batch_of_two(recipe)
    for i, run in enumerate(runs):
        assert together.bytes(i) == Parts([run]).train(0, 15).bytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_resumes_to_the_same_bits(recipe):
    runs, undisturbed = batch_of_two(recipe)
    interrupted, resumed = Parts(runs).train(0, 9), Parts(runs)
    resumed.optimizer.restore(interrupted.optimizer.state(), 9)
    assert resumed.train(9, 15).bytes(1) == undisturbed.bytes(1)


@pytest.mark.parametrize("recipe", ["muon", "grokfast_ma", "batches"])
def test_loop_resumes_a_recipe_to_the_same_bits(tmp_path, monkeypatch, recipe):
    """The loop saves whatever an optimizer and a gradient filter remember."""
    runs = runs_of(recipe, arithmetic="float64")
    trained(tmp_path / "undisturbed", runs)
    with signal_at(monkeypatch, 33), pytest.raises(loop.Interrupted):
        trained(tmp_path / "resumed", runs)
    trained(tmp_path / "resumed", runs)
    assert trained_bytes(tmp_path / "resumed") == trained_bytes(tmp_path / "undisturbed")


def test_runs_of_a_batch_have_their_own_decay_norm_noise_and_scale():
    grid = {
        "training.fixed_norm, training.weight_decay": [[10.0, 0.1], ["initial", 2.0]],
        "model.initial_scale, split.label_noise": [[1.0, 0.0], [2.0, 0.4]],
    }
    runs = Experiment.model_validate(SMALL | {"grid": grid}).runs("small")
    assert len(group_by_shape(runs)) == 1
    together = Parts(runs).train(0, 12)
    for i, run in enumerate(runs):
        assert together.bytes(i) == Parts([run]).train(0, 12).bytes()
    norms = [tensor.norm().item() for tensor in together.optimizer.parameters]
    assert norms[0] == pytest.approx(10)
    assert norms[3] == pytest.approx(2 * norms[2], rel=1e-5)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"training": {"momentum": 0.5}},
            "`momentum` is for `optimizer: sgd` or `optimizer: muon`, not for `optimizer: adamw`",
        ),
        ({"training": {"optimizer": "sgd", "betas": [0.9, 0.9]}}, "`betas` is for `optimizer: adamw`"),
        ({"training": {"adamw_learning_rate": 0.1}}, "`adamw_learning_rate` is for `optimizer: muon`"),
        ({"training": {"grokfast_factor": 3}}, "`grokfast_factor` is for `gradient_filter: grokfast_ema` or"),
        ({"training": {"gradient_filter": "orthograd", "grokfast_window": 9}}, "`grokfast_window` is for"),
        (
            {"training": {"arithmetic": "bfloat16", "dropout": 0.1}},
            "`dropout` is not computed in `arithmetic: bfloat16`",
        ),
        ({"training": {"learning_rate_schedule": {"final": 0.1}}}, "`final` is for `shape: linear` or `cosine`"),
        ({"training": {"learning_rate_schedule": {"shape": "piecewise"}}}, "needs `points` in ascending order"),
        ({"training": {"optimizer": "adamW"}}, "training.optimizer"),
        ({"training": {"batch": 102}}, "`training.batch` (102) exceeds the number of training pairs, 101"),
        ({"split": {"label_noise": 1.0}}, "split.label_noise"),
        ({"training": {"fixed_norm": -1}}, "training.fixed_norm"),
    ],
)
def test_clashing_fields_are_refused_with_the_reason(sections, message):
    content = SMALL | {name: SMALL[name] | section for name, section in sections.items()}
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate(content).runs("small")
    assert message in validation_message(caught.value, Path("small.yaml"))


def test_label_noise_is_a_share_of_wrong_labels_and_part_of_the_data(tmp_path):
    (clean,), (noisy,) = runs_of("adamw"), runs_of("label noise")
    mask, answers = train_mask(noisy), clean.task.label_table()
    changed = training_labels(noisy, mask) != answers
    assert changed.sum() == round(0.3 * mask.sum())
    assert not (changed & ~mask).any()
    assert (training_labels(clean, train_mask(clean)) == answers).all()
    write_dataset([noisy], tmp_path / "noisy.zarr")
    stored = xr.open_zarr(tmp_path / "noisy.zarr", consolidated=False)
    assert (stored.training_label.values[0] == noisy_labels(noisy)).all()
    assert (stored.label.values == answers).all()
    with_more = noisy.model_copy(update={"split": noisy.split.model_copy(update={"label_noise": 0.5})})
    assert ((training_labels(with_more, mask) == training_labels(noisy, mask)) | ~changed).all()


def test_sequences_have_no_label_noise():
    settings = {"title": "t", "task": {"kind": "skip_trigram"}, "training": {"epochs": 100, "batch": 4}}
    experiment = Experiment.model_validate(settings | {"split": {"label_noise": 0.1}})
    with pytest.raises(ValidationError, match=r"`split\.label_noise` is for tasks on pairs"):
        experiment.runs("small")


def test_orthogonalized_matrices_have_singular_values_near_one():
    matrices = torch.randn(3, 20, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(newton_schulz(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3
    torch.testing.assert_close(newton_schulz(matrices.mT.contiguous()), newton_schulz(matrices).mT)


@pytest.mark.parametrize("precision", ["float32_log1p", "float64"])
@pytest.mark.parametrize("settings", [{"label_smoothing": 0.1}, {"loss": "mse"}, {"loss": "stablemax"}], ids=repr)
def test_gradients_of_losses_equal_autograd(settings, precision):
    (run,) = runs_of("adamw", precision=precision, **settings)
    generator = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(1, 6, 13, generator=generator), torch.randint(0, 13, (1, 6), generator=generator)
    loss, gradient = criterion_of(run.training)(logits, labels)
    leaf = logits.double().requires_grad_()
    expected = plain_loss(run.training, leaf[0], labels[0])
    (expected_gradient,) = torch.autograd.grad(expected, leaf)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(loss.double()[0], expected.detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-5, atol=1e-8)


def test_history_has_the_minimized_loss_and_cross_entropies(tmp_path):
    """Recipes can be compared by their train and test losses, whatever they minimize."""
    (run,) = runs_of("mse")
    trained(tmp_path, [run])
    history = xr.open_zarr(tmp_path / "runs/seed0/history.zarr", consolidated=False)
    parts = Parts([run])
    first = plain_loss(run.training.model_copy(update={"loss": "cross_entropy"}), *logits_and_labels(parts))
    assert history.train_loss.values[0] == pytest.approx(first.item(), rel=1e-5)
    assert history.loss.values[0] == pytest.approx(plain_loss(run.training, *logits_and_labels(parts)).item(), rel=1e-5)


def logits_and_labels(parts):
    batch, labels = parts.objective._train
    return pairs.logits(pairs.tables(parts.optimizer.weights), batch)[0], labels[0]


def runs_in(arithmetic, kind):
    """Return a run of each forward pass that is not the fast path, in an arithmetic."""
    models = {
        "two layers": {"layers": 2},
        "layer norm": {"normalization": "layer_norm"},
        "MLP": {"mlp_input": "summed"},
    }
    if kind in models:
        task = SMALL["task"] | ({"tokens": "a b"} if kind == "MLP" else {})
        sizes = {"d_model": 32, "d_mlp": 64} if kind == "MLP" else SMALL["model"]
        recipe = SMALL["training"] | {"arithmetic": arithmetic}
        content = SMALL | {"task": task, "model": sizes | models[kind], "training": recipe, "grid": {}}
        return Experiment.model_validate(content).runs("small")
    return sequence_runs(kind, arithmetic=arithmetic)


KINDS = ["two layers", "layer norm", "MLP", *SEQUENCES]


@pytest.mark.parametrize("kind", KINDS)
def test_float64_and_bfloat16_are_the_arithmetic_of_any_network(kind):
    """The weights of float64 are those of float32 but for rounding; bfloat16 rounds products to three digits."""
    trained_parts = {name: Parts(runs_in(name, kind)).train(0, 6) for name in ("float64", "float32", "bfloat16")}
    weights = {name: parts.optimizer.parameters.detach() for name, parts in trained_parts.items()}
    losses = {}
    for name, parts in trained_parts.items():
        parts.objective.prepare(6)
        losses[name] = parts.objective.loss(parts.optimizer.weights).detach()
    assert [weights[name].dtype for name in weights] == [torch.float64, torch.float32, torch.float32]
    assert losses["float64"].dtype == torch.float64
    torch.testing.assert_close(losses["float64"], losses["float32"].double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(losses["bfloat16"], losses["float32"], rtol=0.03, atol=0)
    assert (losses["bfloat16"] != losses["float32"]).all()
    assert (weights["float64"] != weights["float32"].double()).any()


def test_checkpoints_of_float64_are_stored_and_measured_in_it(tmp_path, monkeypatch):
    (run,) = runs_of("adamw", arithmetic="float64")
    monkeypatch.chdir(tmp_path)
    trained(Path("results/small"), [run])
    last = CheckpointReader(run)[3]
    assert {tensor.dtype for tensor in last.values()} == {np.dtype("float64")}
    parts = Parts([run]).train(0, 60)
    assert all((last[name] == tensor[0].detach().numpy()).all() for name, tensor in parts.optimizer.weights.items())


@pytest.mark.parametrize("recipe", RECIPES)
def test_cost_counts_what_a_state_remembers(recipe):
    """Memory and disk follow from the number of arrays that the optimizer and the filter save."""
    (run,), (plain,) = runs_of(recipe), runs_of("adamw")
    sizes = {name: tensor[0].numel() for name, tensor in Parts([run]).optimizer.state().items()}
    numbers = sum(sizes.values()) // sizes["parameters"]
    difference = cost.disk(run) - cost.disk(plain)
    assert difference == 3 * 4 * (numbers - 3) * cost.parameter_count(run)
    assert cost.disk(runs_of(recipe, arithmetic="float64")[0]) > 1.9 * (cost.disk(run) - 3 * 8 * 60)
    assert cost.examples_per_update(run) == (24 if recipe == "batches" else 101)


@pytest.fixture
def history(tmp_path, monkeypatch):
    """Train a run in a folder of its own, and return the run and its history."""
    (run,) = runs_of("mse")
    monkeypatch.chdir(tmp_path)
    trained(Path("results/small"), [run])
    return run, xr.open_zarr("results/small/runs/seed0/history.zarr", consolidated=False).load()


def test_csv_has_the_history(history):
    run, stored = history
    (path,) = write_logs(run, kinds_of("csv"))
    table = pd.read_csv(path, index_col="epoch")
    np.testing.assert_array_equal(table.loss, stored.loss)
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        np.testing.assert_array_equal(table[name].dropna(), stored[name])
        assert table[name].dropna().index.tolist() == stored.evaluated_epoch.values.tolist()


def test_tensorboard_files_have_the_history(history):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run, stored = history
    for _ in range(2):  # the second time replaces the first
        (path,) = write_logs(run, kinds_of("tensorboard"))
    events = accumulators.EventAccumulator(str(path), size_guidance={accumulators.SCALARS: 0})
    events.Reload()
    found = events.Scalars("test_loss")
    assert [event.step for event in found] == stored.evaluated_epoch.values.tolist()
    np.testing.assert_allclose([event.value for event in found], stored.test_loss, rtol=1e-6)
    assert len(events.Scalars("loss")) == 61


def test_unknown_or_missing_kinds_of_logs_are_refused(monkeypatch):
    with pytest.raises(UserError, match="unknown kind 'wandb'; expected csv or tensorboard"):
        kinds_of("csv,wandb")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="the package tensorboard is not installed; install it with: pip install"):
        kinds_of("tensorboard")
    assert kinds_of("") == ()
    assert write_logs(runs_of("adamw")[0].model_copy(update={"experiment": "absent"}), ("csv",)) == []
