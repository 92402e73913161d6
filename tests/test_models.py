"""Logits and gradients of the fast path, the general transformer and TransformerLens are equal."""

from pathlib import Path

import numpy as np
import pytest
import torch

from progress_measures.experiments import load_experiment
from progress_measures.experiments.derived import train_mask
from progress_measures.models import gemm, pairs
from progress_measures.models.architecture import Architecture
from progress_measures.models.gemm import matmul, multiply
from progress_measures.models.initialize import initial_weights
from progress_measures.models.transformer import forward
from progress_measures.models.transformer_lens_bridge import to_transformer_lens
from progress_measures.training.objectives import pairs as fast
from support import reference_training
from support.comparing import TOLERANCE, assert_close_tensors
from support.experiments import pair_runs
from support.networks import random_tensors


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("precision", ["float64", "float32_log1p", "float32"])
@pytest.mark.parametrize("kind", ["modular_addition", "modular_subtraction", "integer_addition"])
@pytest.mark.parametrize("mlp_biases", [True, False])
def test_fast_path_equals_general_transformer(dtype, precision, kind, mlp_biases):
    runs = pair_runs(kind, precision, mlp_biases=mlp_biases)
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in runs])
    results = []
    for module in (fast, reference_training):
        weights = random_tensors(runs, dtype)
        objective = module.Objective(runs, masks, torch.device("cpu"))
        loss = objective.loss(weights)
        gradients = torch.autograd.grad(loss.sum(), list(weights.values()))
        results.append((loss.detach(), gradients, objective.evaluate(weights)))
    (loss, gradients, evaluation), (loss_plain, gradients_plain, evaluation_plain) = results
    assert_close_tensors(loss, loss_plain, dtype)
    for actual, expected in zip(gradients, gradients_plain, strict=True):
        assert_close_tensors(actual, expected, dtype)
    for name, value in evaluation.items():
        assert_close_tensors(value, evaluation_plain[name], dtype)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("attention_only", [False, True])
def test_general_transformer_equals_transformer_lens(layers, attention_only):
    runs = pair_runs(layers=layers, attention_only=attention_only, count=1)
    architecture = Architecture.of(runs[0])
    weights = {name: tensor.detach()[0] for name, tensor in random_tensors(runs, torch.float32).items()}
    network = to_transformer_lens(weights, architecture)
    tokens = torch.randint(0, architecture.vocabulary, (50, 3), generator=torch.Generator().manual_seed(2))
    recorded = {}
    actual = forward({name: w[None] for name, w in weights.items()}, tokens, lambda n, v: recorded.update({n: v}))
    expected, cache = network.run_with_cache(tokens)
    assert_close_tensors(actual[0], expected.detach(), torch.float32)
    for name in ("blocks.0.attn.hook_pattern", f"blocks.{layers - 1}.hook_resid_post"):
        assert_close_tensors(recorded[name][0], cache[name].detach(), torch.float32)


def test_gradients_equal_transformer_lens():
    runs = pair_runs(count=1)
    weights = random_tensors(runs, torch.float32)
    a, b = np.indices((13, 13)).reshape(2, -1)
    tokens = torch.from_numpy(np.stack([a, b, np.full_like(a, 13)], -1))
    labels = torch.from_numpy((a + b) % 13)
    objective = fast.Objective(runs, torch.ones(1, 13, 13, dtype=torch.bool), torch.device("cpu"))
    actual = torch.autograd.grad(objective.loss(weights).sum(), [weights["W_E"], weights["W_U"]])
    network = to_transformer_lens({name: w.detach()[0] for name, w in weights.items()}, Architecture.of(runs[0]))
    loss = torch.nn.functional.cross_entropy(network(tokens)[:, -1].double(), labels)
    loss.backward()
    by_shape = {tuple(p.grad.shape): p.grad for p in network.parameters() if p.grad is not None}
    assert_close_tensors(actual[0][0], by_shape[(14, 24)], torch.float32)
    assert_close_tensors(actual[1][0], by_shape[(13, 24)].T, torch.float32)


def test_hooks_replace_activations():
    runs = pair_runs(count=1)
    weights = random_tensors(runs, torch.float64)
    tokens = torch.tensor([[1, 2, 13]])

    def silence(name, value):
        return torch.zeros_like(value) if name == "blocks.0.mlp.hook_post" else None

    without_mlp = {name: w for name, w in weights.items() if name not in ("W_in", "W_out", "b_in")}
    bias_only = (
        forward(without_mlp, tokens) + torch.einsum("rld,rdc->rc", weights["b_out"], weights["W_U"])[:, None, None]
    )
    assert_close_tensors(forward(weights, tokens, silence), bias_only, torch.float64)


def test_runs_of_a_batch_do_not_affect_each_other():
    """A run's losses in a batch equal those of the run alone."""
    runs = pair_runs(count=3)
    weights = random_tensors(runs, torch.float64)
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in runs])
    together = fast.Objective(runs, masks, torch.device("cpu")).loss(weights)
    for i, run in enumerate(runs):
        alone = fast.Objective([run], masks[i : i + 1], torch.device("cpu")).loss(
            {n: w[i : i + 1] for n, w in weights.items()}
        )
        assert_close_tensors(together[i : i + 1], alone, torch.float64)


def test_logits_and_neurons_of_all_pairs():
    runs = pair_runs(count=2)
    weights = {name: w.detach() for name, w in random_tensors(runs, torch.float64).items()}
    a, b = np.indices((13, 13)).reshape(2, -1)
    index = [torch.from_numpy(x).expand(2, -1) for x in (a, b)]
    batch = pairs.PairBatch(*index, 13, 3)
    recorded = {}
    tokens = torch.stack([*index, torch.full_like(index[0], 13)], -1)
    expected = forward(weights, tokens, lambda n, v: recorded.update({n: v}))[:, :, -1]
    pre, logits = pairs.neurons_and_logits(pairs.tables(weights), batch)
    assert_close_tensors(logits, expected, torch.float64)
    assert_close_tensors(pre, recorded["blocks.0.mlp.hook_pre"][:, :, -1], torch.float64)
    assert_close_tensors(pairs.logits(pairs.tables(weights), batch), expected, torch.float64)


@pytest.mark.parametrize("size", [37, 101], ids=["small", "large"])  # below and above `gemm.SMALL`
@pytest.mark.parametrize("library", ["onednn", "torch"])
def test_products_are_exact_and_differentiable(monkeypatch, library, size):
    monkeypatch.setattr(gemm, "library", lambda: library)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, size, size, generator=generator, requires_grad=True) for _ in range(2))
    for x, y in ((a, b), (a.mT, b), (a, b.mT), (a.mT, b.mT)):
        assert_close_tensors(multiply(x.detach(), y.detach()), (x @ y).detach(), torch.float32)
    gradients = torch.autograd.grad(matmul(a, b.mT).square().sum(), (a, b))
    expected_gradients = torch.autograd.grad((a @ b.mT).square().sum(), (a, b))
    for actual, expected in zip(gradients, expected_gradients, strict=True):
        assert_close_tensors(actual, expected, torch.float32)


@pytest.mark.parametrize(
    ("experiment", "train_loss", "test_loss"),
    [
        ("subtraction", 4.732243928736632, 4.7345742216589235),  # printed by the notebook
        ("integer_addition", 3.0037210007710913, 3.0051991100357918),  # computed: these two notebooks print no losses
        ("transformer_lens_demo", 4.735885757150753, 4.7329808684056385),
    ],
)
def test_transformer_lens_initialization_reproduces_the_notebooks(experiment, train_loss, test_loss):
    """The initial weights have the notebooks' losses: initialization reproduces the notebooks seed for seed."""
    (run,) = load_experiment(experiment, Path(__file__).parents[1] / "config/experiments").runs(experiment)
    weights = {name: tensor[None] for name, tensor in initial_weights(run).items()}
    mask = torch.from_numpy(train_mask(run))[None]
    losses = fast.Objective([run], mask, torch.device("cpu")).evaluate(weights)
    # logits are float32; each loss is a mean over at least 28 pairs
    assert abs(losses["train_loss"].item() - train_loss) < 1e-7
    assert abs(losses["test_loss"].item() - test_loss) < 1e-7


def test_paper_initialization_has_the_stated_standard_deviations():
    (run,) = pair_runs(count=1, d_model=128, d_mlp=512, heads=4, d_head=32)
    weights = initial_weights(run)
    for name, tensor in weights.items():
        width = 14 if name == "W_U" else 128
        expected = 0 if name.startswith("b_") else width**-0.5
        assert abs(tensor.std().item() - expected) <= 0.1 * expected
