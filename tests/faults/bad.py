"""What is wrong with input, drawn by Hypothesis; and the bounds within which any of it is answered."""

import contextlib
import resource
import signal

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings

SECONDS = 60  # after which a case counts as one that hangs; they take milliseconds
GROWTH = 1.5e9  # bytes that memory may grow by: libraries, and what is refused as too large above this


def cases(number):
    """So many cases, the same each time."""
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def bounded():
    """What is done here ends, and takes no gigabytes."""

    def give_up(*_):
        raise AssertionError(f"no end after {SECONDS} s")

    before, old = peak(), signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    assert peak() - before < GROWTH


def peak():
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 13, 113, 2**31, 2**32 - 1, 2**63, 10**30, -(10**30), 0.5, 1.0, 1e-300, 1e300]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, True, False]),
    st.integers(),
    st.floats(),
)
PLAUSIBLE = st.one_of(
    st.sampled_from([1, 2, 4, 5, 7, 8, 16, 20, 100, 0.1, 0.5, 0.98, True, False, None, "a word"]),
    st.sampled_from(["shuffle", "randperm", "float64", "normal", [0.9, 0.98], [2, 4], [1.5, 9.5]]),
)
TEXTS = st.one_of(
    st.sampled_from(["", " ", "no", "1e-3", "010", "0x1F", "12:30", "2024-01-31", "null", "~", "x" * 100_000, "é中🙂"]),
    st.sampled_from(
        ["../../outside", "/etc/passwd", "; touch pwned", "$(touch pwned)", "`touch pwned`", "{0.__class__}"]
    ),
    st.text(max_size=20),
)
JUNK = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
"""A value of any kind that YAML can write."""

TRICKS = {
    "a call": b"!!python/object/apply:os.system ['touch pwned']",
    "a name": b"!!python/name:os.system",
    "binary": b"!!binary aGVsbG8=",
    "a set": b"!!set {a, b}",
    "aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b",".join([b"*%c" % n] * 9)) for n in range(97, 110)),
    "an alias of itself": b"&a [*a]",
    "merging": b"<<: &a {x: 1}\ny: *a",
    "a twin": b"title: one\ntitle: two",
    "deep": b"[" * 20_000,
    "deep mappings": b"".join(b" " * n + b"a:\n" for n in range(2_000)),
    "tabs": b"title:\n\t- a",
    "a NUL": b"title: a\0b",
    "several": b"a: 1\n---\nb: 2",
    "Latin-1": "title: Fourier étude".encode("latin-1"),
    "UTF-16": "title: a".encode("utf-16"),
    "a surrogate": b"title: \xed\xa0\x80",
    "a mark": b"\xef\xbb\xbf",
    "nothing": b"",
    "a comment": b"# nothing here",
    "a long line": b"title: " + b"y" * 1_000_000,
    "long numbers": b"seed: " + b"9" * 50_000,
    "a directive": b"%YAML 9.9\n---\na",
    "a file too large": b"#" * 10_000_001,
    "an escape": rb'title: "a\0\n\u202eb"',
    "a complex key": b"? [a, b]\n: c\n? {x: y}\n: z",
}
"""Bytes that ask a reader of YAML for more than plain values."""


@st.composite
def spoiled(draw, whole):
    """A file in which bytes were changed, cut off or put in."""
    kind = draw(st.sampled_from(["a trick", "a trick within", "cut", "bytes", "binary"]))
    if kind == "a trick":
        return draw(st.sampled_from(list(TRICKS.values())))
    if kind == "binary":
        return draw(st.binary(max_size=200))
    at = draw(st.integers(0, len(whole)))
    if kind == "cut":
        return whole[:at]
    if kind == "a trick within":
        lines = whole.splitlines(keepends=True)
        after = draw(st.integers(0, len(lines)))
        return b"".join(lines[:after]) + draw(st.sampled_from(list(TRICKS.values()))) + b"\n" + b"".join(lines[after:])
    return whole[:at] + draw(st.binary(min_size=1, max_size=4)) + whole[at + draw(st.integers(0, 4)) :]
