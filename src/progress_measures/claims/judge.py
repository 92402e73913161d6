"""Judge claims by the values measured on cubes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from progress_measures.analysis.select import caveats, only
from progress_measures.claims.registry import Values, load_quantity
from progress_measures.claims.schema import FOLDER, Claim, Condition
from progress_measures.errors import UserError

HOLDS, DIFFERS, NOT_RUN, RECORDED = "holds", "differs", "not run", "recorded"
VERDICTS = (HOLDS, DIFFERS, NOT_RUN, RECORDED)


class Judgment(NamedTuple):
    """A claim, its measured values and its verdict.

    Attributes:
        claim: the claim that was judged.
        measured: values by name; empty if nothing was measured.
        verdict: one of `VERDICTS`.
        failed: the conditions of the rule that do not hold.
        incomplete: a sentence that says how many runs are trained, if some are missing; empty otherwise.
    """

    claim: Claim
    measured: Values
    verdict: str
    failed: tuple[Condition, ...] = ()
    incomplete: str = ""

    @property
    def explanation(self) -> str:
        """Failed conditions with their measured values, and why our runs differ; empty unless the verdict is `differs`."""
        if self.verdict != DIFFERS:
            return ""
        sentences = [
            f"{condition.value} is {format_value(self.measured.get(condition.value))}; "
            f"the rule requires {describe_condition(condition)}."
            for condition in self.failed
        ]
        if self.claim.explanation:
            sentences.append(_filled(self.claim, self.measured))
        return " ".join(sentences)


def judge(claim: Claim, cube_of: Callable[[str], xr.Dataset | None]) -> Judgment:
    """Compute a claim's quantity and compare its values with the rule.

    If a cube lacks runs, a claim about all runs is measured but gets no verdict, and a claim about selected runs is not
    measured. A claim about the first run alone is judged as soon as this run is in the cube. Contradictions and claims
    that only report values are recorded: no measured value can refute them.

    Args:
        claim: the claim to judge.
        cube_of: function that returns the cube of an experiment, or None if the experiment has not been run.

    Returns:
        The claim with its measured values and verdict.

    Raises:
        UserError: a condition names a value that the quantity does not return, or compares values of incompatible
            types, or a cube lacks a variable.
    """
    verdict = RECORDED if claim.kind == "contradiction" else NOT_RUN
    if claim.quantity is None:
        return Judgment(claim, {}, verdict)
    cubes = [cube_of(name) for name in claim.cubes]
    available_cubes = [cube for cube in cubes if cube is not None]
    if len(available_cubes) < len(cubes):
        return Judgment(claim, {}, verdict)
    missing_runs = caveats(available_cubes)
    if claim.runs is not None:
        if claim.runs == [0] and available_cubes[0].attrs.get("first_run") == available_cubes[0].run.values[0]:
            missing_runs = caveats(available_cubes[1:])
        if missing_runs or max(claim.runs) >= available_cubes[0].sizes["run"]:
            return Judgment(claim, {}, verdict)
        available_cubes[0] = available_cubes[0].isel(run=claim.runs)
    measured = _measure(claim, available_cubes)
    if missing_runs:
        return Judgment(claim, measured, verdict, incomplete=missing_runs)
    if verdict == RECORDED or all(condition.relation == "reported" for condition in claim.accept):
        return Judgment(claim, measured, RECORDED)
    failed = tuple(condition for condition in claim.accept if not _claim_condition_holds(claim, condition, measured))
    return Judgment(claim, measured, DIFFERS if failed else HOLDS, failed)


def _measure(claim: Claim, cubes: list[xr.Dataset]) -> Values:
    """Compute the values of a claim's quantity from the variables that it declares."""
    assert claim.quantity is not None
    quantity = load_quantity(claim.quantity)
    for name, cube in zip(claim.cubes, cubes, strict=True):
        if missing := [variable for variable in quantity.variables if variable not in cube]:
            raise UserError(
                f"Claim {claim.id} is measured by {claim.quantity}, which reads {', '.join(missing)}. The cube of {name} "
                "lacks this: it was gathered by an older version. Measure and gather it again."
            )
    values = quantity.function(*(only(cube, quantity.variables) for cube in cubes))
    return {name: _plain(value) for name, value in values.items()}


def _claim_condition_holds(claim: Claim, condition: Condition, measured: Values) -> bool:
    """Return whether a condition of a claim holds; raise UserError if its value is missing or not comparable."""
    try:
        return holds(condition, measured)
    except (KeyError, TypeError):
        value = f"is {measured[condition.value]!r:.60}" if condition.value in measured else "is missing"
        raise UserError(
            f"{FOLDER}: {claim.id}: accept: {condition.value} {value}; the rule requires {describe_condition(condition)}. "
            f"The quantity {claim.quantity} returns: {', '.join(measured)}."
        ) from None


def _filled(claim: Claim, measured: Values) -> str:
    """Return the explanation with the measured values filled in."""
    try:
        return (claim.explanation or "").format(**measured)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{FOLDER}: {claim.id}: explanation: {type(error).__name__}: {error}.") from None


def _plain(value: Any) -> Any:
    """Convert arrays and NumPy scalars to Python numbers and lists; return other values unchanged."""
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
    """Return whether a condition holds. NaN fulfills no condition.

    Args:
        condition: the condition. If its value is a list, all entries must fulfill it, or at least `in_runs` of them.
        measured: values of the quantity by name.

    Returns:
        True if the condition holds.

    Raises:
        KeyError: the quantity returned no value of this name.
        TypeError: value and bound are not comparable.
    """
    value = measured[condition.value]
    bound = getattr(condition, condition.relation)
    relation = _RELATIONS[condition.relation]
    if isinstance(value, list) and condition.relation not in ("equals", "reported"):
        fulfilled = [bool(relation(entry, bound)) for entry in value]
        return sum(fulfilled) >= (len(value) if condition.in_runs is None else condition.in_runs) and bool(value)
    return bool(relation(value, bound))


_WORDS = {
    "above": "more than {}",
    "at_least": "at least {}",
    "below": "less than {}",
    "at_most": "at most {}",
    "between": "{} to {}",
    "equals": "{}",
    "reported": "any value (reported)",
}


def describe_condition(condition: Condition) -> str:
    """Return a relation and its bounds in words: `at least 0.9 in 4 runs`."""
    bound = getattr(condition, condition.relation)
    bounds = bound if isinstance(bound, tuple) else (bound,)
    words = _WORDS[condition.relation].format(*map(format_value, bounds))
    return words if condition.in_runs is None else f"{words} in {condition.in_runs} runs"


def format_value(value: Any) -> str:
    """Format a value for readers: numbers with four significant digits, lists joined by commas."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {format_value(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value))
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}"
