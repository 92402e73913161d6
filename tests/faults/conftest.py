"""Options, fixtures and the summary of fault tests: trials, undisturbed results and a tally of outcomes."""

from collections import Counter

import pytest

from support.experiments import folder_with
from support.processes import command

pytest.register_assert_rewrite("stages")
from stages import STAGES, copy_before, count_changes  # noqa: E402  after assertion rewriting is registered

OUTCOMES = ("right", "refused")


def pytest_addoption(parser):
    parser.addoption(
        "--trials", type=int, default=3, help="Number of kills of each stage; other faults occur a third as often."
    )
    parser.addoption("--one-in", type=int, default=1, help="Try every n-th pair of a stage and a fault.")


def pytest_collection_modifyitems(config, items):
    """Deselect pairs of a stage and a fault evenly, keeping every stage and every fault, and run long tests first."""
    one_in, stages, faults, deselected = config.getoption("--one-in"), list(STAGES), {}, []
    if one_in > len(stages):
        raise pytest.UsageError(f"--one-in {one_in}: at most {len(stages)}, or some faults would not be tried")
    for item in items:
        values = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        stage = values.pop("name", None)
        if stage in stages:
            fault = faults.setdefault((item.function.__name__, *values.values()), len(faults))
            if (fault + stages.index(stage)) % one_in:
                deselected.append(item)
    config.hook.pytest_deselected(items=deselected)
    selected = [item for item in items if item not in deselected]
    longest = ("test_scale.py", "test_workflows.py")
    items[:] = sorted(selected, key=lambda item: item.path.name not in longest)


def pytest_generate_tests(metafunc):
    if "trial" in metafunc.fixturenames:
        trials = metafunc.config.getoption("--trials")
        metafunc.parametrize("trial", range(trials if "kills" in metafunc.module.__name__ else -(-trials // 3)))


class Tally:
    """Counts of the cases that a test has tried, by outcome."""

    def __init__(self):
        self.counts = Counter()

    def count(self, case: str, outcome: str) -> None:
        """Count a case: `right` if the result equals an undisturbed run's, `refused` if a message says why it failed."""
        assert outcome in OUTCOMES
        self.counts[case, outcome] += 1


@pytest.fixture
def tally(request):
    """A tally of the test's cases; the summary of the session prints the sums of all tallies."""
    tally = Tally()
    yield tally
    request.node.user_properties += [("tried", [*case, times]) for case, times in tally.counts.items()]


def pytest_terminal_summary(terminalreporter):
    """Print the number of cases by outcome, and the number of failed tests: each ended at a case that lost results."""
    reports = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
    ]
    counts = Counter()
    for report in reports:
        if report.when == "teardown":
            for case, outcome, times in (value for name, value in report.user_properties if name == "tried"):
                counts[case, outcome] += times
    if not counts:
        return
    lost = [report for report in reports if report.failed]
    terminalreporter.section("tried")
    terminalreporter.write_line(f"{'':<44}{'tried':>8}{'right':>8}{'refused':>9}")
    all_cases = sorted({case for case, _ in counts})
    for name, cases in [*((case, [case]) for case in all_cases), ("total", all_cases)]:
        right, refused = (sum(counts[case, outcome] for case in cases) for outcome in OUTCOMES)
        terminalreporter.write_line(f"{name:<44}{right + refused:>8,}{right:>8,}{refused:>9,}")
    terminalreporter.write_line(f"lost: {len(lost)}")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A folder in which every stage has run on a small experiment without a fault."""
    folder = folder_with(tmp_path_factory.mktemp("undisturbed"), epochs=400)
    for name in ("dataset", "training", "extraction"):
        run(STAGES[name].line, folder)
    run(("measure", "small"), folder)
    run(STAGES["gather"].line, folder)
    weights = command("export", "small", "--to", "guest.pth", folder=folder)
    assert weights.returncode == 0, weights.stderr
    for stage in STAGES.values():
        if not stage.outputs(folder):
            run(stage.line, folder)
    return folder


@pytest.fixture(scope="session")
def change_count(undisturbed, tmp_path_factory):
    """A function that returns the number of file changes of a stage, measured on its first call."""
    counts = {}

    def count_of(name):
        if name not in counts:
            stage = STAGES[name]
            counts[name] = count_changes(
                stage, copy_before(undisturbed, stage, tmp_path_factory.mktemp("count") / "copy")
            )
        return counts[name]

    return count_of


def run(line, folder):
    """Run a command, which must succeed."""
    done = command(*line, folder=folder)
    assert done.returncode == 0, done.stderr
