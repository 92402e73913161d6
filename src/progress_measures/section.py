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
        for name, field in ((field.alias or name, field) for name, field in cls.model_fields.items()):
            if isinstance(values, dict) and isinstance(values.get(name), bool) and not _takes_booleans(field):
                raise ValueError(f"`{name}` cannot be true or false")
        return values
