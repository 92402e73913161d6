"""Change the weights of a run by the user's own function, and write them to a file that `progress-measures import` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from progress_measures.errors import UserError
from progress_measures.files import atomic_path
from progress_measures.importing.callables import load_function

if TYPE_CHECKING:
    from progress_measures.cube.open import OpenRun


def edit(opened: OpenRun, epoch: int, function: str, path: Path) -> None:
    """Write the weights of a checkpoint, changed by a function.

    Args:
        opened: the run.
        epoch: epoch of a stored checkpoint.
        function: `FILE.py:FUNCTION`. The function takes and returns a dictionary of arrays by the names of the tensors, as
            `open_run(…).weights(epoch)` returns it.
        path: the safetensors file to write.

    Raises:
        UserError: no weights of this epoch are stored; the function cannot be loaded or raises an error; or it does not
            return finite arrays with the names and shapes of the weights.
    """
    weights = opened.weights(epoch)
    user_function: Any = load_function(function, "--function")
    try:
        changed = user_function({name: np.array(tensor) for name, tensor in weights.items()})
    except Exception as error:  # the user's code may raise anything
        raise UserError(f"--function {function}: the function raised {type(error).__name__}: {error}") from None
    if not isinstance(changed, dict) or changed.keys() != weights.keys():
        returned = ", ".join(map(str, changed)) if isinstance(changed, dict) else type(changed).__name__
        raise UserError(
            f"--function {function}: expected a dictionary of {', '.join(weights)}; the function returned {returned:.200}."
        )
    try:
        arrays = {name: np.ascontiguousarray(changed[name], dtype=tensor.dtype) for name, tensor in weights.items()}
    except (TypeError, ValueError) as error:  # texts or ragged lists
        raise UserError(
            f"--function {function}: expected arrays of numbers; the function returned others: {error}"
        ) from None
    for name, array in arrays.items():
        if array.shape != weights[name].shape or not np.isfinite(array).all():
            raise UserError(
                f"--function {function}: expected finite numbers of shape {weights[name].shape} for {name}, found shape "
                f"{array.shape}{'' if np.isfinite(array).all() else ' with NaN or infinity'}."
            )
    with atomic_path(path) as temporary:
        save_file(
            arrays, temporary, {"source": f"{opened.experiment}/{opened.name} at epoch {epoch}, changed by {function}"}
        )
