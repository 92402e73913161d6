"""Measures of products and quotients modulo a prime, whose cyclic group is that of sums and differences of logarithms."""

import functools

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from progress_measures import open_cube
from progress_measures.analysis.pair_maps import W_L_of
from progress_measures.analysis.runs import operand_count, split_pairs
from progress_measures.data.dataset import dataset
from progress_measures.data.examples import PairExamples
from progress_measures.experiments.schema import Experiment
from progress_measures.measures import measures
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.registry import DERIVED_FAMILIES
from progress_measures.models.architecture import Architecture
from progress_measures.models.transformer import forward
from progress_measures.training.objectives.any_design import AnyDesignObjective
from progress_measures.training.objectives.pairs import PairsObjective
from progress_measures.training.objectives.paper_design import PaperDesignObjective
from support.experiments import SMALL, folder_with
from support.networks import random_weights, solving_weights
from support.processes import commands

P = 13
POWERS = [pow(2, exponent, P) for exponent in range(P - 1)]
"""The residues other than 0, in the order of their discrete logarithms to the base 2."""

SIZES = {"d_model": 16, "heads": 2, "d_head": 6, "d_mlp": 54}
MLP = {"d_model": 16, "d_mlp": 54}
DESIGNS = {
    "one layer": (SIZES, "a b ="),
    "two layers": (SIZES | {"layers": 2}, "a b ="),
    "GELU and LayerNorm": (SIZES | {"activation": "gelu", "normalization": "layer_norm"}, "a b ="),
    "attention biases and scale": (SIZES | {"attention_biases": True, "attention_scale": 0.3}, "a b ="),
    "summed embeddings": (MLP | {"mlp_input": "summed"}, "a b"),
    "concatenated embeddings": (MLP | {"mlp_input": "concatenated", "layers": 2}, "a b"),
    "one-hot vectors": (MLP | {"mlp_input": "one_hot", "activation": "square"}, "a b"),
}
OPERATIONS = {"a*b": "a + b", "a/b": "a - b"}


def run_of(expression, modulus, outputs=None, design="one layer"):
    model, tokens = DESIGNS[design]
    task = {"kind": "operation", "expression": expression, "modulus": modulus, "outputs": outputs, "tokens": tokens}
    return Experiment.model_validate(
        {"title": "small", "task": task, "model": model, "training": {"epochs": 100}}
    ).runs("small")[0]


def of_product(sum_weights, run):
    """Return the weights of a network on products that computes what a network on sums computes on the logarithms."""
    rng, weights = np.random.default_rng(8), {}
    rows = [*POWERS, P] if run.task.token_layout.vocabulary > P else POWERS  # P is the token `=`
    for name, shape in Architecture.of(run).shapes().items():
        values = sum_weights[name]
        if name == "W_E":
            weights[name] = rng.standard_normal(shape)
            weights[name][rows] = values
        elif name == "W_in" and run.model.mlp_input == "one_hot":
            weights[name] = rng.standard_normal(shape)
            weights[name][POWERS], weights[name][[P + x for x in POWERS]] = values[:12], values[12:]
        elif "output" in Architecture.of(run).parameters[name]:
            weights[name] = np.empty(shape)
            weights[name][..., [*POWERS, 0]] = values
        else:
            weights[name] = values
    return weights


@functools.cache
def checkpoints(expression, design, is_solving):
    """Return a checkpoint of a network on products or quotients, and of one on sums or differences of their logarithms."""
    of_sums, of_products = (
        run_of(OPERATIONS[expression], P - 1, P, design),
        run_of(expression, P, design=design),
    )
    rng = np.random.default_rng(42)
    weights = solving_weights(of_sums, rng, keys=(2, 5, 6)) if is_solving else random_weights(of_sums, rng)
    train = rng.random((P - 1, P - 1)) < 0.4
    all_train = rng.random((P, P)) < 0.4
    all_train[np.ix_(POWERS, POWERS)] = train
    all_train &= of_products.task.defined()
    earlier = {name: 0.9 * tensor + 0.05 * rng.standard_normal(tensor.shape) for name, tensor in weights.items()}
    pair = []
    for run, mask, convert in (
        (of_products, all_train, lambda w: of_product(w, of_products)),
        (of_sums, train, lambda w: w),
    ):
        pair.append(RunContext(run, convert(weights), mask).checkpoint(convert(earlier), 20))
    return pair


CASES = [(expression, design, False) for expression in OPERATIONS for design in DESIGNS]
CASES += [(expression, "one layer", True) for expression in OPERATIONS]
IN_GROUP = [
    m
    for m in measures().values()
    if m.family not in (*DERIVED_FAMILIES, "sequences") and m.requires & {"one_layer", "cyclic_group"}
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_measures_of_products_are_those_of_sums_of_logarithms(case):
    on_products, on_sums = checkpoints(*case)
    run, run_of_sums = on_products.context.run, on_sums.context.run
    assert run.provides == run_of_sums.provides | {"multiplicative_group"}
    compared = 0
    for m in IN_GROUP:
        if m.applies_to(run):
            actual, expected = (
                np.asarray(m.function(m.in_required_order(checkpoint))) for checkpoint in (on_products, on_sums)
            )
            largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
            np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-10 * largest, err_msg=m.name)
            compared += 1
    assert compared > (70 if run.closed_form else 40)


def test_networks_that_solve_products_have_the_key_frequencies_of_their_construction():
    on_products, _ = checkpoints("a*b", "one layer", True)
    assert tuple(on_products.context.in_group_order.key_frequencies) == (2, 5, 6)


def test_measures_of_logits_alone_are_in_the_order_of_the_group():
    on_products, _ = checkpoints("a*b", "one layer", True)
    origin = {
        "file": "f",
        "sha256": "0",
        "format": "f",
        "recognized": [],
        "assumed": [],
        "ignored": [],
        "logits_only": True,
    }
    run = on_products.context.run
    run = type(run).model_validate(run.model_dump() | {"imported": origin})
    train = on_products.context.train.reshape(P, P)
    from_logits = RunContext(run, {"logits": on_products.logits}, train).final
    for m in measures().values():
        if m.family not in DERIVED_FAMILIES and m.applies_to(run):
            expected = m.function(m.in_required_order(on_products))
            np.testing.assert_allclose(
                m.function(m.in_required_order(from_logits)), expected, rtol=1e-12, err_msg=m.name
            )


# ---- pairs without an answer


def logits_of(run, weights):
    """Return the logits of all pairs in their natural order, from the transformer: [a, b, output]."""
    tokens = torch.tensor([[a, b, P] for a in range(P) for b in range(P)])
    logits = forward({name: torch.tensor(w)[None] for name, w in weights.items()}, tokens)[0, :, -1]
    return logits.numpy().reshape(P, P, -1)


QUOTIENTS = {(a, b): a * pow(b, -1, P) % P for a in range(P) for b in range(1, P)}
"""The quotient of every pair that has one."""


def test_losses_of_quotients_are_over_all_pairs_with_a_nonzero_divisor():
    run = run_of("a/b", P)
    weights = random_weights(run, np.random.default_rng(42))
    train = run.task.train_mask(run.split, 0)
    checkpoint = RunContext(run, weights, train).final
    logits = logits_of(run, weights)
    losses = {pair: -log_softmax(logits[pair])[label] for pair, label in QUOTIENTS.items()}
    answers = {pair: logits[pair].argmax() == label for pair, label in QUOTIENTS.items()}
    assert not train[:, 0].any()
    assert train.sum() == int(0.3 * P * (P - 1))
    for split, pairs in (
        ("train", [p for p in QUOTIENTS if train[p]]),
        ("test", [p for p in QUOTIENTS if not train[p]]),
    ):
        loss, accuracy = (measures()[f"{split}_{quantity}"].function(checkpoint) for quantity in ("loss", "accuracy"))
        np.testing.assert_allclose(loss, np.mean([losses[pair] for pair in pairs]), rtol=1e-12)
        np.testing.assert_allclose(accuracy, np.mean([answers[pair] for pair in pairs]), rtol=1e-12)


@pytest.mark.parametrize("objective", [PairsObjective, PaperDesignObjective, AnyDesignObjective])
def test_training_evaluates_pairs_with_an_answer_only(objective):
    run = run_of("a/b", P)
    weights = random_weights(run, np.random.default_rng(42))
    train = run.task.train_mask(run.split, 0)
    checkpoint = RunContext(run, weights, train).final
    evaluated = objective([run], torch.from_numpy(train)[None], torch.device("cpu")).evaluate(
        {name: torch.tensor(tensor)[None] for name, tensor in weights.items()}
    )
    for name, values in evaluated.items():
        np.testing.assert_allclose(values.numpy(), [measures()[name].function(checkpoint)], rtol=1e-9, err_msg=name)


def test_examples_and_dataset_leave_out_pairs_without_an_answer():
    run = run_of("a/b", P)
    train = run.task.train_mask(run.split, 0)
    examples = PairExamples(run, train)
    shown = [(split.tokens, split.labels) for split in (examples.train(0), examples.test())]
    found = {(a, b): label for tokens, labels in shown for (a, b, _), (label,) in zip(tokens, labels, strict=True)}
    assert found == QUOTIENTS
    labels = dataset([run]).label.values
    assert {tuple(pair): labels[tuple(pair)] for pair in np.argwhere(labels >= 0)} == QUOTIENTS


def test_measures_of_pairs_without_a_group_are_over_pairs_with_an_answer():
    run = run_of("a/b", 12)
    weights = random_weights(run, np.random.default_rng(42))
    checkpoint = RunContext(run, weights, run.task.train_mask(run.split, 0)).final
    defined = np.array([np.gcd(b, 12) == 1 for _ in range(12) for b in range(12)])
    assert run.task.group is None
    assert measures()["mean_attention"].applies_to(run)
    expected = checkpoint.attention[defined].mean(0)
    np.testing.assert_allclose(measures()["mean_attention"].function(checkpoint), expected)
    active = (checkpoint.pre[defined] > 0).mean(0)
    np.testing.assert_allclose(measures()["neuron_fraction_active"].function(checkpoint), active)


def test_cube_of_a_table_counts_the_operands_in_its_group(tmp_path, monkeypatch):
    """Products mod 5, given as a table: their group leaves out 0, so that its order is 4 and not 5."""
    answers = [a * b % 5 for a in range(5) for b in range(5)]
    task = {"kind": "pair_table", "operands": 5, "outputs": 5, "answers": answers}
    training = {"epochs": 20, "checkpoint_every": 20, "evaluate_every": 20}
    content = SMALL | {"task": task, "training": training, "grid": {"seed": [0]}}
    folder_with(tmp_path, content=content)
    commands("train small", "measure small", "gather small", folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    cube = open_cube("small")
    assert operand_count(cube) == 4
    assert W_L_of(cube).shape == (64, 4)
    train, test = split_pairs(cube.isel(run=0))
    assert sorted([*train, *test]) == list(range(25))
