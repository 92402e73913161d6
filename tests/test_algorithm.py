"""The measures that tell Clock from Pizza: on networks built by hand, by brute force, and on the source's own network."""

import itertools
import math

import numpy as np
import pytest
import torch

from progress_measures.experiments.schema import Experiment
from progress_measures.measures import measures
from progress_measures.measures.algorithm import (
    TRIPLES,
    correct_logit_irrelevance,
    embedding_circularity,
    mean_cosine,
    triples,
)
from progress_measures.measures.checkpoint import RunContext
from progress_measures.models import network
from progress_measures.models.design import design_of
from progress_measures.models.gradients import gradient_cosines
from support import ROOT
from support.networks import random_weights

N = 7
ALL_TRIPLES = np.array(list(itertools.product(range(N), repeat=3)))


def on_circle(k, n=N):
    """Return the embedding of 0 … n - 1 on a circle of frequency k: [operand, 2]."""
    angle = 2 * np.pi * k * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def cosines_of(logits_of, embedding, n=N):
    """Return `gradient_cosines` of all triples [triple], for a function of embedded pairs [pair, 2, d_model]."""
    a, b, c = np.array(list(itertools.product(range(n), repeat=3))).T
    embed = torch.from_numpy(embedding[np.stack([a, b], -1)])
    return gradient_cosines(logits_of, embed, torch.from_numpy(c), (0, 1)).numpy()


def correct_logits_of(logits_of, embedding):
    """Return the logit of a + b mod n of every pair [a, b]."""
    n = len(embedding)
    a, b = np.indices((n, n)).reshape(2, -1)
    logits = logits_of(torch.from_numpy(embedding[np.stack([a, b], -1)])).detach().numpy()
    return logits[np.arange(n * n), (a + b) % n].reshape(n, n)


# ---- networks built by hand

K, CIRCLE = 2, on_circle(2)


def clock(embed):
    """Multiply waves of a and b into cos and sin of w(a + b): the logit of c is cos w(a + b - c)."""
    (ax, ay), (bx, by) = embed[:, 0].T, embed[:, 1].T
    waves_of_sum = torch.stack([ax * bx - ay * by, ax * by + ay * bx], -1)
    return waves_of_sum @ torch.from_numpy(CIRCLE).T


def pizza(embed):
    """Add the embeddings, and double the angle of their sum: the logit of c is 2 |cos(w(a - b) / 2)| cos w(a + b - c)."""
    x, y = embed.sum(1).T
    return torch.stack([x * x - y * y, 2 * x * y], -1) / (x * x + y * y).sqrt()[:, None] @ torch.from_numpy(CIRCLE).T


def test_cosine_of_a_clock_is_the_cosine_of_the_distance():
    a, b, _ = ALL_TRIPLES.T
    cosines = cosines_of(clock, CIRCLE)
    np.testing.assert_allclose(cosines, np.cos(2 * np.pi * K * (a - b) / N), atol=1e-12)
    assert mean_cosine(cosines)[0] == pytest.approx(0, abs=1e-12)


def test_pizza_has_symmetric_gradients_and_logits_that_depend_on_the_distance_alone():
    np.testing.assert_allclose(cosines_of(pizza, CIRCLE), 1, atol=1e-12)
    correct_logits = correct_logits_of(pizza, CIRCLE)
    a, b = np.indices((N, N))
    np.testing.assert_allclose(correct_logits, 2 * np.abs(np.cos(np.pi * K * (a - b) / N)), atol=1e-12)
    assert correct_logit_irrelevance(correct_logits) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [7, 8])
def test_logit_of_the_distance_has_irrelevance_0_and_logit_of_the_sum_1(n, sign, rng):
    a, b = np.indices((n, n))
    values = rng.standard_normal(n)
    assert correct_logit_irrelevance(values[(a - sign * b) % n], sign) == pytest.approx(0, abs=1e-12)
    assert correct_logit_irrelevance(values[(a - 2 * sign * b) % 7 % n], sign) > 0
    if n % 2:  # for even n, a + b and a - b are both even or both odd
        assert correct_logit_irrelevance(values[(a + sign * b) % n], sign) == pytest.approx(1)


def test_irrelevance_of_a_constant_logit_is_undefined():
    assert math.isnan(correct_logit_irrelevance(np.full((N, N), 3.7)))


def test_irrelevance_is_computed_in_float64(rng):
    correct_logits = (1000 + rng.standard_normal((N, N))).astype(np.float32)
    assert correct_logit_irrelevance(correct_logits) == correct_logit_irrelevance(correct_logits.astype(np.float64))


def test_embedding_of_two_circles_has_circularity_1_and_mixed_frequencies_less():
    circles = np.concatenate([3 * on_circle(2, 13), on_circle(5, 13)], 1)
    assert embedding_circularity(circles + 5) == pytest.approx(1)
    cos, sin = on_circle(1, 13).T
    mixed = np.stack(
        [cos, sin, 0.1 * (on_circle(3, 13)[:, 0] + on_circle(4, 13)[:, 0]), 0.01 * on_circle(5, 13)[:, 0]], -1
    )
    assert embedding_circularity(mixed) == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_circularity_counts_the_nyquist_frequency_once():
    alternating = np.where(np.arange(8) % 2, -1.0, 1.0)
    waves = np.stack([3 * alternating, *(2 * on_circle(1, 8).T), on_circle(2, 8)[:, 0]], -1)
    assert embedding_circularity(waves) == pytest.approx(1)


# ---- gradients


def test_triples_are_many_uniform_and_depend_on_n_alone():
    sample = triples(113)
    assert sample.shape == (TRIPLES, 3)
    np.testing.assert_array_equal(sample, triples(113))
    assert sample.min() == 0
    assert sample.max() == 112
    np.testing.assert_allclose(sample.mean(0), 56, atol=4 * 113 / math.sqrt(12 * TRIPLES))


def test_triples_with_a_zero_gradient_are_left_out():
    """The logit of 0 depends on b alone, and the logit of 1 on neither."""

    def logits_of(embed):
        of_both = embed.sum((1, 2))
        return torch.stack([embed[:, 1].sum(-1), 0 * of_both, of_both], -1)

    embed = torch.ones(4, 2, 3, dtype=torch.float64)
    cosines = gradient_cosines(logits_of, embed, torch.tensor([0, 1, 2, 2]), (0, 1)).numpy()
    np.testing.assert_array_equal(np.isnan(cosines), [True, True, False, False])
    assert mean_cosine(cosines) == pytest.approx((1, 0))
    assert all(map(math.isnan, mean_cosine(cosines[:2])))
    assert math.isnan(mean_cosine(cosines[2:3])[1])


def test_gradients_leave_the_callers_tensors_unchanged():
    embed = torch.ones(2, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        gradient_cosines(lambda x: x.square().sum(1), embed, torch.tensor([0, 1]), (0, 1))
    assert not embed.requires_grad
    assert embed.grad is None


PAIRS = {
    "plain": ({"kind": "modular_addition", "prime": N}, {}),
    "subtraction": ({"kind": "modular_subtraction", "prime": N}, {}),
    "two layers": ({"kind": "modular_addition", "prime": N}, {"layers": 2}),
    "even modulus": ({"kind": "operation", "expression": "a + b", "modulus": 6}, {}),
    "product": ({"kind": "operation", "expression": "a*b", "modulus": N}, {}),
    "quotient": ({"kind": "operation", "expression": "a/b", "modulus": N}, {}),
    "layout": ({"kind": "modular_addition", "prime": N, "tokens": "8 a+1 9 b+1 0"}, {}),
    "GELU and LayerNorm": (
        {"kind": "modular_addition", "prime": N},
        {"activation": "gelu", "normalization": "layer_norm"},
    ),
    "concatenated": ({"kind": "modular_addition", "prime": N, "tokens": "a b"}, {"mlp_input": "concatenated"}),
    "summed": ({"kind": "modular_addition", "prime": N, "tokens": "a b"}, {"mlp_input": "summed"}),
}
"""Task and model of small networks."""


def small_checkpoint(name):
    """Return the last checkpoint of a random network of `PAIRS`, in the order of its task's group."""
    task, model = PAIRS[name]
    sizes = {"d_mlp": 20} if "mlp_input" in model else {"d_model": 12, "heads": 2, "d_head": 6, "d_mlp": 20}
    settings = {"title": "t", "seed": 1, "task": task, "model": sizes | model, "training": {"epochs": 100}}
    run = Experiment.model_validate(settings).runs("t")[0]
    weights = random_weights(run, np.random.default_rng(2), 0.6)
    return RunContext(run, weights, None).final.in_group_order


def elements(checkpoint):
    """Return the operand values of the cyclic group in its order, and the outputs of its elements."""
    order = checkpoint.context.order
    return order.operands, order.outputs


def logits_at(checkpoint, a, b, hook=None):
    """Return the logits of one pair of operand values, from the general forward pass, as a tensor [output]."""
    run = checkpoint.context.run
    weights = {name: torch.from_numpy(w)[None] for name, w in checkpoint.stored.items()}
    tokens = torch.from_numpy(run.task.token_layout.sequences(np.array([a]), np.array([b])))
    return network.answer_logits(weights, tokens, run.task.answer_position, design_of(run.model), hook)[0, 0]


def finite_difference(checkpoint, a, b, output, operand, step=1e-5):
    """Return the derivatives of a logit by the vector at the position of an operand, from central differences: [d_model]."""
    position = checkpoint.context.run.task.token_layout.position(operand)

    def logit(dim, change):
        def hook(name, value):
            if name == "hook_embed":
                value = value.clone()
                value[0, 0, position, dim] += change
            return value

        return float(logits_at(checkpoint, a, b, hook)[output])

    dims = range(checkpoint.stored["W_E"].shape[-1])
    return np.array([(logit(dim, step) - logit(dim, -step)) / (2 * step) for dim in dims])


@pytest.mark.parametrize("name", PAIRS)
def test_cosines_equal_those_of_finite_differences(name, monkeypatch):
    checkpoint = small_checkpoint(name)
    operands, outputs = elements(checkpoint)
    sample = triples(checkpoint.context.n, 12)
    monkeypatch.setattr("progress_measures.measures.algorithm.triples", lambda n: sample)
    cosines = []
    for a, b, c in sample:
        gradients = [finite_difference(checkpoint, operands[a], operands[b], outputs[c], x) for x in "ab"]
        cosines.append(np.dot(*gradients) / np.prod([np.linalg.norm(gradient) for gradient in gradients]))
    values = [measures()[f"gradient_symmetricity{part}"].function(checkpoint) for part in ("", "_error")]
    np.testing.assert_allclose(values, [np.mean(cosines), np.std(cosines, ddof=1) / math.sqrt(12)], atol=1e-6)


@pytest.mark.parametrize(
    ("task", "model"),
    [
        PAIRS["plain"],
        PAIRS["product"],
        ({"kind": "modular_addition", "prime": N}, {"attention_biases": True, "attention_scale": 0.7}),
        (
            {"kind": "modular_addition", "prime": N, "outputs": N + 1},
            {"positions": "sinusoidal", "tied_embeddings": True},
        ),
    ],
)
def test_cosines_in_closed_form_equal_those_of_autograd(task, model, monkeypatch):
    monkeypatch.setitem(PAIRS, "closed form", (task, model))
    checkpoint = small_checkpoint("closed form")
    assert checkpoint.context.closed_form
    closed = measures()["gradient_symmetricity"].function(checkpoint)
    general = small_checkpoint("closed form")
    general.context.closed_form = False
    assert closed == pytest.approx(measures()["gradient_symmetricity"].function(general), abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_irrelevance_equals_its_definition(name):
    """The definition is evaluated on the labels of the task, with the positions i and j of a and b in the group's order."""
    checkpoint = small_checkpoint(name)
    run, (operands, _) = checkpoint.context.run, elements(checkpoint)
    labels, n = run.task.label_table(), len(operands)
    sign = -1 if name in ("subtraction", "quotient") else 1
    lines = {d: [] for d in range(n)}
    for i, j in itertools.product(range(n), repeat=2):
        a, b = operands[i], operands[j]
        lines[(i - sign * j) % n].append(float(logits_at(checkpoint, a, b)[labels[a, b]]))
    expected = np.mean([np.std(line) for line in lines.values()]) / np.std(np.concatenate(list(lines.values())))
    assert measures()["distance_irrelevance"].function(checkpoint) == pytest.approx(expected, rel=1e-9)


def test_network_of_the_sum_of_embeddings_has_symmetric_gradients():
    assert measures()["gradient_symmetricity"].function(small_checkpoint("summed")) == pytest.approx(1, abs=1e-12)
    assert measures()["gradient_symmetricity_error"].function(small_checkpoint("summed")) < 1e-12
    assert measures()["gradient_symmetricity"].function(small_checkpoint("concatenated")) < 0.9


def test_groups_of_examples_do_not_change_the_cosines(monkeypatch):
    whole = measures()["gradient_symmetricity"].function(small_checkpoint("plain"))
    monkeypatch.setattr(network, "MAX_ENTRIES", 20_000)
    assert measures()["gradient_symmetricity"].function(small_checkpoint("plain")) == pytest.approx(whole, rel=1e-12)


# ---- the source's network A, a Pizza

PIZZA_A = ROOT.parent / "shared/data/networks/pizza_A.pt"


@pytest.fixture(scope="module")
def pizza_a():
    """The weights of network A in float64; its inputs are the tokens `a b`, and every attention weight is 1."""
    if not PIZZA_A.exists():
        pytest.skip(f"the network of Zhong et al. is missing: {PIZZA_A}")
    saved = torch.load(PIZZA_A, weights_only=True, map_location="cpu")
    return {name.removeprefix("blocks.0."): tensor.double() for name, tensor in saved.items()}


def forward_a(w, embed):
    """Return the logits of network A from embedded pairs [pair, 2, d_model]."""
    x = embed + w["pos_embed.W_pos"]
    values = torch.einsum("ihd,bpd->bih", w["attn.W_V"], x)  # summed over both positions, each with weight 1
    x = x[:, -1] + values.flatten(1) @ w["attn.W_O"].T
    neurons = torch.relu(x @ w["mlp.W_in"].T + w["mlp.b_in"])
    return (x + neurons @ w["mlp.W_out"].T + w["mlp.b_out"]) @ w["unembed.W_U"]


def test_pizza_a_has_the_published_values(pizza_a):
    embedding = pizza_a["embed.W_E"].T
    n = len(embedding)
    a, b, c = triples(n).T
    embed = embedding[torch.from_numpy(np.stack([a, b], -1))]
    cosines = gradient_cosines(lambda x: forward_a(pizza_a, x), embed, torch.from_numpy(c), (0, 1)).numpy()
    mean, error = mean_cosine(cosines)
    published_error = cosines.std() / math.sqrt(100)  # the published mean is over 100 triples
    assert mean == pytest.approx(0.9937, abs=3 * math.hypot(error, published_error))
    assert error < 0.001
    correct_logits = correct_logits_of(lambda x: forward_a(pizza_a, x), embedding.numpy())
    assert correct_logit_irrelevance(correct_logits) == pytest.approx(0.1717365, abs=1e-6)
    assert embedding_circularity(embedding.numpy()) == pytest.approx(0.9978, abs=5e-5)
