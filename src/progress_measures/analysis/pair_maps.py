"""Attention, neuron activations and logits over all pairs, computed exactly from smaller variables of a cube.

Only cubes of one-layer networks have these variables. In such a network, an attention score from `=` is the sum of a
term that depends on the attended token and a term that depends on its position: the variables `attention_score_token`
and `attention_score_position` of the cube. A head's contribution to the pre-activation of a neuron, per unit of
attention, is also the sum of a term of the attended token and a term of its position: `neuron_value_token` plus
`neuron_value_position`. `neuron_offset` is the pre-activation without attention.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures import fourier
from progress_measures.analysis.runs import operand_count
from progress_measures.errors import UserError

ACTIVATION_VARIABLES = (
    "attention_score_token", "attention_score_position",
    "neuron_value_token", "neuron_value_position", "neuron_offset",
)  # fmt: skip
"""Variables from which the activations of neurons over all pairs are computed."""


def attention_map(cube: xr.Dataset, head: int, run: str | None = None, epoch: int | None = None) -> xr.DataArray:
    """Compute the attention of one head from `=` for every pair.

    Args:
        cube: cube with `attention_score_token` and `attention_score_position`. If `epoch` is given, it needs
            `moment_attention_score_token` and `moment_attention_score_position` instead.
        head: index of the head.
        run: name of the run; by default, the first run. Not used if `epoch` is given: at the selected epochs, the cube has
            the scores of the first run only.
        epoch: a selected epoch, one of `cube.moment`; by default, the last checkpoint.

    Returns:
        Attention [a, b, position], which sums to 1 over the positions a, b, `=`.
    """
    token, position = _terms(cube, "attention_score", run, epoch)
    score_token, score_position = token.sel(head=head).values, position.sel(head=head).values
    n = len(score_token) - 1  # the last token is `=`
    scores = np.empty((n, n, 3))
    scores[..., 0] = (score_token[:n] + score_position[0])[:, None]
    scores[..., 1] = score_token[:n] + score_position[1]
    scores[..., 2] = score_token[n] + score_position[2]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    coords = _pair_coordinates(cube) | {"position": ["a", "b", "="]}
    attributes = {"long_name": f"Attention of head {head} from `=`", "units": "1"}
    return xr.DataArray(weights, coords, ("a", "b", "position"), attrs=attributes)


def _pair_coordinates(cube: xr.Dataset) -> dict[str, Any]:
    """Return the operand values in the order of the cube, as coordinates of a and b."""
    values = cube.token.values[:-1].astype(int)  # the last token is `=`
    return {"a": values, "b": values}


def neuron_map(cube: xr.Dataset, neuron: int, epoch: int | None = None, relu: bool = True) -> xr.DataArray:
    """Compute the activation of one neuron of the first run for every pair.

    Args:
        cube: cube with the variables `ACTIVATION_VARIABLES`. If `epoch` is given, it needs the variables of the same names
            with the prefix `moment_` instead.
        neuron: index of the neuron. If `epoch` is given, the neuron must be among those that the cube has at selected epochs,
            which are the coordinate `kept_neuron`.
        epoch: a selected epoch, one of `cube.moment`; by default, the last checkpoint.
        relu: whether to apply the ReLU.

    Returns:
        Activation [a, b].

    Raises:
        UserError: the cube does not have this neuron.
    """
    dimension = "neuron" if epoch is None else "kept_neuron"
    if neuron not in cube[dimension]:
        raise UserError(
            f"There is no neuron {neuron}: dimension `{dimension}` of the cube has {cube.sizes[dimension]} neurons."
        )
    values = _activations(cube, {dimension: neuron}, epoch, relu)
    coords = _pair_coordinates(cube)
    name = f"Neuron {neuron} {'after' if relu else 'before'} the ReLU"
    return xr.DataArray(values, coords, ("a", "b"), attrs={"long_name": name})


def neuron_maps(cube: xr.Dataset, relu: bool = True) -> xr.DataArray:
    """Compute the activations of all neurons of the first run at the last checkpoint for every pair.

    Args:
        cube: cube with the variables `ACTIVATION_VARIABLES`.
        relu: whether to apply the ReLU.

    Returns:
        Activations [a, b, neuron].
    """
    values = _activations(cube, {}, None, relu)
    coords = _pair_coordinates(cube) | {"neuron": cube.neuron.values}
    name = f"Neurons {'after' if relu else 'before'} the ReLU"
    return xr.DataArray(values, coords, ("a", "b", "neuron"), attrs={"long_name": name})


def W_L_logits(cube: xr.Dataset) -> NDArray[np.floating]:
    """Compute the neurons' contribution to the logits of the first run at the last checkpoint: the neurons times W_L.

    Args:
        cube: cube with `W_L_fourier` and the variables `ACTIVATION_VARIABLES`.

    Returns:
        Logits [a, b, output], without the contribution of the skip connection around the MLP. Outputs are as in `W_L_of`.
    """
    return neuron_maps(cube).values @ W_L_of(cube)


def W_L_of(cube: xr.Dataset) -> NDArray[np.floating]:
    """Compute W_L = W_out W_U of the first run at the last checkpoint from its Fourier components.

    Returns:
        W_L [neuron, output], only for the outputs that are elements of the cyclic group, in the order of the group.
    """
    return cube.W_L_fourier.values @ fourier.basis(operand_count(cube))


def spectrum_2d(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute 2D Fourier coefficients of functions of the pair.

    Args:
        values: the functions [a, b, …].

    Returns:
        Coefficients [component of a, component of b, …], with components in the order of `fourier.basis`.
    """
    F = fourier.basis(len(values))
    return np.einsum("ia,jb,ab...->ij...", F, F, values, optimize=True)


def _activations(cube: xr.Dataset, selection: dict[str, int], epoch: int | None, relu: bool) -> NDArray[np.floating]:
    """Compute the activation of the selected neuron [a, b], or of all neurons [a, b, neuron] if `selection` is empty."""
    token, position = _terms(cube, "neuron_value", None, epoch)
    offset = cube.neuron_offset if epoch is None else cube.moment_neuron_offset.sel(moment=epoch)
    value_token, value_position, offset = token.sel(selection), position.sel(selection), offset.sel(selection).values
    n = token.sizes["token"] - 1  # the last token is `=`
    values = np.zeros((n, n, *offset.shape)) + offset
    for head in cube["head"].values:
        attention = attention_map(cube, head, epoch=epoch).values
        token_term, position_term = value_token.sel(head=head).values, value_position.sel(head=head).values
        values += np.einsum("ab,a...->ab...", attention[..., 0], token_term[:n] + position_term[0])
        values += np.einsum("ab,b...->ab...", attention[..., 1], token_term[:n] + position_term[1])
        values += np.einsum("ab,...->ab...", attention[..., 2], token_term[n] + position_term[2])
    return np.maximum(values, 0, out=values) if relu else values


def _terms(cube: xr.Dataset, name: str, run: str | None, epoch: int | None) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the token term and the position term of attention scores or of contributions to pre-activations, for one run.

    Args:
        cube: the cube.
        name: `attention_score` or `neuron_value`.
        run: name of the run; the first run if None.
        epoch: a selected epoch; the last checkpoint if None.

    Returns:
        The token term [head, token, …] and the position term [head, position, …].
    """
    if epoch is None:
        token, position = cube[f"{name}_token"], cube[f"{name}_position"]
    else:
        token, position = (cube[f"moment_{name}_{part}"].sel(moment=epoch) for part in ("token", "position"))
    if "run" in token.dims:
        run = str(cube.run.values[0]) if run is None else run
        return token.sel(run=run), position.sel(run=run)
    return token, position
