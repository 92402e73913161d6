"""The command line with arbitrary arguments: every verb succeeds or ends with one message, and writes only its outputs."""

import contextlib
import io
import logging
import shutil
import sys
import webbrowser
from pathlib import Path
from typing import get_args

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import typer
from hypothesis import given
from mutations import many_cases, within_limits

from progress_measures import cli
from progress_measures.importing.import_network import import_network
from progress_measures.importing.settings import Options
from support import ROOT, state_dicts
from support.experiments import folder_with
from support.networks import imported_weights
from support.processes import command

GUEST = Options(operation="a+b", split="shuffle:0:0.5", model={"activation": "relu"}, accept_doubtful=True)
"""How the network with random weights in guest.pth is imported."""

VERBS = typer.main.get_command(cli.app).commands
ENDLESS = {"train": "experiment", "watch": "experiment"}
"""Verbs that run for long if this argument is valid; the tests never pass a valid value."""

HOSTILE = st.one_of(
    st.sampled_from(["../../outside", "/outside", "..", ".", "/", "", " ", "a\nb", "; touch pwned", "$(touch pwned)"]),
    st.sampled_from(
        ["`touch pwned`", "| touch pwned", "&& touch pwned", "x" * 5000, "é中🙂", "\udcff", "-", "--", "-rf"]
    ),
    st.sampled_from(
        ["--help=x", "%s%n", "{0.__class__}", "*", "~", "~root", "$HOME", "\x1b[31m", "\\", "'", '"', "a\0b"]
    ),
    st.text(max_size=10),
)
VALID = st.sampled_from(
    [
        "small",
        "theirs",
        "seed0",
        "imported",
        "paper/fig99",
        "paper/table99",
        "weights",
        "all",
        "guest.pth",
        "names.yaml",
    ]
)
NUMBERS = st.sampled_from(["0", "1", "-1", "2", "1.5", "1e9", "nan", "inf", "-inf", "9" * 30, "0x10", "٣", "1_000", ""])
OUTPUTS = st.sampled_from(
    [
        "results/new",
        "results/theirs",
        "results",
        "config",
        "new.pdf",
        "new/new.md",
        "small",
        "",
        ".",
        "a\0b",
        "x" * 5000,
    ]
)
"""Output paths, all in the folder, since a verb may write to any path that the user names."""


@st.composite
def lines(draw):
    """Draw a command line: a verb, and some of its arguments and options with valid or invalid values."""
    verb = draw(st.sampled_from(sorted(VERBS)))
    line = [verb]
    for parameter in VERBS[verb].params:
        endless = ENDLESS.get(verb) == parameter.name
        if not (endless or (parameter.required and draw(st.integers(0, 9))) or draw(st.integers(0, 2)) == 0):
            continue
        flags = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []
        if flags:
            line.append(draw(st.sampled_from(flags)))
        if not getattr(parameter, "is_flag", False):
            line.append(draw(HOSTILE.filter(lambda word: word != "--") if endless else values(parameter)))
    if verb not in ENDLESS:
        line += draw(st.lists(st.one_of(HOSTILE, VALID, st.sampled_from(["--help", "-h", "--version"])), max_size=1))
    return line


def values(parameter):
    """Return a strategy for the words of a parameter."""
    if parameter.name in ("to", "out", "to_json", "to_page"):
        return OUTPUTS
    choices = [word for word in get_args(parameter.type_descriptor.annotation) if isinstance(word, str)]
    return st.one_of(VALID, HOSTILE, NUMBERS, *([st.sampled_from(choices)] if choices else []))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an untrained experiment and an import; no file may appear outside of it."""
    outer = tmp_path_factory.mktemp("line")
    inside = folder_with(outer / "deep/inside")
    shutil.copytree(ROOT / "config/claims", inside / "config/claims")
    shutil.copy(ROOT / "src/progress_measures/importing/formats/authors.yaml", inside / "names.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inside)
        patch.setattr(webbrowser, "open", lambda _: None)
        patch.setattr("progress_measures.training.plan.core_flops", lambda: 1e10)  # measuring it takes a second
        torch.save(state_dicts.authors(imported_weights(np.random.default_rng(0), 1, biases=True)), "guest.pth")
        import_network(Path("guest.pth"), Path("results/theirs"), GUEST)
        yield inside
        torch.set_flush_denormal(False)  # the state before a verb sets up the process
    assert [path for path in outer.rglob("*") if inside not in [path, *path.parents]] == [outer / "deep"]
    assert not [path for path in inside.rglob("*") if "pwned" in path.name]
    for path in ("config/experiments/small.yaml", "config/claims", "results/theirs/cube.zarr", "guest.pth"):
        assert (inside / path).exists(), f"{path} is lost"


def run_in_process(line):
    """Run the command line in this process, and return its exit status, output and errors."""
    streams = [
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors) for errors in ("strict", "backslashreplace")
    ]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(streams[0]):
        patch.setattr(sys, "argv", ["progress-measures", *line])
        with contextlib.redirect_stderr(streams[1]):
            try:
                cli.main()
                status = 0
            except SystemExit as end:
                status = end.code or 0
            finally:
                torch.set_flush_denormal(False)  # a verb may set it, and other tests need subnormal numbers
                logging.captureWarnings(False)
        for stream in streams:
            stream.flush()
        return status, *(stream.buffer.getvalue().decode("utf-8") for stream in streams)


def outcome(status, out, err):
    """Return `right`, or `refused` for an exit with a message."""
    assert status in (0, 2), err[-2000:]
    assert "Traceback" not in out + err
    if status == 2:
        assert err.strip() or out.strip(), "the exit has no message"
    return "refused" if status else "right"


def test_any_line(folder, tally):
    @many_cases(700)
    @given(lines())
    def each(line):
        with within_limits():
            tally.count("command lines", outcome(*run_in_process(line)))

    each()
    assert tally.counts["command lines", "right"] > 20


@pytest.mark.parametrize("verb", sorted(VERBS))
@pytest.mark.parametrize(
    "name", ["../../outside", "/outside", "a\nb", "; touch pwned", "$(touch pwned)", "-", "x" * 5000, "\udcff"]
)
def test_no_verb_accepts_a_hostile_name(folder, tally, verb, name):
    if not any(parameter.param_type_name == "argument" for parameter in VERBS[verb].params):
        assert run_in_process([verb, "--", name])[0] == 2
    else:
        required_options = ["--out", "results/new"] if verb == "import" else []
        assert outcome(*run_in_process([verb, *required_options, "--", name])) == "refused"
    tally.count("hostile names", "refused")


@pytest.mark.parametrize(
    "line",
    [
        ["claims", "--json", "results"],
        ["claims", "--page", "config"],
        ["claims", "--json", ""],
        ["claims", "--page", "."],
        ["export", "theirs", "--to", "results"],
        ["explore", "theirs", "--no-open", "--out", "config"],
        ["tabulate", "paper/table01", "--experiment", "theirs", "--to", "config"],
    ],
)
def test_no_file_replaces_a_folder(folder, tally, line):
    assert outcome(*run_in_process(line)) == "refused"
    assert (folder / "config/experiments/small.yaml").exists()
    assert (folder / "results/theirs/cube.zarr").is_dir()
    tally.count("files for folders", "refused")


LINES = [
    [],
    ["--help"],
    ["nothing"],
    ["; touch pwned"],
    ["runs"],
    ["runs", "$(touch pwned)"],
    ["runs", "../../outside"],
    ["runs", "\udcff"],  # a byte that is not UTF-8, as Python represents it
    ["dataset", "a\nb"],
    ["train", "`touch pwned`", "--run", "; touch pwned"],
    ["train", "small", "--run", "$(touch pwned)"],
    ["train", "small", "--device", "abacus"],
    ["train", "small", "--threads", "0"],
    ["train", "small", "--pool", "slurm", "--partition", "a\n#SBATCH --wrap='touch pwned'"],
    ["measure", "small", "--family", "../../outside"],
    ["gather", "x" * 5000],
    ["draw", "../../outside"],
    ["draw", "paper/fig07", "--cube", "/etc/passwd"],
    ["draw", "paper/fig07", "--experiment", "../../outside"],
    ["tabulate", "paper/table01", "--to", "; touch pwned"],
    ["import", "/dev/null", "--out", "results/new"],
    ["import", "/etc", "--out", "results/new"],
    ["import", "guest.pth", "--out", "results/; touch pwned"],
    ["import", "guest.pth", "--out", "results/new", "--split", "`touch pwned`"],
    ["export", "theirs", "--epoch", "-5"],
    ["describe", "/etc/passwd"],
    ["explore", "../../outside", "--no-open"],
    ["publish", "../../outside"],
    ["claims", "--only", "$(touch pwned)"],
    ["cancel", "../../outside"],
    ["plan", "paper", "--gpu", "; touch pwned"],
    ["watch", "small", "--run", "../../outside", "--once"],
]


@pytest.mark.faults
@pytest.mark.parametrize("line", LINES, ids=repr)
def test_lines_of_a_shell(folder, tally, line):
    """Each line runs in another process, as from a shell."""
    done = command(*line, folder=folder, PYTHONPATH=str(ROOT / "src"))
    result = outcome(done.returncode, done.stdout, done.stderr)
    tally.count("command lines of a shell", result)
