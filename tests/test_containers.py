"""Containers of foreign files: every arrangement gives the same networks and epochs, and no code of a file runs."""

import argparse
import collections
import dataclasses
import datetime
import enum
import functools
import importlib
import io
import operator
import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from progress_measures.errors import UserError
from progress_measures.importing import designs, names
from progress_measures.importing.contents import Contents, find_networks
from progress_measures.importing.operations import task_of_operation
from progress_measures.importing.reading import read
from progress_measures.importing.stated import stated_settings
from support import ROOT

NETWORKS = ROOT.parent / "shared/data/networks"


def state(seed=0, prefix=""):
    """Return a small state dict; those of different seeds have different values."""
    rng = np.random.default_rng(seed)
    shapes = {"embed.W_E": (14, 8), "unembed.W_U": (8, 13), "blocks.0.mlp.b_in": (16,)}
    return {prefix + name: torch.from_numpy(rng.normal(size=shape)).float() for name, shape in shapes.items()}


def contents_of(content, path="theirs.pth", key=None):
    if content is not None:
        torch.save(content, path)
    return find_networks(read(Path(path)), Path(path), key)


def assert_states(contents, *seeds):
    """Assert that the networks are exactly those of the seeds."""
    assert len(contents.states) == len(seeds)
    for found, seed in zip(contents.states, seeds, strict=True):
        expected = state(seed)
        assert set(found) == set(expected)
        for name, tensor in expected.items():
            np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- one network


@pytest.mark.parametrize(
    "key",
    ["model", "model_state", "net", "network", "params", "weights", "model_state_dict", "ema_of_mine", "my net"],
)
def test_network_under_any_key(key):
    contents = contents_of({key: state(), "step": 1000, "note": "a note"})
    assert_states(contents, 0)
    assert contents.layout == f"one network under `{key}`"
    assert contents.epochs == [1000]
    assert contents.epochs_source == "`step` 1000: the number of updates"
    assert contents.unused == ["note"]


def test_network_within_another_dictionary():
    contents = contents_of({"trainer": {"student": state(), "epoch": 4}, "optimizer": {"state": {0: state(1)}}})
    assert_states(contents, 0)
    assert contents.layout == "one network under `trainer.student`"


def test_several_networks_are_refused_until_one_is_chosen():
    content = {"student": state(0), "teacher": state(1), "step": 7, "optimizer": {"state": {0: state(2)}}}
    with pytest.raises(UserError, match=r"several networks, under `student`, `teacher`. Choose one .* --key student"):
        contents_of(content)
    assert_states(contents_of(content, key="teacher"), 1)
    assert contents_of(content, key="teacher").epochs == [7]
    assert_states(contents_of({"nets": content}, key="nets.teacher"), 1)
    assert_states(contents_of({"nets": [state(0), state(1)]}, key="nets.1"), 1)
    with pytest.raises(UserError, match=r"nothing under ema. Expected one of the keys student, teacher"):
        contents_of(content, key="ema")


def test_equal_networks_under_two_keys_are_one():
    assert_states(contents_of({"student": state(), "copy": state()}), 0)


def test_another_network_beside_a_usual_key_is_named():
    contents = contents_of({"model": state(0), "ema": state(1)})
    assert_states(contents, 0)
    assert contents.skipped == ["ema, another network beside `model` (--key ema)"]


def test_fields_among_the_tensors():
    contents = contents_of(
        state() | {"epoch": 5, "config": {"lr": 0.5}, "train_losses": torch.ones(6), "d_mlp": torch.tensor(16)}
    )
    assert_states(contents, 0)
    assert contents.epochs == [6]
    assert contents.config == {"lr": 0.5}
    assert contents.stated["d_mlp"].value == 16
    assert contents.train.values.tolist() == [1.0] * 6


def test_lightning_checkpoint():
    content = {
        "state_dict": state(0, "model.") | {"loss.weight": torch.ones(3), "train_mask": torch.ones(9).bool()},
        "pytorch-lightning_version": "2.1",
        "hyper_parameters": argparse.Namespace(lr=1e-3, n_heads=4),
        "epoch": 99,
        "global_step": 300,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2, 2)}}, "param_groups": [{"weight_decay": 0.5}]}],
        "lr_schedulers": [],
        "loops": {"fit_loop": {"state_dict": {}}},
    }
    contents = contents_of(content)
    assert_states(contents, 0)
    assert contents.epochs == [300]
    assert contents.config == {"lr": 1e-3, "n_heads": 4}
    assert contents.optimizer == {"weight_decay": 0.5}
    assert contents.skipped == ["tensor loss.weight, outside `model`", "tensor train_mask, outside `model`"]
    assert_states(contents_of(content | {"state_dict": state(0, "net._orig_mod.")}), 0)


def test_nested_tensors_of_flax():
    layers = {f"Dense_{i}": {"kernel": np.full((3, 2), i), "bias": np.zeros(2)} for i in range(2)}
    layers = {name: {k: v.astype(np.float32) for k, v in layer.items()} for name, layer in layers.items()}
    for content in (layers, {"params": layers}, {"params": {"params": layers}, "step": 3}):
        Path("flax.pkl").write_bytes(pickle.dumps(content))
        contents = contents_of(None, "flax.pkl")
        (found,) = contents.states
        prefix = next(iter(found)).removesuffix("Dense_0.kernel")
        assert [name.removeprefix(prefix) for name in found] == [
            f"Dense_{i}.{k}" for i in range(2) for k in ("kernel", "bias")
        ]
        np.testing.assert_array_equal(found[f"{prefix}Dense_1.kernel"], np.ones((3, 2)))


@pytest.mark.parametrize("separator", ["/", "."])
def test_npz_of_flattened_names_and_fields(separator):
    arrays = {name.replace(".", separator): tensor.numpy() for name, tensor in state().items()}
    np.savez("theirs.npz", **arrays, epoch=7, train_losses=np.ones(8), p=113)
    contents = contents_of(None, "theirs.npz")
    assert {name: tensor.tolist() for name, tensor in contents.states[0].items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    assert contents.epochs == [8]
    assert contents.stated["modulus"].value == 113


def test_msgpack_is_refused_with_advice():
    Path("theirs.msgpack").write_bytes(b"\x80")
    with pytest.raises(UserError, match=r"files of msgpack are not read.*numpy.savez"):
        read(Path("theirs.msgpack"))


# ---- several checkpoints

LISTS = {
    "state dicts": ([state(0), state(1)], [1, 2], "order of the checkpoints"),
    "containers": ([{"model": state(0), "epoch": 9}, {"model": state(1), "epoch": 19}], [10, 20], "e means e + 1"),
    "containers with steps": ([{"net": state(0), "step": 0}, {"net": state(1), "step": 50}], [0, 50], "`step` 50"),
    "by number": ({0: state(0), 100: state(1)}, [0, 100], "keys of the checkpoints, such as 100: the number"),
    "by text": ({"100": state(1), "20": state(0)}, [20, 100], "keys of the checkpoints"),
    "by step": ({"step_50": state(1), "step_5": state(0)}, [5, 50], "keys of the checkpoints, such as step_50"),
    "by epoch, with a configuration": (
        {"epoch0": state(0), "epoch10": state(1), "config": {"p": 13}},
        [0, 10],
        "epoch10",
    ),
    "under a key": ({"states": [state(0), state(1)], "updates": [3, 4]}, [3, 4], "`updates`"),
    "under a key of any name": ({"mine": {0: state(0), 100: state(1)}}, [0, 100], "such as 100: the number"),
    "the notebooks' list": ({"checkpoints": [state(0), state(1)], "checkpoint_epochs": [9, 19]}, [10, 20], "e + 1"),
    "the notebooks' dictionary": ({"checkpoints": {9: state(0), 19: state(1)}}, [10, 20], "e + 1"),
}


@pytest.mark.parametrize("layout", LISTS)
def test_runs_of_checkpoints(layout):
    content, epochs, source = LISTS[layout]
    contents = contents_of(content)
    assert_states(contents, 0, 1)
    assert contents.epochs == epochs
    assert source in contents.epochs_source
    assert contents.layout.startswith("a run of 2 checkpoints")


def test_last_checkpoint_states_the_settings_of_a_run():
    contents = contents_of([{"model": state(i), "epoch": 10 * i, "config": {"lr": i}} for i in range(2)])
    assert contents.config == {"lr": 1}
    assert contents.stated["learning_rate"].value == 1


def test_checkpoints_with_equal_epochs_are_refused():
    with pytest.raises(UserError, match="checkpoints 0 and 1 are both after 6 updates"):
        contents_of([{"model": state(0), "epoch": 5}, {"model": state(1), "epoch": 5}])


@pytest.mark.parametrize(
    ("field", "epoch"),
    [
        ({"epoch": 99}, 100),
        ({"epoch": 99, "train_losses": [1.0] * 100}, 100),
        ({"epoch": 100, "train_losses": [1.0] * 100}, 100),
        ({"epoch": 100, "train_loss": [1.0] * 100}, 100),
        ({"epoch": 99, "training_losses": [1.0] * 100}, 100),
        ({"epoch": 1, "train_loss": 1.0}, 2),
        ({"epoch": 99, "step": 100}, 100),
        ({"epoch": 99, "step": 3}, 100),
        ({"global_step": 100, "epoch": 3}, 100),
        ({"updates": 100, "epoch": 3}, 100),
        ({"train_losses": [1.0] * 100}, 100),
        ({}, None),
    ],
)
def test_epoch_of_one_network(field, epoch):
    assert contents_of({"model": state()} | field).epochs == (None if epoch is None else [epoch])


# ---- folders

FOLDERS = {
    "the authors' numbers": (["0.pth", "100.pth"], [1, 101], "e means e + 1 updates"),
    "phases": (["phase1_step1000.pth", "phase2_step2000.pth"], [1000, 2000], "the number of updates"),
    "a modulus": (["modadd_p113_epoch0.pth", "modadd_p113_epoch100.pth"], [0, 100], "the number of updates"),
    "a seed at the end": (["epoch5_seed0.pth", "epoch10_seed0.pth"], [5, 10], "the number of updates"),
    "init": (["init.pth", "199.pth"], [0, 200], "`init` is before the first update"),
    "Lightning": (["epoch=1-step=20.ckpt", "epoch=3-step=40.ckpt"], [20, 40], "epoch=1-step=20.ckpt → 20"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_epochs_from_the_names_of_files(kind):
    names, epochs, source = FOLDERS[kind]
    Path("run").mkdir()
    for seed, name in enumerate(names):
        torch.save(state(seed), Path("run") / name)
    contents = contents_of(None, "run")
    assert_states(contents, 0, 1)
    assert contents.epochs == epochs
    assert source in contents.epochs_source


def test_epochs_in_files_count_more_than_their_names():
    Path("run").mkdir()
    for seed, epoch in enumerate((9, 19)):
        torch.save({"model": state(seed), "epoch": epoch}, f"run/step{seed}.pth")
    contents = contents_of(None, "run")
    assert contents.epochs == [10, 20]
    assert "`epoch`: e means e + 1 updates" in contents.epochs_source


def test_files_of_a_folder_without_a_network_are_skipped_and_named():
    Path("run").mkdir()
    torch.save(state(0), "run/step10.pth")
    torch.save(state(1), "run/step20.pth")
    torch.save(state(2), "run/final.pth")
    torch.save({"x": torch.ones(5, 2).long(), "y": torch.ones(5)}, "run/train_data.pth")
    torch.save(torch.ones(5, 2), "run/data30.pth")
    torch.save({"state": {0: {"exp_avg": torch.ones(3, 3)}}, "param_groups": [{}]}, "run/optimizer40.pth")
    torch.save({"probe": torch.ones(3, 3)}, "run/probe50.pth")
    contents = contents_of(None, "run")
    assert_states(contents, 0, 1)
    assert {line.partition(":")[0] for line in contents.skipped} == {
        *("final.pth", "train_data.pth", "data30.pth", "optimizer40.pth", "probe50.pth")
    }
    assert "final.pth: neither its name nor the file has a number of updates" in contents.skipped


def test_files_with_equal_epochs_are_refused_by_name():
    Path("run").mkdir()
    torch.save(state(0), "run/a_p113.pth")
    torch.save(state(1), "run/b_p113.pth")
    with pytest.raises(UserError, match=r"a_p113.pth and .*b_p113.pth: both are checkpoints after 113 updates"):
        contents_of(None, "run")


def test_file_with_code_in_a_folder_is_refused():
    Path("run").mkdir()
    torch.save(state(0), "run/step10.pth")
    torch.save(torch.nn.Linear(2, 2), "run/step20.pth")
    with pytest.raises(UserError, match=r"step20.pth contains code"):
        contents_of(None, "run")


# ---- records


class Kind(enum.Enum):
    """An enumeration of a user."""

    ADAM = "adam"


@dataclasses.dataclass
class Arguments:
    """A configuration of a user."""

    lr: float = 0.25
    folder: Path = Path("runs/a")


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """A configuration whose state is a list."""

    p: int = 113
    lr: float = 0.25


Pair = collections.namedtuple("Pair", "p lr")


class Settings(dict):
    """A dictionary with a class of its own."""


RECORDS = {
    "argparse.Namespace": (argparse.Namespace(p=113, lr=0.25), {"p": 113, "lr": 0.25}),
    "SimpleNamespace": (types.SimpleNamespace(p=113, inner=types.SimpleNamespace(lr=1)), {"p": 113, "inner": {"lr": 1}}),
    "path": (Path("runs/a"), "runs/a"),
    "Windows path": (PureWindowsPath("C:/runs/a"), "C:\\runs\\a"),
    "defaultdict": (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    "Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "OrderedDict": (collections.OrderedDict(a=1, b=2), {"a": 1, "b": 2}),
    "deque": (collections.deque([1, 2], maxlen=5), [1, 2]),
    "sets": ([{1}, frozenset([2])], [[1], [2]]),
    "datetime": (datetime.datetime(2024, 1, 2, 3, 4), "2024-01-02T03:04:00"),
    "date": (datetime.date(2024, 1, 2), "2024-01-02"),
    "time": (datetime.time(3, 4), "03:04:00"),
    "timedelta": (datetime.timedelta(hours=3), "3:00:00"),
    "enumeration": (Kind.ADAM, "adam"),
    "data class": (Arguments(), {"lr": 0.25, "folder": "runs/a"}),
    "frozen data class": (Frozen(), {"0": 113, "1": 0.25}),
    "named tuple": (Pair(113, 0.25), {"0": 113, "1": 0.25}),
    "dictionary of a class": (Settings(p=113), {"p": 113}),
    "NumPy numbers": ([np.float32(0.5), np.int64(3), np.bool_(True)], [0.5, 3, True]),
    "array of objects": (np.array([1, "a", None], dtype=object), [1, "a", None]),
    "PyTorch's names": ([torch.float32, torch.device("cuda:0"), torch.Size([1, 2])], ["torch.float32", "cuda:0", [1, 2]]),
    "functions that are not called": ([torch.nn.functional.relu, float], ["torch.nn.functional.relu", "float"]),
    "keys that are no text": ({(1, 2): 3, Kind.ADAM: 4, 5: 6}, {"[1, 2]": 3, "adam": 4, "5": 6}),
    "bytes and other numbers": ([b"abc", bytearray(b"d"), 2j, 10**30], [b"abc", b"d", 2j, 10**30]),
}  # fmt: skip


def written(content, kind, protocol):
    """Write a file as one of several programs do, and return its path."""
    path = Path("record.pth")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "torch")
    return path


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [("torch", 2), ("torch", 4), ("torch, old", 2), *(("pickle", protocol) for protocol in range(6))],
)
@pytest.mark.parametrize("record", list(RECORDS))
def test_objects_become_their_fields(record, kind, protocol):
    if record == "frozen data class" and protocol < 2:
        pytest.skip("Python cannot write it in this protocol")
    value, expected = RECORDS[record]
    content = {"model": state(), "beside": value}
    loaded = read(written(content, kind, protocol))
    assert loaded["beside"] == expected
    for name, tensor in state().items():
        np.testing.assert_array_equal(loaded["model"][name], tensor.numpy())


def test_record_keeps_the_name_of_its_class():
    assert read(written({"a": Arguments()}, "torch", 2))["a"].kind == f"{__name__}.Arguments"


def test_data_class_of_a_main_program(monkeypatch):
    cls = dataclasses.make_dataclass("Args", [("p", int, 113)])
    cls.__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "Args", cls, raising=False)
    contents = contents_of({"net": state(), "args": cls()})
    assert contents.config == {"p": 113}
    assert contents.stated["modulus"] == (113, "args.p")


def stand_ins(monkeypatch, **names):
    """Make classes of libraries that are not installed, {name: full name}, and return them."""
    classes = []
    for name, module in names.items():
        cls = type(name, (), {"__module__": module})
        parts = module.split(".")
        for count in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[:count]), types.SimpleNamespace())
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: cls}))
        classes.append(cls)
    return classes


def with_fields(cls, **fields):
    instance = cls()
    instance.__dict__.update(fields)
    return instance


def test_omegaconf_and_ml_collections_give_their_settings(monkeypatch):
    Node, Container, Config = stand_ins(
        monkeypatch,
        AnyNode="omegaconf.nodes",
        DictConfig="omegaconf.dictconfig",
        ConfigDict="ml_collections.config_dict.config_dict",
    )
    container = with_fields(Container, _metadata={}, _parent=None)
    container._content = {"lr": with_fields(Node, _metadata={}, _parent=container, _val=0.25)}
    config = with_fields(Config, _fields={"p": 113}, _locked=False)
    loaded = read(written({"cfg": container, "config": config}, "torch", 2))
    assert loaded == {"cfg": {"lr": 0.25}, "config": {"p": 113}}


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_of_arrays(protocol):
    arrays = {name: tensor.numpy() for name, tensor in state().items()}
    arrays["embed.W_E"] = np.asfortranarray(arrays["embed.W_E"])
    contents = find_networks(read(written(arrays, "pickle", protocol)), Path("record.pth"))
    assert_states(contents, 0)
    big = {"W": np.arange(6.0).astype(">f4").reshape(2, 3), "none": np.zeros((0, 3)), "half": np.ones(2, np.float16)}
    loaded = read(written(big, "pickle", protocol))
    for name, array in big.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype.isnative


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["torch", "torch, old", "pickle"]))
def test_tensors_are_equal_to_the_bit(data, kind):
    """Views, types and shared storages give the values that PyTorch reads."""
    dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
    base = (torch.arange(60) % 7).to(data.draw(st.sampled_from(dtypes))).reshape(3, 4, 5)
    views = {
        "all": base,
        "part": base[1:, ::2],
        "turned": base.permute(2, 0, 1),
        "one": base[0, 0, 0],
        "none": base[:0],
    }
    names = data.draw(st.lists(st.sampled_from(sorted(views)), min_size=1, unique=True))
    content = {name: views[name] for name in names} | {"parameter": torch.nn.Parameter(torch.ones(2, 2))}
    loaded = read(written(content, kind, 2))
    for name, tensor in content.items():
        expected = tensor.detach()
        is_small = expected.is_floating_point() and expected.dtype != torch.float64
        np.testing.assert_array_equal(loaded[name], (expected.float() if is_small else expected).numpy())
        assert loaded[name].shape == tuple(tensor.shape)


def test_big_endian_archive():
    torch.save({"W": torch.arange(4.0)}, "little.pth")
    with zipfile.ZipFile("little.pth") as old, zipfile.ZipFile("big.pth", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            content = b"big" if name.endswith("byteorder") else content
            new.writestr(name, np.frombuffer(content, "<f4").byteswap().tobytes() if "/data/" in name else content)
    assert read(Path("big.pth"))["W"].tolist() == [0, 1, 2, 3]


# ---- code


class Flagging:
    """An object that sets a flag by each method that unpickling calls."""

    ran: list = []  # noqa: RUF012

    def __init__(self):
        self.lr = 0.25

    def __setstate__(self, fields):
        Flagging.ran.append("__setstate__")

    def __new__(cls, *arguments):
        Flagging.ran.append("__new__")
        return super().__new__(cls)


def flag(*arguments):
    Flagging.ran.append("function")
    return argparse.Namespace()


class Reducing:
    """An object that calls a function when it is unpickled."""

    def __reduce__(self):
        return flag, (1, 2), {"lr": 0.25}


@pytest.mark.parametrize("kind", ["torch", "torch, old", "pickle"])
def test_no_code_of_a_class_runs(kind):
    path = written({"a": Flagging(), "b": Reducing()}, kind, 2)
    if kind == "pickle":
        pickle.loads(path.read_bytes())
        assert {"__new__", "__setstate__", "function"} <= set(Flagging.ran), "otherwise the test would prove nothing"
    Flagging.ran.clear()
    loaded = read(path)
    assert Flagging.ran == []
    assert loaded["a"] == {"lr": 0.25}
    assert loaded["b"] == {"0": 1, "1": 2, "lr": 0.25}


def test_no_module_is_imported(folder, monkeypatch):
    (folder / "theirs_module.py").write_text("class Args:\n    pass\nopen('imported', 'w').close()\n")
    monkeypatch.syspath_prepend(folder)
    path = written({"args": importlib.import_module("theirs_module").Args()}, "torch", 2)
    monkeypatch.delitem(sys.modules, "theirs_module")
    Path("imported").unlink()
    assert read(path) == {"args": {}}
    assert not Path("imported").exists()
    assert "theirs_module" not in sys.modules


class Calling:
    """An object that calls a harmless function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class OwnModule(torch.nn.Module):
    """A module of a user without modules of PyTorch in it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2, 2))


REFUSED = {
    "os.getcwd": (Calling(os.getcwd), "getcwd"),
    "a function that is not called": (os.getcwd, "getcwd"),
    "len": (Calling(len, "ab"), "len"),
    "getattr of a string": (Calling(getattr, "ab", "upper"), "getattr"),
    "getattr of PyTorch": (Calling(getattr, torch.Tensor, "sum"), "getattr"),
    "functools.partial": (functools.partial(len), "functools.partial"),
    "operator": (Calling(operator.add, 1, 2), "_operator.add"),
    "sys": (Calling(sys.getrecursionlimit), "sys.getrecursionlimit"),
    "PyTorch": (Calling(torch.nn.functional.relu, 0), "torch.nn.functional.relu"),
    "NumPy": (Calling(np.zeros, 3), "numpy.zeros"),
    "module of PyTorch": (torch.nn.ReLU(), "torch.nn.modules.activation.ReLU"),
    "own module": (OwnModule(), f"{__name__}.OwnModule"),
}


@pytest.mark.parametrize("kind", ["torch", "torch, old", "pickle"])
@pytest.mark.parametrize("name", REFUSED)
def test_code_is_refused(name, kind):
    value, expected = REFUSED[name]
    path = written({"model": state(), "beside": value}, kind, 2)
    with pytest.raises(UserError, match="contains code: loading it would run") as refusal:
        read(path)
    assert f"{expected}`. Nothing in it was run" in str(refusal.value)


def nested(levels):
    """Return a pickle of lists in which each of the levels contains the next one ten times."""
    return b"\x80\x02]q\x00" + b"".join(b"](" + b"h%c" % i * 10 + b"eq%c" % (i + 1) for i in range(levels)) + b"."


def test_pickles_that_would_take_much_memory(folder):
    Path("shared.pth").write_bytes(nested(60))
    value = read(Path("shared.pth"))
    for _ in range(60):
        value = value[3]
    assert value == [], "lists that are shared are built once"
    text = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6
    copies = b"c_codecs\nencode\nq\x01" + text + b"X\x06\0\0\0latin1\x86q\x02"
    Path("copies.pth").write_bytes(b"\x80\x02](" + copies + b"R" + b"h\x01h\x02R" * 1000 + b"e.")
    with pytest.raises(UserError, match="far more than the file"):
        read(Path("copies.pth"))
    stream = io.BytesIO()
    torch.save([torch.zeros(1).expand(10**4, 10**3) for _ in range(10)], stream)
    Path("expanded.pth").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="far more than the file"):
        read(Path("expanded.pth"))


# ---- networks of other people


@pytest.mark.skipif(not NETWORKS.is_dir(), reason="the networks of other people are not here")
def test_networks_of_other_people_are_read_as_by_pytorch():
    for path in sorted(NETWORKS.glob("*.p*t*")):
        expected = torch.load(path, map_location="cpu", weights_only=True)
        contents = find_networks(read(path), path)
        tensors = next((expected[key] for key in ("model", "model_state_dict") if key in expected), expected)
        assert len(contents.states) == 1
        assert set(contents.states[0]) == set(tensors)
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(contents.states[0][name], tensor.numpy(), err_msg=f"{path.name}: {name}")


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ("learned", True),
        ("fixed", True),
        ("nope", False),
        ("sincos", False),
        ("RoPE", False),
        ("none", False),
        ("new", True),
    ],
)
def test_position_vectors_are_absent_under_any_name(positions, expected):
    assert designs.has_position_vectors(positions) == expected


@pytest.mark.parametrize("config", [{"attn_only": True}, {"attention_only": True}])
def test_attention_only_is_read_under_any_name(config):
    contents = Contents([], None, "", config=config, stated=stated_settings({"config": config}).settings)
    assert designs.states_attention_only(contents)
    assert not designs.states_attention_only(Contents([], None, ""))


RECORDED = {
    "one per checkpoint": ([0, 100, 400], 3, [0, 100, 400]),
    "one per 100 updates": ([100, 4000], 41, np.arange(41) * 100),
    "one per 100 updates, not after the last": ([100, 4000], 40, np.arange(40) * 100),
    "one per update": ([100, 400], 400, np.arange(400)),
    "one per update, and after the last": ([100, 400], 401, np.arange(401)),
    "more than updates": ([100, 400], 1000, np.arange(1000)),
    "not divisible": ([100, 4000], 30, None),
}


@pytest.mark.parametrize("name", RECORDED)
def test_updates_of_recorded_losses_follow_from_their_number_and_the_last_epoch(name):
    epochs, count, expected = RECORDED[name]
    losses = np.linspace(3, 1, count)
    content = {str(epoch): state(i) for i, epoch in enumerate(epochs)}
    contents = contents_of(content | {"train_losses": losses.tolist(), "test_losses": losses.tolist()})
    if expected is None:
        assert (contents.train, contents.test) == (None, None)
        assert f"{count} train losses whose numbers of updates are not known" in contents.unused
        return
    for recorded in (contents.train, contents.test):
        np.testing.assert_array_equal(recorded.updates, expected)
        np.testing.assert_allclose(recorded.values, losses)


def test_losses_may_be_listed_with_their_updates():
    pairs = [[0, 3.0], [100, 2.0], [4000, 1.0]]
    contents = contents_of({"model": state(), "epoch": 4000, "train_losses": pairs, "test_losses": np.array(pairs)})
    for recorded in (contents.train, contents.test):
        np.testing.assert_array_equal(recorded.updates, [0, 100, 4000])
        np.testing.assert_array_equal(recorded.values, [3, 2, 1])
    with pytest.raises(UserError, match=r"`train_losses`: expected one loss per entry, or pairs .* shape \(2, 3\)"):
        contents_of({"model": state(), "train_losses": [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]})


def test_epochs_of_a_list_of_checkpoints_are_assumed():
    contents = contents_of([{"model": state(0)}, {"model": state(1)}])
    assert contents.epochs == [1, 2]
    assert "as the file lists no epochs" in contents.assumed_epochs


def fields_of(config):
    contents = Contents([], None, "", config=config, stated=stated_settings({"config": config}).settings)
    return {name: value for name, (value, _) in designs._fields_in_file(contents, Path("a.pth")).items()}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"attention_scale": 1.0}, {"attention_scale": 1.0}),
        ({"attention_scale": 0.25, "d_head": 16}, {}),  # 1/√d_head
        ({"attn_scale": 8.0}, {"attention_scale": 0.125}),
        ({"attn_scale": 4.0, "d_head": 16}, {}),
        ({"attn_scale": -1.0}, {}),  # not set
        ({"use_attn_scale": False, "attn_scale": 4.0}, {"attention_scale": 1.0}),
        ({"eps": 0.1}, {"norm_epsilon": 0.1}),
        ({"eps": 0.1, "normalization_type": None}, {"normalization": "none"}),
    ],
)
def test_number_in_the_configuration_is_used(config, expected):
    assert fields_of(config) == expected


def test_ambiguous_attention_scale_is_an_error():
    with pytest.raises(UserError, match=r"config.attention_scale is 5.6; it is not clear .* --model attention_scale="):
        fields_of({"attention_scale": 5.6})


def test_epsilon_of_norms_is_left_out_without_norms():
    weights = {"W_Q": np.zeros((1, 2, 8, 4)), "W_U": np.zeros((8, 3)), "W_pos": np.zeros((3, 8))}
    assert "norm_epsilon" not in designs.model_section(weights, {"normalization": "none", "norm_epsilon": 0.1})
    assert designs.model_section(weights, {"normalization": "layer_norm", "norm_epsilon": 0.1})["norm_epsilon"] == 0.1


@pytest.mark.parametrize("sizes", [{"head": 2}, {"head": 2, "d_head": 4}, {"d_head": 4}])
def test_merged_axes_need_one_of_their_sizes(sizes):
    tensor = np.arange(8 * 5).reshape(8, 5)
    ours = names._reordered(["head", "d_model", "d_head"], "Q", tensor, [["d_head", "head"], ["d_model"]], sizes)
    np.testing.assert_array_equal(ours, tensor.reshape(4, 2, 5).transpose(1, 2, 0))


def test_two_operand_values_are_the_reason_if_an_operation_needs_three():
    with pytest.raises(UserError, match="operations mod n need at least 3 operand values, and there are 2"):
        task_of_operation("a+b", 2, 2, "a b =", "last")


def test_numbered_layers_are_no_checkpoints():
    layers = {str(i): {"w": np.ones((4, 4)) * i, "b": np.ones(4)} for i in (1, 2, 3)}
    contents = contents_of({"emb": {"w": np.ones((5, 4))}, **layers})
    assert sorted(contents.states[0]) == ["1.b", "1.w", "2.b", "2.w", "3.b", "3.w", "emb.w"]
