"""Small networks on other tasks and of other designs, trained, measured and gathered, compared with independent computations."""

import contextlib
import json
import warnings

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from progress_measures import open_cube, open_run
from progress_measures.data.dataset import train_masks
from progress_measures.measures import measures
from progress_measures.measures.registry import DIMENSIONS
from progress_measures.paths import dataset_store
from support.experiments import folder_with
from support.processes import commands

SIZES = {"d_model": 24, "heads": 2, "d_head": 12, "d_mlp": 40}


def operation(expression, modulus, **fields):
    return {"kind": "operation", "expression": expression, "modulus": modulus} | fields


DESIGN = {"activation": "gelu", "normalization": "layer_norm", "attention_biases": True}
EXPERIMENTS = {
    "product": (operation("a*b", 13), SIZES),
    "quotient": (operation("a/b", 13), SIZES),
    "even": (operation("a + b", 14), SIZES),
    "more_outputs": ({"kind": "modular_addition", "prime": 13, "outputs": 15}, SIZES),
    "design": ({"kind": "modular_addition", "prime": 13}, SIZES | DESIGN),
    "mlp": (
        {"kind": "modular_addition", "prime": 13, "tokens": "a b"},
        {"d_mlp": 40, "mlp_input": "one_hot", "activation": "square"},
    ),
    "four_tokens": ({"kind": "modular_addition", "prime": 13, "tokens": "a 13 b 14"}, SIZES),
    "permutations": ({"kind": "permutation_composition", "degree": 3}, SIZES),
}

POWERS = [pow(2, exponent, 13) for exponent in range(12)]
RIGHT = {
    "product": lambda a, b: a * b % 13,
    "quotient": lambda a, b: a * pow(b, 11, 13) % 13 if b else None,
    "even": lambda a, b: (a + b) % 14,
    "permutations": None,
}
SEQUENCES = {
    "mlp": lambda a, b, n: [a, b],
    "four_tokens": lambda a, b, n: [a, 13, b, 14],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the command line trained, measured and gathered every experiment."""
    folder = tmp_path_factory.mktemp("others")
    for name, (task, model) in EXPERIMENTS.items():
        recipe = {"epochs": 40, "checkpoint_every": 20, "evaluate_every": 20}
        content = {"title": name, "task": task, "split": {"train_fraction": 0.6}, "model": model, "training": recipe}
        folder_with(folder, name, content | {"grid": {"seed": [0, 1]}})
    verbs = ("train {} --runs-per-shard 2", "measure {}", "gather {}")
    commands(*(verb.format(name) for name in EXPERIMENTS for verb in verbs), folder=folder)
    return folder


@pytest.fixture(scope="module", params=EXPERIMENTS)
def opened(request, folder):
    """The name of an experiment, its cube opened with warnings as errors, its first run and the split of this run."""
    with contextlib.chdir(folder):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cube = open_cube(request.param).load()
        run = open_run(request.param)
        yield request.param, cube, run, train_masks(dataset_store(request.param), ["seed0"])[0]


def permutation_label(a, b):
    """Return the index of a after b among the permutations of three things in lexicographic order."""
    permutations = ["012", "021", "102", "120", "201", "210"]
    return permutations.index("".join(permutations[a][int(x)] for x in permutations[b]))


def right_answer(name, a, b):
    if name == "permutations":
        return permutation_label(a, b)
    return RIGHT.get(name, lambda a, b: (a + b) % 13)(a, b)


def logits_of(name, weights, n):
    """Return the logits of all pairs of a network, written out with NumPy in float64: [a, b, output]."""
    w = {tensor: values.astype(np.float64) for tensor, values in weights.items()}
    if name == "mlp":
        return np.array([
            [(w["W_in"][a] + w["W_in"][n + b] + w["b_in"]) ** 2 @ w["W_out"] + w["b_out"] for b in range(n)] for a in range(n)
        ])  # fmt: skip

    def norm(x, kind, layer=0):
        if name != "design":
            return x
        gain, shift = (w[f"{kind}_{part}"] for part in "wb")
        gain, shift = (gain, shift) if kind == "ln_final" else (gain[layer], shift[layer])
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5) * gain + shift

    def gelu(x):
        return torch.nn.functional.gelu(torch.from_numpy(x)).numpy()

    rows = []
    for a in range(n):
        for b in range(n):
            tokens = SEQUENCES.get(name, lambda a, b, n: [a, b, n])(a, b, n)
            x = w["W_E"][tokens] + w["W_pos"]
            inputs, out = norm(x, "ln1"), np.zeros(x.shape[1])
            for head in range(2):
                q, k, v = (
                    inputs @ w[f"W_{c}"][0, head] + (w[f"b_{c}"][0, head] if f"b_{c}" in w else 0) for c in "QKV"
                )
                scores = q[-1] @ k.T / np.sqrt(k.shape[1])
                pattern = np.exp(scores - scores.max())
                out = out + pattern / pattern.sum() @ v @ w["W_O"][0, head]
            mid = x[-1] + out + (w["b_O"][0] if "b_O" in w else 0)
            pre = norm(mid, "ln2") @ w["W_in"][0] + w["b_in"][0]
            post = gelu(pre) if name == "design" else np.maximum(pre, 0)
            rows.append(norm(mid + post @ w["W_out"][0] + w["b_out"][0], "ln_final") @ w["W_U"])
    return np.array(rows).reshape(n, n, -1)


def test_cube_has_the_measures_that_apply_with_their_dimensions(opened):
    _, cube, run, _ = opened
    applicable = {measure.name: measure for measure in measures().values() if measure.applies_to(run.settings)}
    assert set(applicable) <= set(cube.data_vars)
    assert set(cube.data_vars) - set(applicable) == {v for v in cube.data_vars if v.startswith("history_")}
    for variable, measure in applicable.items():
        assert cube[variable].dims == measure.dims, variable
    assert set(cube.sizes) <= set(DIMENSIONS)
    assert all(dim in cube.coords for dim in cube.sizes)


def test_coordinates_are_the_values_of_the_task(opened):
    name, cube, run, _ = opened
    n = {"product": 12, "quotient": 12, "even": 14, "permutations": 6}.get(name, 13)
    outputs = run.settings.task.output_count
    if name == "permutations":
        assert "frequency" not in cube.coords
    else:
        assert cube.frequency.values.tolist() == list(range(1, n // 2 + 1))
        assert cube.fourier_component.size == 1 + 2 * (n // 2)
    if "token" in cube.coords:
        values = POWERS if n == 12 else list(range(n))
        assert cube.token.values.tolist() == [*map(str, values), "="]
    if "output" in cube.coords:
        expected = [*POWERS, 0] if n == 12 else list(range(outputs))
        assert cube.output.values.tolist() == expected
    if "singular_value" in cube.coords:
        assert cube.singular_value.values.tolist() == list(range(1, min(40, outputs) + 1))
    assert cube.attrs["provides"] == sorted(run.settings.provides)
    assert [record["run"] for record in json.loads(cube.attrs["manifest"])] == ["seed0", "seed1"]


def test_losses_and_accuracies_are_those_of_an_independent_forward_pass(opened):
    name, cube, run, train = opened
    n = len(train)
    defined = [(a, b) for a in range(n) for b in range(n) if right_answer(name, a, b) is not None]
    assert train.sum() == int(0.6 * len(defined))
    for epoch in (0, 40):
        logits = logits_of(name, run.weights(epoch), n)
        losses = {pair: -log_softmax(logits[pair])[right_answer(name, *pair)] for pair in defined}
        for split, is_train in (("train", True), ("test", False)):
            pairs = [pair for pair in defined if train[pair] == is_train]
            expected = np.mean([losses[pair] for pair in pairs])
            for variable, dimension in ((f"{split}_loss", "epoch"), (f"history_{split}_loss", "history_epoch")):
                value = float(cube[variable].sel({"run": "seed0", dimension: epoch}))
                assert value == pytest.approx(expected, rel=2e-4), (variable, epoch)
            right = np.mean([logits[pair].argmax() == right_answer(name, *pair) for pair in pairs])
            assert float(cube[f"{split}_accuracy"].sel(run="seed0", epoch=epoch)) == pytest.approx(right, abs=1e-6)


def test_ablated_losses_are_those_of_fits_in_the_order_of_the_group(opened):
    name, cube, run, train = opened
    if name == "permutations":
        assert "ablated_loss_by_frequency_all" not in cube
        return
    logits = logits_of(name, run.weights(40), len(train))
    values = POWERS if name in ("product", "quotient") else list(range(len(train)))
    n = len(values)
    L = logits[np.ix_(values, values)].reshape(n * n, -1)
    labels = [right_answer(name, values[a], values[b]) for a in range(n) for b in range(n)]
    a, b = np.indices((n, n)).reshape(2, -1) * 2 * np.pi / n
    for k in range(1, n // 2 + 1):
        of_a, of_b = ([np.ones(n * n), np.cos(k * x), np.sin(k * x)] for x in (a, b))
        waves = np.stack([x * y for x in of_a for y in of_b][1:], -1)
        rest = L - waves @ np.linalg.lstsq(waves, L, rcond=1e-9)[0]
        expected = -log_softmax(rest, axis=-1)[np.arange(n * n), labels].mean()
        value = float(cube.ablated_loss_by_frequency_all.sel(run="seed0", epoch=40, frequency=k))
        assert value == pytest.approx(expected, rel=2e-4)


def test_embedding_and_unembedding_are_labeled_by_values(opened):
    name, cube, run, _ = opened
    if "W_E" not in cube:
        assert name in ("design", "mlp", "four_tokens")
        return
    weights = run.weights(40)
    for value in cube.token.values[:-1]:
        np.testing.assert_array_equal(cube.W_E.sel(run="seed0", token=value), weights["W_E"][int(value)])
    for output in cube.output.values:
        np.testing.assert_array_equal(cube.W_U.sel(run="seed0", output=output), weights["W_U"][:, output])


def test_W_L_has_the_singular_values_of_all_outputs(opened):
    name, cube, run, _ = opened
    if "W_L_singular_value" not in cube:
        assert name in ("design", "permutations")
        return
    weights = run.weights(40)
    W_L = weights["W_out"] if name == "mlp" else weights["W_out"][0] @ weights["W_U"]
    expected = np.linalg.svd(W_L, compute_uv=False)
    np.testing.assert_allclose(cube.W_L_singular_value.sel(run="seed0"), expected, rtol=1e-4, atol=1e-6)
