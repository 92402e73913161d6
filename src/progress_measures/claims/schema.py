"""Pydantic models of the claims in `config/claims/*.yaml`, and the functions that load them."""

import functools
import re
import string
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator, model_validator

from progress_measures.errors import UserError
from progress_measures.yaml_files import read_yaml

FOLDER = Path("config/claims")
POPULATIONS = Path("config/populations.yaml")
REPOSITORY = Path(__file__).parents[3]
"""The repository that this code belongs to."""

Number = int | FiniteFloat


class Condition(BaseModel):
    """A condition on one of the named values that a quantity (a function of cubes) returns: one relation and its bound."""

    model_config = ConfigDict(extra="forbid")

    value: str = Field(description="Name of a value that the quantity returns.")
    above: Number | None = Field(None, description="The value is larger than this.")
    at_least: Number | None = Field(None, description="The value is at least this.")
    below: Number | None = Field(None, description="The value is smaller than this.")
    at_most: Number | None = Field(None, description="The value is at most this.")
    between: tuple[Number, Number] | None = Field(
        None, description="The value lies between these two bounds, bounds included."
    )
    equals: Any = Field(None, description="The value equals this.")
    reported: Literal[True] | None = Field(None, description="The value is reported; it has no bound.")
    in_runs: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Minimum number of runs that fulfill the condition, if the value has one entry per run; default: all.",
    )

    @model_validator(mode="after")
    def _one_relation(self) -> "Condition":
        if len(self.model_fields_set - {"value", "in_runs"}) != 1:
            raise ValueError("expected exactly one of above, at_least, below, at_most, between, equals, reported")
        if self.relation != "equals" and getattr(self, self.relation) is None:
            raise ValueError(f"`{self.relation}` needs a value")
        if self.between and self.between[0] > self.between[1]:
            raise ValueError("`between` needs the smaller number first")
        return self

    @property
    def relation(self) -> str:
        """The name of the relation that is set, such as `above`."""
        return next(iter(self.model_fields_set - {"value", "in_runs"}))


class Change(BaseModel):
    """A change of a rule after values were known: allowed only where the source contradicts the rule."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="The words of the source that the rule must follow, quoted.")
    before: str = Field(description="The earlier rule, in words.")
    reason: str = Field(description="What was wrong with the earlier rule.")
    verdict: str = Field(description="The verdict by the earlier rule.")


class Claim(BaseModel):
    """One published statement and the rule that judges it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, description="Source, place in the source and a keyword.")
    source: str = Field(description="The source, named as in figure ids, such as `paper`.")
    where: str = Field(description="Place in the source.")
    experiment: str = Field(description="The experiment of this project that the statement is about.")
    kind: Literal["exact", "numeric_seeded", "qualitative", "contradiction"] = Field(
        description="exact: arithmetic, an identity, or the size or shape of data and arrays, which no training can change; "
        "numeric_seeded: a number that depends on the seed; qualitative: other statements, such as those about the shape "
        "of a curve or the order of events; contradiction: the sources "
        "contradict themselves or each other, which is recorded."
    )
    statement: str = Field(description="The statement, in our words.")
    published: Any = Field(description="The published numbers, or the published wording if it has no numbers.")
    measured_as: str = Field(description="What is measured, in words.")
    rule: str = Field(
        description="The condition under which the claim holds, in words. It is fixed before our values are known, and "
        "changed only where the text of the source requires it (`changed`)."
    )
    note: str | None = Field(None, description="A remark on how the claim is measured or judged.")
    subtype: Literal["conflict", "ambiguity", "typo", "text_vs_code"] | None = Field(
        None, description="The type of a contradiction."
    )
    key_frequencies: list[int] | None = Field(None, description="The key frequencies that the source gives.")
    judged_on: str | list[str] | None = Field(
        None,
        description="The experiment on whose cube the claim is judged, if not `experiment`; a list if the quantity takes "
        "several cubes.",
    )
    quantity: str | None = Field(
        None, description="Name of the function in `claims/quantities/` that computes the values."
    )
    runs: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = Field(
        None,
        description="Indices of the runs whose values are shown, in the grid of the first experiment in `judged_on` (or of "
        "`experiment`); default: all. Only these runs are judged, unless config/populations.yaml lists `networks` for that "
        "experiment.",
    )
    accept: list[Condition] = Field([], description="The rule as conditions on the values of the quantity.")
    together: bool = Field(
        False,
        description="Whether the rule compares or counts runs, so that it is judged once on all runs together, not on each.",
    )
    needs: Literal["memorization", "generalization"] | None = Field(
        None,
        description="What a network must have learned to be judged: its training pairs (memorization: final train accuracy of "
        "99 % or more) or all pairs (generalization: final test accuracy of 95 % or more). Other networks are left out.",
    )
    passes_on_controls: str | None = Field(
        None,
        description="Why the rule also holds in control networks. Without this text, a claim whose rule also holds in controls "
        "gets the verdict `does not discriminate`.",
    )
    changed: Change | None = Field(None, description="The change of the rule, if it was changed.")
    headline: bool = Field(
        False,
        description="Whether `progress-measures describe` judges the claim on single runs: it is about one run, and its "
        "rule has bounds.",
    )
    explanation: str | None = Field(
        None,
        description="Why our runs differ from the statement; a placeholder such as {loss:.2e} is replaced by the "
        "measured value of this name.",
    )

    @property
    def cubes(self) -> list[str]:
        """The experiments whose cubes are the arguments of the quantity, in this order."""
        judged_on = self.judged_on or self.experiment
        return [judged_on] if isinstance(judged_on, str) else judged_on

    @property
    def judged_once(self) -> bool:
        """Whether the rule is judged once, on all runs of its cubes together, not on each network alone."""
        return (
            self.together
            or self.kind == "exact"
            or len(self.cubes) > 1
            or any(condition.in_runs is not None for condition in self.accept)
        )

    @field_validator("explanation")
    @classmethod
    def _values_by_name(cls, explanation: str | None) -> str | None:
        """Check that braces contain only names of values, because `str.format` would also resolve attributes."""
        for _, name, format_spec, _ in string.Formatter().parse(explanation or ""):
            if name is not None and (
                not re.fullmatch(r"[A-Za-z][\w-]*(\[[^\[\]]+\])*", name)
                or "{" in (format_spec or "")
                or len(format_spec or "") > 6
            ):
                raise ValueError(f"{{{name}}}: expected the name of a measured value and an optional format")
        return explanation

    @model_validator(mode="after")
    def _quantity_with_rule(self) -> "Claim":
        if bool(self.accept) != bool(self.quantity) and self.kind != "contradiction":
            raise ValueError("quantity and accept belong together: give both or neither")
        return self

    @model_validator(mode="after")
    def _headline_with_bounds(self) -> "Claim":
        bounded = any(condition.relation != "reported" for condition in self.accept)
        if self.headline and (self.kind == "contradiction" or self.judged_once or not bounded):
            raise ValueError(
                "a headline claim must not be of kind `contradiction`, and needs a rule with bounds that is judged on "
                "each network"
            )
        return self


class Population(BaseModel):
    """The networks on which the claims of one experiment are judged: an entry of `config/populations.yaml`.

    A claim belongs to the first experiment in its field `judged_on` or, without this field, to its `experiment`.
    """

    model_config = ConfigDict(extra="forbid")

    networks: list[str] = Field(
        [], description="Cubes whose runs the claims are about; default: the runs of the experiment's own cube."
    )
    authors: str | None = Field(
        None, description="Cube of a network of the paper's authors, shown beside the population."
    )
    controls: list[str] = Field(
        [], description="Cubes of networks without the algorithm, on which the rules must fail."
    )


@functools.cache
def load_populations() -> dict[str, Population]:
    """Return the population of each experiment that has an entry in `config/populations.yaml`.

    The file is `config/populations.yaml` in the current folder or, if it is missing there, in the repository that this code
    belongs to. Without a file, no experiment has a population.

    Raises:
        UserError: the file is invalid.
    """
    file = next((file for file in (POPULATIONS, REPOSITORY / POPULATIONS) if file.exists()), None)
    entries = read_yaml(file) if file else {}
    if not isinstance(entries, dict):
        raise UserError(f"{file}: expected a population for each experiment, found {entries!r:.60}.")
    populations = {}
    for experiment, entry in entries.items():
        try:
            populations[experiment] = Population.model_validate(entry)
        except ValidationError as error:
            raise UserError(f"{file}: {experiment:.60}: {_first_mistake(error)}") from None
    return populations


def _first_mistake(error: ValidationError) -> str:
    """Return the first mistake of an entry: its field and what is wrong with it."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the entry"
    return f"{place:.100}: {first['msg']}."


def headline_claims() -> list[Claim]:
    """Return the claims with `headline: true`, in the order of the files; each is judged on single runs.

    The claims are read from `config/claims` in the current folder or, if it is missing there, in the repository that this
    code belongs to. The list is empty if neither folder exists.
    """
    folder = next((folder for folder in (FOLDER, REPOSITORY / FOLDER) if folder.is_dir()), None)
    return [claim for claim in load_claims(folder).values() if claim.headline] if folder else []


@functools.cache
def load_claims(folder: Path = FOLDER) -> dict[str, Claim]:
    """Return all claims by id, in the order of the files.

    Args:
        folder: folder with the YAML files.

    Raises:
        UserError: the folder has no files, an entry is invalid, or two entries have the same id.
    """
    claims: dict[str, Claim] = {}
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise UserError(
            f"No claims found: no file matches {folder}/*.yaml. Run this command in the root folder of the repository."
        )
    for file in files:
        entries = read_yaml(file)
        if not isinstance(entries, list):
            raise UserError(f"{file}: expected a list of claims, found {entries!r:.60}.")
        for entry in entries:
            name = str(entry.get("id", "entry without id") if isinstance(entry, dict) else repr(entry))[:60]
            try:
                claim = Claim.model_validate(entry)
            except ValidationError as error:
                raise UserError(f"{file}: {name}: {_first_mistake(error)}") from None
            if claim.id in claims:
                raise UserError(f"{file}: {claim.id} is defined twice. Give each claim a unique id.")
            claims[claim.id] = claim
    return claims
