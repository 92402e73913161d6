"""Experiment files: the runs that they expand to, and the messages for mistakes in them."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.experiments import experiment_names, load_experiment
from progress_measures.experiments.field_examples import EXAMPLES
from progress_measures.experiments.fields_page import generated_files
from progress_measures.experiments.schema import Experiment, StopRule
from support.experiments import folder_with

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "config/experiments"

MINIMAL = {"title": "t", "task": {"kind": "modular_addition", "prime": 13}, "training": {"epochs": 200}}


def write_experiment(folder, content, name="mine"):
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


def minimal_with(path, value):
    """Return the minimal experiment with one field, given by dotted path, set to a value."""
    content = json.loads(json.dumps(MINIMAL))
    *parents, last = path.split(".")
    section = content
    for key in parents:
        section = section.setdefault(key, {})
    section[last] = value
    return content


@pytest.mark.parametrize("name", experiment_names(FOLDER))
def test_every_experiment_of_the_project_loads(name):
    experiment = load_experiment(name, FOLDER)
    assert len({run.name for run in experiment.runs(name)}) == len(experiment.runs(name))


def test_mainline_has_the_settings_of_the_paper():
    runs = load_experiment("mainline", FOLDER).runs("mainline")
    assert [run.name for run in runs] == ["seed0", "seed1", "seed2", "seed3", "seed4"]
    settings = runs[0].settings
    expected = {
        "prime": 113,
        "train_fraction": 0.3,
        "d_model": 128,
        "heads": 4,
        "d_head": 32,
        "d_mlp": 512,
        "layers": 1,
        "weight_decay": 1.0,
        "learning_rate": 1e-3,
        "beta2": 0.98,
        "epochs": 40_000,
        "checkpoint_every": 100,
    }
    assert expected.items() <= settings.items()


def test_subtraction_has_the_notebooks_seeds():
    (run,) = load_experiment("subtraction", FOLDER).runs("subtraction")
    assert (run.seed, run.split_seed, run.training.epochs) == (999, 598, 25_000)
    assert run.model.initialization == "transformer_lens"
    assert not run.model.mlp_biases


def test_grid_expands_with_readable_names():
    content = MINIMAL | {"grid": {"training.weight_decay": [0.3, 1.0], "seed": [0, 1]}}
    runs = Experiment.model_validate(content).runs("mine")
    assert [run.name for run in runs] == [
        "weight_decay0.3_seed0",
        "weight_decay0.3_seed1",
        "weight_decay1.0_seed0",
        "weight_decay1.0_seed1",
    ]
    assert runs[1].training.weight_decay == 0.3
    assert (runs[1].seed, runs[1].split_seed) == (1, 1)


def test_linked_fields_vary_together():
    content = MINIMAL | {"grid": {"model.d_model, model.d_mlp": [[32, 128], [64, 256]], "seed": [0, 1]}}
    runs = Experiment.model_validate(content).runs("mine")
    assert [run.name for run in runs] == ["d_model32_seed0", "d_model32_seed1", "d_model64_seed0", "d_model64_seed1"]
    assert [(run.model.d_model, run.model.d_mlp) for run in runs[::2]] == [(32, 128), (64, 256)]


def test_named_settings_and_nested_fields_vary():
    grid = {
        "recipe": {"slow": {"training.learning_rate": 1e-4}, "fast": {}},
        "training.learning_rate_schedule.shape": ["constant", "cosine"],
        "task.prime": [13, 17],
    }
    runs = Experiment.model_validate(MINIMAL | {"grid": grid}).runs("mine")
    assert [run.name for run in runs[:3]] == [
        "slow_learning_rate_schedule_shapeconstant_prime13",
        "slow_learning_rate_schedule_shapeconstant_prime17",
        "slow_learning_rate_schedule_shapecosine_prime13",
    ]
    last = runs[-1]
    assert (last.training.learning_rate, last.training.learning_rate_schedule.shape) == (1e-3, "cosine")
    assert [run.task.prime for run in runs[:2]] == [13, 17]


def test_runs_are_created_once_and_share_no_changed_settings():
    changes = {"training.weight_decay": [0.5, 2.0], "training.betas": [[0.9, 0.98], [0.8, 0.9]], "seed": [0, 1]}
    experiment = Experiment.model_validate(load_experiment("mainline").model_dump() | {"grid": changes})
    runs = experiment.runs("sweep")
    assert [(run.training.weight_decay, run.training.betas[0], run.seed) for run in runs] == [
        (decay, beta, seed) for decay in (0.5, 2.0) for beta in (0.9, 0.8) for seed in (0, 1)
    ]
    assert all(again is run for again, run in zip(experiment.runs("sweep"), runs, strict=True))
    runs.clear()
    assert len(experiment.runs("sweep")) == 8
    assert [run.experiment for run in experiment.runs("another")] == ["another"] * 8


def test_hash_depends_only_on_settings_of_training():
    (run,) = Experiment.model_validate(MINIMAL).runs("mine")
    (retitled,) = Experiment.model_validate(MINIMAL | {"title": "other"}).runs("other")
    (explicit,) = Experiment.model_validate(minimal_with("training.learning_rate", 1e-3)).runs("mine")
    (slower,) = Experiment.model_validate(minimal_with("training.learning_rate", 1e-4)).runs("mine")
    assert run.hash == retitled.hash == explicit.hash != slower.hash


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("training.epoch", 5, "training.epoch: unknown key; did you mean 'epochs'?"),
        ("color", "red", "color: unknown key; known keys: description, extends, grid, imported, learning_coefficient,"),
        ("model.dropout", 0.1, "model.dropout: unknown key; 'dropout' belongs in `training`"),
        ("train_fraction", 0.3, "train_fraction: unknown key; 'train_fraction' belongs in `split`"),
        ("training.seed", 1, "training.seed: unknown key; 'seed' belongs at the top of the file or in `split`"),
        ("prime", 7, "prime: unknown key; 'prime' belongs in `task`"),
        ("task.prime", 12, "task.prime: must be a prime number"),
        ("task.kind", "modular_division", "task: "),
        ("split.train_fraction", 0, "split.train_fraction: Input should be greater than 0"),
        ("split.train_fraction", 1.0, "split.train_fraction: Input should be less than 1"),
        ("training.checkpoint_every", 33, "training: `checkpoint_every` (33) must divide `epochs` (200)"),
        ("training.epochs", "many", "training.epochs: Input should be a valid integer"),
        (
            "grid",
            {"training.epochs": [200, 400]},
            "`training.epochs` cannot vary within an experiment: it decides the epochs",
        ),
        (
            "grid",
            {"task.kind": ["a", "b"]},
            "`task.kind` cannot vary within an experiment: tasks have different measures",
        ),
        (
            "grid",
            {"task.length": [7, 8]},
            "`task.length` cannot vary within an experiment: sequences of different kinds",
        ),
        (
            "grid",
            {"task.size": [7, 8]},
            "`task.size` cannot vary within an experiment; choose from: model.activation, ",
        ),
        ("grid", {"recipe": {"a": {"model.depth": 2}}}, "`model.depth` cannot vary within an experiment; choose from"),
        ("grid", {"optimizer": {"a": {}}}, "the key `optimizer`, which is also the name of a setting"),
        ("grid", {"seed": {"a": {"seed": 2}}}, "`seed` has a mapping, so it must not be the name of a field"),
        (
            "grid",
            {"model.d_model, model.d_mlp": [[32, 128], [64]]},
            "grid: `model.d_model, model.d_mlp` needs lists of 2",
        ),
        ("grid", {"seed": []}, "grid: `seed` needs at least one value, and no value twice"),
        (
            "grid",
            {"training.weight_decay": [-1.0]},
            "training.weight_decay: Input should be greater than or equal to 0",
        ),
        ("title", "", "title: "),
    ],
)
def test_messages_name_file_field_and_expectation(tmp_path, path, value, expected):
    with pytest.raises(UserError) as refused:
        load_experiment("mine", write_experiment(tmp_path, minimal_with(path, value)))
    assert str(refused.value).startswith(str(tmp_path / "mine.yaml"))
    assert expected in str(refused.value)


def test_experiment_extends_another_section_by_section(tmp_path):
    write_experiment(tmp_path, MINIMAL | {"grid": {"seed": [0, 1]}, "model": {"d_mlp": 64}, "description": "of mine"})
    own = {"title": "other", "extends": "mine", "training": {"learning_rate": 0.01}, "grid": {"seed": [5]}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(own))
    mine, other = load_experiment("mine", tmp_path), load_experiment("other", tmp_path)
    assert (other.title, other.description, other.grid) == ("other", "", {"seed": [5]})
    assert other.task.prime == mine.task.prime
    assert other.model == mine.model
    assert other.training == mine.training.model_copy(update={"learning_rate": 0.01})
    content = minimal_with("training.learning_rate", 0.01) | {"model": {"d_mlp": 64}, "seed": 5}
    (complete,) = Experiment.model_validate(content).runs("complete")
    assert other.runs("other")[0].hash == complete.hash, "extending is only a shorter way to write the settings"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"extends": "mine"}, "extends: mine extends mine; remove one `extends`"),
        ({"extends": 3}, "extends: expected the name of an experiment, found 3"),
        ({"extends": "absent"}, "There is no experiment 'absent'"),
        ({"extends": "other"}, "extends: mine extends other extends mine"),
    ],
)
def test_extending_nothing_or_itself_is_refused(tmp_path, content, message):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"title": "o", "extends": "mine"}))
    with pytest.raises(UserError, match=message):
        load_experiment("mine", write_experiment(tmp_path, MINIMAL | content))


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_documentation_are_experiments(tmp_path, example):
    """The runs of an example differ from a plain experiment in all that it shows."""
    (tmp_path / "mainline.yaml").write_text((FOLDER / "mainline.yaml").read_text())
    (tmp_path / "example.yaml").write_text(EXAMPLES[example])
    assert len(EXAMPLES[example].splitlines()) <= 12
    runs = load_experiment("example", tmp_path).runs("example")
    plain = load_experiment("mainline", tmp_path).runs("mainline")
    assert not {run.hash for run in runs} & {run.hash for run in plain}


SEQUENCES = {"title": "t", "task": {"kind": "skip_trigram"}, "training": {"epochs": 200, "batch": 8}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training": {"epochs": 200}}, "`training.batch` is needed"),
        ({"split": {"examples": 20}}, "`training.batch` (8) must divide `split.examples` (20)"),
        ({"split": {"train_fraction": 0.5}}, "`split.method` and `split.train_fraction` are for tasks on pairs"),
        ({"task": MINIMAL["task"], "split": {"examples": 16}}, "`split.test_examples` are for tasks on sequences"),
        ({"model": {"doubled_residual": True}}, "`model.doubled_residual` is for networks with `model.attention_only"),
        (
            {"model": {"attention_only": True}, "training": {"epochs": 200, "batch": 8, "dropout": 0.5}},
            "`training.dropout` sets neurons to 0",
        ),
        (
            {"task": {"kind": "repeated_subsequence", "length": 20}},
            "task: `length` must be at least 49: 3 occurrences of 16 tokens and the first token",
        ),
        ({"task": {"kind": "skip_trigram", "nois": 3}}, "task.nois: unknown key; did you mean 'noise'?"),
        (
            {"task": {"kind": "five_digit_addition", "prime": 3}},
            "task.prime: unknown key; known keys: digits, kind",
        ),
        ({"grid": {"split.examples": [64, 100]}}, "run examples100: `training.batch` (8) must divide"),
        (
            {"model": {"doubled_residual": True}, "split": {"train_fraction": 0.5}},
            "give `split.examples`; `model.doubled_residual` is for",
        ),
    ],
)
def test_messages_for_tasks_on_sequences_name_the_mistake(tmp_path, changes, expected):
    with pytest.raises(UserError) as refused:
        load_experiment("mine", write_experiment(tmp_path, SEQUENCES | changes))
    assert str(refused.value).startswith(str(tmp_path / "mine.yaml"))
    assert expected in str(refused.value)
    assert "(found: {" not in str(refused.value) or "task: " in str(refused.value)


def test_settings_of_a_run_belong_to_its_task():
    (pairs,) = Experiment.model_validate(MINIMAL).runs("mine")
    (fresh,) = Experiment.model_validate(SEQUENCES).runs("mine")
    (fixed,) = Experiment.model_validate(SEQUENCES | {"split": {"examples": 16}}).runs("mine")
    assert "train_fraction" in pairs.settings
    assert "examples" not in pairs.settings
    assert "batch" in pairs.omitted_settings
    assert "batch" not in fixed.omitted_settings
    assert "train_fraction" not in fresh.settings
    assert (fresh.settings["examples"], fixed.settings["examples"], fixed.settings["batch"]) == (float("inf"), 16.0, 8)


def test_hashes_do_not_change_when_fields_are_added():
    """Published cubes are matched with experiments by their hashes."""
    hashes = {
        name: load_experiment(name, FOLDER).runs(name)[0].hash for name in ("mainline", "subtraction", "two_layer")
    }
    expected = {"mainline": "d14f8763dd417a40", "subtraction": "196169f3eb9f2d84", "two_layer": "30a0c85ccffac259"}
    assert hashes == expected


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "title: [unclosed", "\t: 1", "title: \x80"])
def test_files_that_are_not_experiments_are_an_error(tmp_path, content):
    (tmp_path / "mine.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"mine\.yaml"):
        load_experiment("mine", tmp_path)


def test_unknown_experiment_lists_known_ones():
    with pytest.raises(UserError, match=r"Did you mean 'mainline'.*quickstart, .*subtraction"):
        load_experiment("mainlin", FOLDER)


@pytest.mark.parametrize("name", ["../secrets", "a/b", "", "UPPER", "semi;colon"])
def test_experiment_names_cannot_leave_the_folder(name):
    with pytest.raises(UserError):
        load_experiment(name, FOLDER)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
any_value = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner)
)
fields = st.sampled_from(
    [f"training.{f}" for f in ("epochs", "betas", "warmup", "weight_decay", "precision", "evaluate_every")]
    + [f"model.{f}" for f in ("layers", "heads", "initialization", "mlp_biases")]
    + ["task", "task.prime", "split", "split.seed", "grid", "seed", "title"]
)


@settings(max_examples=150, deadline=None)
@given(path=fields, value=any_value)
def test_any_value_is_accepted_or_refused_with_the_field(tmp_path_factory, path, value):
    folder = write_experiment(tmp_path_factory.mktemp("fuzz"), minimal_with(path, value))
    message = ""
    try:
        load_experiment("mine", folder)
    except UserError as refused:
        message = str(refused)
    assert not message or path.partition(".")[0] in message


def test_generated_files_are_current(monkeypatch):
    monkeypatch.chdir(ROOT)
    for path, text in generated_files().items():
        assert path.read_text() == text, f"{path} is stale: run `progress-measures schema`"


def test_messages_do_not_repeat_long_values(tmp_path):
    with pytest.raises(UserError, match="'skip_trigram'") as refused:
        load_experiment("mine", write_experiment(tmp_path, minimal_with("task.kind", "1:" * 10_000)))
    assert len(str(refused.value)) < 2000


KEPT = {
    "key": ({"lgo": 3}, "training.keep.lgo: unknown key; did you mean 'log'?"),
    "foreign key": ({"log": 3, "epochs": 1}, "training.keep.epochs: unknown key; known keys: every, log"),
    "name": ("lst", "training.keep: Input should be 'all' or 'last' (found: 'lst')"),
    "number": (5, "training.keep: Input should be 'all' or 'last' (found: 5)"),
    "epoch": ([1, -2], "training.keep.1: Input should be greater than or equal to 0 (found: -2)"),
    "booleans": ([True], "training: `keep` cannot be true or false"),
    "schedule": ({"log": -3}, "training.keep.log: Input should be greater than or equal to 2 (found: -3)"),
    "empty": ({}, "training.keep: needs `log`, `every` or both, as in {log: 60, every: 1000}"),
}


@pytest.mark.parametrize("name", KEPT)
def test_mistake_in_kept_checkpoints_has_one_message(tmp_path, name):
    value, message = KEPT[name]
    folder_with(tmp_path, measure="during", keep=value)
    with pytest.raises(UserError) as refused:
        load_experiment("small", tmp_path / "config/experiments")
    assert message in str(refused.value)
    assert str(refused.value).count("\n") == 0


def test_boolean_is_no_number_under_any_name_of_a_field():
    for name in ("for", "for_epochs"):
        with pytest.raises(ValidationError, match=f"`{name}` cannot be true or false"):
            StopRule.model_validate({"test_loss": 0.1, name: True})
