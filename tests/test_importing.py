"""Importing: every format gives the same network, what a file says is true or refused, and bad files are errors."""

import json
import pickle
import shutil
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

from progress_measures import open_cube, open_run
from progress_measures.analysis.select import caveats
from progress_measures.claims.describe import describe
from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import Experiment
from progress_measures.explorer.payload import pack
from progress_measures.files import write_store
from progress_measures.importing.contents import Contents
from progress_measures.importing.import_network import import_network, read_and_recognize, report
from progress_measures.importing.names import Format, best_match, formats
from progress_measures.importing.settings import Options
from progress_measures.importing.splits import TrainAndTestLoss, find_split
from progress_measures.measures.checkpoint import RunContext
from progress_measures.models.design import Design
from progress_measures.models.native import native_weights
from progress_measures.models.network import logits_and_activations
from progress_measures.models.transformer import forward
from progress_measures.models.transformer_lens_bridge import network_of
from progress_measures.tasks.split import train_order
from support import ROOT, state_dicts
from support.checkout import Checkout
from support.experiments import pair_run, pair_runs
from support.networks import (
    PUBLISHED_NETWORK,
    imported_run,
    imported_weights,
    needs_published_network,
    random_weights,
    solving_weights,
)
from support.processes import command
from support.state_dicts import PRIME

SPLIT = "shuffle:0:0.6"  # of the small experiment's first run
MEASURED = (
    "train_loss",
    "test_loss",
    "restricted_loss",
    "excluded_loss",
    "W_E_fourier_norm",
    "neuron_fraction_explained",
)


@pytest.fixture(scope="module")
def trained(results):
    """Weights of the small experiment's first run, {epoch: weights}, the run's part of the cube, and the folder of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(results)
        run = open_run("small")
        weights = {epoch: run.weights(epoch) for epoch in (0, 200, 400)}
        return weights, open_cube("small").load().sel(run="seed0"), results


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(file, **options):
    """Import a file, and return the imported run's part of the cube."""
    import_network(Path(file), Path("results/theirs"), Options(**options))
    return open_cube("theirs").load().sel(run="imported")


def save(content, path="theirs.pth"):
    torch.save(content, path)
    return Path(path)


def losses_of(trained, split, updates):
    """Return the losses that training recorded after some updates, interpolated between its evaluations: [update]."""
    curve = trained[1][f"history_{split}_loss"]
    return np.exp(np.interp(updates, curve.history_epoch, np.log(curve)))


def notebook_content(trained):
    """Return the dictionary of the notebooks: epoch e is saved after e + 1 updates, as are its test losses."""
    states = [state_dicts.transformer_lens(trained[0][epoch]) for epoch in (200, 400)]
    return {
        "model": states[-1],
        "config": None,
        "checkpoints": states,
        "checkpoint_epochs": [199, 399],
        "train_losses": losses_of(trained, "train", np.arange(400)).tolist(),
        "test_losses": losses_of(trained, "test", np.arange(1, 401)).tolist(),
        "train_indices": torch.from_numpy(train_order("shuffle", 0, PRIME)[: int(0.6 * PRIME**2)]),
        "test_indices": torch.arange(3),
    }


def authors_network(trained):
    """Return one network as the authors saved it."""
    train_losses = losses_of(trained, "train", np.arange(400)).tolist()
    return {
        "model": state_dicts.authors(trained[0][400]),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "weight_decay": 0.1, "betas": (0.9, 0.98)}]},
        "scheduler": {},
        "train_loss": torch.tensor(train_losses[-1], dtype=torch.float64, requires_grad=True),
        "train_losses": train_losses,
        "test_losses": losses_of(trained, "test", np.arange(0, 400, 10)).tolist(),
        "epoch": 399,
        "config": {"lr": 1e-3, "p": PRIME, "fn_name": "add", "frac_train": 0.6, "seed": 0, "weight_decay": 1},
    }


def authors_run(trained):
    """Return a run as the authors saved it: state dicts at several epochs."""
    states = [state_dicts.authors(trained[0][epoch]) for epoch in (200, 400)]
    train_losses = losses_of(trained, "train", np.arange(400)).tolist()
    config = {"frac_train": 0.6, "seed": 0}
    return {"state_dicts": states, "epochs": [199, 399], "train_losses": train_losses, "config": config}


def final_state(trained, **options):
    return state_dicts.transformer_lens(trained[0][400], **options)


CONTENTS = {
    "authors": lambda t: state_dicts.authors(t[0][400]),
    "authors, with their training": authors_network,
    "authors, a run": authors_run,
    "TransformerLens": final_state,
    "TransformerLens, without zero biases": lambda t: final_state(t, zeros=False),
    "TransformerLens 4": lambda t: dict(state_dicts.bridge(t[0][400]).state_dict()),
    "TransformerLens 4, parameters": lambda t: dict(state_dicts.bridge(t[0][400]).named_parameters()),
    "TransformerLens 4, the original model": lambda t: state_dicts.bridge(t[0][400]).original_model.state_dict(),
    "our own names": lambda t: state_dicts.tensors(t[0][400]),
    "the notebooks": notebook_content,
    "a wrapped module": lambda t: {"module." + k: v for k, v in final_state(t).items()},
    "a lightning checkpoint": lambda t: {"state_dict": {"model." + k: v for k, v in final_state(t).items()}},
}


@pytest.mark.parametrize("format", CONTENTS)
def test_every_format_gives_the_same_network(folder, trained, format):
    """Weights are equal to the bit, and operation, prime and heads are recognized."""
    recognized = assert_recognized_as(save(CONTENTS[format](trained)), trained[0][400])
    assert recognized.doubts == []


def assert_recognized_as(file, weights, **options):
    _, recognized = read_and_recognize(file, Options(**options))
    (run,) = recognized.experiment.runs("theirs")
    native = native_weights(recognized.weights[-1], run)
    assert set(native) == set(weights)
    for name, tensor in weights.items():
        np.testing.assert_array_equal(native[name], tensor, err_msg=name)
        assert native[name].dtype == tensor.dtype
    assert (run.task.kind, run.task.prime, run.model.heads, run.model.d_mlp) == ("modular_addition", PRIME, 2, 64)
    return recognized


def test_imported_network_has_the_measures_of_the_original(folder, trained):
    weights, original, _ = trained
    cube = imported(save(state_dicts.authors(weights[400])), split=SPLIT)
    for name in MEASURED:
        expected, actual = original[name], cube[name]
        if "epoch" in expected.dims:
            expected, actual = expected.sel(epoch=400), actual.isel(epoch=-1)
        np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=1e-6, err_msg=name)
    assert (cube.key_frequency == original.key_frequency).all()
    assert cube.attrs["task"] == "modular_addition"


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_state_dicts_are_read_from_other_file_types(folder, trained, kind):
    state = {
        name: tensor.numpy() for name, tensor in state_dicts.transformer_lens(trained[0][400], zeros=False).items()
    }
    if kind == "npz":
        np.savez("theirs.npz", **state)
    else:
        from safetensors.numpy import save_file

        save_file(state, "theirs.safetensors")
    assert_recognized_as(Path(f"theirs.{kind}"), trained[0][400])


@pytest.mark.parametrize(
    "design",
    [
        {},
        {"layers": 2, "gated_mlp": True, "activation": "silu"},
        {"attention_only": True, "attention_biases": True},
        {"positions": "rotary"},
        {"normalization": "layer_norm", "norm_weights": True, "unembedding_bias": True},
    ],
    ids=str,
)
def test_our_own_names_are_a_format_of_every_transformer(design):
    (run,) = pair_runs(count=1, **design)
    weights = random_weights(run, np.random.default_rng(0))
    match = best_match(weights, {}, None, Path("theirs.npz"))
    assert match.format.name == "progress_measures"
    assert match.ignored == []
    assert set(match.weights()) == set(weights)
    for name, tensor in match.weights().items():
        np.testing.assert_array_equal(tensor, weights[name], err_msg=name)
    if "W_out" in weights:
        with pytest.raises(UserError, match="missing tensors: W_out"):
            best_match({name: w for name, w in weights.items() if name != "W_out"}, {}, None, Path("theirs.npz"))


def test_tensors_of_one_short_name_are_not_confused(folder):
    state = {"a._original_component.weight": torch.ones(3, 3), "a.weight": torch.zeros(3, 3)}
    with pytest.raises(UserError, match=r"do not match any known format: a\._original_component\.weight, a\.weight"):
        read_and_recognize(save(state), Options())


def test_transposed_arrays_of_safetensors_are_hinted_at(folder, trained):
    from safetensors.numpy import load_file, save_file

    state = {name: tensor.numpy() for name, tensor in final_state(trained, zeros=False).items()}
    state["embed.W_E"] = np.asfortranarray(state["embed.W_E"])
    save_file(state, "theirs.safetensors")
    assert not np.array_equal(load_file("theirs.safetensors")["embed.W_E"], state["embed.W_E"]), "safetensors 0.8.0"
    with pytest.raises(UserError, match=r"save_file \(version 0\.8\.0\) .* numpy\.ascontiguousarray"):
        read_and_recognize(Path("theirs.safetensors"), Options())


def test_mapping_file_describes_other_formats(folder, trained):
    Path("names.yaml").write_text(state_dicts.NANOGPT_NAMES)
    file = save(state_dicts.nanogpt(trained[0][400]))
    recognized = assert_recognized_as(file, trained[0][400], mapping_file=Path("names.yaml"))
    heads = next(finding for finding in recognized.findings if finding.setting == "heads")
    assert heads.value == "2", "the number of heads is found from the answers"
    assert heads.source == "assumed", "this network attends to all positions alike, so that 4 heads fit almost as well"


def test_folder_of_numbered_files_is_a_run(folder, trained):
    weights = trained[0]
    Path("run").mkdir()
    for name, epoch in (("init", 0), ("199", 200), ("399", 400)):
        save(
            {"model": state_dicts.authors(weights[epoch])} | ({"epoch": int(name)} if epoch else {}), f"run/{name}.pth"
        )
    recognized = assert_recognized_as(Path("run"), weights[400])
    assert recognized.epochs == [0, 200, 400]


def test_imported_run_keeps_epochs_losses_and_recipe(folder, trained):
    cube = imported(save(notebook_content(trained)))
    assert cube.epoch.values.tolist() == [200, 400]
    assert cube.split_method.item() == "listed"
    assert cube.train_fraction.item() == pytest.approx(0.6, abs=0.01)
    history = cube.history_test_loss.dropna("history_epoch")
    expected = losses_of(trained, "test", 1)
    assert history.sel(history_epoch=1).item() == pytest.approx(expected, rel=1e-12), "after the first update"
    expected = losses_of(trained, "train", 1)
    assert cube.history_train_loss.sel(history_epoch=1).item() == pytest.approx(expected, rel=1e-12), (
        "before the second"
    )
    assert np.isnan(cube.weight_decay.item())
    assert cube.initialization.item() == "unknown"

    cube = imported(save(authors_network(trained)))
    assert cube.epoch.values.tolist() == [400]
    assert (cube.weight_decay.item(), cube.beta2.item(), cube.seed.item()) == (0.1, 0.98, 0)
    assert cube.split_method.item() == "shuffle"
    expected = losses_of(trained, "test", 10)
    assert cube.history_test_loss.sel(history_epoch=10).item() == pytest.approx(expected, rel=1e-12)


def test_configuration_object_is_read_without_importing_its_class(folder, trained, monkeypatch):
    """The notebooks save an object of a TransformerLens class, which is neither imported nor called."""
    name = "transformer_lens.HookedTransformerConfig"
    kind = type("HookedTransformerConfig", (), {"__module__": name})
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(HookedTransformerConfig=kind))
    config = kind()
    config.n_heads, config.normalization_type, config.dtype, config.seed = 2, None, torch.float32, 999
    config.act_fn = "relu"
    file = save(notebook_content(trained) | {"config": config})
    monkeypatch.delitem(sys.modules, name)
    _, recognized = read_and_recognize(file, Options())
    assert recognized.experiment.seed == 999
    sources = {finding.setting: finding for finding in recognized.findings}
    assert sources["activation"][1:] == ("relu", "file", "config.act_fn")
    assert sources["normalization"][1:] == ("none", "file", "config.normalization_type")
    assert name not in sys.modules


SPLITS = {
    "shuffle:3:0.5": ("shuffle", 3, 0.5),
    "randperm:7:0.25": ("randperm", 7, 0.25),
}


@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_drawn_by_the_given_method(folder, trained, split):
    _, recognized = read_and_recognize(save(state_dicts.authors(trained[0][400])), Options(split=split))
    method, seed, fraction = SPLITS[split]
    expected = np.zeros(PRIME**2, dtype=bool)
    expected[train_order(method, seed, PRIME)[: int(fraction * PRIME**2)]] = True
    assert (recognized.split.train.ravel() == expected).all()
    (run,) = recognized.experiment.runs("theirs")
    assert (train_mask(run) == recognized.split.train).all(), "the settings reproduce the split"


@pytest.mark.parametrize("kind", ["txt", "json", "npy"])
def test_split_can_be_a_file_of_indices(folder, trained, kind):
    indices = np.arange(0, PRIME**2, 3)
    if kind == "npy":
        np.save("split.npy", indices)
    else:
        Path(f"split.{kind}").write_text(str(indices.tolist()) if kind == "json" else "\n".join(map(str, indices)))
    _, recognized = read_and_recognize(save(state_dicts.authors(trained[0][400])), Options(split=f"split.{kind}"))
    assert (np.flatnonzero(recognized.split.train) == indices).all()
    assert recognized.experiment.imported.settings["split_method"] == "listed"


def test_listed_training_pairs_without_a_right_answer_are_refused(folder):
    defined = np.ones((5, 5), dtype=bool)
    defined[:, 0] = False  # a / 0
    np.save("split.npy", [1, 6, 10, 15])
    with pytest.raises(UserError) as refusal:
        find_split("split.npy", Contents([], None, ""), TrainAndTestLoss(None, None), np.zeros((5, 5)), defined)
    assert "2 of the 4 training pairs have no right answer, such as (2, 0)" in str(refusal.value)


def test_without_a_split_only_all_pairs_are_measured(folder, trained):
    weights, original, _ = trained
    cube = imported(save(state_dicts.authors(weights[400])))
    assert any(line.startswith("split unknown") for line in load_experiment("theirs").imported.assumed)
    assert not {"train_loss", "test_loss", "excluded_loss", "restricted_loss_test", "grok_time"} & set(cube.data_vars)
    assert {"restricted_loss", "cosine_coefficient", "key_frequency", "gini_W_E", "neuron_frequency"} <= set(
        cube.data_vars
    )
    np.testing.assert_allclose(cube.restricted_loss[-1], original.restricted_loss.sel(epoch=400), rtol=1e-4)
    described = command("describe", "theirs", folder=folder)
    assert described.returncode == 0, described.stderr
    assert "its training pairs are not known" in described.stdout
    refused = command("draw", "paper/fig07", "--experiment", "theirs", folder=folder)
    assert refused.returncode == 2
    assert "its training pairs are not known; import it again with --split" in refused.stderr


def test_default_is_float64_and_float32_reproduces_the_original_to_the_bit(folder, trained):
    weights, original, _ = trained
    double = imported(save(state_dicts.authors(weights[400])), split=SPLIT).test_loss.item()
    single = imported(save(state_dicts.authors(weights[400])), split=SPLIT, precision="float32").test_loss.item()
    assert single == original.test_loss.sel(epoch=400).item()
    assert 0 < abs(double / single - 1) < 1e-4


# What networks compute


def test_unknown_operation_is_stated_or_refused(folder, trained):
    """A network with outputs renumbered c → 3c computes 3 (a + b), which is none of the operations that are tried."""
    weights, original = trained[0][400], trained[1].sel(epoch=400)
    state = state_dicts.authors(weights)
    renumbered = (np.arange(PRIME) * 3) % PRIME
    state["unembed.W_U"] = state["unembed.W_U"].clone()
    state["unembed.W_U"][:, renumbered] = torch.from_numpy(weights["W_U"])
    file = save(state)
    with pytest.raises(UserError, match=r"follow no operation on half of the pairs .* Its answers follow a\+b on \d"):
        imported(file, split=SPLIT)
    assert not Path("results").exists()

    a, b = np.indices((PRIME, PRIME))
    np.savetxt("answers.txt", 3 * (a + b) % PRIME, fmt="%d")
    for operation, kind in (("3*(a + b)", "operation"), ("answers.txt", "pair_table")):
        cube = imported(file, split=SPLIT, operation=operation)
        assert cube.attrs["task"] == kind
        assert cube.test_loss.item() == pytest.approx(original.test_loss.item(), rel=1e-4)
        assert cube.test_accuracy.item() == original.test_accuracy.item()
        assert "attention_score_token" in cube
        np.testing.assert_allclose(cube.restricted_loss[-1], original.restricted_loss, rtol=1e-4)


def test_operation_that_is_stated_but_wrong_is_refused(folder, trained):
    with pytest.raises(UserError, match=r"not imported, because only \d+\.\d+% of its answers are those of a\*b"):
        imported(save(final_state(trained)), operation="a*b")


def test_subtraction_is_recognized(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        weights = open_run("subtraction").weights()
    _, recognized = read_and_recognize(save(state_dicts.transformer_lens(weights)), Options())
    assert recognized.experiment.task.kind == "modular_subtraction"
    assert recognized.agreement["a-b"] == 1
    assert max(fraction for name, fraction in recognized.agreement.items() if name != "a-b") < 0.02


def test_integer_sums_are_recognized(folder):
    """In this constructed network the logit c of a pair is -(a + b - c)²/10, without neurons."""
    n, outputs = 10, 20
    a = np.arange(n + 1.0)
    a[n] = 0
    W_E = np.stack([a, np.zeros(n + 1), np.ones(n + 1)], 1)
    c = np.arange(outputs)
    # attention writes (a + b) / 2 into the second dimension; the logits are linear in it and quadratic in c
    W_U = np.stack([np.zeros(outputs), 4 * c / 10, -(c**2) / 10])
    zero = np.zeros((1, 1, 3, 3))
    copy = zero.copy()
    copy[0, 0, 0, 0] = 1
    out = zero.copy()
    out[0, 0, 0, 1] = 1.5  # 3/2, since a third of the attention goes to `=`
    weights = {
        "W_E": W_E,
        "W_pos": np.zeros((3, 3)),
        **{"W_Q": zero, "W_K": zero, "W_V": copy, "W_O": out},
        **{"W_in": np.zeros((1, 3, 4)), "W_out": np.zeros((1, 4, 3)), "W_U": W_U},
    }
    _, recognized = read_and_recognize(save(state_dicts.transformer_lens(weights, zeros=False)), Options())
    assert recognized.experiment.task.model_dump(include={"kind", "operands", "outputs"}) == {
        "kind": "integer_addition",
        "operands": 10,
        "outputs": 20,
    }
    assert recognized.agreement["sum"] == 1
    activation = next(finding for finding in recognized.findings if finding.setting == "activation")
    assert activation[1:3] == ("relu", "assumed"), "neurons that are zero decide nothing"
    assert activation.detail.startswith("gelu, silu fit as well")


# What a file says


CONTRADICTIONS = {
    "train loss": (lambda t: {"train_loss": 0.5}, "the file has train loss 0.5"),
    "test loss": (
        lambda t: {"val_loss": 0.5},
        "test loss 0.5; of 90 splits (its seed and fraction and common ones, each with shuffle and randperm), none fits",
    ),
    "losses": (lambda t: {"train_losses": [1.0] * 400}, "the file has train loss 1"),
    "train accuracy": (lambda t: {"train_acc": 60.0}, "train_acc is 0.6 in the file, and we compute 1"),
    "test accuracy": (lambda t: {"history": {"val_acc": [0.1, 0.999]}}, "is 0.999 in the file, and we compute 0.29"),
    "width": (lambda t: {"config": {"d_model": 128}}, "config.d_model is 128 in the file, and its tensors have 32"),
    "neurons": (lambda t: {"config": {"d_mlp": 65}}, "config.d_mlp is 65 in the file, and its tensors have 64"),
    "layers": (lambda t: {"args": {"num_layers": 2}}, "args.num_layers is 2 in the file, and its tensors have 1"),
    "modulus twice": (lambda t: {"p": 13, "config": {"prime": 11}}, "modulus is 13 in p and 11 in config.prime"),
    "split": (
        lambda t: {"config": {"seed": 0, "frac_train": 0.3}, "train_loss": losses_of(t, "train", 400).item()} |
        {"test_loss": 1e-3},
        "none fits better than random splits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_file_that_contradicts_its_weights_is_refused(folder, trained, kind):
    """With --accept-doubtful the network is imported, with the same weights, and says what contradicts it."""
    change, expected = CONTRADICTIONS[kind]
    content = {"model": final_state(trained), "seed": 0, "frac_train": 0.6, "epoch": 399} | change(trained)
    file = save(content)
    with pytest.raises(UserError) as refusal:
        read_and_recognize(file, Options())
    assert expected in str(refusal.value)
    assert "theirs.pth: not imported, because" in str(refusal.value)
    _, doubtful = read_and_recognize(file, Options(accept_doubtful=True))
    assert any(expected in doubt for doubt in doubtful.doubts)
    assert doubtful.experiment.imported.doubts == doubtful.doubts
    np.testing.assert_array_equal(doubtful.weights[-1]["W_U"], trained[0][400]["W_U"])


def test_true_statements_are_accepted_and_listed(folder, trained):
    losses = {split: losses_of(trained, split, 400).item() for split in ("train", "test")}
    config = {"d_model": 32, "n_heads": 2, "d_mlp": 64, "num_layers": 1, "p": PRIME, "act_fn": "ReLU", "use_ln": False}
    content = {"model": final_state(trained), "epoch": 399, "config": config | {"seed": 0, "frac_train": 0.6}}
    content |= {"train_loss": losses["train"], "val_loss": losses["test"], "train_acc": 100.0, "val_acc": 0.29}
    _, recognized = read_and_recognize(save(content), Options())
    assert recognized.doubts == []
    split = next(finding for finding in recognized.findings if finding.setting == "split")
    assert split[1:3] == (f"shuffle:0:0.6, 101 of {PRIME**2} pairs", "inferred")
    assert "confirmed by the file's train loss" in split.detail


def test_split_is_found_among_others_by_the_losses_of_the_file(folder, trained):
    """The file states another fraction and no seed; its losses fit one split only."""
    losses = {split: losses_of(trained, split, 400).item() for split in ("train", "test")}
    content = {"model": final_state(trained), "frac_train": 0.5}
    content |= {"train_loss": losses["train"], "test_loss": losses["test"]}
    _, recognized = read_and_recognize(save(content), Options())
    assert (recognized.split.method, recognized.split.seed, recognized.split.fraction) == ("shuffle", 0, 0.6)


def test_split_without_losses_is_not_confirmed(folder, trained):
    content = {"model": final_state(trained), "seed": 0, "frac_train": 0.6}
    _, recognized = read_and_recognize(save(content), Options())
    assert recognized.split.finding.source == "inferred"
    assert "which nothing confirms (--split)" in recognized.split.finding.detail


def test_doubtful_network_is_marked_everywhere(folder, trained):
    """The command line refuses with status 2; accepted, the cube, `describe`, figures, tables and the explorer say so."""
    doubt = "train_acc is 0.6 in the file, and we compute 1"
    content = {"model": final_state(trained), "epoch": 399, "train_acc": 0.6}
    line = ("import", save(content), "--out", "results/theirs", "--split", SPLIT)
    refused = command(*line, folder=folder)
    assert refused.returncode == 2
    assert doubt in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not Path("results").exists()

    accepted = command(*line, "--accept-doubtful", folder=folder)
    assert accepted.returncode == 0, accepted.stderr
    assert f"DOUBTFUL: {doubt}" in accepted.stdout
    cube = open_cube("theirs").load()
    assert json.loads(cube.attrs["imported"])["doubts"] == [doubt]
    assert f"DOUBTFUL: {doubt}." in command("describe", "theirs", folder=folder).stdout
    assert pack(cube).header["doubts"] == [doubt]
    assert caveats([cube]) == f"DOUBTFUL import of theirs: {doubt}."


def test_certain_network_has_no_marks(folder, trained):
    imported(save(final_state(trained)), split=SPLIT)
    cube = open_cube("theirs").load()
    assert json.loads(cube.attrs["imported"])["doubts"] == []
    assert pack(cube).header["doubts"] == []
    assert caveats([cube]) == ""


def test_table_of_findings_names_the_source_of_each_setting(folder, trained):
    content = {"model": final_state(trained), "epoch": 399, "config": {"act_fn": "relu", "lr": 0.001}, "notes": "n"}
    _, recognized = read_and_recognize(save(content), Options(tokens="a b =", split="none"))
    lines = report(recognized, Path("theirs.pth"))
    rows = {line[2:].split("  ")[0]: line for line in lines[1:]}
    for setting, value, source in (
        ("architecture", "1 layer, d_model 32, 2 heads of d_head 16, 64 neurons; biases: b_in, b_out", "tensors"),
        ("activation", "relu", "file: config.act_fn"),
        ("normalization", "none", "inferred: of 2 designs"),
        ("n", "13 values of a and b", "tensors: 14 tokens, 13 outputs"),
        ("outputs", "13", "tensors"),
        ("tokens", "a b =", "option"),
        ("operation", "a+b", "inferred: agreement with a+b"),
        ("split", "unknown", "option: only measures over all pairs apply"),
        ("epoch", "400", "file: `epoch` 399: e means e + 1 updates"),
        ("learning_rate", "0.001", "file: config.lr"),
        ("not interpreted", "notes", "file"),
    ):
        assert setting in rows, lines
        assert value in rows[setting]
        assert source in rows[setting].partition(value)[2]
    assert "  agreement of the answers with each operation, over all pairs:" in lines
    assert {line.split()[0] for line in lines if line.startswith("    ")} == {"a+b", "a-b", "b-a", "a*b", "a/b"}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("norms", ["no LayerNorm", "LayerNorm", "LayerNorm, folded"])
def test_biases_and_layer_norms_are_computed_as_in_transformer_lens(rng, layers, norms):
    weights = imported_weights(rng, layers, biases=True, norms=norms == "LayerNorm")
    run = imported_run(weights, layer_norm=norms != "no LayerNorm")
    checkpoint = RunContext(run, weights, np.eye(7, dtype=bool)).final
    network = network_of(run, weights)
    a, b = np.indices((7, 7)).reshape(2, -1)
    with torch.no_grad():
        logits, cache = network.run_with_cache(torch.from_numpy(np.stack([a, b, np.full_like(a, 7)], -1)))
    np.testing.assert_allclose(checkpoint.logits, logits[:, -1].numpy(), rtol=1e-3, atol=1e-4)
    first_attention = cache["blocks.0.attn.hook_pattern"].numpy()
    np.testing.assert_allclose(checkpoint.first_attention, first_attention, rtol=1e-3, atol=1e-4)
    last_pre = cache[f"blocks.{layers - 1}.mlp.hook_pre"][:, -1].numpy()
    np.testing.assert_allclose(checkpoint.pre, last_pre, rtol=1e-3, atol=1e-4)
    assert checkpoint.stored is weights


@pytest.mark.parametrize("layer_norm", [False, True])
def test_two_layers_with_biases_are_imported(folder, rng, layer_norm):
    weights = imported_weights(rng, 2, biases=True)
    design = {"activation": "relu", "normalization": "layer_norm" if layer_norm else "none"}
    options = {"split": "shuffle:0:0.5", "operation": "a+b", "model": design}
    with pytest.raises(UserError, match=r"of its answers are those of a\+b"):  # the weights are random
        imported(save(state_dicts.transformer_lens(weights)), **options)
    cube = imported(save(state_dicts.transformer_lens(weights)), **options, accept_doubtful=True)
    network = open_run("theirs").transformer_lens()
    a, b = torch.from_numpy(np.indices((7, 7)).reshape(2, -1))
    with torch.no_grad():
        logits = network(torch.stack([a, b, torch.full_like(a, 7)], -1))[:, -1].double()
    losses = torch.nn.functional.cross_entropy(logits, (a + b) % 7, reduction="none").numpy()
    train = train_order("shuffle", 0, 7)[: int(0.5 * 49)]
    assert cube.train_loss.item() == pytest.approx(losses[train].mean(), rel=1e-4)
    assert {"neuron_frequency", "gini_W_L", "maximal_excluded_loss"} <= set(cube.data_vars)
    assert ("intervention_loss" in cube) == (not layer_norm), "with a LayerNorm the logits are not a sum of parts"
    assert "attention_score_token" not in cube


def test_fast_path_includes_attention_biases_exactly(rng):
    """Moving attention's biases into other tensors does not change the computation at `=`."""
    weights = imported_weights(rng, 1, biases=True)
    run = imported_run(weights)
    native = native_weights(weights, run)
    assert not {"b_Q", "b_K", "b_V", "b_O"} & set(native)
    a, b = np.indices((7, 7)).reshape(2, -1)
    tokens = torch.from_numpy(run.task.token_layout.sequences(a, b))
    hook = "blocks.0.mlp.hook_post"
    (before, (neurons_before,)), (after, (neurons_after,)) = (
        logits_and_activations({k: torch.from_numpy(w)[None] for k, w in w.items()}, tokens, 2, Design(), [hook])
        for w in (weights, native)
    )
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(neurons_after, neurons_before, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def normalizing():
    """Weights of a small network with LayerNorms that has learned a + b mod 7."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    weights = {
        name: torch.from_numpy(w / 2).requires_grad_() for name, w in imported_weights(rng, 1, biases=False).items()
    }
    a, b = torch.from_numpy(np.indices((7, 7)).reshape(2, -1))
    tokens, labels = torch.stack([a, b, torch.full_like(a, 7)], -1), (a + b) % 7
    optimizer = torch.optim.AdamW(weights.values(), lr=0.01, weight_decay=0.0)
    for _ in range(200):
        logits = forward(
            {name: w[None] for name, w in weights.items()},
            tokens,
            design=Design(normalization="layer_norm", final_norm=True),
        )[0, :, -1]
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    return {name: w.detach().numpy() for name, w in weights.items()}


def test_folded_layer_norms_are_recognized_from_the_answers(folder, normalizing):
    cube = imported(save(state_dicts.transformer_lens(normalizing, zeros=False)), split="shuffle:0:0.5")
    experiment = load_experiment("theirs")
    assert (experiment.model.normalization, experiment.model.norm_weights) == ("layer_norm", False)
    assert any(line.startswith("normalization layer_norm (inferred") for line in experiment.imported.recognized)
    assert cube.test_accuracy.item() == 1
    assert {"restricted_loss", "neuron_frequency", "gini_W_L"} <= set(cube.data_vars)
    assert "attention_score_token" not in cube, (
        "scores by token have no meaning if the residual stream is normalized first"
    )
    assert {"ln1_w"}.isdisjoint(cube.parameter.values)
    network = open_run("theirs").transformer_lens()
    with torch.no_grad():
        logits = network(torch.tensor([[2, 3, 7]]))[0, -1]
    assert logits.argmax() == 5


def test_layer_norms_with_weights_are_folded(folder, normalizing, rng):
    """LayerNorm weights, and dividing the following matrices by them, do not change the function."""
    scale = {name: rng.uniform(0.5, 2, 16) for name in ("ln1", "ln2", "ln_final")}
    unfolded = {name: w.copy() for name, w in normalizing.items()}
    for name in ("W_Q", "W_K", "W_V"):
        unfolded[name] /= scale["ln1"][None, None, :, None]
    unfolded["W_in"] /= scale["ln2"][None, :, None]
    unfolded["W_U"] /= scale["ln_final"][:, None]
    state = state_dicts.transformer_lens(unfolded, zeros=False)
    state |= {f"blocks.0.{name}.w": torch.from_numpy(scale[name]) for name in ("ln1", "ln2")}
    state |= {f"blocks.0.{name}.b": torch.zeros(16) for name in ("ln1", "ln2")}
    state |= {"ln_final.w": torch.from_numpy(scale["ln_final"]), "ln_final.b": torch.zeros(16)}
    with_weights = imported(save(state), split="shuffle:0:0.5")
    folded = imported(save(state_dicts.transformer_lens(normalizing, zeros=False)), split="shuffle:0:0.5")
    assert with_weights.test_loss.item() == pytest.approx(folded.test_loss.item(), rel=1e-9)
    assert "ln1_w" in with_weights.parameter.values


def test_sums_of_squares_are_of_the_trained_tensors(folder, trained):
    """The attention biases count, although no other measure depends on b_K."""
    weights = trained[0][400]
    state = state_dicts.transformer_lens(weights)
    state["blocks.0.attn.b_K"] = torch.ones(2, 16)
    cube = imported(save(state), split=SPLIT)
    original = sum(float(np.square(w.astype(np.float64)).sum()) for w in weights.values())
    assert cube.sum_of_squared_weights.item() == pytest.approx(original + 32, rel=1e-12)
    by_parameter = cube.sum_of_squared_weights_by_parameter.isel(epoch=0)
    assert by_parameter.sel(parameter="b_K").item() == 32
    assert cube.test_loss.item() == pytest.approx(trained[1].test_loss.sel(epoch=400).item(), rel=1e-4)


def test_outputs_that_are_no_answers_count_in_the_softmax(folder, trained):
    """As in the authors' networks, `=` has an output."""
    weights = trained[0][400]
    extra = 0.95 * weights["W_U"][:, :1]
    state = state_dicts.authors(weights | {"W_U": np.concatenate([weights["W_U"], extra], 1)})
    file = save(state)
    _, recognized = read_and_recognize(file, Options(split=SPLIT))
    outputs = next(finding for finding in recognized.findings if finding.setting == "outputs")
    assert outputs[1:3] == ("14, of which the first 13 are answers", "tensors")
    assert recognized.experiment.task.outputs == 14
    cube = imported(file, split=SPLIT)

    checkpoint = RunContext(recognized.experiment.runs("theirs")[0], recognized.weights[-1], None).final
    with pytest.MonkeyPatch.context() as patch:  # the logits of the 13 answers, from the run of this project
        patch.chdir(trained[2])
        theirs = open_run("small").checkpoint(400)
    assert checkpoint.logits.shape == (PRIME**2, PRIME + 1)
    np.testing.assert_allclose(checkpoint.logits[:, :PRIME], theirs.logits, rtol=1e-3, atol=1e-3)
    last = 0.95 * theirs.logits[:, :1]
    np.testing.assert_allclose(checkpoint.logits[:, PRIME:], last, rtol=1e-3, atol=1e-3)
    logits = torch.from_numpy(np.concatenate([theirs.logits, last], 1)).double()
    a, b = torch.from_numpy(np.indices((PRIME, PRIME)).reshape(2, -1))
    losses = torch.nn.functional.cross_entropy(logits, (a + b) % PRIME, reduction="none").numpy()
    test = np.ones(PRIME**2, dtype=bool)
    test[train_order("shuffle", 0, PRIME)[: int(0.6 * PRIME**2)]] = False
    assert cube.test_loss.item() == pytest.approx(losses[test].mean(), rel=1e-4)
    assert abs(losses[test].mean() / trained[1].test_loss.sel(epoch=400).item() - 1) > 1e-3
    by_parameter = cube.sum_of_squared_weights_by_parameter.isel(epoch=0).sel(parameter="W_U").item()
    assert by_parameter == pytest.approx(np.square(weights["W_U"]).sum() + np.square(extra).sum(), rel=1e-6)


# Mapping files


class Encoder(torch.nn.Module):
    """A transformer of torch.nn on numbers 0 to 6, with positions that are learned, sinusoidal or absent."""

    def __init__(self, activation, norm_first, causal, tokens, positions="learned", read=-1):
        super().__init__()
        length, width = len(tokens(torch.tensor(0), torch.tensor(0))), 32
        self.tokens, self.read = tokens, read
        self.embed = torch.nn.Embedding(10, width)
        position, i = torch.arange(length)[:, None], torch.arange(0, width, 2)
        angle = position / 10_000 ** (i / width)
        waves = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[None]
        self.positions = {"sinusoidal": waves, "none": torch.zeros(1, length, width)}.get(positions)
        if positions == "learned":
            self.positions = torch.nn.Parameter(torch.randn(1, length, width) / 5)
        layer = torch.nn.TransformerEncoderLayer(
            width, 4, 64, dropout=0, activation=activation, norm_first=norm_first, batch_first=True
        )
        self.encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = torch.nn.Linear(width, 7)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(length)
        self.mask = mask if causal else torch.zeros_like(mask)

    def forward(self, a, b):
        x = self.embed(torch.stack(self.tokens(a, b), -1)) + self.positions.to(self.embed.weight.dtype)
        return self.head(self.encoder(x, mask=self.mask.to(x.dtype))[:, self.read])


ENCODER_NAMES = """\
W_E: [embed.weight, token d_model]
W_Q: ["encoder.layers.{layer}.self_attn.in_proj_weight", (qkv head d_head) d_model]
W_K: ["encoder.layers.{layer}.self_attn.in_proj_weight", (qkv head d_head) d_model]
W_V: ["encoder.layers.{layer}.self_attn.in_proj_weight", (qkv head d_head) d_model]
b_Q: ["encoder.layers.{layer}.self_attn.in_proj_bias", (qkv head d_head)]
b_K: ["encoder.layers.{layer}.self_attn.in_proj_bias", (qkv head d_head)]
b_V: ["encoder.layers.{layer}.self_attn.in_proj_bias", (qkv head d_head)]
W_O: ["encoder.layers.{layer}.self_attn.out_proj.weight", d_model (head d_head)]
b_O: ["encoder.layers.{layer}.self_attn.out_proj.bias", d_model]
W_in: ["encoder.layers.{layer}.linear1.weight", neuron d_model]
b_in: ["encoder.layers.{layer}.linear1.bias", neuron]
W_out: ["encoder.layers.{layer}.linear2.weight", d_model neuron]
b_out: ["encoder.layers.{layer}.linear2.bias", d_model]
ln1_w: ["encoder.layers.{layer}.norm1.weight", d_model]
ln1_b: ["encoder.layers.{layer}.norm1.bias", d_model]
ln2_w: ["encoder.layers.{layer}.norm2.weight", d_model]
ln2_b: ["encoder.layers.{layer}.norm2.bias", d_model]
W_U: [head.weight, output d_model]
b_U: [head.bias, output]
"""
UNIT_AXIS = "W_pos: [positions, 1 position d_model]\n"
FIXED = torch.full((), 7)
ENCODERS = {
    "post-LayerNorm, GELU, no mask, a 7 b 8 read at b": (
        lambda: Encoder("gelu", False, False, lambda a, b: [a, FIXED.expand_as(a), b, FIXED.expand_as(b) + 1], read=2),
        UNIT_AXIS + "activation: gelu\nnorm_after: true\ncausal: false\ntokens: a 7 b 8\nread: 2\n",
    ),
    "pre-LayerNorm without a final norm, numbers from 1": (
        lambda: Encoder("relu", True, True, lambda a, b: [torch.zeros_like(a), a + 1, b + 1]),
        UNIT_AXIS + "activation: relu\nnormalization: layer_norm\nfinal_norm: false\ntokens: 0 a+1 b+1\n",
    ),
    "sinusoidal positions": (
        lambda: Encoder("relu", True, True, lambda a, b: [a, b, FIXED.expand_as(a)], "sinusoidal"),
        "model: {positions: sinusoidal, activation: relu, norm_after: false}\ntokens: a b =\n",
    ),
    "no positions": (
        lambda: Encoder("relu", False, True, lambda a, b: [a, b], "none"),
        "model:\n  positions: none\n  norm_after: true\n  activation: relu\ntokens: a b\n",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def encoders():
    """Encoders that have learned a + b mod 7 on all pairs, in float64."""
    trained = {}
    a, b = torch.from_numpy(np.indices((7, 7)).reshape(2, -1))
    for name, (build, _) in ENCODERS.items():
        torch.manual_seed(0)
        network = build()
        optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0.0)
        for _ in range(300):
            loss = torch.nn.functional.cross_entropy(network(a, b), (a + b) % 7)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss < 0.05, name
        trained[name] = network.double().eval()
    return trained


@pytest.mark.parametrize("case", ENCODERS)
def test_mapping_file_states_the_design(folder, encoders, case):
    """The imported network computes the logits of torch.nn, and the table says that the mapping file states its design."""
    network, settings = encoders[case], ENCODERS[case][1]
    Path("names.yaml").write_text(ENCODER_NAMES + settings)
    _, recognized = read_and_recognize(save(network.state_dict()), Options(mapping_file=Path("names.yaml")))
    a, b = torch.from_numpy(np.indices((7, 7)).reshape(2, -1))
    with torch.no_grad():
        expected = network(a, b).numpy()
    (run,) = recognized.experiment.runs("theirs")
    logits = RunContext(run, recognized.weights[-1], None).final.logits
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6)
    assert recognized.agreement["a+b"] == 1
    content = yaml.safe_load(settings)
    stated = set(content | content.get("model", {})) & {*Format(Path("names.yaml")).settings} - {"read"}
    sources = {finding.setting: finding.source for finding in recognized.findings}
    assert stated
    assert {sources[setting] for setting in stated} == {"mapping file"}


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("post-LayerNorm, GELU, no mask, a 7 b 8 read at b", "tokens: a 7 b 8\nread: 2\n"),
        ("post-LayerNorm, GELU, no mask, a 7 b 8 read at b", "read: 2\n"),
        ("pre-LayerNorm without a final norm, numbers from 1", "tokens: 0 a+1 b+1\n"),
    ],
)
def test_network_of_an_unstated_design_is_refused(folder, encoders, case, line):
    settings = ENCODERS[case][1]
    assert line in settings
    Path("names.yaml").write_text(ENCODER_NAMES + settings.replace(line, ""))
    with pytest.raises(UserError, match=r"follow no operation on half of the pairs|expected|State"):
        read_and_recognize(save(encoders[case].state_dict()), Options(mapping_file=Path("names.yaml")))


def test_place_of_norms_that_nothing_states_is_not_assumed(folder, encoders):
    """Without a final norm, norms may precede or follow attention and MLP."""
    case = "post-LayerNorm, GELU, no mask, a 7 b 8 read at b"
    Path("names.yaml").write_text(ENCODER_NAMES + ENCODERS[case][1].replace("norm_after: true\n", ""))
    with pytest.raises(UserError, match="norm_after=true"):
        read_and_recognize(
            save(encoders[case].state_dict()), Options(mapping_file=Path("names.yaml"), accept_doubtful=True)
        )


def test_options_count_more_than_a_mapping_file(folder, encoders):
    case = "sinusoidal positions"
    Path("names.yaml").write_text(
        ENCODER_NAMES + "model: {positions: rotary, activation: gelu, norm_after: false}\ntokens: a b\n"
    )
    options = Options(
        mapping_file=Path("names.yaml"),
        tokens="a b =",
        model={"positions": "sinusoidal", "activation": "relu"},
        heads=4,
        accept_doubtful=True,
    )
    _, recognized = read_and_recognize(save(encoders[case].state_dict()), options)
    assert recognized.agreement["a+b"] == 1
    sources = {finding.setting: finding[1:3] for finding in recognized.findings}
    assert sources["positions"] == ("sinusoidal", "option")
    assert sources["activation"] == ("relu", "option")
    assert sources["tokens"] == ("a b =", "option")
    assert len(recognized.doubts) == 2  # the mapping file states other positions and another activation


def test_mapping_file_states_the_attention_scale(folder, trained):
    """Scores with W_Q / 3 and the scale 3/4 are those with W_Q and the scale 1/√16."""
    state = state_dicts.nanogpt(trained[0][400])
    state["h.0.attn.in_proj"] = state["h.0.attn.in_proj"].clone()
    state["h.0.attn.in_proj"][:32] /= 3
    file = save(state)
    Path("names.yaml").write_text(state_dicts.NANOGPT_NAMES + "attention_scale: 0.75\n")
    cube = imported(file, mapping_file=Path("names.yaml"), split=SPLIT, heads=2)
    assert cube.attention_scale.item() == 0.75
    original = trained[1].test_loss.sel(epoch=400).item()
    assert cube.test_loss.item() == pytest.approx(original, rel=1e-4)
    Path("names.yaml").write_text(state_dicts.NANOGPT_NAMES)
    try:
        other = imported(file, mapping_file=Path("names.yaml"), split=SPLIT, heads=2).test_loss.item()
    except UserError:
        return
    assert abs(other / original - 1) > 1e-2


MLP_NAMES = """\
W_in: [first.weight, neuron input]
b_in: [first.bias, neuron]
W_out: [last.weight, output neuron]
b_out: [last.bias, output]
"""


@pytest.mark.parametrize("mlp_input", ["one_hot", "concatenated", "summed"])
def test_mapping_file_states_what_an_mlp_reads(folder, mlp_input):
    torch.manual_seed(0)
    a, b = torch.from_numpy(np.indices((7, 7)).reshape(2, -1))
    embed = torch.nn.Embedding(7, 7 if mlp_input == "one_hot" else 24)
    if mlp_input == "one_hot":
        embed.weight = torch.nn.Parameter(torch.eye(7), requires_grad=False)
    first = torch.nn.Linear(embed.embedding_dim * (1 if mlp_input == "summed" else 2), 64)
    last = torch.nn.Linear(64, 7)

    def network(a, b):
        pair = torch.stack([embed(a), embed(b)], 1)
        return last(first(pair.sum(1) if mlp_input == "summed" else pair.flatten(1)) ** 2)

    parameters = [p for module in (embed, first, last) for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0)
    for _ in range(400):
        loss = torch.nn.functional.cross_entropy(network(a, b), (a + b) % 7)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    state = {f"{name}.{key}": t for name, m in (("first", first), ("last", last)) for key, t in m.state_dict().items()}
    names = MLP_NAMES + f"activation: square\nmlp_input: {mlp_input}\n"
    if mlp_input != "one_hot":
        state["embed.weight"], names = embed.weight.detach(), names + "W_E: [embed.weight, token d_model]\n"
    Path("names.yaml").write_text(names)
    _, recognized = read_and_recognize(save(state), Options(mapping_file=Path("names.yaml")))
    (run,) = recognized.experiment.runs("theirs")
    double = {name: w.astype(np.float64) for name, w in recognized.weights[-1].items()}
    with torch.no_grad():
        expected = network(a, b).numpy()
    np.testing.assert_allclose(RunContext(run, double, None).final.logits, expected, rtol=1e-4, atol=1e-4)
    assert recognized.agreement["a+b"] == 1
    cube = imported("theirs.pth", mapping_file=Path("names.yaml"), split="shuffle:0:0.5")
    assert cube.mlp_input.item() == mlp_input
    assert cube.test_accuracy.item() == 1
    assert "mean_attention" not in cube


# Errors


def running(command):
    """Return an object that runs Python code when it is unpickled."""

    class Running:
        def __reduce__(self):
            return (exec, (command,))

    return Running()


def bad_file(trained, kind):
    """Write a bad file and return its path."""
    state = final_state(trained)
    path = Path("theirs.pth")
    if kind == "truncated":
        save(state)
        path.write_bytes(path.read_bytes()[:20_000])
    elif kind == "damaged":
        save(state)
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda info: info.file_size)
        content = bytearray(path.read_bytes())
        content[largest.header_offset + 2000] ^= 255
        path.write_bytes(bytes(content))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("These are not the weights that you are looking for.")
    elif kind == "code":
        save(state | {"notes": running("open('code-ran', 'w')")})
    elif kind == "code, old format":
        torch.save({"model": state, "x": running("open('code-ran', 'w')")}, path, _use_new_zipfile_serialization=False)
    elif kind == "code, bare pickle":
        path.write_bytes(pickle.dumps(running("open('code-ran', 'w')")))
    elif kind == "pickled module":
        save(torch.nn.Linear(2, 2))
    elif kind == "wrong shape":
        save(state | {"blocks.0.mlp.W_out": torch.zeros(63, 32)})
    elif kind == "wrong number of axes":
        save(state | {"blocks.0.attn.W_O": torch.zeros(32, 32)})
    elif kind == "missing":
        del state["blocks.0.attn.W_O"]
        save(state)
    elif kind == "NaN":
        state["unembed.W_U"] = state["unembed.W_U"].clone()
        state["unembed.W_U"][0, :3] = torch.nan
        save(state)
    elif kind == "integers":
        save(state | {"embed.W_E": torch.zeros(14, 32, dtype=torch.int64)})
    elif kind == "no network":
        save({"weights": {"a": 1}, "lr": 2})
    elif kind == "unknown names":
        save({f"layer{i}": torch.zeros(2) for i in range(3)})
    elif kind == "list":
        save([1, 2])
    elif kind == "epochs":
        content = notebook_content(trained)
        save(content | {"checkpoint_epochs": [399, 199]})
    elif kind == "different checkpoints":
        content = notebook_content(trained)
        content["checkpoints"][0] = dict(content["checkpoints"][0]) | {"unembed.W_U": torch.zeros(32, 12)}
        save(content)
    elif kind == "two positions":
        save(state | {"pos_embed.W_pos": torch.zeros(2, 32)})
    elif kind == "few outputs":
        save(state | {"unembed.W_U": torch.zeros(32, 5), "unembed.b_U": torch.zeros(5)})
    return path


REFUSED = {
    "truncated": "cannot be read: it is truncated, damaged",
    "damaged": "fails its checksum",
    "empty": "cannot be read: it is truncated, damaged",
    "text": "cannot be read: it is truncated, damaged",
    "code": "contains code: loading it would run `__builtin__.exec`. Nothing in it was run",
    "code, old format": "loading it would run `__builtin__.exec`. Nothing in it was run",
    "code, bare pickle": "loading it would run `builtins.exec`. Nothing in it was run",
    "pickled module": "loading it would run `torch.nn.modules.linear.Linear`",
    "wrong shape": "blocks.0.mlp.W_out has shape (63, 32), expected [neuron = 64, as in blocks.0.mlp.W_in; d_model = 32",
    "wrong number of axes": "blocks.0.attn.W_O has shape (32, 32), expected [head = 2",
    "missing": "missing tensors: blocks.0.attn.W_O",
    "NaN": "unembed.W_U has 3 values that are not finite",
    "integers": "embed.W_E has dtype int64; expected floating-point numbers",
    "no network": "found a dictionary with the keys weights, lr, but no network",
    "unknown names": "the tensor names do not match any known format: layer0, layer1, layer2. For other names",
    "list": "found a list, but no network",
    "epochs": "`checkpoint_epochs`: expected 2 ascending numbers",
    "different checkpoints": "checkpoint 1 of 2: tensor unembed.W_U has shape (32, 12); expected (32, 13), as in the last",
    "two positions": "the network has two positions, too few for the layout `a b =`. State the layout, such as --tokens",
    "few outputs": "not imported, because its answers follow no operation on half of the pairs or more (tried with 6 designs)",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_files_are_errors(folder, trained, kind):
    with pytest.raises(UserError) as refusal:
        import_network(bad_file(trained, kind), Path("results/theirs"), Options())
    assert REFUSED[kind] in str(refusal.value)
    assert str(refusal.value).count("\n") == 0
    assert not Path("code-ran").exists()
    assert not Path("results/theirs").exists()


@pytest.mark.parametrize("kind", ["truncated", "code", "NaN", "missing"])
def test_command_line_prints_one_message_for_a_bad_file(folder, trained, kind):
    done = command("import", bad_file(trained, kind), "--out", "results/theirs", folder=folder)
    assert done.returncode == 2
    assert REFUSED[kind] in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(folder.glob("results/*")) + list(folder.glob("code-ran"))


OPTIONS = {
    "split": ({"split": "shuffled"}, "--split shuffled: expected `shuffle:SEED:FRACTION`"),
    "fraction": ({"split": "shuffle:1:1.5"}, "FRACTION lies between 0 and 1"),
    "operation": ({"operation": "a**b"}, "Expected a+b, a-b, b-a, a*b, a/b, sum, s5, an expression of a and b such as"),
    "code": ({"operation": "__import__('os')"}, "--operation __import__('os')"),
    "s5": ({"operation": "s5"}, "--operation s5: this operation has 120 operand values; the network has 13"),
    "modulus": ({"modulus": 14}, "needs 15 tokens; the network has 14"),
    "smaller modulus": ({"modulus": 11}, "follow no operation on half of the pairs"),
    "tokens": ({"tokens": "a plus b"}, "--tokens 'a plus b'"),
    "large token": ({"tokens": "a 999999 b"}, "N and a token's number are at most 100,000"),
    "many tokens": ({"tokens": "a 13 b 13"}, "--tokens 'a 13 b 13' has 4 positions; the network has 3"),
    "read": ({"read": 3}, "--read 3: expected `last` or a position from 0 to 2"),
    "sum": ({"operation": "sum"}, "--operation sum: "),
    "heads": ({"heads": 3}, "expected [head = 3"),
    "activation": ({"model": {"activation": "square"}}, "not imported"),
    "map": ({"mapping_file": Path("names.yaml")}, "names.yaml: there is no such file"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_that_do_not_fit_are_errors(folder, trained, option):
    options, expected = OPTIONS[option]
    with pytest.raises(UserError) as refusal:
        import_network(save(state_dicts.transformer_lens(trained[0][400])), Path("results/theirs"), Options(**options))
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("--model", "activation=[", "--model activation=[: the value of activation is not valid YAML"),
        ("--read", "²", "--read ²: expected `last`, or the index of a position from 0"),
    ],
)
def test_option_that_cannot_be_parsed_is_named(folder, trained, argument, value, message):
    file = save(state_dicts.transformer_lens(trained[0][400]))
    done = command("import", str(file), "--out", "results/theirs", argument, value, folder=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


MAPPING_MISTAKES = {
    "not YAML": (": [", "is not valid YAML"),
    "no mapping": ("- a", "expected lines such as"),
    "unknown tensor": ("W_e: [a, token d_model]", "W_e: unknown tensor or setting; did you mean W_E?"),
    "unknown setting": ("activaton: gelu", "activaton: unknown tensor or setting; expected one of W_E"),
    "activation": ("activation: swish2", "activation: Input should be 'relu', 'gelu'"),
    "normalization": ("normalization: batch", "normalization: Input should be 'none', 'layer_norm'"),
    "norm_after": ("norm_after: perhaps", "norm_after: Input should be a valid boolean"),
    "attention_scale": ("attention_scale: -1", "attention_scale: Input should be greater than 0"),
    "causal": ("model: {causal: 7}", "causal: Input should be a valid boolean"),
    "positions": ("positions: relative", "positions: Input should be 'learned'"),
    "mlp_input": ("mlp_input: multiplied", "mlp_input: Input should be"),
    "tokens": ("tokens: a plus b", "tokens: 'plus' is no token"),
    "read": ("read: first", "read: expected `last` or a position"),
    "setting of the tensors": ("model: {d_mlp: 5}", "model.d_mlp: expected one of tokens, read, mlp_input"),
    "unit axis": ("W_pos: [a, 2 position d_model]", "W_pos: expected the axes d_model position"),
    "no axes": ("W_E: embed", "W_E: expected [name, axes]"),
    "wrong axes": ("W_E: [embed, token head]", "W_E: expected the axes d_model token"),
    "incomplete": ("W_E: [embed, token d_model]", "entries are missing for W_Q, W_K, W_V, W_O"),
}


@pytest.mark.parametrize("mistake", MAPPING_MISTAKES)
def test_mistakes_in_a_mapping_file_are_named(tmp_path, mistake):
    text, expected = MAPPING_MISTAKES[mistake]
    (tmp_path / "names.yaml").write_text(text)
    with pytest.raises(UserError) as refusal:
        Format(tmp_path / "names.yaml")
    assert expected in str(refusal.value)
    assert "names.yaml" in str(refusal.value)


def test_known_formats_are_complete():
    assert {format.name for format in formats()} == {
        "authors",
        "progress_measures",
        "transformer_lens",
        "transformer_lens_4",
        "transformer_lens_4_parameters",
        "transformer_lens_gated",
    }
    for format in formats():
        assert format.title


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("results/mine", "mine.yaml is an experiment of that name"),
        ("results/taken", "exists and was not written by an import"),
        ("results/My Network", "with a name of lower-case letters"),
        ("results/figures", "with a name of lower-case letters"),
    ],
)
def test_invalid_and_used_names_are_errors(folder, out, expected):
    for path in ("config/experiments/mine.yaml", "results/taken/notes.txt"):
        Path(path).parent.mkdir(parents=True)
        Path(path).touch()
    with pytest.raises(UserError, match=expected):
        import_network(Path("theirs.pth"), Path(out), Options())
    assert Path("results/taken/notes.txt").exists()


def test_import_replaces_an_earlier_import(folder, trained):
    assert imported(save(state_dicts.authors(trained[0][400])), split=SPLIT).epoch.values.tolist() == [0]
    assert imported(save(state_dicts.authors(trained[0][400])), split=SPLIT, epoch=400).epoch.values.tolist() == [400]
    assert not list(Path("results").glob(".*import*"))
    elsewhere = Path("elsewhere/theirs")
    import_network(Path("theirs.pth"), elsewhere, Options())
    assert open_cube(elsewhere / "cube.zarr").sizes["run"] == 1


@pytest.mark.parametrize("kind", ["LayerNorms", "attention biases", "outputs"])
def test_import_of_an_earlier_version_has_to_be_repeated(folder, trained, rng, kind):
    """Earlier versions did not declare LayerNorms, biases and outputs that are no answers, so nothing is computed from them."""
    cube = imported(save(final_state(trained)), split=SPLIT)
    path, store = Path("results/theirs/experiment.yaml"), Path("results/theirs/runs/imported/checkpoints.zarr")
    if kind == "LayerNorms":
        content = yaml.safe_load(path.read_text())
        content["imported"]["layer_norm"] = True
        path.write_text(yaml.safe_dump(content))
    else:
        weights = xr.open_zarr(store, consolidated=False).load()
        if kind == "outputs":
            weights = weights.drop_vars("W_U").assign(W_U=weights.W_U.pad(output=(0, 1)).fillna(0))
        else:
            weights["b_K"] = ("epoch", "layer", "head", "d_head"), np.zeros((1, 1, 2, 16), np.float32)
            weights.attrs["parameters"] += " b_K"
        shutil.rmtree(store)
        write_store(weights.drop_encoding(), store)
    message = r"theirs was imported by an earlier version, which did not record its .* again from theirs.pth"
    for use in (lambda: open_run("theirs").transformer_lens(), lambda: open_run("theirs").checkpoint()):
        with pytest.raises(UserError, match=message):
            use()
    done = command("measure", "theirs", "--family", "losses", folder=folder)
    assert done.returncode == 2
    assert "was imported by an earlier version" in done.stderr
    assert "Traceback" not in done.stderr
    assert open_cube("theirs").test_loss.item() == cube.test_loss.item(), "its cube remains readable"
    assert imported("theirs.pth", split=SPLIT).test_loss.item() == cube.test_loss.item()
    assert open_run("theirs").checkpoint()


# Export and import


@pytest.mark.parametrize("format", ["transformer-lens", "transformer-lens-4"])
def test_measures_are_identical_after_export_and_import(results, folder, format):
    out = folder / "exported.pth"
    done = command("export", "small", "--run", "seed0", "--format", format, "--to", out, folder=results)
    assert done.returncode == 0, done.stderr
    cube = imported(out, precision="float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(results)
        original = open_cube("small").load().sel(run="seed0")
    assert cube.epoch.values.tolist() == original.epoch.values.tolist()
    measured = [
        name for name in original.data_vars if "run" not in original[name].dims and not name.startswith("history_")
    ]
    assert len(measured) > 80
    for name in measured:
        np.testing.assert_array_equal(cube[name], original[name], err_msg=name)
    # these losses were recorded in float32
    for name in ("history_train_loss", "history_test_loss", "history_train_loss_max"):
        np.testing.assert_allclose(cube[name], original[name], rtol=1e-5, err_msg=name)


def test_imported_network_is_unchanged_by_export_and_import(folder, trained):
    first = imported(save(state_dicts.authors(trained[0][400])), split=SPLIT, epoch=400)
    assert command("export", "theirs", folder=folder).returncode == 0
    again = imported("results/theirs/imported.pth")
    for name in first.data_vars:
        np.testing.assert_array_equal(again[name], first[name], err_msg=str(name))


def test_unknown_losses_are_not_exported(folder, trained):
    imported(save(state_dicts.authors(trained[0][400])), split=SPLIT, epoch=400)
    assert command("export", "theirs", folder=folder).returncode == 0
    file = torch.load("results/theirs/imported.pth")
    assert file["train_updates"].tolist() == file["test_updates"].tolist() == [400]
    assert len(file["train_losses"]) == len(file["test_losses"]) == 1
    assert torch.isfinite(file["train_losses"]).all()


def test_exported_losses_are_those_of_training(results, folder):
    assert command("export", "small", "--to", folder / "exported.pth", folder=results).returncode == 0
    file = torch.load("exported.pth")
    assert file["train_updates"].tolist() == list(range(401))
    assert torch.isfinite(file["train_losses"]).all()


@pytest.mark.parametrize("epoch", [None, 400])
def test_one_checkpoint_does_not_say_when_it_generalized(folder, epoch):
    weights = solving_weights(pair_run("modular_addition"), np.random.default_rng(5), scale=4)
    cube = imported(save(state_dicts.authors(weights)), split=SPLIT, epoch=epoch)
    assert cube.test_loss.item() < 1e-2
    assert np.isnan(cube.grok_time)
    words = describe(open_cube("theirs"))
    assert "It generalizes, from an epoch that is not known" in words
    assert f"the condition is met from the first known epoch on, {epoch or 0}" in words
    assert "stays" not in words


def test_one_epoch_can_be_exported(results, folder):
    done = command("export", "small", "--epoch", "200", "--to", folder / "one.pth", folder=results)
    assert done.returncode == 0, done.stderr
    assert imported("one.pth").epoch.values.tolist() == [200]
    wrong = command("export", "small", "--epoch", "7", folder=results)
    assert wrong.returncode == 2
    assert "No weights of small/seed0 at epoch 7; there are: 0, 20, 40" in wrong.stderr


# The published network

PUBLISHED_VALUES = {
    "train_loss": 9.202424e-9,
    "test_loss": 4.988379e-7,
    "restricted_loss_train": 2.092425e-9,
    "restricted_loss_test": 2.247700e-9,
    "restricted_loss": 2.201126e-9,
    "excluded_loss": 8.385370,
    "sum_of_squared_weights": 1180.96572,
    "gini_W_E": 0.538591,
    "gini_W_L": 0.757612,
    "cosine_residual": 0.158840,
    "logit_fraction_explained_directions": 0.978015,
    "logit_fraction_explained_cosines": 0.974770,
    "key_blocks_only_loss": 4.12e-9,
}
# by key frequency: cluster size, excluded loss, cosine coefficient
KEYS = {6: (47, 0.0292582, 7962.942), 23: (31, 1.1757794, 26586.029), 37: (65, 4.356573e-4, 5779.603)}
KEYS |= {39: (11, 6.547721e-5, 4289.791), 41: (31, 2.608081e-4, 5153.483)}


@needs_published_network
def test_command_line_imports_the_published_network(folder):
    done = command("import", PUBLISHED_NETWORK, "--out", "results/published", folder=folder)
    assert done.returncode == 0, done.stderr
    for line in (
        "114, of which the first 113 are answers",
        "inferred: agreement with a+b 100.00%, a-b 0.88%",
        "shuffle:1:0.3, 3830 of 12769 pairs",
        "fits the file's train loss 9.203e-09 and test loss 4.992e-07, as random splits do, so nothing confirms it",
        "weight_decay is 0.1 in optimizer.param_groups.0.weight_decay and 1 in config.weight_decay; the first is used",
        "ignored, since this format does not use them: blocks.0.attn.mask",
    ):
        assert line in done.stdout
    cube = open_cube("published").sel(run="imported").isel(epoch=0).load()
    assert cube.epoch == 107_791, "one update after the last loss"
    for name, value in PUBLISHED_VALUES.items():
        assert cube[name].item() == pytest.approx(value, rel=1e-4 if value != 4.12e-9 else 2e-3), name
    assert cube.frequency[cube.key_frequency].values.tolist() == list(KEYS)
    for k, (size, excluded, coefficient) in KEYS.items():
        at_frequency = cube.sel(frequency=k)
        assert at_frequency.cluster_size == size
        assert at_frequency.excluded_loss_by_frequency.item() == pytest.approx(excluded, rel=1e-4)
        assert at_frequency.cosine_coefficient.item() == pytest.approx(coefficient, rel=1e-4)
    assert cube.grok_time.item() == pytest.approx(98_700, rel=1e-2), (
        "the grokking time is computed from the losses in the file"
    )


# This project's networks in TransformerLens


def test_run_of_this_project_computes_the_same_in_transformer_lens():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run = open_run("mainline", run=0)
        network, checkpoint = run.transformer_lens(epoch=4300), run.checkpoint(4300)
        with pytest.raises(UserError, match="at epoch 9400; there are: 200, 1000, 3300, 4300, 4900, 6900, 40000"):
            run.transformer_lens(epoch=9400)
        cube = open_cube("mainline", published=True).sel(run="seed0", epoch=4300)
    a, b = np.indices((113, 113)).reshape(2, -1)
    with torch.no_grad():
        logits, cache = network.run_with_cache(torch.from_numpy(np.stack([a, b, np.full_like(a, 113)], -1)))
    np.testing.assert_allclose(logits[:, -1], checkpoint.logits, atol=2e-4)
    np.testing.assert_allclose(cache["blocks.0.mlp.hook_post"][:, -1], checkpoint.post, atol=1e-4)
    from progress_measures.measures.losses import excluded_loss

    assert excluded_loss(checkpoint) == pytest.approx(cube.excluded_loss.item(), rel=1e-5)


def test_networks_that_transformer_lens_cannot_represent_are_errors():
    content = {
        "title": "t",
        "task": {"kind": "repeated_subsequence"},
        "model": {"attention_only": True, "doubled_residual": True},
        "training": {"epochs": 100, "batch": 8},
    }
    with pytest.raises(UserError, match="adds its residual stream twice"):
        network_of(Experiment.model_validate(content).runs("slip")[0], {})


def test_imported_experiment_is_a_readable_yaml_file(folder, trained):
    imported(save(state_dicts.authors(trained[0][400])), split=SPLIT)
    content = yaml.safe_load(Path("results/theirs/experiment.yaml").read_text())
    assert content["task"]["kind"] == "modular_addition"
    assert content["imported"]["ignored"] == ["blocks.0.attn.mask"]
    assert command("runs", "theirs", folder=folder).stdout.startswith("theirs: Imported from theirs.pth")
    refused = command("train", "theirs", folder=folder)
    assert refused.returncode == 2
    assert "theirs was imported: it has data and weights" in refused.stderr


# In the workflow


def test_workflow_draws_an_imported_network_and_never_trains_it(tmp_path, trained, monkeypatch):
    """One job draws the figure, and a changed measure is measured again from the imported weights."""
    checkout = Checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    states = {epoch: state_dicts.transformer_lens(weights) for epoch, weights in trained[0].items()}
    file = save({"checkpoints": states, "updates": [0, 200, 400], "model": states[400]})
    assert command("import", file, "--out", "results/theirs", "--split", SPLIT, folder=tmp_path).returncode == 0
    figure = "results/theirs/figures/paper/fig07.pdf"
    assert checkout.jobs(figure) == {"figure": 1}
    checkout.make("-c2", figure)
    assert Path(figure).stat().st_size > 5_000
    assert checkout.jobs(figure) == {}
    measures = "src/progress_measures/measures/weights.py"
    checkout.edit(
        measures,
        "return gini(_of_nonzero_rows(checkpoint, W_E_fourier_norm(checkpoint)))\n",
        "return 1 * gini(_of_nonzero_rows(checkpoint, W_E_fourier_norm(checkpoint)))\n",
    )
    assert checkout.jobs(figure) == {"measure": 1, "gather": 1, "figure": 1}
    checkout.edit(
        "src/progress_measures/training/optimizers/base.py", "self.rate * self.decay", "self.decay * self.rate"
    )
    assert "train" not in checkout.jobs(figure)
    assert {"dataset", "train"} <= set(checkout.jobs("results/figures/paper/fig07.pdf")), (
        "the workflow trains the networks of other experiments"
    )


def test_documented_mapping_file_is_the_tested_one():
    page = (ROOT / "docs/import.md").read_text()
    assert f'```yaml title="results/names.yaml"\n{state_dicts.NANOGPT_NAMES}```' in page
