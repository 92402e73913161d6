"""Names and values that a shell would run: the real workflow runs none of them."""

import sys

import pytest

from support.checkout import FIGURE, Checkout
from support.experiments import small_experiment
from support.processes import command

pytestmark = pytest.mark.faults

NAMES = [
    "a;touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "a|touch pwned",
    "a&&touch pwned",
    "a\ntouch pwned",
    "a b",
    "'",
    '"',
    "-rf",
    "{wildcards}",
    "{input}",
    "..",
    "é",
    "A",
    "figures",
    "x" * 120,
    "*",
]
TITLE = """a'; touch pwned; ' "; touch pwned; " `touch pwned` $(touch pwned) {wildcards.run} {input} \\"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout in a folder whose name a shell would run."""
    outer = tmp_path_factory.mktemp("names")
    hostile_checkout = Checkout(outer / """it's "a" $(touch pwned) folder""")
    yield hostile_checkout
    assert not [path for path in outer.rglob("*") if path.name.endswith("pwned")]


def message_of_refused(done):
    """Assert that a command ended with exit status 2 and no traceback, and return its message."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def unharmed(checkout):
    """Return whether no file was created by a name that a shell would run."""
    return not [path for path in checkout.folder.parent.rglob("*") if path.name.endswith("pwned")]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_of_experiments(checkout, tally, name):
    file = checkout.folder / f"config/experiments/{name}.yaml"
    checkout.write(name, small_experiment(epochs=200))
    try:
        message = message_of_refused(checkout.snakemake("-n", "-c1", FIGURE))
    finally:
        file.unlink()
    assert "is not a valid experiment name" in message
    assert unharmed(checkout)
    tally.count("hostile names in the workflow", "refused")


@pytest.mark.parametrize("value", ["x; touch pwned", "$(touch pwned)", "`touch pwned`", "'", "published; touch pwned"])
def test_hostile_values_of_configuration(checkout, tally, value):
    assert "expected `results` or `published`" in message_of_refused(
        checkout.snakemake("-n", "-c1", "all", "--config", f"cubes={value}")
    )
    assert unharmed(checkout)
    tally.count("hostile names in the workflow", "refused")


@pytest.mark.parametrize(
    "target",
    [
        "results/$(touch pwned)/cube.zarr",
        "results/mainline/measured/seed0; touch pwned",
        "results/mainline/measured/$(touch pwned)",
        "results/figures/paper/`touch pwned`.pdf",
        "results/figures/$(touch pwned)/fig07.pdf",
        "results/tables/paper/table01;touch pwned.md",
        "results/mainline/figures/paper/fig07.pdf; touch pwned",
        "../pwned",
        "published/$(touch pwned).zarr.zip",
    ],
)
def test_hostile_targets(checkout, tally, target):
    """The workflow is executed, not only planned by a dry run."""
    done = checkout.snakemake("-c1", target)
    assert done.returncode != 0
    assert unharmed(checkout)
    tally.count("hostile names in the workflow", "refused")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"title": "a\ntouch pwned"}, "title"),
        ({"title": "\x1b]0;pwned\x07"}, "title"),
        ({"grid": {"training.precision": ["$(touch pwned)"]}}, "precision"),
        ({"grid": {"seed": ["0; touch pwned"]}}, "seed"),
        ({"grid": {"$(touch pwned)": [1]}}, "grid"),
        ({"seed": "`touch pwned`"}, "seed"),
    ],
)
def test_hostile_fields_of_experiments(checkout, tally, changed, field):
    checkout.write("mainline", small_experiment(epochs=200) | changed)
    try:
        message = message_of_refused(checkout.snakemake("-n", "-c1", FIGURE))
    finally:
        checkout.write("mainline", small_experiment(epochs=200))
    assert "config/experiments/mainline.yaml: " in message
    assert field in message
    assert unharmed(checkout)
    tally.count("hostile names in the workflow", "refused")


def test_hostile_title_is_only_a_title(checkout, tally, monkeypatch):
    """No command line of the workflow contains the title, and commands that read the title run no code from it."""
    checkout.write(
        "mainline", small_experiment(epochs=200) | {"title": TITLE, "description": TITLE, "reference": TITLE}
    )
    planned = checkout.snakemake("-n", "--verbose", "-c1", FIGURE)
    assert planned.returncode == 0, planned.stderr
    lines = (planned.stdout + planned.stderr).splitlines()
    commands = [line for line in lines if "progress-measures " in line]
    assert any("progress-measures draw paper/fig07" in line for line in commands)
    assert not any("touch" in line for line in commands)
    (checkout.folder / ".venv").symlink_to(sys.prefix)  # then the path of Python also contains the folder's name
    monkeypatch.setattr(sys, "executable", str(checkout.folder / ".venv/bin/python"))
    checkout.make("-c1", "results/mainline/dataset.zarr")
    described = command("runs", "mainline", folder=checkout.folder, **checkout.environment)
    assert TITLE in described.stdout
    assert (checkout.folder / "results/mainline/dataset.zarr").exists()
    assert unharmed(checkout)
    tally.count("hostile names in the workflow", "right")
