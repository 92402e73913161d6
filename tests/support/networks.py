"""Weights of networks: random, built to solve a task, with two layers, imported, and the authors' published network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from progress_measures.experiments.schema import Experiment
from progress_measures.importing.names import AXES
from progress_measures.models.architecture import Architecture
from support import ROOT
from support.definitions import basis
from support.experiments import P, pair_run

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

Weights = dict[str, NDArray]

KEYS = (2, 5, 8)  # 8 is (p - 1)/2, the highest frequency
"""Key frequencies of `solving_weights`."""

DEAD, CONSTANT = 0, 1
"""Indices of two neurons of `solving_weights` that never vary: one is always 0, the other always 0.7."""


def random_mask(n: int) -> NDArray[np.bool_]:
    """Return a random split of pairs: [a, b], true for training pairs."""
    return np.random.default_rng(4).random((n, n)) < 0.4


def random_weights(run: Run, rng: np.random.Generator, scale: float = 0.5) -> Weights:
    """Return weights with every tensor drawn from a normal distribution of standard deviation `scale`."""
    return {name: scale * rng.standard_normal(shape) for name, shape in Architecture.of(run).shapes().items()}


def random_tensors(runs: list[Run], dtype: torch.dtype, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """Return random weights and biases of a batch of runs, as tensors that require gradients: [run, …] each.

    Args:
        runs: runs whose weights have equal shapes.
        dtype: dtype of the tensors.
        scale: factor on every tensor; with 0.3, float32 computes networks of two layers accurately.
    """
    generator = torch.Generator().manual_seed(1)
    shapes = Architecture.of(runs[0]).shapes()
    tensors = {
        name: (torch.randn(len(runs), *shape, generator=generator) / shape[0] ** 0.5).to(dtype)
        for name, shape in shapes.items()
    }
    return {name: (tensor if scale == 1.0 else scale * tensor).requires_grad_() for name, tensor in tensors.items()}


def solving_weights(
    run: Run, rng: np.random.Generator, scale: float = 1.0, noise: float = 0.02, keys: tuple[int, ...] = KEYS
) -> Weights:
    """Return weights that solve a modular task as the paper describes, with one frequency per neuron and some noise.

    The residual stream holds cos and sin of each key frequency (6 dimensions), flags for `=`, a and b (3), and the output
    of the neurons (6). Head 0 attends to a and head 1 to b. Neuron (k, phi) receives cos(wa - phi) + cos(wb ± phi), whose
    ReLU contains a wave cos(w(a ± b) - 2 phi); the neuron writes that wave.

    Args:
        run: a run of modular addition or subtraction, with the sizes of `pair_run`.
        rng: draws the noise and the neurons that follow no single frequency.
        scale: factor on W_U.
        noise: standard deviation of the noise on every weight.
        keys: the three key frequencies.
    """
    weights, n = random_weights(run, rng, noise), run.task.sizes.operand_count
    for i, k in enumerate(keys):
        angle = 2 * np.pi * k * np.arange(n) / n
        cos, sin = 2 * i, 2 * i + 1
        weights["W_E"][:n, [cos, sin]] += np.stack([np.cos(angle), np.sin(angle)], -1)
        weights["W_O"][0, :, [cos, sin], [cos, sin]] += 1
        if run.task.label_table()[0, 1] == n - 1:  # subtraction
            weights["W_O"][0, 1, sin, sin] -= 2
        neurons = np.arange(16) + 2 + 16 * i
        phi = 2 * np.pi * np.arange(16) / 16 + 0.1
        weights["W_in"][0, cos, neurons] += np.cos(phi)
        weights["W_in"][0, sin, neurons] += np.sin(phi)
        weights["W_out"][0, neurons, 9 + cos] += np.cos(2 * phi)
        weights["W_out"][0, neurons, 9 + sin] += np.sin(2 * phi)
        weights["W_U"][[9 + cos, 9 + sin], :n] += scale * np.stack([np.cos(angle), np.sin(angle)])
    flag = {"=": 6, "a": 7, "b": 8}
    weights["W_E"][n, flag["="]] += 1
    weights["W_pos"][0, flag["a"]] += 1
    weights["W_pos"][1, flag["b"]] += 1
    weights["W_V"][0, :, range(6), range(6)] += 1
    weights["W_Q"][0, :, flag["="], 0] += 3
    weights["W_K"][0, 0, flag["a"], 0] += 3
    weights["W_K"][0, 1, flag["b"], 0] += 3
    weights["b_in"][0, DEAD] = -50
    weights["W_in"][0, :, CONSTANT] = 0
    weights["b_in"][0, CONSTANT] = 0.7
    weights["W_in"][0, :, 50:] += rng.standard_normal((16, 4))  # these neurons follow no single frequency
    return weights


def two_layer_network() -> tuple[Run, Weights]:
    """Return a run of two layers, and weights with one key frequency: its cos and sin fill two dimensions of the embedding."""
    run, rng = pair_run("modular_addition", layers=2), np.random.default_rng(8)
    weights = random_weights(run, rng, 0.02)
    F = basis(P)
    weights["W_E"][:P, 0:2] += 3 * F[[3, 4]].T
    weights["W_V"][:, :, range(6), range(6)] += 1
    weights["W_O"][:, :, range(6), range(6)] += 1
    weights["W_in"] += rng.standard_normal(weights["W_in"].shape) * (np.arange(16) < 2)[:, None]
    weights["W_U"] += 0.3 * rng.standard_normal(weights["W_U"].shape)
    return run, weights


# ---- imported networks


def imported_weights(rng: np.random.Generator, layers: int, biases: bool, norms: bool = False) -> Weights:
    """Return random weights of a network on 7 numbers, with the biases and LayerNorms that only imported networks have.

    Args:
        rng: draws the weights.
        layers: number of layers.
        biases: whether attention, MLP and unembedding have biases.
        norms: whether there are LayerNorms.
    """
    sizes = {
        "layer": layers,
        "head": 2,
        "d_model": 16,
        "d_head": 8,
        "neuron": 24,
        "token": 8,
        "position": 3,
        "output": 7,
    }
    names = [
        name
        for name in AXES
        if name not in ("W_gate", "b_gate", "b_post")
        and (name.startswith("W_") or (biases and name[0] == "b") or (norms and name[0] == "l"))
    ]
    return {
        name: rng.normal(0, 0.4, [sizes[axis] for axis in AXES[name].split()])
        + (name.startswith("ln") and name[-1] == "w")
        for name in names
    }


def imported_run(weights: Weights, layer_norm: bool = False) -> Run:
    """Return the run that an import creates for `imported_weights`; `layer_norm` says whether the network has LayerNorms."""
    layers, heads, d_model, d_head = weights["W_Q"].shape
    model = {"layers": layers, "d_model": d_model, "heads": heads, "d_head": d_head, "d_mlp": weights["W_in"].shape[-1]}
    model |= {
        "attention_biases": "b_Q" in weights,
        "unembedding_bias": "b_U" in weights,
        "mlp_biases": "b_in" in weights,
    }
    if layer_norm:
        model |= {"normalization": "layer_norm", "norm_weights": "ln1_w" in weights}
    settings = {
        "title": "t",
        "task": {"kind": "modular_addition", "prime": 7},
        "model": model,
        "training": {"epochs": 100},
        "imported": {"file": "f", "sha256": "", "format": "", "recognized": [], "assumed": [], "ignored": []},
    }
    return Experiment.model_validate(settings).runs("theirs")[0]


# ---- the authors' network


PUBLISHED_NETWORK = ROOT.parent / "shared/data/wd_10-1.pth"
"""A network as the paper's authors saved it, in `../shared/data` from the root of the repository."""

needs_published_network = pytest.mark.skipif(
    not PUBLISHED_NETWORK.exists(), reason=f"the published network is missing: {PUBLISHED_NETWORK}"
)


def published_weights() -> dict[str, NDArray[np.float64]]:
    """Return the published network's weights in this project's orientation; the last of its 114 outputs is `=`."""
    saved = torch.load(PUBLISHED_NETWORK, weights_only=True, map_location="cpu")["model"]
    tensors = {name: tensor.double().numpy() for name, tensor in saved.items()}
    block = "blocks.0."
    heads = {f"W_{x}": tensors[f"{block}attn.W_{x}"].transpose(0, 2, 1)[None] for x in "QKV"}
    head_count, d_head = tensors[f"{block}attn.W_K"].shape[:2]
    W_O = tensors[f"{block}attn.W_O"]  # [d_model, head * d_head]
    return {
        "W_E": tensors["embed.W_E"].T,
        "W_pos": tensors["pos_embed.W_pos"],
        **heads,
        "W_O": W_O.T.reshape(head_count, d_head, -1)[None],
        "W_in": tensors[f"{block}mlp.W_in"].T[None],
        "W_out": tensors[f"{block}mlp.W_out"].T[None],
        "b_in": tensors[f"{block}mlp.b_in"][None],
        "b_out": tensors[f"{block}mlp.b_out"][None],
        "W_U": tensors["unembed.W_U"],
    }
