"""Bad files of weights: an import gives exactly the network of the file or an error, and runs no code from it."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mutations import HOSTILE_NAMES, SCALARS, VALUES, many_cases, mark_encrypted, result_or_message

from progress_measures.cube.open import open_cube
from progress_measures.experiments import load_experiment
from progress_measures.importing.import_network import import_network, read_and_recognize
from progress_measures.importing.reading import read
from progress_measures.importing.settings import Options
from progress_measures.measures.checkpoint import RunContext
from support import state_dicts
from support.experiments import P, pair_run
from support.networks import solving_weights

KINDS = (".pth", "old .pth", ".npz", ".safetensors")
OUT = Path("results/theirs")
DESIGN = {"activation": "relu", "normalization": "none"}
PLAIN = Options(operation="a+b", heads=2, model=DESIGN, accept_doubtful=True)
"""Damaged networks do not add; what is tested is that their logits are those of their tensors."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty working directory, in which no code of a file may run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("weights"))
        yield Path()
        assert not list(Path().rglob("*pwned*"))


def network(layers=1):
    """Return a state dict of TransformerLens for a small network that adds."""
    run = pair_run("modular_addition", layers=layers)
    weights = solving_weights(run, np.random.default_rng(0))
    return state_dicts.transformer_lens({name: w.astype(np.float32) for name, w in weights.items()}, zeros=False)


STATE, DEEP = network(), network(2)


def save(content, kind="", name="theirs"):
    """Write a file of a kind in `KINDS`, and return its path."""
    path = Path(f"{name}{kind.removeprefix('old ') or '.pth'}")
    if kind == ".npz":
        np.savez(path, **{key: tensor.detach().numpy() for key, tensor in content.items()})
    elif kind == ".safetensors":
        from safetensors.torch import save_file

        save_file({key: tensor.contiguous() for key, tensor in content.items()}, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind != "old .pth")
    return path


def logits_of(state):
    """Return the logits of a state dict of TransformerLens, computed explicitly in float64: [pair, output]."""
    w = {
        name: np.asarray(tensor.detach().to_dense().double())
        for name, tensor in state.items()
        if not tensor.is_complex()
    }
    n = len(w["embed.W_E"]) - 1
    a, b = np.indices((n, n)).reshape(2, -1)
    x = w["embed.W_E"][np.stack([a, b, np.full_like(a, n)], -1)] + w["pos_embed.W_pos"][:3]
    for layer in range(sum(name.endswith("attn.W_Q") for name in w)):
        layer_weights = {
            name.removeprefix(f"blocks.{layer}."): w[name] for name in w if name.startswith(f"blocks.{layer}.")
        }
        attention_output = 0
        for head in range(len(layer_weights["attn.W_Q"])):
            q, k, v = (
                x @ layer_weights[f"attn.W_{m}"][head] + layer_weights.get(f"attn.b_{m}", np.zeros((99, 1)))[head]
                for m in "QKV"
            )
            scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            scores = np.where(np.tri(3, dtype=bool), scores, -np.inf)
            pattern = np.exp(scores - scores.max(-1, keepdims=True))
            attention_output = (
                attention_output + pattern / pattern.sum(-1, keepdims=True) @ v @ layer_weights["attn.W_O"][head]
            )
        x = x + attention_output + layer_weights.get("attn.b_O", 0)
        neurons = np.maximum(x @ layer_weights["mlp.W_in"] + layer_weights.get("mlp.b_in", 0), 0)
        x = x + neurons @ layer_weights["mlp.W_out"] + layer_weights.get("mlp.b_out", 0)
    return x[:, -1] @ w["unembed.W_U"] + w.get("unembed.b_U", 0)


def assert_same_logits(network, state):
    """Assert that a recognized network computes the logits of a state dict on all pairs."""
    (run,) = network.experiment.runs("theirs")
    double = {name: tensor.astype(np.float64) for name, tensor in network.weights[-1].items()}
    logits = RunContext(run, double, None).final.logits
    expected = logits_of(state)
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert run.model.layers == sum(name.endswith("attn.W_Q") for name in state)


def imported(path, tally, case, options=PLAIN):
    """Return the network recognized in a file, or None if the file is refused with a message that names it."""
    network, refusal = result_or_message(lambda: read_and_recognize(path, options))
    tally.count(case, "refused" if refusal else "right")
    assert refusal is None or path.name in refusal
    return network[1] if network else None


def test_undamaged_network_is_imported(folder, tally):
    for kind in KINDS:
        for state in (STATE, DEEP):
            assert_same_logits(imported(save(state, kind), tally, "networks as they are"), state)


# ---- tensors

CASTS = (
    torch.int64,
    torch.int8,
    torch.bool,
    torch.complex64,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.float8_e4m3fn,
)
TENSORS = st.sampled_from(
    [(STATE, name) for name in STATE if "IGNORE" not in name] + [(DEEP, name) for name in DEEP if ".W_" in name]
)


class ShortState(dict):
    """A state dict with a short representation for hypothesis."""

    def __repr__(self):
        return str({name: (str(tensor.dtype), tuple(tensor.shape)) for name, tensor in self.items()})


@st.composite
def damaged_state(draw):
    """Draw a state dict with one tensor missing, renamed, or of another shape, type or value."""
    original, name = draw(TENSORS)
    state, tensor = ShortState(original), original[name]
    kind = draw(
        st.sampled_from(
            [
                "gone",
                "renamed",
                "another tensor",
                "transposed",
                "cast",
                "one value",
                "cut",
                "axis",
                "scaled",
                "constant",
            ]
        )
    )
    if kind in ("gone", "renamed"):
        del state[name]
        if kind == "renamed":
            other = st.sampled_from(
                [*HOSTILE_NAMES, name.replace("blocks.0", "blocks.5"), name.upper(), f"{name}.weight", f" {name}"]
            )
            state[draw(other)] = tensor
    elif kind == "another tensor":
        state[name] = state[draw(TENSORS.filter(lambda pair: pair[1] in state))[1]].clone()
    elif kind == "transposed":
        state[name] = tensor.transpose(0, -1) if tensor.ndim else tensor
    elif kind == "cast":
        state[name] = tensor.to(draw(st.sampled_from(CASTS)))
    elif kind == "one value":
        state[name] = tensor.clone()
        if tensor.is_floating_point():
            value = draw(st.sampled_from([torch.nan, torch.inf, -torch.inf, 1e30, 1e38, 0.0, 3.0]))
            state[name].view(-1)[draw(st.integers(0, tensor.numel() - 1))] = value
    elif kind == "cut":
        state[name] = tensor[: draw(st.integers(0, len(tensor)))] if tensor.ndim else tensor
    elif kind == "axis":
        state[name] = draw(st.sampled_from([tensor[None], tensor[..., None], tensor.reshape(-1), tensor.sum()]))
    elif kind == "scaled" and tensor.is_floating_point():
        state[name] = tensor * draw(st.sampled_from([0.0, 1e-30, 1e10, 1e30, -1.0]))
    elif kind == "constant":
        shape = draw(st.sampled_from([(), (0,), (1,), (17, 16), (2, 16, 6), tuple(tensor.shape)]))
        state[name] = torch.full(shape, 0.5)
    return state


@many_cases(300)
@given(state=damaged_state(), kind=st.sampled_from(KINDS))
def test_damaged_tensors(folder, tally, state, kind):
    """An imported network computes the function of the file's tensors, and ignored tensors are named."""
    if kind == ".npz":  # .npz supports neither type
        state = {
            key: tensor for key, tensor in state.items() if tensor.dtype not in (torch.bfloat16, torch.float8_e4m3fn)
        }
    if kind in (".npz", ".safetensors"):
        state = {
            key: t
            for key, t in state.items()
            if key.isprintable() and 0 < len(key) < 200 and "\udcff" not in key and key != "file"
        }
    network = imported(save(state, kind), tally, "tensors damaged")
    if network:
        assert_same_logits(network, state)
        used_names = {
            name.replace("blocks.1", "blocks.0") for name in STATE if "mask" not in name and "IGNORE" not in name
        }
        assert set(network.experiment.imported.ignored) == {
            name for name in state if name.replace("blocks.1", "blocks.0") not in used_names
        }


@pytest.mark.parametrize("missing_name", [name for name in DEEP if ".1." in name and "W_" in name])
def test_incomplete_layer_is_not_ignored(folder, tally, missing_name):
    """A network of two layers with a missing tensor is not imported as a network of one layer."""
    state = {name: tensor for name, tensor in DEEP.items() if name != missing_name}
    assert imported(save(state), tally, "incomplete layers") is None


def test_missing_layer_between_others_is_noticed(folder, tally):
    state = {name.replace("blocks.1.", "blocks.2."): tensor for name, tensor in DEEP.items()}
    assert imported(save(state), tally, "incomplete layers") is None


# ---- metadata beside the tensors

METADATA = {
    "epoch": 399,
    "config": {"n_heads": 2, "seed": 0, "frac_train": 0.5, "lr": 1e-3, "weight_decay": 1.0, "betas": [0.9, 0.98]}
    | {"normalization_type": None},
    "optimizer": {"param_groups": [{"lr": 1e-3, "weight_decay": 1.0, "betas": (0.9, 0.98)}]},
    "train_losses": [3.0, 2.0, 1.0],
    "test_losses": [4.0, 3.0, 2.0],
    "train_updates": [0, 1, 2],
    "test_updates": [0, 1, 2],
    "train_indices": [0, 5, 7],
    "updates": [200, 400],
    "checkpoint_epochs": [199, 399],
    "epochs": [199, 399],
}
PARTS = [
    *METADATA,
    *(f"config.{name}" for name in METADATA["config"]),
    "optimizer.param_groups",
    "checkpoints",
    "model",
]
RUNS = [[STATE, STATE], {199: STATE, 399: STATE}, {399: STATE, 199: STATE}, {"b": STATE}, [STATE, 1], [], {}]
ARRAYS = [
    *(
        torch.tensor(values)
        for values in (3, [3.5], [torch.nan, 1], [-1, 2], [[1, 2], [3, 4]], [], [1j], [True], 2**60)
    ),
    *(np.array(["a"]), np.arange(3)),
]


@many_cases(300)
@given(data=st.data(), several=st.booleans(), part=st.sampled_from(PARTS))
def test_damaged_metadata_of_the_training(folder, tally, data, several, part):
    """With junk in any metadata, an imported network computes the same logits and has valid epochs, split and settings."""
    names = data.draw(st.sets(st.sampled_from(sorted(METADATA))))
    content = {name: METADATA[name] for name in sorted(names)} | {"model": STATE}
    if several:
        content["checkpoints"] = data.draw(st.sampled_from(RUNS))
    junk = data.draw(VALUES | st.sampled_from(ARRAYS) | st.lists(st.integers(-1, 500) | SCALARS, max_size=3))
    name, _, inner = part.partition(".")
    content[name] = (dict(METADATA[name]) | {inner: junk}) if inner else junk
    options = Options(heads=2, accept_doubtful=True)
    network = imported(save(content), tally, "metadata of the training", options)
    if network:
        assert_same_logits(network, STATE)
        assert network.epochs == sorted(set(network.epochs))
        assert 0 <= network.epochs[0] <= network.epochs[-1] <= 10_000_000
        assert network.split.train is None or 0 < network.split.train.sum() < P**2
        (run,) = network.experiment.runs("theirs")
        assert run.hash


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ({"epoch": -5}, {}, "`epoch`: expected integers from 0"),
        ({"checkpoints": [STATE, STATE], "updates": [-1, 2]}, {}, "`updates`: expected integers from 0"),
        (
            {"train_losses": [1.0] * 3, "test_losses": [1.0] * 3, "test_updates": [-1, 0, 1]},
            {},
            "`test_updates`: expected integers from 0",
        ),
        (
            {"train_losses": [1.0] * 3, "test_losses": [1.0] * 3, "test_updates": [0]},
            {},
            "`test_updates`: expected 3 ascending numbers",
        ),
        (
            {"train_losses": [1.0] * 3, "train_updates": [0, 2, 2]},
            {},
            "`train_updates`: expected 3 ascending numbers, one per entry of `train_losses`",
        ),
        ({"train_indices": [0.5, 1.5]}, {}, "`train_indices`: expected integers from 0"),
        ({"epoch": 10**12}, {}, "training.epochs: Input should be less than or equal to 10000000"),
        ({}, {"split": "shuffle:0:0.001"}, "0.001 of 289 pairs is less than one"),
        ({"model": {name: tensor.double() * 1e100 for name, tensor in STATE.items()}}, {}, "logits are not finite"),
    ],
)
def test_impossible_metadata_is_named(folder, tally, content, options, expected):
    network, refusal = result_or_message(
        lambda: read_and_recognize(save({"model": STATE} | content), PLAIN._replace(**options))
    )
    assert network is None
    assert expected in refusal
    tally.count("metadata of the training", "refused")


def test_checkpoints_are_sorted_by_epoch(folder):
    """The checkpoint with the last epoch is the network, in any order of the mapping."""
    early = {name: tensor * 0 for name, tensor in STATE.items()}
    _, network = read_and_recognize(save({"checkpoints": {399: STATE, 199: early}}), PLAIN)
    assert network.epochs == [200, 400]
    assert_same_logits(network, STATE)


def test_unusual_training_is_imported(folder, tally):
    """The import writes measures, history and a cube."""
    unknown = [float("nan")] * 31
    contents = {
        "losses that end early, or are unknown": {"train_losses": [1.0], "test_losses": unknown, "epoch": 30},
        "losses of later epochs": {
            "train_losses": [1.0] * 90,
            "test_losses": [1.0] * 90,
            "epoch": 3,
            "config": {"p": "$\\frac{"},
        },
    }
    for name, content in contents.items():
        path = save(content | {"model": STATE}, name=f"it's $\\frac{{ é {name}\n")
        _, refusal = result_or_message(
            lambda path=path: import_network(path, OUT, PLAIN._replace(split="shuffle:0:0.5"))
        )
        assert refusal is None, refusal
        assert open_cube("theirs").load().sizes["run"] == 1
        assert load_experiment("theirs").imported.file == path.name
        tally.count("unusual trainings", "right")


@pytest.mark.filterwarnings("ignore:loadtxt")
@many_cases(150)
@given(
    data=st.data(),
    option=st.sampled_from(
        ["split", "operation", "modulus", "tokens", "read", "heads", "epoch", "mapping_file", "key"]
    ),
)
def test_options(folder, tally, data, option):
    """Options have arbitrary text, and junk in place of files with indices or answers."""
    value = data.draw(st.sampled_from(HOSTILE_NAMES) | st.integers(-3, 40).map(str) | st.text(max_size=8))
    if option in ("modulus", "heads", "epoch", "read"):
        value = data.draw(st.integers(1, 40) | st.sampled_from([10**9, 10**30]))
    elif data.draw(st.booleans()):
        suffix = data.draw(st.sampled_from([".txt", ".csv", ".json", ".npy", ""]))
        value = f"junk{suffix}"
        Path(value).write_bytes(data.draw(st.sampled_from(JUNK_FILES) | st.binary(max_size=60)))
    given_options = PLAIN._replace(**{option: Path(value) if option == "mapping_file" else value})
    network, refusal = result_or_message(lambda: read_and_recognize(save(STATE), given_options))
    tally.count("options of an import", "refused" if refusal else "right")
    if network:
        if option not in ("heads", "modulus", "tokens", "read"):
            assert_same_logits(network[1], STATE)
        assert network[1].split.train is None or 0 < network[1].split.train.sum() < P**2


def npy(*arguments, **options):
    """Return a .npy file of an array, as bytes."""
    content = io.BytesIO()
    np.save(content, np.array(*arguments, **options))
    return content.getvalue()


def npy_header(shape, kind="<f8"):
    """Return a .npy file whose header declares more numbers than the file contains."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": kind, "fortran_order": False, "shape": shape})
    return content.getvalue() + b"12345678"


class RunsCode:
    """An object that calls a function when it is unpickled."""

    def __init__(self, function=os.system, arguments=("touch pwned",)):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


JUNK_FILES = [
    *(b"", b"\0", b"\xff\xff", b"0", b"0 1 2", b"nan", b"1e400", b"-1", b"0 0", b"289", b"PK\x05\x06" + bytes(18)),
    *(
        b"[0, 1, 2]",
        b"[[0], [1, 2]]",
        b"{}",
        b"[" * 50_000,
        b"[" + b"9" * 5000 + b"]",
        b'["a"]',
        b"null",
        b"[1e400]",
        b"[NaN]",
    ),
    *(b"\n".join([separator.join([number] * P)] * P) for separator in (b" ", b",") for number in (b"1", b"99", b"nan")),
    *map(npy, ([0, 1], [0.5], ["a"], [1j], [True], [], 3, [float("nan")])),
    *map(npy_header, ((10**12,), (2**62, 2), (-1,), (10**9,))),
    npy([RunsCode()], dtype=object),
    npy_header((10**9,), "|O"),
]


# ---- files


@pytest.fixture(scope="module")
def files(folder):
    """An undamaged file of each kind, and the weights recognized in it."""
    return {
        kind: (save(STATE, kind, "undamaged").read_bytes(), read_and_recognize(save(STATE, kind), PLAIN)[1].weights[-1])
        for kind in KINDS
    }


@many_cases(450)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_damaged_files(folder, tally, files, data, kind):
    """A file with bytes changed, added or missing gives the same network to the bit, or an error.

    A .safetensors file and an old .pth have no checksum, so only damage to the description of tensors is detected.
    """
    original, weights = files[kind]
    content = bytearray(original)
    checked_length = {".safetensors": 8 + struct.unpack("<Q", original[:8])[0]}.get(kind, len(original))
    damage = data.draw(st.sampled_from(["cut", "end", "added"] + ["changed", "lost", "moved"] * (kind != "old .pth")))
    position = data.draw(st.integers(0, checked_length - 1))
    if damage == "cut":
        del content[position:]
    elif damage == "end":
        content += data.draw(st.binary(min_size=1, max_size=40))
    elif damage == "added":
        content[:0] = data.draw(st.binary(min_size=1, max_size=40))
    elif damage == "changed":
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, checked_length - 1))] ^= data.draw(st.integers(1, 255))
    elif damage == "lost":
        del content[position : position + data.draw(st.integers(1, 100))]
    else:
        content[position:position] = content[position : position + 50]
    path = Path(f"damaged{kind.removeprefix('old ')}")
    path.write_bytes(content)
    network = imported(path, tally, f"files damaged, {kind}")
    if network:
        assert set(network.weights[-1]) == set(weights)
        for name, tensor in weights.items():
            np.testing.assert_array_equal(network.weights[-1][name], tensor)


@many_cases(60)
@given(data=st.data())
def test_damaged_old_file_without_checksums(folder, files, data):
    """The import gives a network, possibly a different network, or an error."""
    content = bytearray(files["old .pth"][0])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    Path("old.pth").write_bytes(content)
    result_or_message(lambda: read_and_recognize(Path("old.pth"), PLAIN))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl", ".bin", ".npz", ".safetensors", ".zip", ".txt", ""])
def test_wrong_file_extensions(folder, tally, files, kind, suffix):
    path = Path(f"ending{suffix}")
    path.write_bytes(files[kind][0])
    network = imported(path, tally, "files with another extension")
    if network:
        assert_same_logits(network, STATE)


def rezipped(change, path, source, compression=zipfile.ZIP_STORED):
    """Copy an archive, writing each member through a function `change(archive, name, content)`, and return its path."""
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(path, "w", compression) as new:
        for member in old.infolist():
            change(new, member.filename, old.read(member))
    return path


ZIPS = {
    "a path above": lambda new, name, content: (new.writestr(name, content), new.writestr(f"../{name}", content)),
    "an absolute path": lambda new, name, content: (new.writestr(name, content), new.writestr(f"/tmp/{name}", content)),
    "a Windows path": lambda new, name, content: (new.writestr(name, content), new.writestr(f"..\\{name}", content)),
    "twice": lambda new, name, content: (new.writestr(name, content), new.writestr(name, content)),
    "twice, another": lambda new, name, content: (new.writestr(name, content), new.writestr(name, content[::-1])),
    "a symlink": lambda new, name, content: (new.writestr(name, content), new.writestr(link(name), "/etc/passwd")),
    "a bomb beside": lambda new, name, content: (new.writestr(name, content), bomb(new, f"{name}.more")),
}


def link(name):
    info = zipfile.ZipInfo(f"{name}.link")
    info.external_attr = 0o120777 << 16
    return info


def bomb(archive, name):
    """Add one member with 200 MB of zeros, once."""
    if not any(member.endswith(".more") for member in archive.namelist()):
        archive.writestr(name, bytes(200 * 10**6), zipfile.ZIP_DEFLATED, 1)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", [".pth", ".npz"])
@pytest.mark.parametrize("trick", ZIPS)
def test_tricks_with_archives(folder, tally, files, kind, trick):
    path = rezipped(ZIPS[trick], Path(f"trick{kind}"), files[kind][0])
    assert imported(path, tally, "tricks with archives of weights") is None
    assert not list(Path("..").glob("*.npy"))


@pytest.mark.parametrize("kind", [".pth", ".npz"])
def test_encrypted_and_compressed_archives(folder, tally, files, kind):
    plain = rezipped(
        lambda new, name, content: new.writestr(name, content), Path(f"zip{kind}"), files[kind][0], zipfile.ZIP_DEFLATED
    )
    network = imported(plain, tally, "tricks with archives of weights")
    if network:
        assert_same_logits(network, STATE)
    mark_encrypted(plain)
    assert imported(plain, tally, "tricks with archives of weights") is None


def safetensors(header_content, data=b"\0" * 64, length=None):
    text = header_content if isinstance(header_content, bytes) else json.dumps(header_content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one_tensor(shape, kind="F32", offsets=(0, 64)):
    return {"embed.W_E": {"dtype": kind, "shape": shape, "data_offsets": list(offsets)}}


MADE_UP = {
    "a header of exabytes": ("safetensors", safetensors({}, length=2**63)),
    "a header longer than the file": ("safetensors", safetensors({}, length=10**8)),
    "no header": ("safetensors", b""),
    "a header that is no JSON": ("safetensors", safetensors(b"{" * 1000)),
    "a deep header": ("safetensors", safetensors(b"[" * 100_000)),
    "a shape of exabytes": ("safetensors", safetensors(one_tensor([2**40, 2**20]))),
    "a shape that overflows": ("safetensors", safetensors(one_tensor([2**63, 2]))),
    "a negative shape": ("safetensors", safetensors(one_tensor([-16]))),
    "a shape of nothing": ("safetensors", safetensors(one_tensor([0, 10**15], offsets=(0, 0)), b"")),
    "offsets outside": ("safetensors", safetensors(one_tensor([16], offsets=(10**9, 10**9 + 64)))),
    "offsets backwards": ("safetensors", safetensors(one_tensor([16], offsets=(64, 0)))),
    "an unknown kind": ("safetensors", safetensors(one_tensor([16], kind="F7"))),
    "a name twice": ("safetensors", safetensors(b'{"a":' + json.dumps(one_tensor([16])["embed.W_E"]).encode() + b',"a":{}}')),
    "an array of terabytes": ("npz", {"embed.W_E.npy": npy_header((10**12,))}),
    "an array of gigabytes": ("npz", {"embed.W_E.npy": npy_header((10**9,))}),
    "an array that overflows": ("npz", {"embed.W_E.npy": npy_header((2**62, 16))}),
    "an array of objects": ("npz", {"embed.W_E.npy": npy([RunsCode()], dtype=object)}),
    "members that are no arrays": ("npz", {"a": b"x", "b.npy": b"y"}),
    "a single array": ("npz", npy([1.0])),
    "a pickle": ("npz", pickle.dumps(RunsCode())),
    "no member": ("npz", b"PK\x05\x06" + bytes(18)),
    "an archive of something else": ("pth", {"a/data.pkl": b"x"}),
    "an archive in an archive": ("pth", {"a/data.pkl": pickle.dumps({}), "a.zip": b"PK\x05\x06" + bytes(18)}),
    "a list in itself": ("pth", b"\x80\x02]q\0h\0a."),
    "deep lists": ("pth", b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."),
    "a text of gigabytes": ("pth", b"\x80\x04\x8d" + struct.pack("<Q", 2**33) + b"x."),
    "a memo of gigabytes": ("pth", b"\x80\x02Nr\xff\xff\xff\x7f."),
}  # fmt: skip


@pytest.mark.parametrize("case", MADE_UP)
def test_made_up_files(folder, tally, case):
    suffix, content = MADE_UP[case]
    path = Path(f"made.{suffix}")
    if isinstance(content, dict):
        with zipfile.ZipFile(path, "w") as archive:
            for name, member in content.items():
                archive.writestr(name, member)
    else:
        path.write_bytes(content)
    assert imported(path, tally, "made-up files") is None


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**5, 10**5),
        torch.sparse_coo_tensor(torch.tensor([[0], [0]]), torch.tensor([1.0]), (10**5, 10**5), check_invariants=True),
        torch.sparse_coo_tensor(torch.tensor([[0], [0]]), torch.tensor([1.0]), (10**9, 10**9), check_invariants=True),
        torch.empty(10**6, 10**6, device="meta"),
    ],
    ids=["one number repeated", "gigabytes of zeros", "exabytes of zeros", "no numbers at all"],
)
def test_tensors_larger_than_their_file(folder, tally, tensor):
    for state in (STATE | {"embed.W_E": tensor}, STATE | {"else": tensor}):
        assert imported(save(state), tally, "tensors larger than their file") is None


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("before", "after"), [(b"K\x10\x86", b"K\x7f\x86"), (b"QK\x00", b"QK\x7f"), (b"K\x10K\x01\x86", b"K\x7fK\x01\x86")]
)
def test_tensors_that_exceed_their_storage(folder, tally, old, before, after):
    """The size, the offset or the stride of a tensor reaches beyond its storage."""
    content = saved_bytes({"embed.W_E": STATE["embed.W_E"].clone()}, old)
    path = Path("beyond.pth")
    if old:
        assert before in content
        path.write_bytes(content.replace(before, after))
    else:
        rezipped(lambda new, name, data: new.writestr(name, data.replace(before, after)), path, content)
        assert before in zipfile.ZipFile(io.BytesIO(content)).read("archive/data.pkl")
    network, refusal = result_or_message(lambda: read(path))
    assert network is None
    assert "cannot be read" in refusal
    tally.count("tensors larger than their file", "refused")


def test_sparse_tensor_with_an_index_out_of_range(folder, tally):
    tensor = torch.sparse_coo_tensor(
        torch.tensor([[10**9], [0]]), torch.tensor([1.0]), (18, 16), check_invariants=False
    )
    assert imported(save(STATE | {"embed.W_E": tensor}), tally, "tensors larger than their file") is None


def test_sparse_tensor_gives_the_same_network(folder, tally):
    state = STATE | {"mlp": STATE["unembed.W_U"]}
    state["unembed.W_U"] = state["unembed.W_U"].to_sparse()
    assert_same_logits(imported(save(state), tally, "tensors larger than their file"), STATE)


def test_devices_pipes_and_folders(folder, tally):
    os.mkfifo("pipe.pth")
    Path("looped").mkdir()
    Path("looped/1.pth").symlink_to(".")
    Path("empty").mkdir()
    for path in (
        Path("pipe.pth"),
        Path("looped"),
        Path("empty"),
        Path("/dev/zero"),
        Path("/dev/null"),
        Path("/proc/self/mem"),
    ):
        assert imported(path, tally, "not regular files") is None
    for name in HOSTILE_NAMES:
        path = Path(name)
        if not path.is_dir() if len(name) < 250 else True:
            _, refusal = result_or_message(lambda path=path: read_and_recognize(path, PLAIN))
            assert refusal
            tally.count("not regular files", "refused")


@pytest.mark.parametrize("names", [("1.pth", "01.pth"), ("1.pth", "1.pt"), ("a1.pth", "b1.pth")])
def test_two_files_with_the_same_number(folder, tally, names):
    shutil.rmtree("run", ignore_errors=True)
    Path("run").mkdir()
    for name in names:
        torch.save(STATE, Path("run") / name)
    assert imported(Path("run"), tally, "folders with a number twice") is None


# ---- malicious pickles


def chain(*names):
    """Return opcodes for nested `getattr` calls that start at an object of a module."""
    result = b"c" + names[0].encode() + b"\n" + names[1].encode() + b"\n"
    for name in names[2:]:
        result = b"cbuiltins\ngetattr\n(" + result + b"X" + struct.pack("<I", len(name)) + name.encode() + b"tR"
    return result


def called(function, argument="touch pwned"):
    return b"\x80\x02" + function + b"(X" + struct.pack("<I", len(argument)) + argument.encode() + b"tR."


CODE = "open('pwned', 'w').close()"
PICKLES = {
    "os.system": pickle.dumps(RunsCode()),
    "posix.system, protocol 0": pickle.dumps(RunsCode(), protocol=0),
    "exec": pickle.dumps(RunsCode(exec, (CODE,))),
    "eval": pickle.dumps(RunsCode(eval, ("open('pwned', 'w')",))),
    "open": pickle.dumps(RunsCode(open, ("pwned", "w"))),
    "subprocess": called(b"csubprocess\ncheck_output\n", "touch pwned"),
    "runpy": called(b"crunpy\n_run_code\n", CODE),
    "pip": called(b"cpip._internal\nmain\n", "pwned"),
    "code.InteractiveInterpreter": called(b"ccode\ncompile_command\n", CODE),
    "importlib": called(b"cimportlib\nimport_module\n", "this"),
    "a chain of getattr": called(chain("os", "path", "os", "system")),
    "getattr of a torch module": called(chain("torch", "serialization", "os", "system")),
    "a dotted name": called(b"\x8c\x05torch\x8c\x17serialization.os.system\x93"),
    "a dotted name of numpy": called(b"\x8c\x05numpy\x8c\x0bf2py.os.system\x93"),
    "torch.load": called(b"ctorch\nload\n", "pwned"),
    "torch.hub": called(b"ctorch.hub\nload\n", "."),
    "torch.jit": called(b"ctorch.jit\nload\n", "pwned"),
    "torch.utils.cpp_extension": called(b"ctorch.utils.cpp_extension\nload_inline\n", CODE),
    "torch.storage._load_from_bytes": called(b"ctorch.storage\n_load_from_bytes\n", "x"),
    "torch._utils with code": b"\x80\x02ctorch._utils\n_rebuild_wrapper_subclass\n(tR.",
    "numpy.load": called(b"cnumpy\nload\n", "pwned"),
    "numpy.testing": called(b"cnumpy.testing._private.utils\nrunstring\n", CODE),
    "an instance": b"\x80\x02(ios\nsystem\n(X\x0b\0\0\0touch pwnedt.".replace(b"(ios", b"(X\x0b\0\0\0touch pwnedios"),
    "an object": b"\x80\x02(cos\nsystem\nX\x0b\0\0\0touch pwnedo.",
    "a new object": b"\x80\x02cos\nsystem\n(X\x0b\0\0\0touch pwnedt\x81.",
    "a state": b"\x80\x02c__main__\nConfig\n)\x81}(X\x0d\0\0\0__setstate__cos\nsystem\nuX\x0b\0\0\0touch pwnedb.",
    "a record with a class": b"\x80\x02c__main__\nConfig\n)\x81}(X\x09\0\0\0__class__cos\nsystem\nub.",
    "a persistent id": b"\x80\x02(X\x07\0\0\0storagecos\nsystem\nX\x01\0\0\0aX\x03\0\0\0cpuK\x01tQ.",
    "an extension": b"\x80\x02\x82\x01.",
    "after data": pickle.dumps({"a": 1})[:-1] + pickle.dumps(RunsCode())[2:],
    "two pickles": pickle.dumps({}) + pickle.dumps(RunsCode()),
}
FORMS = ("bare", "archive", "in a state dict", "old form", ".npz", ".npy")


def malicious_file(name, form):
    """Write a file that contains a malicious pickle, and return its path."""
    content = PICKLES[name]
    if form == "bare":
        path = Path("evil.pth")
        path.write_bytes(content)
    elif form == "archive":
        path = rezipped(
            lambda new, member, old: new.writestr(member, content if member.endswith("data.pkl") else old),
            Path("evil.pth"),
            saved_bytes({}),
        )
    elif form == "in a state dict":
        path = Path("evil.pt")
        with zipfile.ZipFile(io.BytesIO(saved_bytes(STATE))) as old, zipfile.ZipFile(path, "w") as new:
            for member in old.namelist():
                data = old.read(member)
                new.writestr(
                    member,
                    b"\x80\x02" + content.lstrip(b"\x80")[1:-1] + b"0" + data[2:]
                    if member.endswith("data.pkl")
                    else data,
                )
    elif form == "old form":
        path = Path("evil.bin")
        magic = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
        path.write_bytes(magic + content + pickle.dumps([], 2))
    else:
        body = npy_header((1,), "|O")[:-8] + content
        if form == ".npy":
            path = Path("evil.npy")
            path.write_bytes(body)
        else:
            path = Path("evil.npz")
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("embed.W_E.npy", body)
    return path


def saved_bytes(content, old=False):
    """Return content as `torch.save` writes it."""
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not old)
    return stream.getvalue()


def test_pickles_run_in_pythons_unpickler(tmp_path, monkeypatch):
    """The pickles do run code when they are unpickled; otherwise their refusal would prove nothing."""
    monkeypatch.chdir(tmp_path)
    ran = 0
    for name in (
        "os.system",
        "posix.system, protocol 0",
        "exec",
        "eval",
        "open",
        "an instance",
        "an object",
        "a chain of getattr",
    ):
        Path("pwned").unlink(missing_ok=True)
        pickle.loads(PICKLES[name])
        ran += Path("pwned").exists()
    assert ran == 8


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PICKLES)
def test_malicious_pickles_never_run(folder, tally, name, form):
    path = malicious_file(name, form)
    if form == ".npy":
        attempts = [(save(STATE), PLAIN._replace(**{option: str(path)})) for option in ("split", "operation")]
    else:
        attempts = [(path, PLAIN)]
    for file, options in attempts:
        network, refusal = result_or_message(lambda file=file, options=options: read_and_recognize(file, options))
        assert network is None
        assert path.name in refusal
    assert not Path("pwned").exists()
    tally.count("malicious pickles", "refused")
