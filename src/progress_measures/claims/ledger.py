"""The claims as they are written down: pydantic models of `config/claims/*.yaml`."""

import functools
import re
import string
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator, model_validator

from progress_measures.errors import UserError
from progress_measures.yaml_files import read_yaml

FOLDER = Path("config/claims")

Number = int | FiniteFloat


class Condition(BaseModel):
    """What must hold of one value of a quantity: exactly one relation."""

    model_config = ConfigDict(extra="forbid")

    value: str = Field(description="Which of the values that the quantity gives.")
    above: Number | None = Field(None, description="It is larger.")
    at_least: Number | None = Field(None, description="It is as large or larger.")
    below: Number | None = Field(None, description="It is smaller.")
    at_most: Number | None = Field(None, description="It is as small or smaller.")
    between: tuple[Number, Number] | None = Field(None, description="It lies between the two, or is one of them.")
    equals: Any = Field(None, description="It is this.")
    reported: Literal[True] | None = Field(None, description="It is to be reported, whatever it is.")
    in_runs: Annotated[int, Field(ge=1)] | None = Field(
        None, description="In how many runs at least, where the value is a list of one a run; by default, in all."
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
        """The relation that is set."""
        return next(iter(self.model_fields_set - {"value", "in_runs"}))


class Claim(BaseModel):
    """One published statement, and how it is judged."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, description="Source, place and a word.")
    source: str = Field(description="The document, as figures have it.")
    where: str = Field(description="Where in the document.")
    experiment: str = Field(description="The experiment that it speaks of.")
    kind: Literal["exact", "numeric_seeded", "qualitative", "contradiction"] = Field(
        description="exact: arithmetic; numeric_seeded: a number that differs from seed to seed; qualitative: a shape "
        "or an order; contradiction: the sources disagree with themselves or each other, which is recorded."
    )
    statement: str = Field(description="What is stated, in our words.")
    published: Any = Field(description="The published numbers, or what is said without any.")
    measured_as: str = Field(description="What is to be measured, in words.")
    rule: str = Field(description="When the claim holds, in words; decided before our values were seen.")
    note: str | None = Field(None, description="What else to know.")
    subtype: Literal["conflict", "ambiguity", "typo", "text_vs_code"] | None = Field(
        None, description="Of a contradiction."
    )
    key_frequencies: list[int] | None = Field(None, description="Those that the source gives.")
    judged_on: str | list[str] | None = Field(
        None,
        description="The experiment whose cube stands in for one that is not ours, or all whose cubes are needed.",
    )
    quantity: str | None = Field(None, description="The registered function that measures it.")
    runs: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = Field(
        None, description="Places in the grid of the runs it is measured on, of the first experiment; all by default."
    )
    accept: list[Condition] = Field([], description="What must hold of its values: the rule, for the machine.")
    explanation: str | None = Field(
        None, description="Why our runs differ; measured values stand in braces, as in {loss:.2e}."
    )

    @property
    def cubes(self) -> list[str]:
        """The experiments whose cubes its quantity is given, in that order."""
        judged_on = self.judged_on or self.experiment
        return [judged_on] if isinstance(judged_on, str) else judged_on

    @field_validator("explanation")
    @classmethod
    def _values_by_name(cls, explanation: str | None) -> str | None:
        """Braces hold names of values, and nothing that `str.format` would look up in them."""
        for _, name, form, _ in string.Formatter().parse(explanation or ""):
            if name is not None and (
                not re.fullmatch(r"[A-Za-z][\w-]*(\[[^\[\]]+\])*", name) or "{" in (form or "") or len(form or "") > 6
            ):
                raise ValueError(f"{{{name}}}: expected is the name of a measured value, and perhaps a format")
        return explanation

    @model_validator(mode="after")
    def _judged_as_a_whole(self) -> "Claim":
        if bool(self.accept) != bool(self.quantity) and self.kind != "contradiction":
            raise ValueError("quantity and accept belong together")
        return self


@functools.cache
def load_claims(folder: Path = FOLDER) -> dict[str, Claim]:
    """All claims by id, in the order of the files.

    Raises:
        UserError: a file is missing or an entry is wrong.
    """
    claims: dict[str, Claim] = {}
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise UserError(f"There are no claims: looked for {folder}/*.yaml. Run from the repository's root.")
    for file in files:
        entries = read_yaml(file)
        if not isinstance(entries, list):
            raise UserError(f"{file}: expected a list of claims, found {entries!r:.60}.")
        for entry in entries:
            name = str(entry.get("id", "an entry without id") if isinstance(entry, dict) else repr(entry))[:60]
            try:
                claim = Claim.model_validate(entry)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"])) or "the entry"
                raise UserError(f"{file}: {name}: {place:.100}: {first['msg']}.") from None
            if claim.id in claims:
                raise UserError(f"{file}: {claim.id} is there twice.")
            claims[claim.id] = claim
    return claims
