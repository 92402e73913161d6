"""The how-to pages, followed to the letter."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_workflow import Checkout

ROOT = Path(__file__).parents[1]


def blocks(page, language):
    """The code blocks of a page in one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.S)


@pytest.mark.docs
def test_a_new_experiment_is_one_file(tmp_path):
    """As the page has it: the file, the figure, the words and the Python; no code is changed."""
    page, checkout = "add-an-experiment.md", Checkout(tmp_path)
    (file,) = blocks(page, "yaml")
    assert len(file.splitlines()) == 6
    (tmp_path / "config/experiments/prime_59.yaml").write_text(file)
    figure, describe = (block.split() for block in blocks(page, "bash"))
    checkout.make(*figure[1:])
    assert (tmp_path / figure[-1]).stat().st_size > 10_000
    assert checkout.jobs(*figure[2:]) == {}
    for line in ([*describe[1:]], ["-c", *blocks(page, "python")]):
        module = [] if line[0] == "-c" else ["-m", "progress_measures"]
        done = subprocess.run(
            [sys.executable, *module, *line],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=checkout.environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    keys, accuracy = done.stdout.strip().splitlines()
    assert re.fullmatch(r"\[[\d ]+\]", keys), keys
    assert float(accuracy) > 0.95
