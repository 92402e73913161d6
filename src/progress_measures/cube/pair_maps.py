"""Maps over (a, b), rebuilt exactly from the factors that a cube keeps."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.errors import UserError


def attention_map(cube: xr.Dataset, head: int, run: str | None = None, epoch: int | None = None) -> xr.DataArray:
    """Attention of one head from `=`, over all pairs.

    Args:
        cube: with the attention scores of the last checkpoint, or of moments.
        run: by default the first.
        epoch: one of `cube.moment` (first run only); by default the last.
    Returns:
        [a, b, position], summing to 1 over the positions a, b, `=`.
    """
    token, position = _factors(cube, "attention_score", run, epoch)
    score_token, score_position = token.sel(head=head).values, position.sel(head=head).values
    n = len(score_token) - 1
    scores = np.empty((n, n, 3))
    scores[..., 0] = (score_token[:n] + score_position[0])[:, None]
    scores[..., 1] = score_token[:n] + score_position[1]
    scores[..., 2] = score_token[n] + score_position[2]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    coords = {"a": np.arange(n), "b": np.arange(n), "position": ["a", "b", "="]}
    attributes = {"long_name": f"Attention of head {head} from `=`", "units": "1"}
    return xr.DataArray(weights, coords, ("a", "b", "position"), attrs=attributes)


def neuron_map(cube: xr.Dataset, neuron: int, epoch: int | None = None, relu: bool = True) -> xr.DataArray:
    """Activation of one neuron of the first run, over all pairs.

    Args:
        cube: with that run's value rows.
        neuron: any at the last checkpoint; one of `cube.kept_neuron` at an earlier moment.
        epoch: one of `cube.moment`; by default the last.
        relu: after the ReLU, or before it.
    Returns:
        [a, b].
    Raises:
        UserError: it has no such neuron, or does not keep it.
    """
    along = "neuron" if epoch is None else "kept_neuron"
    if neuron not in cube[along]:
        raise UserError(f"There is no neuron {neuron} among the {cube.sizes[along]} along `{along}`.")
    values = _activations(cube, {along: neuron}, epoch, relu)
    n = len(values)
    coords = {"a": np.arange(n), "b": np.arange(n)}
    name = f"Neuron {neuron} {'after' if relu else 'before'} the ReLU"
    return xr.DataArray(values, coords, ("a", "b"), attrs={"long_name": name})


def neuron_maps(cube: xr.Dataset, relu: bool = True) -> xr.DataArray:
    """Activations of all neurons of the first run at the last checkpoint, over all pairs: [a, b, neuron]."""
    values = _activations(cube, {}, None, relu)
    n = len(values)
    coords = {"a": np.arange(n), "b": np.arange(n), "neuron": cube.neuron.values}
    name = f"Neurons {'after' if relu else 'before'} the ReLU"
    return xr.DataArray(values, coords, ("a", "b", "neuron"), attrs={"long_name": name})


def _activations(cube: xr.Dataset, which: dict[str, int], epoch: int | None, relu: bool) -> NDArray[np.floating]:
    """[a, b] of the neuron that is selected, [a, b, neuron] of all."""
    token, position = _factors(cube, "neuron_value", None, epoch)
    offset = cube.neuron_offset if epoch is None else cube.moment_neuron_offset.sel(moment=epoch)
    value_token, value_position, offset = token.sel(which), position.sel(which), offset.sel(which).values
    n = cube.sizes["token"] - 1
    values = np.zeros((n, n, *offset.shape)) + offset
    for head in cube["head"].values:
        attention = attention_map(cube, head, epoch=epoch).values
        t, q = value_token.sel(head=head).values, value_position.sel(head=head).values
        values += np.einsum("ab,a...->ab...", attention[..., 0], t[:n] + q[0])
        values += np.einsum("ab,b...->ab...", attention[..., 1], t[:n] + q[1])
        values += np.einsum("ab,...->ab...", attention[..., 2], t[n] + q[2])
    return np.maximum(values, 0, out=values) if relu else values


def _factors(cube: xr.Dataset, name: str, run: str | None, epoch: int | None) -> tuple[xr.DataArray, xr.DataArray]:
    if epoch is None:
        token, position = cube[f"{name}_token"], cube[f"{name}_position"]
    else:
        token, position = (cube[f"moment_{name}_{part}"].sel(moment=epoch) for part in ("token", "position"))
    if "run" in token.dims:
        run = str(cube.run.values[0]) if run is None else run
        return token.sel(run=run), position.sel(run=run)
    return token, position
