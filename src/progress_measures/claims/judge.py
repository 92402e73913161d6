"""Holds claims against cubes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from progress_measures.claims.ledger import FOLDER, Claim, Condition
from progress_measures.claims.registry import Values, load_quantity
from progress_measures.cube.select import incomplete
from progress_measures.errors import UserError

HOLDS, DIFFERS, NOT_RUN, RECORDED = "holds", "differs", "not run", "recorded"
VERDICTS = (HOLDS, DIFFERS, NOT_RUN, RECORDED)


class Judgment(NamedTuple):
    """A claim, what was measured, and the verdict.

    Attributes:
        measured: by name; empty where nothing was measured.
        failed: the conditions that do not hold.
        incomplete: of how many of all runs it was measured, where some have not been trained; empty otherwise.
    """

    claim: Claim
    measured: Values
    verdict: str
    failed: tuple[Condition, ...] = ()
    incomplete: str = ""

    @property
    def explanation(self) -> str:
        """Why our runs differ, with the measured values put in; empty otherwise."""
        if self.verdict != DIFFERS:
            return ""
        said = [f"{c.value} is {shown(self.measured.get(c.value))}, {described(c)} is asked." for c in self.failed]
        if self.claim.explanation:
            said.append(_filled(self.claim, self.measured))
        return " ".join(said)


def judge(claim: Claim, cube_of: Callable[[str], xr.Dataset | None]) -> Judgment:
    """Measure a claim's quantity and hold it against the rule.

    A cube that lacks runs is measured, but decides nothing: a rule speaks of all of them, unless it is of the first alone.
    Contradictions, and claims of whose values no more than a report is asked, are recorded: nothing that is measured could
    refute them.

    Args:
        claim: from the ledger.
        cube_of: gives an experiment's cube, None where it has not been run.
    Raises:
        UserError: the claim asks for values that its quantity does not give, or compares what cannot be; or a cube
            lacks a variable.
    """
    verdict = RECORDED if claim.kind == "contradiction" else NOT_RUN
    if claim.quantity is None:
        return Judgment(claim, {}, verdict)
    cubes = [cube_of(name) for name in claim.cubes]
    present = [cube for cube in cubes if cube is not None]
    if len(present) < len(cubes):
        return Judgment(claim, {}, verdict)
    partial = incomplete(present)
    if claim.runs is not None:
        if claim.runs == [0] and present[0].attrs.get("first_run") == present[0].run.values[0]:
            partial = incomplete(present[1:])
        if partial or max(claim.runs) >= present[0].sizes["run"]:
            return Judgment(claim, {}, verdict)
        present[0] = present[0].isel(run=claim.runs)
    measured = {name: _plain(value) for name, value in _measure(claim, present).items()}
    if partial:
        return Judgment(claim, measured, verdict, incomplete=partial)
    if verdict == RECORDED or all(one.relation == "reported" for one in claim.accept):
        return Judgment(claim, measured, RECORDED)
    failed = tuple(condition for condition in claim.accept if not _holds(claim, condition, measured))
    return Judgment(claim, measured, DIFFERS if failed else HOLDS, failed)


def _measure(claim: Claim, cubes: list[xr.Dataset]) -> Values:
    """The values of a claim's quantity."""
    assert claim.quantity is not None
    try:
        return load_quantity(claim.quantity).function(*cubes)
    except (AttributeError, KeyError) as error:
        lacks = _variable(error)
        if lacks is None:
            raise
        raise UserError(
            f"{claim.id} is measured by {claim.quantity}, which reads {lacks}: a cube of {', '.join(claim.cubes)} has no "
            "such variable. It was gathered by an older version; measure and gather it again."
        ) from None


def _variable(error: AttributeError | KeyError) -> str | None:
    """The variable that a cube was asked for and does not have; None of any other error."""
    if isinstance(error, AttributeError):
        return error.name if isinstance(error.obj, xr.Dataset) else None
    said = str(error.args[0] if error.args else "")
    return said.split("'")[1] if said.startswith("No variable named '") else None


def _holds(claim: Claim, condition: Condition, measured: Values) -> bool:
    try:
        return holds(condition, measured)
    except (KeyError, TypeError):
        value = f"gives {measured[condition.value]!r:.60}" if condition.value in measured else "is not there"
        raise UserError(
            f"{FOLDER}: {claim.id}: accept: {condition.value} {value}, {described(condition)} is asked. The quantity "
            f"{claim.quantity} gives: {', '.join(measured)}."
        ) from None


def _filled(claim: Claim, measured: Values) -> str:
    """The explanation with the measured values put in."""
    try:
        return (claim.explanation or "").format(**measured)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{FOLDER}: {claim.id}: explanation: {type(error).__name__}: {error}.") from None


def _plain(value: Any) -> Any:
    """Numbers and lists that JSON knows."""
    if isinstance(value, xr.DataArray | np.ndarray | np.generic):
        value = np.asarray(value).tolist()
    return value


_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "above": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "below": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
    "between": lambda value, bound: bound[0] <= value <= bound[1],
    "equals": lambda value, bound: value == bound,
    "reported": lambda value, bound: value is not None,
}


def holds(condition: Condition, measured: Values) -> bool:
    """Whether a condition holds; of a list, in as many entries as it asks for. NaN fulfills nothing."""
    value = measured[condition.value]
    bound = getattr(condition, condition.relation)
    relation = _RELATIONS[condition.relation]
    if isinstance(value, list) and condition.relation not in ("equals", "reported"):
        fulfilled = [bool(relation(one, bound)) for one in value]
        return sum(fulfilled) >= (len(value) if condition.in_runs is None else condition.in_runs) and bool(value)
    return bool(relation(value, bound))


_WORDS = {
    "above": "more than {}",
    "at_least": "at least {}",
    "below": "less than {}",
    "at_most": "at most {}",
    "between": "{} to {}",
    "equals": "{}",
    "reported": "a report",
}


def described(condition: Condition) -> str:
    """A relation and its bounds in words: `at least 0.9 in 4 runs`."""
    bound = getattr(condition, condition.relation)
    bounds = bound if isinstance(bound, tuple) else (bound,)
    words = _WORDS[condition.relation].format(*map(shown, bounds))
    return words if condition.in_runs is None else f"{words} in {condition.in_runs} runs"


def shown(value: Any) -> str:
    """A value as people read it: four digits, lists joined by commas."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {shown(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}"
