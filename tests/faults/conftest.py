"""Counts what is tried, and makes the tree in which it is tried."""

from collections import Counter

import pytest

from support.experiments import folder_with
from support.processes import command

pytest.register_assert_rewrite("stages")
from stages import STAGES, before, changes  # noqa: E402  whose asserts are to explain themselves, too

OUTCOMES = ("right", "refused")


def pytest_addoption(parser):
    parser.addoption("--trials", type=int, default=3, help="How often each stage is killed; other faults, a third.")
    parser.addoption("--one-in", type=int, default=1, help="Of all pairs of a stage and a fault, try one in so many.")


def pytest_collection_modifyitems(config, items):
    """Leave out pairs of a stage and a fault evenly, so that each stage and each fault is tried; the longest first."""
    one_in, stages, faults, left_out = config.getoption("--one-in"), list(STAGES), {}, []
    if one_in > len(stages):
        raise pytest.UsageError(f"--one-in {one_in}: at most {len(stages)}, or some faults would not be tried at all")
    for item in items:
        values = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        stage = values.pop("name", None)
        if stage in stages:
            fault = faults.setdefault((item.function.__name__, *values.values()), len(faults))
            if (fault + stages.index(stage)) % one_in:
                left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    kept = [item for item in items if item not in left_out]
    items[:] = sorted(
        kept, key=lambda item: item.path.name not in ("test_scale.py", "test_workflows.py")
    )  # the longest


def pytest_generate_tests(metafunc):
    if "trial" in metafunc.fixturenames:
        trials = metafunc.config.getoption("--trials")
        metafunc.parametrize("trial", range(trials if "kills" in metafunc.module.__name__ else -(-trials // 3)))


class Tally:
    """What a test has tried, and how it came out."""

    def __init__(self):
        self.counts = Counter()

    def count(self, what: str, outcome: str) -> None:
        """Note a case: `right`, the result is that of an undisturbed run, or `refused`, with a message that says why."""
        assert outcome in OUTCOMES
        self.counts[what, outcome] += 1


@pytest.fixture
def tally(request):
    """Notes what is tried, for the table at the end."""
    noted = Tally()
    yield noted
    request.node.user_properties += [("tried", [*case, times]) for case, times in noted.counts.items()]


def pytest_terminal_summary(terminalreporter):
    """Print what was tried. A test that fails stops at its first loss."""
    reports = [
        one for several in terminalreporter.stats.values() for one in several if isinstance(one, pytest.TestReport)
    ]
    counts = Counter()
    for report in reports:
        if report.when == "teardown":
            for what, outcome, times in (value for name, value in report.user_properties if name == "tried"):
                counts[what, outcome] += times
    if not counts:
        return
    lost = [one for one in reports if one.failed]
    terminalreporter.section("tried")
    terminalreporter.write_line(f"{'':<44}{'tried':>8}{'right':>8}{'refused':>9}")
    whats = sorted({what for what, _ in counts})
    for name, chosen in [*((what, [what]) for what in whats), ("in all", whats)]:
        right, refused = (sum(counts[what, outcome] for what in chosen) for outcome in OUTCOMES)
        terminalreporter.write_line(f"{name:<44}{right + refused:>8,}{right:>8,}{refused:>9,}")
    terminalreporter.write_line(f"lost: {len(lost)}")


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A folder in which every stage has been run, undisturbed, on a small experiment."""
    folder = folder_with(tmp_path_factory.mktemp("undisturbed"), epochs=400)
    for name in ("dataset", "training", "extraction"):
        run(STAGES[name].line, folder)
    run(("measure", "small"), folder)
    run(STAGES["gather"].line, folder)
    weights = command("export", "small", "--to", "guest.pth", folder=folder)
    assert weights.returncode == 0, weights.stderr
    for stage in STAGES.values():
        if not stage.made(folder):
            run(stage.line, folder)
    return folder


@pytest.fixture(scope="session")
def writes(tree, tmp_path_factory):
    """How many changes of files each stage makes, found as it is asked for."""
    known = {}

    def of(name):
        if name not in known:
            stage = STAGES[name]
            known[name] = changes(stage, before(tree, stage, tmp_path_factory.mktemp("count") / "tree"))
        return known[name]

    return of


def run(line, folder):
    """A command that ends well."""
    done = command(*line, folder=folder)
    assert done.returncode == 0, done.stderr
