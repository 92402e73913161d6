"""Malicious pickles in every kind of file: none of their code runs."""

import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mutations import within_limits

from progress_measures.errors import UserError
from progress_measures.importing.import_network import import_network
from progress_measures.importing.settings import Options
from support import state_dicts
from support.networks import imported_weights


def call(module, name, *arguments):
    """Return opcodes that call a function when they are unpickled."""

    def text(word):
        return b"X" + struct.pack("<I", len(word.encode())) + word.encode()

    encoded = b"".join(
        text(argument) if isinstance(argument, str) else pickle.dumps(argument, 2)[2:-1] for argument in arguments
    )
    return f"c{module}\n{name}\n".encode() + b"(" + encoded + b"tR"


CANARY = "open('pwned', 'w')"
CALLS = {
    "os.system": call("os", "system", "touch pwned"),
    "posix.system": call("posix", "system", "touch pwned"),
    "subprocess": call("subprocess", "getoutput", "touch pwned"),
    "Popen": call("subprocess", "Popen", ["touch", "pwned"]),
    "exec": call("builtins", "exec", CANARY),
    "eval": call("builtins", "eval", CANARY),
    "exec, of Python 2": call("__builtin__", "execfile", "pwned"),
    "open": call("builtins", "open", "pwned", "w"),
    "io.open": call("io", "open", "pwned", "w"),
    "os.open": call("os", "open", "pwned", 64),
    "os.mkdir": call("os", "mkdir", "pwned"),
    "pathlib": call("pathlib", "Path.touch", "pwned"),
    "a chain": b"cbuiltins\ngetattr\n(" + call("builtins", "__import__", "os") + b"X\x06\x00\x00\x00systemtR"
    b"(X\x0b\x00\x00\x00touch pwnedtR",
    "a map": b"cbuiltins\nlist\n(" + b"cbuiltins\nmap\n(cos\nsystem\n(lX\x0b\x00\x00\x00touch pwnedatRtR",
    "torch.load": call("torch", "load", "elsewhere.pkl"),
    "torch.save": call("torch", "save", 1, "pwned"),
    "torch.hub": call("torch.hub", "load", "elsewhere", "model", "local"),
    "torch.serialization": call("torch.serialization", "load", "elsewhere.pkl"),
    "an eval of torch": call(
        "torch.utils._config_module", "ConfigModule.load_config", b"cos\nsystem\n(S'touch pwned'\ntR."
    ),
    "torch.jit": call("torch.jit", "load", "elsewhere.pkl"),
    "torch.compile": call("torch._dynamo", "run", CANARY),
    "torch.classes": call("torch._C", "import_ir_module", "pwned"),
    "numpy.load": call("numpy", "save", "pwned", 1),
    "numpy.memmap": call("numpy", "memmap", "pwned", "u1", "w+", 0, 10),
    "numpy's tests": call("numpy.testing._private.utils", "runstring", CANARY, {}),
    "numpy.f2py": call("numpy.f2py.crackfortran", "myeval", CANARY),
    "code": call("code", "InteractiveInterpreter.runcode", CANARY),
    "runpy": call("runpy", "run_path", "elsewhere.py"),
    "timeit": call("timeit", "timeit", CANARY, "pass"),
    "an import": b"celsewhere\nanything\n",
    "pickle": call("pickle", "loads", b"cos\nsystem\n(S'touch pwned'\ntR."),
    "codecs": call("_codecs", "open", "pwned", "w"),
    "operator": b"coperator\nmethodcaller\n(X\x06\x00\x00\x00systemX\x0b\x00\x00\x00touch pwnedtR("
    + call("builtins", "__import__", "os")
    + b"tR",
    "functools": b"cfunctools\nreduce\n(cos\nsystem\n(lX\x0b\x00\x00\x00touch pwnedatR",
    "a class of this project": call("progress_measures.files", "write_json", "pwned", 1),
    "a record that builds": b"c__main__\nConfig\n)\x81}X\x09\x00\x00\x00__class__cos\nsystem\nsb",
    "os.system, old words": b"(S'touch pwned'\nios\nsystem\n",
    "os.system, by name": b"\x8c\x02os\x8c\x06system\x93(X\x0b\x00\x00\x00touch pwnedtR",
    "os.system, as an object": b"(cos\nsystem\nX\x0b\x00\x00\x00touch pwnedo",
    "an extension": b"\x82\x01",
    "a persistent name": b"X\x05\x00\x00\x00pwnedQ",
}
"""Opcodes that leave one object on the stack, by the call that they make."""


def as_archive(opcodes, path):
    """Write opcodes as `torch.save` does."""
    with zipfile.ZipFile(path, "w") as file:
        for name, member in {
            "data.pkl": b"\x80\x02" + opcodes + b".",
            "byteorder": b"little",
            "version": b"3\n",
        }.items():
            file.writestr(f"archive/{name}", member)


def as_legacy(opcodes, path):
    """Write opcodes in the old format of `torch.save`: magic number, version, type sizes, object, storage keys."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    start = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, machine))
    path.write_bytes(start + b"\x80\x02" + opcodes + b"." + pickle.dumps([], 2))


def as_object_beside_tensors(opcodes, path):
    """Write opcodes beside valid tensors in an archive."""
    torch.save({"embed.W_E": torch.zeros(8, 4), "notes": None}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (main,) = (name for name in members if name.endswith("data.pkl"))
    original = members[main]
    position = next(start for code, _, start in pickletools.genops(original) if code.name == "NONE")
    members[main] = original[:position] + opcodes + original[position + 1 :]
    with zipfile.ZipFile(path, "w") as file:
        for name, member in members.items():
            file.writestr(name, member)


def as_bare(opcodes, path):
    path.write_bytes(b"\x80\x04" + opcodes + b".")


def as_objects(opcodes, path):
    """Write opcodes as an array of objects in a .npz."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("embed.W_E.npy", object_array(opcodes))


def object_array(opcodes):
    """Return a .npy whose values are a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\x80\x02" + opcodes + b"."


FILES = {
    "theirs.pth": as_archive,
    "legacy.pth": as_legacy,
    "within.pth": as_object_beside_tensors,
    "bare.pkl": as_bare,
    "bare.bin": as_bare,
    "bare.npz": as_bare,
    "bare.safetensors": as_bare,
    "objects.npz": as_objects,
    "folder": None,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with files that a pickle could run."""
    (tmp_path / "elsewhere.py").write_text(CANARY)
    (tmp_path / "elsewhere.pkl").write_bytes(b"\x80\x02" + CALLS["os.system"] + b".")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    assert not list(tmp_path.rglob("*pwned*"))


@pytest.mark.parametrize("name", ["os.system", "exec", "a chain", "a map", "os.system, by name", "numpy's tests"])
def test_pickles_run_in_pythons_unpickler(folder, name):
    """The pickles do run code when they are unpickled; otherwise the other tests would prove nothing."""
    pickle.loads(b"\x80\x04" + CALLS[name] + b".")
    assert Path("pwned").exists()
    Path("pwned").unlink()


@pytest.mark.parametrize("file", FILES)
def test_no_code_runs(folder, tally, file):
    for name, opcodes in CALLS.items():
        path = Path(file)
        if file == "folder":
            path.mkdir(exist_ok=True)
            as_archive(opcodes, path / "0.pth")
        else:
            FILES[file](opcodes, path)
        with within_limits(), pytest.raises(UserError) as refusal:
            import_network(path, Path("results/theirs"), Options())
        assert str(refusal.value).startswith(str(path)), name
        assert str(refusal.value).isprintable(), name
        assert not Path("pwned").exists(), name
        assert not Path("results").exists(), name
        tally.count("malicious pickles", "refused")


@pytest.mark.parametrize("option", ["split", "operation"])
def test_no_code_of_files_named_by_options_runs(folder, tally, option):
    """Tables of answers and lists of indices can be .npy files, and .npy files can be pickles."""
    torch.save(state_dicts.authors(imported_weights(np.random.default_rng(0), 1, biases=True)), "valid.pth")
    for name, opcodes in CALLS.items():
        for content in (object_array(opcodes), b"\x80\x04" + opcodes + b"."):
            Path("values.npy").write_bytes(content)
            options = Options(**{"operation": "a+b", option: "values.npy"})
            with pytest.raises(UserError, match=f"--{option} values.npy"):
                import_network(Path("valid.pth"), Path("results/theirs"), options)
            assert not Path("pwned").exists(), name
            tally.count("malicious pickles", "refused")
