"""Print the variables of a cube with their meaning."""

from __future__ import annotations

import xarray as xr

from progress_measures.errors import UserError
from progress_measures.plain_text import text_table


def contents(cube: xr.Dataset, word: str = "") -> None:
    """Print a table of a cube's variables: name, meaning (the attribute `long_name`), dimensions and units.

    Args:
        cube: cube whose variables are listed, in the order of the cube.
        word: text that the name or meaning of a listed variable contains; case is ignored. By default, all variables are
            listed.

    Raises:
        UserError: no variable has the word in its name or meaning.
    """
    rows = [
        (str(name), str(variable.attrs.get("long_name", "")), " ".join(map(str, variable.dims)), _units(variable))
        for name, variable in cube.data_vars.items()
    ]
    matches = [row for row in rows if word.lower() in f"{row[0]} {row[1]}".lower()]
    if not matches:
        raise UserError(f"No variable of the cube has {word!r} in its name or meaning; contents(cube) lists all.")
    print(text_table(("name", "meaning", "dimensions", "units"), matches))


def _units(variable: xr.DataArray) -> str:
    return str(variable.attrs.get("units", ""))
