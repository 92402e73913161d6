"""The transformer's designs against an independent implementation from torch.nn modules."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from progress_measures.models.design import ACTIVATIONS, Design, sinusoidal_positions
from progress_measures.models.transformer import forward

VOCABULARY, OUTPUTS, D, HEADS, D_HEAD, NEURONS, LENGTH = 7, 5, 12, 3, 4, 10, 4
MODULES = {
    "relu": nn.ReLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
    "identity": nn.Identity(),
}


class Norm(nn.Module):
    """nn.LayerNorm or nn.RMSNorm with given weights, or no norm."""

    def __init__(self, kind, epsilon, weight, bias):
        super().__init__()
        self.kind, self.bias = kind, bias
        if kind != "none":
            self.norm = {"layer_norm": nn.LayerNorm, "rms_norm": nn.RMSNorm}[kind](D, epsilon, dtype=torch.float64)
            if weight is None:
                self.norm.reset_parameters()
            else:
                self.norm.weight = nn.Parameter(weight)

    def forward(self, x):
        if self.kind == "none":
            return x
        return self.norm(x) if self.bias is None else self.norm(x) + self.bias


def rotated(x, dims, base):
    """Rotate [example, position, head, dimension] by multiplication with complex numbers."""
    half = dims // 2
    numbers = torch.complex(x[..., :half], x[..., half:dims])
    wavelengths = base ** (2 * torch.arange(half, dtype=torch.float64) / dims)
    angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None, None] / wavelengths
    numbers = numbers * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([numbers.real, numbers.imag, x[..., dims:]], -1)


def reference(w, tokens, design):
    """Compute the logits of one run with modules and loops over heads."""
    x = w["W_E"][tokens]
    if design.sinusoidal:
        x = x + torch.stack([
            torch.tensor([(math.sin, math.cos)[i % 2](p / 10_000 ** ((i - i % 2) / D)) for i in range(D)], dtype=torch.float64)
            for p in range(LENGTH)
        ])  # fmt: skip
    elif "W_pos" in w:
        x = x + w["W_pos"]
    activation = (lambda t: t * t) if design.activation == "square" else MODULES[design.activation]

    def norm(name, layer=None):
        parts = (w.get(f"{name}_w"), w.get(f"{name}_b"))
        return Norm(
            design.normalization, design.epsilon, *(p if p is None or layer is None else p[layer] for p in parts)
        )

    def linear(name, bias, layer, values):
        return nn.functional.linear(values, w[name][layer].T, w[bias][layer] if bias in w else None)

    def attend(values, layer):
        q, k, v = (
            torch.stack([
                nn.functional.linear(values, w[f"W_{c}"][layer, h].T, w[f"b_{c}"][layer, h] if f"b_{c}" in w else None)
                for h in range(HEADS)
            ], 2)
            for c in "QKV"
        )  # fmt: skip
        if design.rotary:
            q, k = rotated(q, design.rotary, design.rotary_base), rotated(k, design.rotary, design.rotary_base)
        z = nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            is_causal=design.causal,
            scale=design.attention_scale,
        )
        out = sum(z[:, h] @ w["W_O"][layer, h] for h in range(HEADS))
        return out + w["b_O"][layer] if "b_O" in w else out

    def mlp(values, layer):
        if "W_gate" in w:
            post = activation(linear("W_gate", "b_gate", layer, values)) * linear("W_in", "b_in", layer, values)
            post = post + w["b_post"][layer] if "b_post" in w else post
        else:
            post = activation(linear("W_in", "b_in", layer, values))
        return linear("W_out", "b_out", layer, post)

    for layer in range(len(w["W_Q"])):
        if design.norm_after:
            x = norm("ln1", layer)(x + attend(x, layer))
            x = norm("ln2", layer)(x + mlp(x, layer)) if "W_in" in w else x
        else:
            x = x + attend(norm("ln1", layer)(x), layer)
            x = x + mlp(norm("ln2", layer)(x), layer) if "W_in" in w else x
    x = norm("ln_final")(x) if design.final_norm else x
    out = x @ (w["W_U"] if "W_U" in w else w["W_E"].T)
    return out + w["b_U"] if "b_U" in w else out


@st.composite
def networks(draw):
    """Draw a design and the weights of two runs."""
    kind = draw(st.sampled_from(["none", "layer_norm", "rms_norm"]))
    design = Design(
        activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
        normalization=kind,
        norm_after=kind != "none" and draw(st.booleans()),
        final_norm=kind != "none" and draw(st.booleans()),
        epsilon=draw(st.sampled_from([1e-5, 1e-3])),
        attention_scale=draw(st.sampled_from([None, 1.0, 0.3])),
        causal=draw(st.booleans()),
        rotary=draw(st.sampled_from([0, 2, 4])),
        rotary_base=draw(st.sampled_from([100.0, 10_000.0])),
        sinusoidal=draw(st.booleans()),
    )
    layers, shapes = draw(st.integers(1, 3)), {"W_E": (VOCABULARY, D)}
    shapes |= {f"W_{c}": (layers, HEADS, D, D_HEAD) for c in "QKV"} | {"W_O": (layers, HEADS, D_HEAD, D)}
    if draw(st.booleans()):
        shapes["W_pos"] = (LENGTH, D)
    if draw(st.booleans()):
        shapes |= {f"b_{c}": (layers, HEADS, D_HEAD) for c in "QKV"} | {"b_O": (layers, D)}
    if draw(st.booleans()):
        shapes |= {"W_in": (layers, D, NEURONS), "W_out": (layers, NEURONS, D)}
        if draw(st.booleans()):
            shapes |= {"b_in": (layers, NEURONS), "b_out": (layers, D)}
        if draw(st.booleans()):
            shapes |= {"W_gate": (layers, D, NEURONS)}
            shapes |= {name: (layers, NEURONS) for name in ("b_gate", "b_post") if draw(st.booleans())}
    if kind != "none" and draw(st.booleans()):
        shapes |= {f"{norm}_w": (layers, D) for norm in ("ln1", "ln2")} | {"ln_final_w": (D,)}
        if draw(st.booleans()):
            shapes |= {f"{norm}_b": (layers, D) for norm in ("ln1", "ln2")} | {"ln_final_b": (D,)}
    if draw(st.booleans()):
        shapes["W_U"] = (D, OUTPUTS)
        if draw(st.booleans()):
            shapes["b_U"] = (OUTPUTS,)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    weights = {
        n: torch.randn(2, *s, generator=generator, dtype=torch.float64) / s[-1] ** 0.5 for n, s in shapes.items()
    }
    return design, weights


@given(networks())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_combination_equals_the_implementation_from_modules(network):
    design, weights = network
    tokens = torch.arange(5 * LENGTH).view(5, LENGTH) * 3 % VOCABULARY
    ours = forward(weights, tokens, design=design)
    for run in range(2):
        theirs = reference({name: w[run] for name, w in weights.items()}, tokens, design)
        torch.testing.assert_close(ours[run], theirs, rtol=1e-6, atol=1e-9)


def test_sinusoidal_positions_are_those_of_the_definition():
    table = sinusoidal_positions(6, 8, torch.float64)
    assert table[3, 4].item() == pytest.approx(math.sin(3 / 10_000 ** (4 / 8)))
    assert table[5, 7].item() == pytest.approx(math.cos(5 / 10_000 ** (6 / 8)))


def test_the_default_design_is_the_papers_network():
    assert Design() == Design(activation="relu", normalization="none", causal=True, attention_scale=None)
