"""The forward and backward pass at answer positions, compared with autograd through the general transformer."""

import numpy as np
import pytest
import torch

from progress_measures.data.examples import SampledExamples
from progress_measures.experiments.derived import train_mask
from progress_measures.models import forward_at_answers
from progress_measures.models.design import Design
from progress_measures.models.initialize import initial_weights
from progress_measures.models.transformer import forward
from progress_measures.training.objectives import pairs as fast
from progress_measures.training.objectives.paper_design import Objective
from progress_measures.training.objectives.regularizers import Dropout
from support import reference_training
from support.comparing import TOLERANCE, assert_close_tensors
from support.experiments import SEQUENCES, pair_runs, sequence_run, sequence_runs
from support.networks import random_tensors

CPU = torch.device("cpu")
SCALE = 0.3  # of random weights: small enough for float32 to compute two layers accurately
NO_PAIRS = torch.zeros(9, 0)  # training masks of runs on sequences, which have no pairs


def reference_loss(weights, examples, doubled=False, masks=None):
    """Return mean loss and accuracy at the answers of one run's examples, from logits at every position."""
    tokens, positions, labels = map(torch.tensor, examples)
    logits = forward(weights, tokens, None if masks is None else dropout_hook(masks), Design(doubled_residual=doubled))[
        0
    ]
    losses, accuracy = [], []
    for example, (sequences, expected) in enumerate(zip(positions, labels, strict=True)):
        for position, label in zip(sequences, expected, strict=True):
            row = logits[example, position].double()
            losses.append(row.logsumexp(-1) - row[label])
            accuracy.append(float(row.argmax() == label))
    return torch.stack(losses).mean(), np.mean(accuracy)


def dropout_hook(masks):
    """Return a hook that multiplies each layer's neurons by a mask."""

    def hook(name, value):
        if name.endswith("mlp.hook_post"):
            return value * masks[int(name.split(".")[1])]
        return None

    return hook


CASES = {
    "five digits": ("five_digit_addition", {}),
    "five digits, two layers": ("five_digit_addition", {"layers": 2}),
    "more outputs than width": ("five_digit_addition", {"d_model": 6}),
    "no biases": ("five_digit_addition", {"mlp_biases": False}),
    "repeated": ("repeated_subsequence", {}),
    "repeated, doubled": ("repeated_subsequence", {"doubled_residual": True}),
    "repeated, with MLPs": ("repeated_subsequence", {"attention_only": False}),
    "trigrams": ("skip_trigram", {}),
    "trigrams, three layers": ("skip_trigram", {"layers": 3}),
}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_losses_at_answers_equal_the_general_transformer(case, dtype):
    kind, model = CASES[case]
    runs = sequence_runs(kind, count=2, model=model, precision="float64")
    weights = random_tensors(runs, dtype, SCALE)
    objective = Objective(runs, NO_PAIRS[:2], CPU)
    for update in (0, 3):
        objective.prepare(update)
        losses = objective.loss(weights)
        gradients = torch.autograd.grad(losses.sum(), list(weights.values()))
        evaluation = objective.evaluate(weights)
        for i, run in enumerate(runs):
            single = {name: w[i : i + 1] for name, w in weights.items()}
            drawn, doubled = SampledExamples(run), run.model.doubled_residual
            loss, accuracy = reference_loss(single, drawn.of_update(update), doubled)
            assert_close_tensors(losses[i], loss, dtype)
            for actual, expected in zip(gradients, torch.autograd.grad(loss, list(single.values())), strict=True):
                assert_close_tensors(actual[i : i + 1], expected, dtype)
            assert_close_tensors(evaluation["train_loss"][i], loss, dtype)
            assert evaluation["train_accuracy"][i].item() == pytest.approx(accuracy)
            test_loss, accuracy = reference_loss(single, drawn.test(), doubled)
            assert_close_tensors(evaluation["test_loss"][i], test_loss, dtype)
            assert evaluation["test_accuracy"][i].item() == pytest.approx(accuracy)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "model",
    [
        {"layers": 2},
        {"layers": 3},
        {"attention_only": True},
        {"layers": 2, "attention_only": True},
        {"layers": 2, "mlp_biases": False},
    ],
    ids=str,
)
def test_deeper_networks_on_pairs_equal_the_general_transformer(dtype, model):
    runs = pair_runs(**model)
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in runs])
    results = []
    for module in (reference_training.Objective, Objective):
        weights = random_tensors(runs, dtype, SCALE)
        objective = module(runs, masks, CPU)
        loss = objective.loss(weights)
        gradients = torch.autograd.grad(loss.sum(), list(weights.values()))
        results.append([loss.detach(), *gradients, *objective.evaluate(weights).values()])
    for actual, expected in zip(*results, strict=True):
        assert_close_tensors(actual, expected, dtype)


def test_short_sequences_can_be_replaced():
    """A captured update reads the same tensors, so new sequences are written into them."""
    (run,) = pair_runs(count=1, layers=3)
    weights, generator = random_tensors([run], torch.float64, SCALE), torch.Generator().manual_seed(0)
    drawn = [torch.randint(0, 14, (1, 60, 3), generator=generator) for _ in range(2)]
    answers = torch.full((1, 60, 1), 2)
    replaced = forward_at_answers.TokenSequences(drawn[0], answers, 14)
    assert replaced.is_short
    results = []
    for sequences in (replaced, forward_at_answers.TokenSequences(drawn[1], answers, 14)):
        forward_at_answers.logits(weights, sequences)
        sequences.fill(drawn[1], answers)
        logits = forward_at_answers.logits(weights, sequences)
        results.append([logits.detach(), *torch.autograd.grad(logits.square().sum(), list(weights.values()))])
    for actual, expected in zip(*results, strict=True):
        assert torch.equal(actual, expected)


def test_attention_only_network_has_no_neurons():
    runs = pair_runs(attention_only=True)
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in runs])
    weights, sequences = (
        random_tensors(runs, torch.float64, SCALE),
        Objective(runs, masks, CPU)._examples.sequences,
    )
    neurons, logits = forward_at_answers.neurons_and_logits(weights, sequences)
    assert neurons.shape == (*logits.shape[:2], 0)
    assert_close_tensors(logits, forward_at_answers.logits(weights, sequences), torch.float64)


def test_evaluation_in_pieces_equals_evaluation_at_once(monkeypatch):
    (run,) = sequence_runs("repeated_subsequence")
    weights = {name: w.detach() for name, w in random_tensors([run], torch.float64, SCALE).items()}
    at_once = Objective([run], NO_PAIRS[:1], CPU).evaluate(weights)
    monkeypatch.setattr("progress_measures.training.objectives.paper_design.MAX_PATTERN_ENTRIES", 7 * 2 * 18**2)
    objective = Objective([run], NO_PAIRS[:1], CPU)
    assert len(objective._test) > 3
    for name, value in objective.evaluate(weights).items():
        assert_close_tensors(value, at_once[name], torch.float64)


def test_fixed_set_is_evaluated_at_once_and_trained_in_batches():
    run = sequence_run("skip_trigram", examples=12, batch=4, precision="float64")
    weights = random_tensors([run], torch.float64, SCALE)
    objective = Objective([run], NO_PAIRS[:1], CPU)
    objective.prepare(2)
    drawn = SampledExamples(run)
    assert_close_tensors(objective.loss(weights)[0], reference_loss(weights, drawn.of_update(2))[0], torch.float64)
    assert_close_tensors(
        objective.evaluate(weights)["train_loss"][0], reference_loss(weights, drawn.fixed)[0], torch.float64
    )


@pytest.mark.parametrize("kind", SEQUENCES)
def test_answers_do_not_depend_on_later_tokens(kind):
    """Attention is causal: replacing the tokens after a position does not change its logits."""
    run = sequence_run(kind)
    sizes, drawn = run.task.sizes, SampledExamples(run).of_update(0)
    weights = {name: w.detach() for name, w in random_tensors([run], torch.float64, SCALE).items()}
    tokens, positions = torch.from_numpy(drawn.tokens)[None], torch.tensor(drawn.positions)[None]
    first = positions[..., :1]
    is_later = torch.arange(sizes.context_length) > first
    changed = torch.where(is_later, (tokens + 1) % sizes.vocabulary, tokens)
    logits = [
        forward_at_answers.logits(
            weights, forward_at_answers.TokenSequences(t[..., : sizes.input_length], first, sizes.vocabulary)
        )
        for t in (tokens, changed)
    ]
    assert torch.equal(*logits)


# Initial weights


@pytest.mark.parametrize(
    ("settings", "printed"),
    [
        (
            {
                "seed": 129000,
                "task": {"kind": "five_digit_addition"},
                "model": {"d_model": 512, "d_head": 128, "d_mlp": 2048, "initialization": "authors"},
                "training": {"epochs": 100, "batch": 64, "precision": "float64"},
            },
            2.59335171,
        ),
        (
            {
                "seed": 6798,
                "task": {"kind": "skip_trigram"},
                "model": {"d_model": 32, "heads": 1, "d_head": 8, "attention_only": True, "initialization": "authors"},
                "training": {"epochs": 100, "batch": 256, "precision": "float64"},
            },
            2.34613,
        ),
    ],
    ids=["five digits", "trigrams"],
)
def test_authors_initialization_and_examples_reproduce_the_first_loss_of_the_notebook(settings, printed):
    from progress_measures.experiments.schema import Experiment

    (run,) = Experiment.model_validate({"title": "notebook"} | settings).runs("notebook")
    weights = {name: w[None] for name, w in initial_weights(run).items()}
    loss = Objective([run], NO_PAIRS[:1], CPU).loss(weights)
    assert loss.item() == pytest.approx(printed, abs=2e-7 if printed == 2.59335171 else 5e-6)


def test_initialization_by_head_scales_with_d_head():
    (run,) = sequence_runs("repeated_subsequence", model={"d_model": 96, "d_head": 6})
    weights = initial_weights(run)
    expected = {"W_Q": 6, "W_K": 6, "W_V": 6, "W_O": 96, "W_E": 96, "W_pos": 96, "W_U": 11}
    for name, width in expected.items():
        assert weights[name].std().item() == pytest.approx(width**-0.5, rel=0.1), name


# Dropout and L1


def with_regularizer(model=None, **training):
    """Return runs on pairs with dropout or L1."""
    runs = pair_runs(**(model or {}))
    return [run.model_copy(update={"training": run.training.model_copy(update=training)}) for run in runs]


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_multiplies_neurons(layers):
    runs = with_regularizer({"layers": layers}, dropout=0.3)
    weights, module = random_tensors(runs, torch.float64, SCALE), fast if layers == 1 else None
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in runs])
    objective = (module.Objective if module else Objective)(runs, masks, CPU)
    objective.prepare(5)
    losses = objective.loss(weights)
    gradients = torch.autograd.grad(losses.sum(), list(weights.values()))
    count = int(masks[0].sum())
    dropout = Dropout(runs, [*[3 * count] * (layers - 1), count], CPU)
    dropout.draw(5)
    for i in range(2):
        neuron_masks = [torch.ones(count, 3, 40) for _ in range(layers)]
        for layer in range(layers - 1):
            neuron_masks[layer] = dropout.masks[layer][i].view(count, 3, 40)
        neuron_masks[-1][:, 2] = dropout.masks[-1][i]
        single = {name: w[i : i + 1] for name, w in weights.items()}
        a, b = masks[i].nonzero().T.numpy()
        tokens, labels = np.stack([a, b, np.full(count, 13)], -1), (a + b) % 13
        loss, _ = reference_loss(single, (tokens, np.full((count, 1), 2), labels[:, None]), masks=neuron_masks)
        assert_close_tensors(losses[i], loss, torch.float64)
        for actual, expected in zip(gradients, torch.autograd.grad(loss, list(single.values())), strict=True):
            assert_close_tensors(actual[i : i + 1], expected, torch.float64)


def test_dropout_sets_its_fraction_of_neurons_to_zero_and_scales_the_other_neurons():
    runs = with_regularizer(dropout=0.2)
    dropout = Dropout(runs, [5000], CPU)
    dropout.draw(0)
    (mask,) = dropout.masks
    assert mask.unique().tolist() == [0.0, pytest.approx(1 / 0.8)]
    assert (mask == 0).double().mean().item() == pytest.approx(0.2, abs=0.003)
    assert not torch.equal(mask[0], mask[1])
    first = mask.clone()
    dropout.draw(1)
    assert not torch.equal(mask, first)
    dropout.draw(0)
    assert torch.equal(mask, first)
    alone = Dropout(runs[1:], [5000], CPU)
    alone.draw(0)
    assert torch.equal(alone.masks[0][0], first[1])


def test_evaluation_does_not_drop_neurons():
    weights = random_tensors(pair_runs(), torch.float64, SCALE)
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in pair_runs()])
    without = fast.Objective(pair_runs(), masks, CPU).evaluate(weights)
    with_dropout = fast.Objective(with_regularizer(dropout=0.5), masks, CPU)
    with_dropout.prepare(1)
    assert all(torch.equal(value, without[name]) for name, value in with_dropout.evaluate(weights).items())


@pytest.mark.parametrize("layers", [1, 2])
def test_l1_changes_gradients_but_not_losses(layers):
    plain, penalized = pair_runs(layers=layers), with_regularizer({"layers": layers}, l1=0.7)
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in plain])
    module = fast.Objective if layers == 1 else Objective
    weights = random_tensors(plain, torch.float64, SCALE)
    losses, gradients = [], []
    for runs in (plain, penalized):
        loss = module(runs, masks, CPU).loss(weights)
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss.sum(), list(weights.values())))
    assert torch.equal(*losses)
    penalty = 0.7 * sum(w.abs().sum() for w in weights.values())
    expected = torch.autograd.grad(penalty, list(weights.values()))
    for without, with_l1, of_penalty in zip(*gradients, expected, strict=True):
        assert_close_tensors(with_l1, without + of_penalty, torch.float64)
