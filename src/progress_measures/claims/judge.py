"""Judge claims by the values measured on cubes: on each network of a population, on the authors' network, and on controls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from progress_measures.analysis.runs import GENERALIZATION_ACCURACY
from progress_measures.analysis.select import caveats, keep_only, select_run
from progress_measures.claims.registry import Quantity, Values, load_quantity
from progress_measures.claims.schema import FOLDER, Claim, Condition, Population, load_populations
from progress_measures.cube.stops import last_checkpoint, until_stop
from progress_measures.errors import UserError

HOLDS, HOLDS_IN_SOME, DIFFERS = "holds", "holds in some", "differs"
NOT_DISCRIMINATING, CANNOT_BE_JUDGED, NOT_RUN = "does not discriminate", "cannot be judged", "not run"
RECORDED = "recorded"
VERDICTS = (HOLDS, HOLDS_IN_SOME, DIFFERS, NOT_DISCRIMINATING, CANNOT_BE_JUDGED, NOT_RUN, RECORDED)

MOST, FEW = 0.8, 0.2
"""Bounds on the fraction of networks in which a rule holds.

From `MOST` on, the verdict is `HOLDS` or, if the rule also holds in controls, `NOT_DISCRIMINATING`. Up to `FEW`, it is
`DIFFERS`; between the two bounds, `HOLDS_IN_SOME`.
"""

NEEDED_ACCURACIES = {
    "memorization": ("train_accuracy", 0.99),
    "generalization": ("test_accuracy", GENERALIZATION_ACCURACY),
}
"""For each value of a claim's field `needs`: a variable, and the smallest value that it must have at a network's last
checkpoint for the network to be judged."""


MapsOf = Callable[[str, str, Collection[str]], xr.Dataset]
"""Function of the names of a cube, a run and measures; it returns these measures at the run's last checkpoint.

It is used for maps: large measures, such as the neurons at all pairs, which a cube has of its first run only.
"""


def no_maps(cube: str, run: str, names: Collection[str]) -> xr.Dataset:
    """Return an empty dataset: the `MapsOf` to use if there are no weights from which maps can be computed.

    Args:
        cube: not used; name of the cube.
        run: not used; name of the run.
        names: not used; names of the maps.
    """
    return xr.Dataset()


class Outcome(NamedTuple):
    """What a claim's rule gives on one network, or on all runs of a cube together.

    Attributes:
        cube: name of the cube.
        run: name of the run; empty if the rule is applied to all runs together.
        values: values of the quantity by name. Empty if the cube lacks a variable that the quantity reads, if the network
            has not learned what the claim needs, or if the quantity needs more than the one checkpoint that the network has.
        holds: whether the rule holds; None if there are no values.
    """

    cube: str
    run: str
    values: Values
    holds: bool | None


class Judgment(NamedTuple):
    """A claim, its measured values and its verdict.

    Attributes:
        claim: the claim that was judged.
        measured: values of the claim's quantity by name, which `docs/claims.md` shows. They are computed from the runs
            in the claim's field `runs`, by default from all runs. Empty if nothing was measured.
        verdict: one of `VERDICTS`.
        failed: the conditions of the rule that the values in `measured` do not fulfill.
        incomplete: sentences about missing runs, about doubtful imports (networks that contradict their file or the
            options of the import), or about why no network is judged; empty if none applies.
        networks: the outcome on each network of the population that has values; empty if the rule is judged once.
        authors: the outcome on a network of the paper's authors; None if the population names no such network, if
            there is no cube of it, or if the rule is judged once.
        controls: the outcomes that have values, on each control network or, if the rule is judged once, on all runs of each
            control cube together.
    """

    claim: Claim
    measured: Values
    verdict: str
    failed: tuple[Condition, ...] = ()
    incomplete: str = ""
    networks: tuple[Outcome, ...] = ()
    authors: Outcome | None = None
    controls: tuple[Outcome, ...] = ()

    @property
    def holding(self) -> int:
        """The number of networks of the population in which the rule holds."""
        return sum(bool(outcome.holds) for outcome in self.networks)

    @property
    def passing_controls(self) -> list[str]:
        """The names of the control cubes in which the rule holds, on one of their networks or on all together."""
        return list(dict.fromkeys(outcome.cube for outcome in self.controls if outcome.holds))

    @property
    def explanation(self) -> str:
        """Failed conditions with their measured values, and why our runs differ.

        Empty if the claim holds and no condition failed, or if the verdict is none of holds, holds in some and differs.
        """
        if self.verdict not in (HOLDS, HOLDS_IN_SOME, DIFFERS) or (self.verdict == HOLDS and not self.failed):
            return ""
        sentences = [
            f"{condition.value} is {format_value(self.measured.get(condition.value))}; "
            f"the rule requires {describe_condition(condition)}."
            for condition in self.failed
        ]
        if self.claim.explanation:
            sentences.append(_explanation_with_values(self.claim, self.measured))
        return " ".join(sentences)


def judge(claim: Claim, cube_of: Callable[[str], xr.Dataset | None]) -> Judgment:
    """Judge one claim.

    Args:
        claim: the claim.
        cube_of: function that returns the cube of an experiment, or None if the experiment has not been run.

    Returns:
        The judgment, as one of those that `judge_all` returns.
    """
    return judge_all([claim], cube_of)[0]


def judge_all(
    claims: Collection[Claim], cube_of: Callable[[str], xr.Dataset | None], maps_of: MapsOf = no_maps
) -> list[Judgment]:
    """Compute the quantity of each claim and compare its values with the rule.

    A rule is applied to each network of the claim's population, to the authors' network and to each control. A rule that
    is judged once (`Claim.judged_once`) is applied to all runs of the claim's cubes together, and to all runs of each
    control cube that `_controls_of_one_cube` names. Contradictions and claims that only report values get the verdict
    `RECORDED`: no measured value can refute them.

    Args:
        claims: the claims to judge.
        cube_of: function that returns the cube of an experiment, or None if the experiment has not been run.
        maps_of: function that computes maps, see `MapsOf`.

    Returns:
        The claims with their measured values and verdicts.

    Raises:
        UserError: a condition names a value that the quantity does not return, or compares values of incompatible
            types, or a cube lacks a variable.
    """
    measurements = _Measurements(cube_of, maps_of, {claim.quantity for claim in claims if claim.quantity})
    return [_judge(claim, measurements) for claim in claims]


def _judge(claim: Claim, measurements: _Measurements) -> Judgment:
    """Judge one claim.

    If the claim's cubes lack runs, a claim about all runs is measured, but its verdict is `NOT_RUN` (`RECORDED` for a
    contradiction). A claim about selected runs is then not measured. A doubtful import counts like a missing run. A claim
    about the first run alone (`runs: [0]`) is judged as soon as its first cube has this run, on the networks of its
    population that are measured so far.
    """
    verdict = RECORDED if claim.kind == "contradiction" else NOT_RUN
    if claim.quantity is None or any(measurements.cube(name) is None for name in claim.cubes):
        return Judgment(claim, measured={}, verdict=verdict)
    shown, caveat = _shown_cubes(claim, measurements)
    if not shown:
        return Judgment(claim, measured={}, verdict=verdict, incomplete=caveat)
    measured = _measure(claim, shown)
    if caveat:
        return Judgment(claim, measured, verdict=verdict, incomplete=caveat)
    if verdict == RECORDED or all(condition.relation == "reported" for condition in claim.accept):
        return Judgment(claim, measured, RECORDED)
    if claim.judged_once and not any(_has_learned(claim, shown[0].isel(run=i)) for i in range(shown[0].sizes["run"])):
        return Judgment(claim, measured, CANNOT_BE_JUDGED, incomplete=_no_network_judged(claim, learned=False))
    failed = tuple(condition for condition in claim.accept if not _claim_condition_holds(claim, condition, measured))
    # This verdict is final only if the rule is judged once and fails.
    judgment = Judgment(claim, measured, DIFFERS if failed else NOT_RUN, failed)
    if not claim.judged_once:
        return _judge_networks(claim, measurements, judgment)
    controls = [measurements.outcome_together(claim, name) for name in _controls_of_one_cube(claim)]
    judgment = judgment._replace(controls=tuple(outcome for outcome in controls if outcome.holds is not None))
    return judgment if failed else judgment._replace(verdict=_verdict_if_most_hold(judgment))


def _controls_of_one_cube(claim: Claim) -> list[str]:
    """Return the cubes of the controls of a claim that is judged once.

    There are none if the claim reads several cubes, or is of kind `exact`: arithmetic or an identity.
    """
    if len(claim.cubes) > 1 or claim.kind == "exact":
        return []
    return load_populations().get(claim.cubes[0], Population()).controls


def _verdict_if_most_hold(judgment: Judgment) -> str:
    """Return the verdict on a rule that holds in most networks or, if it is judged once, on all runs together.

    The claim holds if the rule fails in all controls, or if the claim says why the rule also holds in them.
    """
    return HOLDS if judgment.claim.passes_on_controls or not judgment.passing_controls else NOT_DISCRIMINATING


def _judge_networks(claim: Claim, measurements: _Measurements, judgment: Judgment) -> Judgment:
    """Apply the claim's rule to each network, and return the judgment with these outcomes and their verdict."""
    cube_name = claim.cubes[0]
    population = load_populations().get(cube_name, Population())
    caveat = ""
    if population.networks:
        members = [(name, i) for name in population.networks for i in measurements.runs(name)]
        caveat = caveats(cube for name in population.networks if (cube := measurements.cube(name)) is not None)
    else:
        runs = measurements.runs(cube_name)
        members = [(cube_name, i) for i in (runs if claim.runs is None else [runs[i] for i in claim.runs])]
    outcomes = [measurements.outcome(claim, name, i) for name, i in members]
    networks = [outcome for outcome in outcomes if outcome.holds is not None]
    authors_cube = population.authors if population.authors and measurements.runs(population.authors) else None
    controls = [measurements.outcome(claim, name, i) for name in population.controls for i in measurements.runs(name)]
    judgment = judgment._replace(
        networks=tuple(networks),
        authors=measurements.outcome(claim, authors_cube, index=0) if authors_cube else None,
        controls=tuple(outcome for outcome in controls if outcome.holds is not None),
        incomplete=caveat,
    )
    if not networks:
        learned = any(measurements.has_learned(claim, name, i) for name, i in members)
        return judgment._replace(verdict=CANNOT_BE_JUDGED, incomplete=_no_network_judged(claim, learned))
    fraction = judgment.holding / len(networks)
    if fraction >= MOST:
        return judgment._replace(verdict=_verdict_if_most_hold(judgment))
    return judgment._replace(verdict=HOLDS_IN_SOME if fraction > FEW else DIFFERS)


def _shown_cubes(claim: Claim, measurements: _Measurements) -> tuple[list[xr.Dataset], str]:
    """Return the cubes of a claim with the runs whose values are shown, and sentences about missing runs and doubtful imports.

    A claim with the field `runs` selects runs by their indices in the grid. In a cube that lacks runs, the indices are
    different. So no cube is returned for a claim with this field if a cube lacks runs or is a doubtful import, or if the
    first cube has no run of one of these indices. An exception is a claim about the first run alone, if the first cube
    has this run (its attribute `first_run` names it): other runs that the first cube lacks then do not matter.
    """
    cubes = [cube for name in claim.cubes if (cube := measurements.cube(name)) is not None]
    caveat = caveats(cubes)
    if claim.runs is None:
        return cubes, caveat
    if claim.runs == [0] and cubes[0].attrs.get("first_run") == cubes[0].run.values[0]:
        caveat = caveats([cubes[0].assign_attrs(runs_missing=[]), *cubes[1:]])
    if caveat or max(claim.runs) >= cubes[0].sizes["run"]:
        return [], caveat
    return [cubes[0].isel(run=claim.runs), *cubes[1:]], caveat


def _has_learned(claim: Claim, run_cube: xr.Dataset) -> bool:
    """Return whether a network's last checkpoint has the accuracy that the claim's field `needs` requires, if any."""
    if claim.needs is None:
        return True
    accuracy, minimum = NEEDED_ACCURACIES[claim.needs]
    return accuracy in run_cube and bool(last_checkpoint(run_cube[accuracy]) >= minimum)


def _no_network_judged(claim: Claim, learned: bool) -> str:
    """Return a sentence that says why no network is judged; `learned` states whether a network has the required accuracy."""
    if claim.needs is None or learned:
        return "No network has the values that the rule needs."
    accuracy, minimum = NEEDED_ACCURACIES[claim.needs]
    return f"No network is judged: the rule needs a final {accuracy.replace('_', ' ')} of at least {minimum:.0%}."


class _Measurements:
    """Cubes by name, single networks, and the values of quantities on them; each is loaded or computed once.

    Args:
        cube_of: function that returns the cube of an experiment, or None if the experiment has not been run.
        maps_of: function that computes maps, see `MapsOf`.
        quantity_names: names of the quantities of the claims to judge. The cube of a single network keeps only the
            variables that these quantities read, and the accuracies in `NEEDED_ACCURACIES`.
    """

    def __init__(
        self, cube_of: Callable[[str], xr.Dataset | None], maps_of: MapsOf, quantity_names: Collection[str]
    ) -> None:
        self.cube = functools.cache(cube_of)
        self._maps_of = maps_of
        self._maps: dict[tuple[str, int], xr.Dataset] = {}
        self._variables = {variable for name in quantity_names for variable in load_quantity(name).variables}
        self._variables |= {accuracy for accuracy, _ in NEEDED_ACCURACIES.values()}
        self._values: dict[tuple[str, str, int], Values] = {}
        self._networks: dict[tuple[str, int], xr.Dataset] = {}

    def runs(self, name: str) -> list[int]:
        """Return the indices of the runs of a cube; none if the cube does not exist."""
        cube = self.cube(name)
        return [] if cube is None else list(range(cube.sizes["run"]))

    def has_learned(self, claim: Claim, name: str, index: int) -> bool:
        """Return whether run `index` of the cube `name` has learned what the claim needs."""
        return _has_learned(claim, self._network(name, index).isel(run=0, missing_dims="ignore"))

    def outcome(self, claim: Claim, name: str, index: int) -> Outcome:
        """Apply the rule of a claim to one network: run `index` of the cube `name`.

        The rule is not applied if a value is NaN because measures are unknown at some checkpoints of the network.
        """
        network = self._network(name, index)
        run = str(network.run.values[0]) if "run" in network.coords else ""
        values = self._values_of_network(claim, name, index) if self.has_learned(claim, name, index) else {}
        is_open = not values or (
            _has_nan(claim, values) and _has_gaps(network, load_quantity(claim.quantity or "").variables)
        )
        return Outcome(cube=name, run=run, values=values, holds=None if is_open else rule_holds(claim, values))

    def outcome_together(self, claim: Claim, name: str) -> Outcome:
        """Apply the rule of a claim to all runs of a cube together.

        The outcome has no values if the cube does not exist or lacks a variable, or if no run has learned what the
        claim needs.
        """
        assert claim.quantity is not None
        quantity, cube = load_quantity(claim.quantity), self.cube(name)
        if cube is None or any(variable not in cube for variable in quantity.variables):
            return Outcome(cube=name, run="", values={}, holds=None)
        if not any(_has_learned(claim, cube.isel(run=i)) for i in range(cube.sizes["run"])):
            return Outcome(cube=name, run="", values={}, holds=None)
        values = values_of(quantity, [cube])
        return Outcome(cube=name, run="", values=values, holds=rule_holds(claim, values))

    def _network(self, name: str, index: int) -> xr.Dataset:
        """Return the cube of one network, with the variables that quantities read, in memory."""
        if (name, index) not in self._networks:
            cube = self.cube(name)
            assert cube is not None
            loaded = keep_only(cube, self._variables).load()
            self._networks |= {(name, i): until_stop(select_run(loaded, i)) for i in self.runs(name)}
        return self._networks[name, index]

    def _values_of_network(self, claim: Claim, name: str, index: int) -> Values:
        """Return the values of a claim's quantity on one network; an empty dictionary if they cannot be computed."""
        assert claim.quantity is not None
        key = (claim.quantity, name, index)
        if key not in self._values:
            quantity = load_quantity(claim.quantity)
            network = self._with_maps(name, index, quantity.variables)
            if network.sizes.get("epoch") == 1:
                measurable = self._is_measurable_at_one_checkpoint(quantity, network, claim.cubes[0])
            else:
                measurable = all(variable in network for variable in quantity.variables)
            self._values[key] = values_of(quantity, [network]) if measurable else {}
        return self._values[key]

    def _with_maps(self, name: str, index: int, variables: Collection[str]) -> xr.Dataset:
        """Return the cube of one network with the variables that a quantity reads.

        If some of them are maps, which the cube has of its first run only, the maps are computed, and the result has only the
        last checkpoint. If no weights are stored to compute the maps from, the result lacks the maps.
        """
        network, cube = self._network(name, index), self.cube(name)
        assert cube is not None
        if all(variable in network or variable not in cube for variable in variables):
            return network
        if (name, index) not in self._maps:
            missing = sorted(variable for variable in self._variables if variable in cube and variable not in network)
            self._maps[name, index] = self._maps_of(name, str(network.run.values[0]), missing)
        if not self._maps[name, index]:
            return network
        last = last_checkpoint(network.isel(run=0)).epoch.values
        return xr.merge([network.sel(epoch=[last]), self._maps[name, index]], join="exact", compat="override")

    def _is_measurable_at_one_checkpoint(self, quantity: Quantity, network: xr.Dataset, cube_name: str) -> bool:
        """Return whether a quantity can be computed on a network with only one checkpoint.

        The quantity's variables must have values there; a curve of the training history must have two or more. Whether
        the quantity reads earlier checkpoints is found by trial: on the first run of the claim's cube, the quantity
        must have the same values with all checkpoints and with the last one alone.

        Args:
            quantity: the quantity.
            network: cube of the network with one checkpoint.
            cube_name: name of the first cube of the claim, on whose first run the trial is made.
        """
        for variable in quantity.variables:
            min_values = 2 if variable.startswith("history_") else 1
            if variable not in network or int(network[variable].notnull().sum()) < min_values:
                return False
        run_cube = self._network(cube_name, index=0)
        try:
            return repr(values_of(quantity, [run_cube])) == repr(values_of(quantity, [run_cube.isel(epoch=[-1])]))
        except (IndexError, KeyError, ValueError):
            return False


def _has_nan(claim: Claim, values: Values) -> bool:
    """Return whether a value that the claim's rule bounds is NaN."""
    bounded = [values.get(condition.value) for condition in claim.accept if condition.relation != "reported"]
    return any(
        isinstance(value, float) and np.isnan(value) for entry in bounded for value in np.ravel([entry]).tolist()
    )


def _has_gaps(network: xr.Dataset, variables: Collection[str]) -> bool:
    """Return whether a variable of a network has values at some of its checkpoints only, as with `training.keep`."""
    for name in variables:
        if name in network and "epoch" in network[name].dims and network[name].dtype.kind == "f":
            known = network[name].notnull().any([dim for dim in network[name].dims if dim != "epoch"]).values
            if known.any() and not known.all():
                return True
    return False


def rule_holds(claim: Claim, values: Values) -> bool:
    """Return whether all conditions of a claim's rule hold.

    Args:
        claim: the claim.
        values: values of the claim's quantity on one network, or on all runs together.

    Raises:
        UserError: a value that the rule bounds is missing, or cannot be compared with its bound.
    """
    return all(_claim_condition_holds(claim, condition, values) for condition in claim.accept)


def _measure(claim: Claim, cubes: list[xr.Dataset]) -> Values:
    """Compute the values of a claim's quantity; raise UserError if a cube lacks a variable that the quantity reads."""
    assert claim.quantity is not None
    quantity = load_quantity(claim.quantity)
    for name, cube in zip(claim.cubes, cubes, strict=True):
        if missing := [variable for variable in quantity.variables if variable not in cube]:
            raise UserError(
                f"Claim {claim.id}: the cube of {name} lacks {', '.join(missing)}, which the quantity {claim.quantity} "
                "reads: an older version gathered this cube. Measure and gather it again."
            )
    return values_of(quantity, cubes)


def values_of(quantity: Quantity, cubes: list[xr.Dataset]) -> Values:
    """Compute the values of a quantity.

    Args:
        quantity: the quantity.
        cubes: its cubes, in the order of the claim.

    Returns:
        The values by name, as plain numbers, strings, lists and dictionaries.
    """
    values = quantity.function(*(keep_only(cube, quantity.variables) for cube in cubes))
    return {name: _as_plain_value(value) for name, value in values.items()}


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


def _explanation_with_values(claim: Claim, measured: Values) -> str:
    """Return the explanation with the measured values in place of their names."""
    try:
        return (claim.explanation or "").format(**measured)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{FOLDER}: {claim.id}: explanation: {type(error).__name__}: {error}.") from None


def _as_plain_value(value: Any) -> Any:
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
    """Return whether a condition holds. NaN and an empty list fulfill no bound.

    Args:
        condition: the condition. If its value is a list or dictionary, all entries must fulfill a bound, or at least `in_runs`
            of them; `equals` and `reported` are about the value as a whole.
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
    if isinstance(value, list | dict) and condition.relation not in ("equals", "reported"):
        entries = list(value.values()) if isinstance(value, dict) else value
        fulfilled = [bool(relation(entry, bound)) for entry in entries]
        return sum(fulfilled) >= (len(entries) if condition.in_runs is None else condition.in_runs) and bool(entries)
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
    """Format a value for readers: a float with four significant digits or, from 1e4 to 1e7, as an integer; lists with commas."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {format_value(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value))
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"
