"""Malicious and damaged cubes: tricks with archives and Zarr are refused, and no file outside is read or written."""

import contextlib
import json
import math
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from mutations import NESTED, many_cases, mark_encrypted, within_limits

from progress_measures import open_cube
from progress_measures.cube.open import cube_if_any
from progress_measures.errors import UserError
from progress_measures.files import write_store

PUBLISHED = Path("published/mainline.zarr.zip")


def cube():
    """Return a small dataset with the structure of a cube."""
    values = np.random.default_rng(0).normal(size=(2, 3))
    return xr.Dataset(
        {"train_loss": (("run", "epoch"), values), "key": (("run",), np.array([3, 4]))},
        coords={"run": np.array(["seed0", "seed1"], dtype=object), "epoch": [0, 100, 200]},
        attrs={"experiment": "mainline", "title": "A cube"},
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a published cube; outside of it is a secret file, and no other file may appear there."""
    inside = tmp_path / "deep/inside"
    (inside / "published").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    monkeypatch.chdir(inside)
    write_store(cube(), Path("cube.zarr"))
    pack(
        {
            str(path.relative_to("cube.zarr")): path.read_bytes()
            for path in Path("cube.zarr").rglob("*")
            if path.is_file()
        }
    )
    shutil.rmtree("cube.zarr")
    yield inside
    outside = {path for path in tmp_path.rglob("*") if inside not in [path, *path.parents]}
    assert outside == {tmp_path / "deep", tmp_path / "secret"}
    assert not list(inside.rglob("*pwned*"))


def members():
    """Return the members of the published cube's archive: bytes by name."""
    with zipfile.ZipFile(PUBLISHED) as file:
        return {name: file.read(name) for name in file.namelist()}


def pack(content, compressed=zipfile.ZIP_STORED):
    """Replace the published cube by an archive of members, a dictionary or pairs of name and bytes."""
    with zipfile.ZipFile(PUBLISHED, "w", compressed) as file:
        for name, member in content.items() if isinstance(content, dict) else content:
            file.writestr(name, member)


def outcome():
    """Load the published cube; return `right` if it equals `cube()`, or `refused` for a message that names the file."""
    with within_limits():
        try:
            xr.testing.assert_identical(open_cube("mainline", published=True).load(), cube())
            return "right"
        except UserError as refusal:
            message = str(refusal)
    assert message.startswith(f"{PUBLISHED} is not a readable cube"), message
    assert len(message) < 3000
    return "refused"


def member_with_mode(name, mode=0):
    """Return a member's name with a Unix file mode."""
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def with_changed_json(name, **fields):
    """Return the members of the published cube with fields of an array's JSON changed, also in the consolidated metadata."""
    content = members()
    content[name] = json.dumps(json.loads(content[name]) | fields).encode()
    root = json.loads(content["zarr.json"])
    root["consolidated_metadata"]["metadata"][name.partition("/")[0]] |= fields
    content["zarr.json"] = json.dumps(root).encode()
    return content


def chunks_of(*shape):
    """Return Zarr's description of chunks of a shape."""
    return {"name": "regular", "configuration": {"chunk_shape": list(shape)}}


TRICKS = {
    "a member outside": lambda: pack([*members().items(), ("../../pwned", b"x")]),
    "a member outside, with \\": lambda: pack([*members().items(), ("..\\..\\pwned", b"x")]),
    "a member outside, through a folder inside": lambda: pack([*members().items(), ("key/../../../pwned", b"x")]),
    "an absolute member": lambda: pack([*members().items(), ("/tmp/pwned", b"x")]),
    "a link": lambda: pack([*members().items(), (member_with_mode("link", stat.S_IFLNK | 0o777), b"../../secret")]),
    "a chunk that is a link": lambda: pack(
        [
            (member_with_mode(n, stat.S_IFLNK | 0o777), b"../../../secret") if "/c/" in n else (n, m)
            for n, m in members().items()
        ]
    ),
    "a member twice": lambda: pack([*members().items(), ("zarr.json", members()["zarr.json"])]),
    "a member twice, with other content": lambda: pack(
        [*members().items(), *with_changed_json("key/zarr.json", shape=[1]).items()],
    ),
    "no group": lambda: pack({name: content for name, content in members().items() if name != "zarr.json"}),
    "text instead of an archive": lambda: PUBLISHED.write_text("This is no archive."),
    "an empty file": lambda: PUBLISHED.write_bytes(b""),
    "no members": lambda: pack({}),
    "a shape of terabytes": lambda: pack(with_changed_json("train_loss/zarr.json", shape=[10**6, 10**9])),
    "a chunk of terabytes": lambda: pack(with_changed_json("train_loss/zarr.json", chunk_grid=chunks_of(10**6, 10**9))),
    "a shape and a chunk of terabytes": lambda: pack(
        with_changed_json("train_loss/zarr.json", shape=[10**6, 10**9], chunk_grid=chunks_of(10**6, 10**9))
    ),
    "a shape below 0": lambda: pack(with_changed_json("train_loss/zarr.json", shape=[-2, 3])),
    "a shape beyond 64 bits": lambda: pack(with_changed_json("train_loss/zarr.json", shape=[2**70, 3])),
    "chunks of size 0": lambda: pack(with_changed_json("train_loss/zarr.json", chunk_grid=chunks_of(0, 0))),
    "other axes": lambda: pack(with_changed_json("train_loss/zarr.json", dimension_names=["run"])),
    "an unknown codec": lambda: pack(
        with_changed_json("key/zarr.json", codecs=[{"name": "os.system", "configuration": {}}])
    ),
    "a pickling codec": lambda: pack(
        with_changed_json("key/zarr.json", codecs=[{"name": "numcodecs.pickle", "configuration": {}}])
    ),
    "an unknown type": lambda: pack(with_changed_json("key/zarr.json", data_type="object")),
    "format 2": lambda: pack(
        {
            ".zgroup": b'{"zarr_format": 2}',
            "key/.zarray": json.dumps(
                {
                    "zarr_format": 2,
                    "shape": [1],
                    "chunks": [1],
                    "dtype": "|O",
                    "compressor": None,
                    "fill_value": None,
                    "order": "C",
                    "filters": [{"id": "pickle", "protocol": 5}],
                }
            ).encode(),
            "key/.zattrs": b'{"_ARRAY_DIMENSIONS": ["x"]}',
            "key/0": b"cos\nsystem\n(S'touch pwned'\ntR.",
        }
    ),
    "300 MB of zeros": lambda: pack(members() | {"more/c/0": bytes(3 * 10**8)}, zipfile.ZIP_DEFLATED),
    "encrypted": lambda: (pack(members()), mark_encrypted(PUBLISHED)),
    "a lost chunk": lambda: pack({name: member for name, member in members().items() if name != "key/c/0"}),
    "chunks without number": lambda: pack(
        with_changed_json("train_loss/zarr.json", shape=[10**9, 10**9], chunk_grid=chunks_of(1, 1))
    ),
    "no consolidated metadata": lambda: pack(
        members() | {"zarr.json": members()["zarr.json"].replace(b"consolidated_metadata", b"consolidated")}
    ),
    "a damaged chunk": lambda: flip_bit_of_chunk(),
}


def flip_bit_of_chunk():
    """Flip one bit in the chunk `key/c/0` of the published cube."""
    content = bytearray(PUBLISHED.read_bytes())
    with zipfile.ZipFile(PUBLISHED) as file:
        info = file.getinfo("key/c/0")
    names = struct.unpack_from("<HH", content, info.header_offset + 26)
    content[info.header_offset + 30 + sum(names) + 2] ^= 16
    PUBLISHED.write_bytes(content)


def test_valid_cube_is_opened(folder, tally):
    assert outcome() == "right"
    pack(members())
    assert outcome() == "right"
    pack(members(), zipfile.ZIP_DEFLATED)
    assert outcome() == "right"
    tally.count("published cubes", "right")


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_tricks_are_refused(folder, tally, trick):
    TRICKS[trick]()
    assert outcome() == "refused"
    tally.count("published cubes", "refused")


def test_damaged_archives(folder, tally):
    """An archive that is truncated, or has a flipped bit or missing bytes, is refused or gives the original cube."""
    original = PUBLISHED.read_bytes()

    @many_cases(100)
    @given(st.data())
    def each(data):
        content = bytearray(original)
        position = data.draw(st.integers(0, len(original) - 1))
        kind = data.draw(st.sampled_from(["cut", "flipped", "gone"]))
        if kind == "cut":
            del content[position:]
        elif kind == "gone":
            del content[position : position + data.draw(st.integers(1, 50))]
        else:
            content[position] ^= 1 << data.draw(st.integers(0, 7))
        PUBLISHED.write_bytes(content)
        tally.count("bytes of published cubes", outcome())

    each()


def test_damaged_json_of_zarr(folder, tally):
    """A cube with junk in its JSON is refused or opens as some dataset, since any valid dataset is permitted."""
    original = members()

    @many_cases(150)
    @given(st.data())
    def each(data):
        name = data.draw(st.sampled_from(sorted(name for name in original if name.endswith("zarr.json"))))
        metadata = json.loads(original[name])
        field = data.draw(st.sampled_from(sorted(metadata)))
        if field == "node_type":
            return
        pack(original | {name: json.dumps(metadata | {field: data.draw(NESTED)}).encode()})
        with within_limits():
            try:
                assert math.prod(open_cube("mainline", published=True).sizes.values()) < 10**9
                tally.count("JSON of published cubes", "right")
            except UserError:
                tally.count("JSON of published cubes", "refused")

    each()


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "../../secret", "/etc/passwd", "a/../../../secret", ".", "..", "/", "", "secret\0", "x" * 5000),
        *(
            "; touch pwned",
            "$(touch pwned)",
            "`touch pwned`",
            "a\nb",
            "-rf",
            "http://localhost/a.zarr.zip",
            "s3://a/b.zarr",
        ),
        *("memory://a.zarr", "file:///etc/passwd", "zip::http://localhost/a.zip", "reference://a.json", "é中🙂"),
    ],
)
def test_hostile_names_of_cubes(folder, tally, name):
    with pytest.raises(UserError):
        open_cube(name)
    with contextlib.suppress(UserError):
        assert cube_if_any(name) is None
    tally.count("names of cubes", "refused")


def test_folder_that_links_to_itself(folder, tally):
    shutil.rmtree("published")
    Path("published").symlink_to("published")
    with pytest.raises(UserError):
        open_cube("mainline")
    tally.count("names of cubes", "refused")
