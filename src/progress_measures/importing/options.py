"""Parse the options `--model` and `--read` of `progress-measures import`."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.experiments.schema import Model
from progress_measures.importing.names import SETTINGS


def model_fields(texts: list[str]) -> dict[str, Any]:
    """Parse options `--model FIELD=VALUE`.

    Args:
        texts: the values `FIELD=VALUE` of the options.

    Returns:
        Validated values of fields of the section `model`, by name of the field.

    Raises:
        UserError: a field is unknown or its value is wrong.
    """
    fields: dict[str, Any] = {}
    allowed = [name for name in SETTINGS if name in Model.model_fields]
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in allowed:
            raise UserError(f"--model {text:.80}: expected FIELD=VALUE with one of the fields {', '.join(allowed)}.")
        try:
            fields[name] = getattr(Model.model_validate({name: yaml.safe_load(value)}), name)
        except ValidationError as error:
            raise UserError(f"--model {text:.80}: {error.errors()[0]['msg']}.") from None
        except (yaml.YAMLError, ValueError):  # such as an impossible date
            raise UserError(f"--model {text:.80}: the value of {name} is not valid YAML.") from None
    return fields


def position(text: str | None) -> int | str | None:
    """Parse the value of `--read`, the answer position: `last`, an index from 0, or None if the option is absent.

    Raises:
        UserError: the text is neither `last` nor an index.
    """
    if text is None or text == "last":
        return text
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"--read {text:.80}: expected `last`, or the index of a position from 0.")
    return int(text)
