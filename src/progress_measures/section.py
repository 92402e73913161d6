"""The base class of all sections of an experiment file."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

MAX_OPERANDS = 2000
"""Largest number n of operand values; limited because tables of all n² pairs are held in memory."""


def _takes_booleans(field: FieldInfo) -> bool:
    """Return whether a field accepts booleans, alone or among other types."""
    return field.annotation is bool or bool in get_args(field.annotation)


class Section(BaseModel):
    """A section of an experiment file: immutable, without unknown keys, with finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _reject_booleans(cls, values: Any) -> Any:
        """Reject true and false in fields that take no booleans: pydantic would accept them as the numbers 1 and 0."""
        fields = {name: field for key, field in cls.model_fields.items() for name in (key, field.alias)}
        for name, value in values.items() if isinstance(values, dict) else ():
            has_booleans = any(isinstance(entry, bool) for entry in (value if isinstance(value, list) else [value]))
            if has_booleans and name in fields and not _takes_booleans(fields[name]):
                raise ValueError(f"`{name}` cannot be true or false")
        return values
