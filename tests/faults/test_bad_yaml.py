"""Bad YAML files: each is read as its literal content, or refused with the file and the field."""

import os
import string
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mutations import (
    HOSTILE_FILES,
    HOSTILE_VALUES,
    KEYS,
    SCALARS,
    TEXTS,
    VALUES,
    as_yaml,
    fields_of,
    many_cases,
    out_of_bounds,
    result_or_message,
    spoiled_yaml,
    with_value,
    within_limits,
    without_value,
)

from progress_measures.claims import judge as judging
from progress_measures.claims.registry import Quantity
from progress_measures.claims.schema import Claim, Condition, load_claims
from progress_measures.errors import UserError
from progress_measures.experiments import Experiment, experiment_names, load_experiment
from progress_measures.experiments import load as loading
from progress_measures.experiments.grid import MAX_RUNS
from progress_measures.experiments.schema import TASKS
from progress_measures.importing.names import AXES, best_match
from progress_measures.models.architecture import Architecture
from progress_measures.yaml_files import read_yaml, yaml_text
from support.experiments import pair_run
from support.networks import random_weights
from support.state_dicts import NANOGPT_NAMES, nanogpt

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config/experiments"
TABLE = {
    "title": "A table",
    "task": {"kind": "pair_table", "operands": 3, "outputs": 4, "answers": [0, 1, 2, 3, 0, 1, 2, 3, 0]},
    "training": {"epochs": 100},
}
IMPORTED = TABLE | {
    "imported": {
        "file": "a.pth",
        "sha256": "0" * 64,
        "format": "TransformerLens",
        "recognized": ["a bare state dict"],
        "assumed": [],
        "ignored": ["blocks.0.attn.mask"],
        "split_known": False,
        "settings": {"seed": float("nan"), "precision": "unknown", "weight_decay": 0.0},
    }
}
VALID = [yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in experiment_names(FOLDER)]
VALID += [TABLE, IMPORTED, TABLE | {"task": {"kind": "permutation_composition", "degree": 3}}]
FIELDS = sorted(set(fields_of(Experiment)))
WORDS = {word for path in FIELDS for word in path} | {"the file", "not valid YAML", "MB"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty working directory, in which no code of a file may run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("yaml"))
        yield Path()
        assert not [path for path in Path().rglob("*") if "pwned" in path.name]


# ---- experiments


def accepted(content, path, tally, case):
    """Return whether a file is accepted as an experiment; if not, assert that the message says what is wrong."""
    path.write_bytes(content)
    experiment, refusal = result_or_message(lambda: load_experiment(path.stem, path.parent))
    tally.count(case, "refused" if refusal else "right")
    if refusal:
        first = refusal.partition("\n")[0]
        assert first.startswith(str(path))
        assert any(word in first for word in WORDS)
        assert len(refusal) < 10_000
        return False
    assert_valid_runs(experiment, path)
    return True


def assert_valid_runs(experiment, path):
    """Assert that all runs of an experiment are valid and within bounds, and survive writing and reading its file."""
    runs = experiment.runs(path.stem)
    assert 1 <= len(runs) <= MAX_RUNS
    assert len({run.name for run in runs}) == len({run.hash for run in runs}) == len(runs)
    assert list(out_of_bounds(experiment)) == []
    for run in runs[:20]:
        assert list(out_of_bounds(run)) == []
        assert len(run.name) <= 200
        assert set(run.name) <= set(string.ascii_letters + string.digits + "._-")
        assert all(size > 0 for shape in Architecture.of(run).shapes().values() for size in shape)
        assert "seed" in run.settings
    again = path.with_name("again.yaml")
    again.write_text(yaml_text(experiment.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
    copy = load_experiment("again", path.parent)
    assert [(run.name, run.hash) for run in copy.runs("again")] == [(run.name, run.hash) for run in runs]


def test_unchanged_experiments_are_valid(folder, tally):
    assert {content["task"]["kind"] for content in VALID} == set(TASKS)
    for content in VALID:
        assert accepted(as_yaml(content), folder / "mine.yaml", tally, "experiments as they are")


@many_cases(700)
@given(content=st.sampled_from(VALID), path=st.sampled_from(FIELDS), value=VALUES)
def test_any_value_in_any_field(folder, tally, content, path, value):
    """`FIELDS` contains every field of the schema, also future fields."""
    accepted(
        as_yaml(with_value(content, path, value)), folder / "mine.yaml", tally, "experiments, any value in any field"
    )


@many_cases(250)
@given(data=st.data(), content=st.sampled_from(VALID), path=st.sampled_from(FIELDS))
def test_nearly_valid_values(folder, tally, data, content, path):
    """A value becomes a text, a list or another number, or it is removed, renamed or moved."""
    value = content
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    number = value if isinstance(value, int | float) else 7
    nearly_valid = {
        "text": str(value),
        "list": [value],
        "negative": -number,
        "next": number + 1,
        "fraction": 0.5,
        "huge": 10**12,
    }
    kind = data.draw(st.sampled_from([*nearly_valid, "truth", "none", "gone", "unknown", "moved"]))
    if kind == "unknown":
        content = with_value(content, (*path[:-1], data.draw(KEYS | TEXTS)), value)
    elif kind in ("gone", "moved"):
        content = without_value(content, path)
        if kind == "moved":
            content = with_value(content, data.draw(st.sampled_from(FIELDS)), value)
    else:
        content = with_value(content, path, (nearly_valid | {"truth": True, "none": None})[kind])
    accepted(as_yaml(content), folder / "mine.yaml", tally, "experiments, nearly valid values")


@many_cases(250)
@given(data=st.data(), content=st.sampled_from(VALID))
def test_experiments_damaged_as_text(folder, tally, data, content):
    accepted(data.draw(spoiled_yaml(as_yaml(content))), folder / "mine.yaml", tally, "experiments damaged as text")


@pytest.mark.parametrize("kind", HOSTILE_FILES)
def test_files_that_are_not_experiments(folder, tally, kind):
    assert not accepted(HOSTILE_FILES[kind], folder / "mine.yaml", tally, "files that are not experiments")


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=range(len(HOSTILE_VALUES)))
def test_hostile_values_in_a_text_field(folder, tally, value):
    text = as_yaml(VALID[0] | {"description": "HERE"}).replace(b"HERE", value.encode())
    accepted(text, folder / "mine.yaml", tally, "experiments, hostile values")


def test_huge_grid_is_refused_at_once(folder, tally):
    keys = ("seed", "split.seed", "model.d_mlp", "model.d_model", "model.layers", "training.warmup", "training.batch")
    for grid, valid in (
        ({key: list(range(1, 1001)) for key in keys}, False),
        ({"seed": list(range(MAX_RUNS + 1))}, False),
        ({"seed": list(range(MAX_RUNS))}, True),
    ):
        assert (
            accepted(as_yaml(TABLE | {"grid": grid}), folder / "mine.yaml", tally, "experiments, absurd grids") == valid
        )


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ({"seed": [1, "1"]}, "have the name"),
        ({"seed": [1, 1.0]}, "have the same settings"),
        ({"training.weight_decay": [1, 1.0]}, "have the same settings"),
        ({"seed": [0, 1], " seed": [2, 3]}, "`seed` occurs twice"),
        ({"seed, seed": [[0, 1]]}, "`seed` occurs twice"),
        ({"model.d_mlp": [True, 2]}, "`d_mlp` cannot be true or false"),
        ({"split.train_fraction": [1e-6]}, "of 9 pairs is less than one"),
    ],
)
def test_misleading_grids_are_refused(folder, grid, expected):
    assert_refused(TABLE | {"grid": grid}, expected, folder)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("training", "learning_rate"), float("inf"), "training.learning_rate: Input should be a finite number"),
        (("training", "epochs"), True, "training: `epochs` cannot be true or false"),
        (
            ("task",),
            {"kind": "modular_addition", "prime": 10**18 + 9},
            "task.prime: Input should be less than or equal to 2000",
        ),
        (
            ("task",),
            {"kind": "five_digit_addition", "digits": 19},
            "task.digits: Input should be less than or equal to 18",
        ),
        (("seed",), 2**32 - 1, "seed: Input should be less than or equal to"),
        (("title",), "two\nlines", "title: must be one line"),
        (("model",), {"layers": 100, "d_model": 100_000}, "`model` has 1.5e+10 weights in its layers"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(folder, path, value, expected):
    assert_refused(with_value(TABLE, path, value), expected, folder)


def assert_refused(content, expected, folder):
    """Assert that an experiment is refused with an expected text in its message."""
    (folder / "mine.yaml").write_bytes(as_yaml(content))
    with within_limits(), pytest.raises(UserError) as refusal:
        load_experiment("mine", folder)
    assert expected in str(refusal.value)


def test_scalars_have_their_intended_types(folder):
    """YAML 1.1 reads these as 8, a Boolean, a date and a number of seconds, and 1e-2 as a text."""
    text = "seed: 010\ntitle: no\ndescription: 2024-01-31\nreference: 1:30\ntask: {kind: modular_addition}\n"
    text += "training: {epochs: 100, learning_rate: 1e-3}\ngrid: {training.weight_decay: [1e-2, 1]}"
    (folder / "mine.yaml").write_text(text)
    experiment = load_experiment("mine", folder)
    assert (experiment.seed, experiment.title, experiment.description, experiment.reference) == (
        10,
        "no",
        "2024-01-31",
        "1:30",
    )
    assert experiment.training.learning_rate == 1e-3
    assert [run.name for run in experiment.runs("mine")] == ["weight_decay0.01", "weight_decay1"]


@pytest.mark.parametrize(
    "text",
    ["seed: 1\nseed: 2\n", "seed: 1\n'seed': 2\n", "split: {seed: 1, method: shuffle, seed: 2}\n"],
)
def test_repeated_key_is_refused(folder, text):
    """Neither value of the repeated key is used."""
    (folder / "mine.yaml").write_text("title: t\ntask: {kind: modular_addition}\ntraining: {epochs: 100}\n" + text)
    with pytest.raises(UserError, match="the key 'seed' occurs twice"):
        load_experiment("mine", folder)


@many_cases(200)
@given(data=st.data(), path=st.sampled_from([path for path in FIELDS if path[0] == "imported"]))
def test_changed_experiment_file_of_an_import(folder, tally, data, path):
    content = as_yaml(with_value(IMPORTED, path, data.draw(VALUES)))
    file = folder / "results/theirs/experiment.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.draw(spoiled_yaml(content)) if data.draw(st.booleans()) else content)
    experiment, refusal = result_or_message(lambda: load_experiment("theirs"))
    tally.count("experiment.yaml of imports", "refused" if refusal else "right")
    if refusal:
        assert refusal.startswith(str(file))
    else:
        assert_valid_runs(experiment, folder / "theirs.yaml")


@pytest.mark.parametrize(
    "name", ["a;touch pwned", "$(touch pwned)", "a b", "A", "-x", "é", "figures", "explorer", "x" * 120, "a\nb"]
)
def test_experiment_files_with_hostile_names_are_refused(tmp_path, name, tally):
    (tmp_path / f"{name}.yaml").write_bytes(as_yaml(TABLE))
    assert experiment_names(tmp_path) == [name]
    with pytest.raises(UserError, match="is not a valid experiment name"):
        load_experiment(name, tmp_path)
    tally.count("experiments, hostile names of files", "refused")


def test_folders_and_pipes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loading.paths, "RESULTS", tmp_path / "results")
    (tmp_path / "mine.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("mine", "pipe"):
        with within_limits(), pytest.raises(UserError, match="is not a file"):
            load_experiment(name, tmp_path)


# ---- mapping files

MAPPING = yaml.safe_load(NANOGPT_NAMES)
AXES_TEXTS = st.sampled_from(
    [
        *sorted({*AXES.values(), *(location[1] for name, location in MAPPING.items() if name != "title")}),
        *(
            "",
            "()",
            "(",
            ")",
            "(head d_head",
            "token  d_model",
            "token token",
            "((token) d_model)",
            "token, d_model",
            "...",
        ),
        *("qkv token d_model", "layer token d_model", "(qkv token) d_model", "d_model -> token", "1 d_model"),
        *("(token d_model)", "d_model (neuron layer)"),
    ]
)


@pytest.fixture(scope="module")
def foreign_tensors():
    """The tensors of a network in a made-up format."""
    weights = random_weights(pair_run("modular_addition"), np.random.default_rng(0))
    return {name: tensor.numpy() for name, tensor in nanogpt(weights).items()}


@many_cases(350)
@given(data=st.data(), name=st.sampled_from([*AXES, "title", "W_e", "", "W_Q2"]))
def test_mapping_files(folder, tally, foreign_tensors, data, name):
    """An accepted mapping only rearranges the file's tensors; equal axes have equal sizes."""
    kind = data.draw(st.sampled_from(["value", "axes", "tensor", "gone", "text"]))
    content = dict(MAPPING)
    if kind == "value":
        content = with_value(content, (name,), data.draw(VALUES))
    elif kind == "axes":
        content[name] = [data.draw(st.sampled_from([*foreign_tensors, "h.{layer}.fc.weight"])), data.draw(AXES_TEXTS)]
    elif kind == "tensor" and isinstance(content.get(name), list):
        content[name] = [
            data.draw(st.sampled_from([*foreign_tensors, "{layer}", "h.{layer}"]) | TEXTS),
            content[name][1],
        ]
    elif kind == "gone":
        content.pop(name, None)
    file = folder / "names.yaml"
    file.write_bytes(data.draw(spoiled_yaml(as_yaml(content))) if kind == "text" else as_yaml(content))
    fit, refusal = result_or_message(lambda: best_match(foreign_tensors, {"head": 2}, file, Path("theirs.pth")))
    tally.count("mapping files", "refused" if refusal else "right")
    if refusal:
        assert refusal.startswith(("names.yaml", "theirs.pth"))
        return
    sizes = {}
    for name, tensor in fit.weights().items():
        source = foreign_tensors[fit.format.locations[name][0].replace("{layer}", "0")]
        parts = 3 if any("qkv" in group for group in fit.format.locations[name][1]) else 1
        assert set(tensor.ravel().tolist()) <= set(source.ravel().tolist())
        assert tensor.size * parts == source.size
        for axis, size in zip(AXES[name].split(), tensor.shape, strict=True):
            assert sizes.setdefault(axis, size) == size


@pytest.mark.parametrize(
    ("name", "location", "expected"),
    [
        ("W_E", ["tok.weight", "(qkv token) d_model"], "W_E: expected the axes"),
        ("W_O", ["h.{layer}.attn.out", "d_model (qkv head d_head)"], "W_O: expected the axes"),
        ("W_E", ["tok{layer}.weight", "token d_model"], "W_E: a network has one such tensor, not one per layer"),
        ("W_in", ["h.0.fc.weight", "neuron d_model"], "tensors of the layers are written in different ways"),
    ],
)
def test_misleading_mapping_files_are_refused(folder, foreign_tensors, name, location, expected):
    (folder / "names.yaml").write_bytes(as_yaml(MAPPING | {name: location}))
    fit, refusal = result_or_message(
        lambda: best_match(foreign_tensors, {"head": 2}, folder / "names.yaml", Path("theirs.pth"))
    )
    assert fit is None
    assert expected in refusal


# ---- claims

CLAIMS = [claim for file in sorted((ROOT / "config/claims").glob("*.yaml")) for claim in read_yaml(file)]
SAMPLE_CLAIMS = [claim for claim in CLAIMS if claim.get("accept")][::40] + [
    claim for claim in CLAIMS if claim.get("explanation")
][:3]
CLAIM_FIELDS, CONDITION_FIELDS = (sorted(set(fields_of(model))) for model in (Claim, Condition))
MEASURED = {"one": 1.0, "several": [0.5, 2.0, float("nan")], "text": "a", "none": None, "nested": {"0.9": 3.0}}
CUBE = xr.Dataset({"x": ("run", np.arange(3.0))})
EXPLANATIONS = [
    "{one}", "{one:.2f}", "{several[1]}", "{text:.2f}", "{nested[0.9]}", "{nested[x]}", "{other}", "{}", "{0}", "{one", "one}",
    "{one.__class__}", "{one:{several}}", "{one!r}", "{one:>99999999}",
]  # fmt: skip


@pytest.fixture
def quantity(monkeypatch):
    """Every quantity returns a number, a list, a text, None and a mapping."""
    monkeypatch.setattr(judging, "load_quantity", lambda name: Quantity(name, lambda *cubes: MEASURED))


def assert_judged_or_refused(content, folder, tally):
    """Assert that each claim of a file can be judged, or that a message names the file and the claim."""
    claims_folder = folder / "claims"
    claims_folder.mkdir(exist_ok=True)
    (claims_folder / "mine.yaml").write_bytes(content)
    claims, refusal = result_or_message(lambda: load_claims.__wrapped__(claims_folder))
    if refusal:
        assert refusal.startswith(str(claims_folder / "mine.yaml"))
        assert len(refusal) < 10_000
    for claim in (claims or {}).values():
        assert Claim.model_validate(claim.model_dump(exclude_unset=True)) == claim
        judgment, refusal = result_or_message(lambda claim=claim: judged_and_explained(claim))
        if refusal:
            assert claim.id in refusal
            break
        assert judgment[0] in judging.VERDICTS
    tally.count("claims", "refused" if refusal else "right")


def judged_and_explained(claim):
    judgment = judging.judge(claim, lambda name: CUBE)
    return judgment.verdict, judgment.explanation


@many_cases(350)
@given(data=st.data(), claim=st.sampled_from(SAMPLE_CLAIMS))
def test_claims(folder, tally, quantity, data, claim):
    claim = claim | {"accept": [{"value": data.draw(st.sampled_from([*MEASURED, "other"])), "at_least": 1}]}
    kind = data.draw(st.sampled_from(["field", "condition", "explanation", "text", "twice"]))
    if kind == "field":
        claim = with_value(claim, data.draw(st.sampled_from(CLAIM_FIELDS)), data.draw(VALUES))
    elif kind == "condition":
        (relation,) = data.draw(st.sampled_from(CONDITION_FIELDS))
        bound = data.draw(SCALARS | st.lists(SCALARS, max_size=3))
        claim["accept"] = [{"value": data.draw(st.sampled_from([*MEASURED])), relation: bound}]
    elif kind == "explanation":
        claim |= {"accept": [{"value": "one", "above": 3}], "explanation": data.draw(st.sampled_from(EXPLANATIONS))}
    text = as_yaml([claim, claim] if kind == "twice" else [claim])
    assert_judged_or_refused(data.draw(spoiled_yaml(text)) if kind == "text" else text, folder, tally)


@pytest.mark.parametrize("kind", HOSTILE_FILES)
def test_files_that_are_not_claims(folder, tally, kind):
    assert_judged_or_refused(HOSTILE_FILES[kind], folder, tally)


def test_explanations_do_not_access_attributes(folder):
    """Braces insert measured values, and do not give access to Python's objects."""
    (folder / "claims").mkdir(exist_ok=True)
    claim = SAMPLE_CLAIMS[0] | {"explanation": "{one.__class__.__init__.__globals__}"}
    (folder / "claims/mine.yaml").write_bytes(as_yaml([claim]))
    with pytest.raises(UserError, match="expected the name of a measured value"):
        load_claims.__wrapped__(folder / "claims")


# ---- reading and writing


def test_strict_loader_reads_project_files_as_pyyaml_does(tally):
    """Every YAML file of the project has the same content in the strict loader and in PyYAML."""
    files = [*ROOT.glob("config/**/*.yaml"), *ROOT.glob("src/**/*.yaml")]
    assert len(files) > 30
    for file in files:
        assert read_yaml(file) == yaml.safe_load(file.read_text()), file
        tally.count("YAML files of the project", "right")


@many_cases(150)
@given(
    content=st.dictionaries(
        KEYS | TEXTS | st.text(max_size=5),
        TEXTS | st.text(max_size=20) | st.lists(st.floats() | st.integers()),
        max_size=3,
    )
)
def test_written_yaml_reads_back(folder, tally, content):
    """Imports write texts that look like numbers, and unusual characters."""
    (folder / "written.yaml").write_text(yaml_text(content), encoding="utf-8")
    with within_limits():
        assert repr(read_yaml(folder / "written.yaml")) == repr(content)
    tally.count("YAML that imports write", "right")


def test_fields_of_nested_models_are_found():
    assert {("task", "digits"), ("imported", "settings"), ("training", "betas"), ("grid",)} <= set(FIELDS)
    assert {("accept",), ("explanation",)} <= set(CLAIM_FIELDS)
    assert {("between",), ("in_runs",)} <= set(CONDITION_FIELDS)
