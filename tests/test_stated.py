"""What foreign files state about themselves, under standard names."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progress_measures.importing.contents import find_networks
from progress_measures.importing.reading import read
from progress_measures.importing.settings import _weight_norm_doubts
from progress_measures.importing.stated import ALIASES, stated_settings
from support import ROOT

NETWORKS = ROOT.parent / "shared/data/networks"

FIELDS = {
    "act_fn": ("gelu", "activation", "gelu"),
    "nonlinearity": ("relu", "activation", "relu"),
    "normalization_type": (None, "normalization", None),
    "use_ln": (False, "normalization", False),
    "use_attn_scale": (False, "attention_scale", False),
    "attn_scale": (2.5, "attention_scale", 2.5),
    "gated_mlp": (True, "gated", True),
    "attention_dir": ("bidirectional", "causal", "bidirectional"),
    "positional_embedding_type": ("rotary", "positions", "rotary"),
    "num_layers": (2, "layers", 2),
    "hidden_size": (128, "d_model", 128),
    "nhead": (4, "heads", 4),
    "d_head": (32, "d_head", 32),
    "dim_feedforward": (512, "d_mlp", 512),
    "attn_only": (True, "attention_only", True),
    "vocab_size": (114, "vocabulary", 114),
    "d_vocab_out": (113, "outputs", 113),
    "n_ctx": (3, "context_length", 3),
    "P": (113, "modulus", 113),
    "prime": (113, "modulus", 113),
    "fn_name": ("add", "operation", "add"),
    "Random-Seed": (999, "seed", 999),
    "frac_train": (0.3, "train_fraction", 0.3),
    "train_pct": (30, "train_fraction", 0.3),
    "wd": (1, "weight_decay", 1),
    "LR": (1e-3, "learning_rate", 1e-3),
    "global_step": (5000, "step", 5000),
    "val_loss": (0.5, "test_loss", 0.5),
    "val_acc": (87.5, "test_accuracy", 0.875),
    "train_acc": (0.25, "train_accuracy", 0.25),
    "train_losses": ([3.0, 2.0, 1.5], "train_loss", 1.5),
    "dropout": (0.1, "dropout", 0.1),
    "init_range": (0.02, "initialization_range", 0.02),
}


@pytest.mark.parametrize("place", ["", "config", "args", "a.b.c"])
@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_standard_name(name, place):
    value, setting, expected = FIELDS[name]
    content = {name: value}
    for part in reversed(place.split(".") if place else []):
        content = {part: content}
    found = stated_settings(content)
    assert found.settings[setting].value == expected
    assert found.settings[setting].source.startswith(f"{place}.{name}".lstrip("."))
    assert found.contradictions == []
    assert found.unused == []


def test_aliases_are_distinct():
    aliases = [alias for names in ALIASES.values() for alias in names.split()]
    assert len(aliases) == len(set(aliases))


def test_numbers_in_arrays_are_read():
    found = stated_settings({"p": np.array(113), "test_losses": np.array([2.0, 1.0])})
    assert found.settings["modulus"] == (113, "p")
    assert found.settings["test_loss"] == (1.0, "test_losses, last entry")


def test_single_loss_counts_more_than_the_last_of_a_list():
    found = stated_settings({"train_losses": [3.0, 2.0], "train_loss": 1.9})
    assert found.settings["train_loss"] == (1.9, "train_loss")


GROUP = {"lr": 1e-5, "initial_lr": 1e-3, "weight_decay": 0.1, "betas": [0.9, 0.98], "params": [0, 1]}


@pytest.mark.parametrize(
    ("key", "value", "source"),
    [
        ("optimizer", {"state": {}, "param_groups": [GROUP]}, "optimizer.param_groups.0"),
        ("optimizer_state_dict", {"param_groups": [GROUP]}, "optimizer_state_dict.param_groups.0"),
        ("optim", {"param_groups": [GROUP]}, "optim.param_groups.0"),
        ("optimizer_states", [{"param_groups": [GROUP]}], "optimizer_states.0.param_groups.0"),
    ],
)
def test_state_of_the_optimizer_counts_more_than_the_configuration(key, value, source):
    found = stated_settings({"config": {"weight_decay": 1.0, "lr": 1e-3}, key: value})
    assert found.settings["weight_decay"] == (0.1, f"{source}.weight_decay")
    assert found.settings["learning_rate"] == (1e-3, f"{source}.initial_lr"), "a schedule changes `lr`"
    assert (found.settings["beta1"].value, found.settings["beta2"].value) == (0.9, 0.98)
    assert found.contradictions == [
        f"weight_decay is 0.1 in {source}.weight_decay and 1 in config.weight_decay; the first is used"
    ]


def test_two_groups_of_parameters_state_nothing():
    found = stated_settings({"optimizer": {"param_groups": [GROUP, GROUP]}})
    assert found.settings == {}


@pytest.mark.parametrize(
    ("content", "contradictions"),
    [
        ({"p": 113, "config": {"prime": 97}}, 1),
        ({"p": 113, "config": {"prime": 113.0}}, 0),
        ({"act_fn": "gelu", "config": {"activation": "relu"}}, 1),
        ({"act_fn": "GELU", "config": {"activation": "gelu"}}, 0),
        ({"normalization_type": "LN", "config": {"use_ln": True}}, 0),
        ({"normalization_type": None, "config": {"use_ln": True}}, 1),
        ({"normalization_type": "none", "config": {"use_ln": False}}, 0),
        ({"normalization_type": "None", "config": {"use_ln": True}}, 1),
        ({"attention_dir": "causal", "config": {"causal": True}}, 0),
        ({"attention_dir": "bidirectional", "config": {"causal": True}}, 1),
        ({"attention_dir": "bidirectional", "config": {"causal": False}}, 0),
        ({"seed": 1, "config": {"data_seed": 2}}, 0),
        ({"epoch": 1, "config": {"epoch": 2}}, 0),
    ],
)
def test_contradictions(content, contradictions):
    assert len(stated_settings(content).contradictions) == contradictions


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"use_attn_scale": True, "attn_scale": 5.6}, 5.6),
        ({"use_attn_scale": False, "attn_scale": 5.6}, False),
        ({"attn_scale": 5.6, "use_attn_scale": False}, False),
        ({"use_attn_scale": True}, True),
    ],
)
def test_scale_of_the_attention(content, expected):
    found = stated_settings(content)
    assert found.settings["attention_scale"].value is expected or found.settings["attention_scale"].value == expected
    assert found.contradictions == []


def test_seed_of_the_data_is_a_seed_if_there_is_no_other():
    assert stated_settings({"data_seed": 3}).settings["seed"] == (3, "data_seed")
    assert stated_settings({"data_seed": 3, "seed": 4}).settings["seed"] == (4, "seed")


@pytest.mark.parametrize(
    "content",
    [
        {"p": 0.1},
        {"heads": -1},
        {"heads": True},
        {"heads": [1, 2]},
        {"act_fn": 3},
        {"lr": "fast"},
        {"lr": float("nan")},
        {"lr": 10**400},
        {"test_acc": 250},
        {"note": "a note"},
        {"some_list": [1, 2]},
    ],
)
def test_values_that_are_not_interpreted_are_named(content):
    found = stated_settings(content)
    assert found.settings == {}
    assert found.unused == list(content)


def test_networks_and_deep_mappings_are_left_out():
    weights = {"W": np.ones((2, 2), np.float32)}
    found = stated_settings({"model": weights, "checkpoints": [weights], "a": {"b": {"c": {"d": {"lr": 1}}}}})
    assert found.settings == {}
    assert found.unused == ["a.b.c.d"]


NAMES = st.sampled_from([*sorted(FIELDS), "config", "optimizer", "param_groups", "betas", "other", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(np.ones((2, 3))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(content=st.dictionaries(NAMES, VALUES, max_size=6))
def test_anything_can_be_stated(content):
    """Whatever a file contains, statements are plain values under standard names."""
    found = stated_settings(content)
    assert set(found.settings) <= set(ALIASES)
    for statement in found.settings.values():
        assert statement.value is None or isinstance(statement.value, str | int | float)
    assert all(isinstance(line, str) for line in [*found.contradictions, *found.unused])


@pytest.mark.skipif(not NETWORKS.is_dir(), reason="the networks of other people are not here")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tl_gelu_nolosses.pth", {"activation": "gelu", "normalization": "LN"}),
        ("tl_noscale.pth", {"attention_scale": False}),
        ("tl_gated.pth", {"gated": True}),
        ("seed_randperm.pt", {"seed": 999, "train_fraction": 0.3, "test_loss": 3.816749334335327}),
    ],
)
def test_networks_of_other_people_state_their_settings(name, expected):
    contents = find_networks(read(NETWORKS / name), NETWORKS / name)
    assert {setting: contents.stated[setting].value for setting in expected} == expected
    assert contents.contradictions == []


@pytest.mark.parametrize(("power", "accepted"), [(1, True), (2, True), (1.1, False)])
def test_stated_norm_of_the_weights_is_compared(power, accepted):
    """A norm or a sum of squares is accepted if it is that of the tensors."""
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=(3, 4)) for name in ("W_E", "W_U")}
    norm = np.sqrt(sum(np.square(tensor).sum() for tensor in state.values()))
    contents = find_networks({"model": state, "weight_norm": float(norm**power)}, Path("theirs.pth"))
    assert (_weight_norm_doubts(contents, []) == []) == accepted
