"""The base class of all sections of an experiment file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

MAX_OPERANDS = 2000
"""Largest number of operand values, because tables of all pairs are held in memory."""


class Section(BaseModel):
    """A section of an experiment file: immutable, without unknown keys, with finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _reject_booleans(cls, values: Any) -> Any:
        """Reject true and false as numbers, which pydantic would accept as 1 and 0."""
        for name, field in cls.model_fields.items():
            if isinstance(values, dict) and isinstance(values.get(name), bool) and field.annotation is not bool:
                raise ValueError(f"`{name}` cannot be true or false")
        return values
