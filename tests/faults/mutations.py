"""Hypothesis strategies for mistakes and attacks in values, YAML texts and names, and limits on time and memory."""

import contextlib
import resource
import signal
import types
import typing
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from progress_measures.errors import user_message

SECONDS = 120  # time limit of a case, long enough for a busy machine
GIGABYTES = 2  # memory limit of a case


def many_cases(number):
    """Return hypothesis settings for a number of cases. The cases are the same in every session."""
    return settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def within_limits():
    """Fail if the code in the `with` block exceeds `SECONDS` or `GIGABYTES`."""

    def fail(*_):
        raise AssertionError(f"took more than {SECONDS} seconds")

    previous_handler = signal.signal(signal.SIGALRM, fail)
    signal.alarm(SECONDS)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous_handler)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before
    assert growth < GIGABYTES * 2**20, f"took {growth / 2**20:.1f} GiB"


def result_or_message(function):
    """Return a function's result and None, or None and the message that the command line prints for its error.

    An exception without such a message fails the test.
    """
    with within_limits():
        try:
            return function(), None
        except Exception as error:
            message = user_message(error)
            if message is None:
                raise
            return None, message


# ---- values

# fmt: off
NUMBERS = st.sampled_from([
    0, -1, 1, 2, 3, 12, 10**6, 2**31, 2**32, 2**63, 10**30, 10**400, -(10**18),
    0.0, -0.0, 0.5, 1.0, 1.5, 1e-300, 1e300, -1e9, float("nan"), float("inf"), -float("inf"),
])
TEXTS = st.sampled_from([
    "", " ", "a", "1", "1e3", "0x10", "nan", "true", "no", "~", "null", "2024-13-45", "1:30", "x" * 100_000, "9" * 5000,
    "\n", "a\nb", "\t", "\x7f", "\u202e", "é", "😀", "${x}", "$(touch pwned)", "`touch pwned`", "; touch pwned", "../../x",
    "{0}", "{a.__class__}", "{", "%s", "$\\frac{", "<script>alert(1)</script>", "'", '"', "|", "&a", "*a", "!!python/name:os",
])
SCALARS = st.none() | st.booleans() | st.integers(-3, 200) | st.floats(-3, 3) | NUMBERS | TEXTS
KEYS = st.sampled_from([
    "seed", "epochs", "training.weight_decay", "kind", "name", "", "a.b", "x" * 300, "model.d_model, seed"
])
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | TEXTS, inner, max_size=3), max_leaves=12
)
GRID_KEYS = st.sampled_from([
    "seed", "split.seed", "training.weight_decay", "model.d_mlp", "training.betas", "split.train_fraction", "seed, split.seed",
    "model.initialization", "seed,seed", " seed", "training.epochs", "task.prime", "x.y",
])
# fmt: on
PLAUSIBLE_GRIDS = st.dictionaries(
    GRID_KEYS, st.lists(st.integers(0, 3) | SCALARS | st.lists(SCALARS, max_size=2), max_size=4), max_size=4
)
HUGE_GRIDS = st.integers(2, 300).map(
    lambda n: {
        key: list(range(1, n)) for key in ("seed", "split.seed", "model.d_mlp", "model.layers", "training.warmup")
    }
)
GRIDS = PLAUSIBLE_GRIDS | HUGE_GRIDS
VALUES = SCALARS | NESTED | GRIDS


# ---- pydantic models


def fields_of(model, prefix=()):
    """Yield the path of every field of a pydantic model and of the models inside it."""
    for name, field in model.model_fields.items():
        yield (*prefix, name)
        for inner in _models_in(field.annotation):
            yield from fields_of(inner, (*prefix, name))


def _models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated):
        for argument in get_args(annotation):
            yield from _models_in(argument)


def out_of_bounds(value, prefix=""):
    """Yield the fields of a validated model whose values violate their declared bounds or types."""
    for name, field in type(value).model_fields.items():
        field_value, path = getattr(value, name), f"{prefix}{name}"
        if isinstance(field_value, BaseModel):
            yield from out_of_bounds(field_value, f"{path}.")
        for bound in field.metadata if isinstance(field_value, int | float) else ():
            for sign, holds in _BOUNDS.items():
                if hasattr(bound, sign) and not holds(field_value, getattr(bound, sign)):
                    yield f"{path} = {field_value}"
        if isinstance(field_value, float) and not abs(field_value) < float("inf"):
            yield f"{path} = {field_value}"
        if field.annotation in (int, float, str, bool) and type(field_value) is not field.annotation:
            yield f"{path} = {field_value!r}"
        if get_origin(field.annotation) is Literal and field_value not in typing.get_args(field.annotation):
            yield f"{path} = {field_value!r}"


_BOUNDS = {
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
}


# ---- YAML


def with_value(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return a document, of nested lists and dictionaries, with the value at a path replaced or added."""
    if not path:
        return value
    first, *rest = path
    if isinstance(content, list):
        return [with_value(item, tuple(rest), value) if i == first else item for i, item in enumerate(content)]
    content = content if isinstance(content, dict) else {}
    return content | {first: with_value(content.get(first), tuple(rest), value)}


def without_value(content: Any, path: tuple[str | int, ...]) -> Any:
    """Return a document without the value at a path."""
    first, *rest = path
    if not isinstance(content, dict) or first not in content:
        return content
    if not rest:
        return {key: item for key, item in content.items() if key != first}
    return content | {first: without_value(content[first], tuple(rest))}


def as_yaml(content: Any) -> bytes:
    """Return a document as YAML, written by PyYAML and not by this project."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


# a few lines, which anchors expand to gigabytes
BILLION_LAUGHS = "\n".join(
    ["a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    + [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
)
# fmt: off
HOSTILE_VALUES = [
    '!!python/object/apply:os.system ["touch pwned"]', "!!python/name:os.system",
    "!!python/object/new:subprocess.Popen [[touch, pwned]]", "!!timestamp x", "!!int x", "!!float ''", "!!bool x",
    "!!binary '?'", "!!set {a, b}", "!!omap [a: 1]", "!<tag:x> 1", "! x",
    "&a 1", "*a", "&a [*a]", "<<", "{<<: {a: 1}}", "=", "? a", "[", "]", "{", "}", "{a: 1, a: 2}", "[1, 2",
    "'", '"', '"\\ud800"', '"\\0"', '"\\x85"', "|", ">", "%", "@", "`", "\t", "\tx", "#", "---", "...",
    "9" * 5000, "1:" * 5000 + "1", "0o17", "0b1", "1_000", "2024-13-45", "2024-01-01 25:61:61", "1e999", ".inf", ".nan", "-.inf",
    "[" * 3000, "{a: " * 3000, "- " * 3000, "x" * 300_000, "[" + "1, " * 50_000 + "1]",
]
"""Texts to put in place of a value in a YAML file."""

HOSTILE_FILES = {
    "empty": b"", "a space": b" ", "NUL": b"\0", "NULs": bytes(5000),
    "not UTF-8": b"\xff\xfe\xfd", "UTF-16": "title: x".encode("utf-16"), "Latin-1": "title: é".encode("latin-1"),
    "a BOM alone": b"\xef\xbb\xbf", "a zip": b"PK\x03\x04" + bytes(range(256)) * 9, "ELF": b"\x7fELF" + bytes(range(256)),
    "tabs": b"\ttitle:\tx\n\t\tseed:\t1", "many documents": b"---\na: 1\n" * 2000, "a scalar": b"3",
    "a list": b"- a\n- b\n", "a text": b"'x'", "billion laughs": BILLION_LAUGHS.encode(), "a list in itself": b"&a [*a]",
    "a mapping in itself": b"&a {a: *a}", "deep": b"[" * 100_000, "deep mappings": b"{a: " * 100_000,
    "deep blocks": b"".join(b" " * i + b"a:\n" for i in range(2000)),
    "a key that is a list": b"[a]: 1", "a key that is a mapping": b"{a: 1}: 1",
    "a tag": b"!!python/object/apply:os.system ['touch pwned']", "a directive": b"%YAML 9.9\n---\na: 1",
    "a foreign tag": b"%TAG ! tag:x,2000:\n---\n!x a", "no end": b"'" + b"x" * 100_000, "large": b"#" * 11_000_000,
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(30_000)), "a long key": b"k" * 2000 + b": 1",
    "a control character": b"title: \x07", "an empty key": b"? \n: 1", "keys that are numbers": b"1: 1\n2.5: 2\ntrue: 3",
}
# fmt: on


@st.composite
def spoiled_yaml(draw, text: bytes):
    """Draw a YAML text with one random change."""
    lines = text.splitlines(keepends=True)
    number = draw(st.integers(0, len(lines) - 1))
    kind = draw(st.sampled_from(["value", "value", "value", "twice", "bytes", "cut", "gone", "tab", "NUL", "mark"]))
    line = lines[number]
    if kind == "value":
        key, colon, _ = line.partition(b":")
        value = draw(st.sampled_from(HOSTILE_VALUES)).encode("utf-8", "surrogatepass")
        lines[number] = (key + b": " if colon else b"") + value + b"\n"
    elif kind == "twice":
        lines.insert(number, line)
    elif kind == "bytes":
        position = draw(st.integers(0, len(line)))
        lines[number] = line[:position] + draw(st.binary(min_size=1, max_size=4)) + line[position:]
    elif kind == "cut":
        del lines[number + 1 :]
        lines[number] = line[: draw(st.integers(0, len(line)))]
    elif kind == "gone":
        del lines[number]
    elif kind == "tab":
        lines[number] = b"\t" + line
    elif kind == "NUL":
        lines[number] = line.rstrip() + b"\0\n"
    else:
        lines[0] = b"\xef\xbb\xbf" + lines[0]
    return b"".join(lines)


# ---- names

# fmt: off
HOSTILE_NAMES = [
    "", " ", ".", "..", "../x", "../../x", "/etc/passwd", "/dev/zero", "/dev/null", "/proc/self/environ", "a/b", "a\\b",
    "~", "~root", "-", "--", "-x", "--help=", "--run", "a;touch pwned", "; rm -rf x", "$(touch pwned)", "`touch pwned`",
    "a|touch pwned", "a&&touch pwned", "a\ntouch pwned", "a\rb", "a\tb", "a\0b", "'", '"', "'\"", "\\", "*", "?", "[a]",
    "{a}", "{experiment}", "%s", "${HOME}", "x" * 300, "x" * 5000, "a/" * 3000, "é", "😀", "\u202e", "\udcff", "CON", "A",
    "1", "none", "other", "all", "paper", "figures", "explorer", "con fig", "http://localhost/x", "file:///etc/passwd",
    "s3://x/y", "mainline.zarr", "x.zarr.zip", "x.pth", "x.yaml", "paper/fig07", "paper/table01", "shuffle:0:0.5",
    "shuffle:" + "9" * 5000 + ":0.5", "randperm:-1:2", "shuffle:٣:0.5", "a+b", "nan", "inf", "1e999", "9" * 5000,
    "-1", "0", "0.5", "99999999999999999999",
]
# fmt: on


# ---- archives


def mark_encrypted(path):
    """Mark every member of a zip as encrypted."""
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + flags] |= 1
            start = content.find(signature, start + 1)
    path.write_bytes(content)
