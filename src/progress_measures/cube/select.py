"""The part of a cube that a figure or table has declared to read."""

from collections.abc import Sequence

import xarray as xr

from progress_measures.errors import UserError


def select(cube: xr.Dataset, variables: Sequence[str], reader: str) -> xr.Dataset:
    """These variables of a cube, loaded.

    Args:
        reader: who asks, for the message: `Figure paper/fig07`.
    Raises:
        UserError: the cube lacks some.
    """
    missing = [name for name in variables if name not in cube]
    if missing:
        raise UserError(
            f"{reader} reads {', '.join(missing)}, which the cube of {cube.attrs.get('experiment', '?')!r} "
            "does not have: those measures do not apply to its networks, or it was gathered by an older version."
        )
    return cube[list(variables)].load()
