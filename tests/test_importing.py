"""Importing: every format gives the same network, biases and LayerNorms are computed, and bad files are errors."""

import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from progress_measures import open_cube, open_run
from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import Experiment
from progress_measures.importing.import_network import import_network, recognize
from progress_measures.importing.names import Format, formats
from progress_measures.importing.recognize import most_likely_reading, operation, task
from progress_measures.importing.settings import Options
from progress_measures.measures.checkpoint import RunContext
from progress_measures.models.design import Design
from progress_measures.models.imported import neurons_and_logits, to_native_weights
from progress_measures.models.transformer import forward
from progress_measures.models.transformer_lens_bridge import network_of
from progress_measures.tasks import Layout
from progress_measures.tasks.split import train_order
from support import ROOT, state_dicts
from support.checkout import Checkout
from support.networks import PUBLISHED_NETWORK, imported_run, imported_weights, needs_published_network
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
    """Weights of the small experiment's first run at three epochs, {epoch: weights}, and the run's part of the cube."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(results)
        run = open_run("small")
        return {epoch: run.weights(epoch) for epoch in (0, 200, 400)}, open_cube("small").load().sel(run="seed0")


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


def notebook_content(weights):
    """Return the dictionary of the notebooks: epoch e is saved after e + 1 updates, as are its test losses."""
    states = [state_dicts.transformer_lens(weights[epoch]) for epoch in (200, 400)]
    return {
        "model": states[-1],
        "config": None,
        "checkpoints": states,
        "checkpoint_epochs": [199, 399],
        "train_losses": list(np.linspace(3, 1, 400)),
        "test_losses": list(np.linspace(4, 2, 400)),
        "train_indices": torch.from_numpy(train_order("shuffle", 0, PRIME)[: int(0.6 * PRIME**2)]),
        "test_indices": torch.arange(3),
    }


def authors_network(weights):
    """Return one network as the authors saved it."""
    return {
        "model": state_dicts.authors(weights[400]),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "weight_decay": 0.1, "betas": (0.9, 0.98)}]},
        "scheduler": {},
        "train_loss": torch.tensor(1.0, dtype=torch.float64, requires_grad=True),
        "train_losses": [1.0] * 400,
        "test_losses": [2.0] * 40,
        "epoch": 399,
        "config": {"lr": 1e-3, "p": PRIME, "fn_name": "add", "frac_train": 0.6, "seed": 0, "weight_decay": 1},
    }


def authors_run(weights):
    """Return a run as the authors saved it: state dicts at several epochs."""
    states = [state_dicts.authors(weights[epoch]) for epoch in (200, 400)]
    config = {"frac_train": 0.6, "seed": 0}
    return {"state_dicts": states, "epochs": [199, 399], "train_losses": [1.0] * 400, "config": config}


CONTENTS = {
    "authors": lambda w: state_dicts.authors(w[400]),
    "authors, with their training": authors_network,
    "authors, a run": authors_run,
    "TransformerLens": lambda w: state_dicts.transformer_lens(w[400]),
    "TransformerLens, without zero biases": lambda w: state_dicts.transformer_lens(w[400], zeros=False),
    "TransformerLens, 14 outputs": lambda w: state_dicts.transformer_lens(
        w[400] | {"W_U": np.concatenate([w[400]["W_U"], np.ones((32, 1), np.float32)], 1)}
    ),
    "TransformerLens 4": lambda w: state_dicts.transformer_lens_4(w[400]),
    "the notebooks": notebook_content,
    "a wrapped module": lambda w: {"module." + k: v for k, v in state_dicts.transformer_lens(w[400]).items()},
    "a lightning checkpoint": lambda w: {
        "state_dict": {"model." + k: v for k, v in state_dicts.transformer_lens(w[400]).items()}
    },
}


@pytest.mark.parametrize("format", CONTENTS)
def test_every_format_gives_the_same_network(folder, trained, format):
    """Weights are equal to the bit, and operation, prime and heads are recognized."""
    assert_recognized_as(save(CONTENTS[format](trained[0])), trained[0][400])


def assert_recognized_as(file, weights, **options):
    _, recognized = recognize(file, Options(**options))
    (run,) = recognized.experiment.runs("theirs")
    native = to_native_weights(recognized.weights[-1], run.task.layout, one_layer=True)
    assert set(native) == set(weights)
    for name, tensor in weights.items():
        np.testing.assert_array_equal(native[name], tensor, err_msg=name)
    assert (run.task.kind, run.task.prime, run.model.heads, run.model.d_mlp) == ("modular_addition", PRIME, 2, 64)
    return recognized


def test_imported_network_has_the_measures_of_the_original(folder, trained):
    weights, original = trained
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


def test_mapping_file_describes_other_formats(folder, trained):
    Path("names.yaml").write_text(state_dicts.NANOGPT_NAMES)
    file = save(state_dicts.nanogpt(trained[0][400]))
    recognized = assert_recognized_as(file, trained[0][400], names=Path("names.yaml"))
    assert any("2 heads" in line for line in recognized.experiment.imported.assumed), (
        "the number of heads is found from the answers"
    )


def test_folder_of_numbered_files_is_a_run(folder, trained):
    weights, _ = trained
    Path("run").mkdir()
    for name, epoch in (("init", 0), ("199", 200), ("399", 400)):
        save(
            {"model": state_dicts.authors(weights[epoch])} | ({"epoch": int(name)} if epoch else {}), f"run/{name}.pth"
        )
    recognized = assert_recognized_as(Path("run"), weights[400])
    assert recognized.epochs == [0, 200, 400]


def test_imported_run_keeps_epochs_losses_and_recipe(folder, trained):
    cube = imported(save(notebook_content(trained[0])))
    assert cube.epoch.values.tolist() == [200, 400]
    assert cube.split_method.item() == "listed"
    assert cube.train_fraction.item() == pytest.approx(0.6, abs=0.01)
    history = cube.history_test_loss.dropna("history_epoch")
    assert history.sel(history_epoch=1).item() == 4, "after the first update"
    assert cube.history_train_loss.sel(history_epoch=0, method="nearest").item() == pytest.approx(3, abs=0.01)
    assert np.isnan(cube.weight_decay.item())
    assert cube.initialization.item() == "unknown"

    cube = imported(save(authors_network(trained[0])))
    assert cube.epoch.values.tolist() == [400]
    assert (cube.weight_decay.item(), cube.beta2.item(), cube.seed.item()) == (0.1, 0.98, 0)
    assert cube.split_method.item() == "shuffle"
    assert cube.history_test_loss.sel(history_epoch=10).item() == 2


def test_configuration_object_is_read_without_importing_its_class(folder, trained, monkeypatch):
    """The notebooks save an object of a TransformerLens class, which is neither imported nor called."""
    name = "transformer_lens.HookedTransformerConfig"
    kind = type("HookedTransformerConfig", (), {"__module__": name})
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(HookedTransformerConfig=kind))
    config = kind()
    config.n_heads, config.normalization_type, config.dtype, config.seed = 2, None, torch.float32, 999
    file = save(notebook_content(trained[0]) | {"config": config})
    monkeypatch.delitem(sys.modules, name)
    _, recognized = recognize(file, Options())
    assert recognized.experiment.seed == 999
    assert name not in sys.modules


SPLITS = {
    "shuffle:3:0.5": ("shuffle", 3, 0.5),
    "randperm:7:0.25": ("randperm", 7, 0.25),
}


@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_drawn_by_the_given_method(folder, trained, split):
    _, recognized = recognize(save(state_dicts.authors(trained[0][400])), Options(split=split))
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
    _, recognized = recognize(save(state_dicts.authors(trained[0][400])), Options(split=f"split.{kind}"))
    assert (np.flatnonzero(recognized.split.train) == indices).all()
    assert recognized.experiment.imported.settings["split_method"] == "listed"


def test_without_a_split_only_all_pairs_are_measured(folder, trained):
    weights, original = trained
    cube = imported(save(state_dicts.authors(weights[400])))
    assert any("split not known" in line for line in load_experiment("theirs").imported.assumed)
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
    weights, original = trained
    double = imported(save(state_dicts.authors(weights[400])), split=SPLIT).test_loss.item()
    single = imported(save(state_dicts.authors(weights[400])), split=SPLIT, precision="float32").test_loss.item()
    assert single == original.test_loss.sel(epoch=400).item()
    assert 0 < abs(double / single - 1) < 1e-4


# What networks compute


def test_operation_is_recognized_from_the_answers(folder, trained):
    """A network with outputs renumbered c → 3c computes 3 (a + b), an unknown operation; its answers then count as correct."""
    weights = trained[0][400]
    state = state_dicts.authors(weights)
    renumbered = (np.arange(PRIME) * 3) % PRIME
    state["unembed.W_U"] = state["unembed.W_U"].clone()
    state["unembed.W_U"][:, renumbered] = torch.from_numpy(weights["W_U"])
    cube = imported(save(state), split=SPLIT)
    assert cube.attrs["task"] == "pair_table"
    assert cube.train_accuracy.item() == 1
    assert "attention_score_token" in cube
    assert "restricted_loss" not in cube, "cosines of a + b have no meaning for this operation"
    assert any("operation other" in line for line in load_experiment("theirs").imported.assumed)

    a, b = np.indices((PRIME, PRIME))
    np.savetxt("answers.txt", 3 * (a + b) % PRIME, fmt="%d")
    cube = imported(save(state), split=SPLIT, operation="answers.txt")
    assert cube.test_loss.item() == pytest.approx(trained[1].test_loss.sel(epoch=400).item(), rel=1e-4)
    assert cube.test_accuracy.item() == trained[1].test_accuracy.sel(epoch=400).item()


def test_subtraction_is_recognized():
    weights = open_run_of_repository("subtraction")
    reading = most_likely_reading(lambda heads: weights, [4], [False], 113)
    assert operation(reading) == "a-b"
    assert reading.agreement["a-b"] == 1


def open_run_of_repository(experiment):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return open_run(experiment).weights()


def test_integer_sums_are_recognized():
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
    attention = {"W_Q": zero, "W_K": zero, "W_V": copy, "W_O": out}
    weights = {
        "W_E": W_E,
        "W_pos": np.zeros((3, 3)),
        **attention,
        "W_in": np.zeros((1, 3, 4)),
        "W_out": np.zeros((1, 4, 3)),
    }
    reading = most_likely_reading(lambda heads: weights | {"W_U": W_U}, [1], [False], n)
    assert operation(reading) == "sum"
    settings = task("sum", n, outputs, reading)
    assert settings == {"kind": "integer_addition", "operands": 10, "outputs": 20}


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
    assert checkpoint.trained is weights


@pytest.mark.parametrize("layer_norm", [False, True])
def test_two_layers_with_biases_are_imported(folder, rng, layer_norm):
    weights = imported_weights(rng, 2, biases=True)
    options = {"split": "shuffle:0:0.5", "operation": "a+b", "layer_norm": layer_norm}
    cube = imported(save(state_dicts.transformer_lens(weights)), **options)
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
    layout = Layout(operands=7, vocabulary=8, context_length=3, outputs=7, input_length=3)
    native = to_native_weights(weights, layout, one_layer=True)
    assert not {"b_Q", "b_K", "b_V", "b_O"} & set(native)
    for before, after in zip(neurons_and_logits(weights, 7, False), neurons_and_logits(native, 7, False), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


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
    provenance = load_experiment("theirs").imported
    assert provenance.layer_norm
    assert any("LayerNorms with folded weights" in line for line in provenance.assumed)
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
    """The output of `=` and the attention biases count, although no other measure depends on them."""
    weights = trained[0][400]
    state = state_dicts.transformer_lens(weights)
    state["unembed.W_U"] = torch.cat([state["unembed.W_U"], torch.ones(32, 1)], 1)
    state["unembed.b_U"] = torch.zeros(PRIME + 1)
    state["blocks.0.attn.b_K"] = torch.ones(2, 16)
    cube = imported(save(state), split=SPLIT)
    original = sum(float(np.square(w.astype(np.float64)).sum()) for w in weights.values())
    assert cube.sum_of_squared_weights.item() == pytest.approx(original + 32 + 32, rel=1e-12)
    by_parameter = cube.sum_of_squared_weights_by_parameter.isel(epoch=0)
    assert by_parameter.sel(parameter="b_K").item() == 32
    assert cube.test_loss.item() == pytest.approx(trained[1].test_loss.sel(epoch=400).item(), rel=1e-4)


# Errors


def running(command):
    """Return an object that runs Python code when it is unpickled."""

    class Running:
        def __reduce__(self):
            return (exec, (command,))

    return Running()


def bad_file(weights, kind):
    """Write a bad file and return its path."""
    state = state_dicts.transformer_lens(weights[400])
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
        content = notebook_content(weights)
        save(content | {"checkpoint_epochs": [399, 199]})
    elif kind == "different checkpoints":
        content = notebook_content(weights)
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
    "two positions": "14 tokens and 2 positions; expected a network on sequences `a b =`",
    "few outputs": "5 outputs; expected at least 13",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_files_are_errors(folder, trained, kind):
    with pytest.raises(UserError) as refusal:
        import_network(bad_file(trained[0], kind), Path("results/theirs"), Options())
    assert REFUSED[kind] in str(refusal.value)
    assert str(refusal.value).count("\n") == 0
    assert not Path("code-ran").exists()
    assert not Path("results/theirs").exists()


@pytest.mark.parametrize("kind", ["truncated", "code", "NaN", "missing"])
def test_command_line_prints_one_message_for_a_bad_file(folder, trained, kind):
    done = command("import", bad_file(trained[0], kind), "--out", "results/theirs", folder=folder)
    assert done.returncode == 2
    assert REFUSED[kind] in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(folder.glob("results/*")) + list(folder.glob("code-ran"))


OPTIONS = {
    "split": ({"split": "shuffled"}, "--split shuffled: expected `shuffle:SEED:FRACTION`"),
    "fraction": ({"split": "shuffle:1:1.5"}, "FRACTION lies between 0 and 1"),
    "operation": ({"operation": "a*b"}, "--operation a*b: expected a+b, a-b, sum, other, or a file"),
    "prime": ({"prime": 11}, "--prime 11: the network has 14 tokens; expected 12"),
    "sum": ({"operation": "sum"}, "the network has 13 outputs; expected at least 25, one per sum"),
    "heads": ({"heads": 3}, "expected [head = 3"),
    "map": ({"names": Path("names.yaml")}, "names.yaml: there is no such file"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_that_do_not_fit_are_errors(folder, trained, option):
    options, expected = OPTIONS[option]
    with pytest.raises(UserError) as refusal:
        import_network(save(state_dicts.transformer_lens(trained[0][400])), Path("results/theirs"), Options(**options))
    assert expected in str(refusal.value)


MAPPING_MISTAKES = {
    "not YAML": (": [", "is not valid YAML"),
    "no mapping": ("- a", "expected lines such as"),
    "unknown tensor": ("W_e: [a, token d_model]", "W_e: unknown tensor; did you mean W_E?"),
    "no axes": ("W_E: embed", "W_E: expected [name, axes]"),
    "wrong axes": ("W_E: [embed, token head]", "W_E: expected the axes d_model token"),
    "incomplete": ("W_E: [embed, token d_model]", "entries are missing for W_pos, W_Q"),
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
    assert {format.name for format in formats()} == {"authors", "transformer_lens", "transformer_lens_4"}
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
        "114 outputs, of which the last is for `=` and is dropped",
        "operation a+b: the network's answers follow a+b on 100.00%",
        "3830 of 12769 pairs",
        "weight_decay 0.1, from the optimizer's state; the configuration has 1",
        "ignored, since this format does not use them: blocks.0.attn.mask",
        "recognized: train loss 9.202e-09; the last one in the file is 9.203e-09",
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
        measures, "return gini(W_E_fourier_norm(checkpoint))\n", "return 1 * gini(W_E_fourier_norm(checkpoint))\n"
    )
    assert checkout.jobs(figure) == {"measure": 1, "gather": 1, "figure": 1}
    checkout.edit("src/progress_measures/training/optimizer.py", "self._rate * self._decay", "self._decay * self._rate")
    assert "train" not in checkout.jobs(figure)
    assert {"dataset", "train"} <= set(checkout.jobs("results/figures/paper/fig07.pdf")), (
        "the workflow trains the networks of other experiments"
    )


def test_documented_mapping_file_is_the_tested_one():
    page = (ROOT / "docs/import.md").read_text()
    assert f"```yaml\n{state_dicts.NANOGPT_NAMES}```" in page
