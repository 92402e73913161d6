"""Measures and cubes of networks on sequences and of deeper networks, compared with their definitions."""

import functools

import numpy as np
import pytest
import torch
import yaml

from progress_measures import open_cube
from progress_measures.data.examples import SampledExamples
from progress_measures.measures import measures
from progress_measures.measures.sequence_checkpoint import PATTERN_EXAMPLES, SequenceRunContext
from progress_measures.models.design import design_of
from progress_measures.models.transformer import forward
from support.checkpoints import two_layer_checkpoint
from support.definitions import REFERENCES, cross_entropy
from support.experiments import SEQUENCES, SMALL, pair_run, sequence_run
from support.networks import random_weights
from support.processes import command, commands

CASES = {kind: (kind, {}) for kind in SEQUENCES}
CASES["doubled"] = ("repeated_subsequence", {"model": {"doubled_residual": True}})
CASES["layer norms"] = (
    "five_digit_addition",
    {"model": {"activation": "gelu", "normalization": "layer_norm", "initialization": "paper"}},
)
CASES["scores"] = (
    "repeated_subsequence",
    {"model": {"attention_scale": 3.0, "positions": "rotary", "tied_embeddings": True, "initialization": "paper"}},
)
CASES["no mask"] = ("repeated_subsequence", {"model": {"causal": False, "initialization": "paper"}})
CASES["unembedding bias"] = (
    "skip_trigram",
    {"model": {"unembedding_bias": True, "initialization": "paper"}},
)
CASES["fixed"] = ("skip_trigram", {"examples": 24, "batch": 8})


@functools.cache
def case(name):
    """Return a checkpoint, its run and its weights."""
    kind, options = CASES[name]
    run = sequence_run(kind, **options)
    weights = random_weights(run, np.random.default_rng(3))
    return SequenceRunContext(run, weights, 60).checkpoint(weights, 20), run, weights


def value(name, checkpoint):
    return measures()[name].function(checkpoint)


def answers(run, weights, examples):
    """Return losses and correctness of the answers, [example, answer] each, and each layer's attention."""
    patterns = []

    def hook(name, activation):
        if name.endswith("hook_pattern"):
            patterns.append(activation[0].numpy())  # [example, head, query, key]

    tensors = {name: torch.tensor(w)[None] for name, w in weights.items()}
    # without a causal mask, tokens after the last answer position would change the answers
    tokens = torch.tensor(examples.tokens)[:, : None if run.model.causal else run.task.sizes.input_length]
    logits = forward(tensors, tokens, hook, design_of(run.model))[0].numpy()
    answer_logits = np.stack(
        [example_logits[positions] for example_logits, positions in zip(logits, examples.positions, strict=True)]
    )
    return cross_entropy(answer_logits, examples.labels), answer_logits.argmax(-1) == examples.labels, patterns


@pytest.mark.parametrize("name", CASES)
def test_losses_and_accuracies_are_means_over_answers(name):
    checkpoint, run, weights = case(name)
    drawn = SampledExamples(run)
    train = drawn.of_update(20) if drawn.fixed is None else drawn.fixed
    for split, examples in (("train", train), ("test", drawn.test())):
        losses, correct, _ = answers(run, weights, examples)
        np.testing.assert_allclose(value(f"{split}_loss", checkpoint), losses.mean(), rtol=1e-10)
        np.testing.assert_allclose(value(f"{split}_accuracy", checkpoint), correct.mean())


@pytest.mark.parametrize(
    "name", ["five_digit_addition", "repeated_subsequence", "doubled", "layer norms", "scores", "no mask"]
)
def test_losses_by_answer_are_means_over_examples(name):
    checkpoint, run, weights = case(name)
    train, test = SampledExamples(run).of_update(20), SampledExamples(run).test()
    np.testing.assert_allclose(value("train_loss_by_answer", checkpoint), answers(run, weights, train)[0].mean(0))
    losses, correct, _ = answers(run, weights, test)
    np.testing.assert_allclose(value("test_loss_by_answer", checkpoint), losses.mean(0))
    np.testing.assert_allclose(value("test_accuracy_by_answer", checkpoint), correct.mean(0))


@pytest.mark.parametrize("name", ["skip_trigram", "fixed", "unembedding bias"])
def test_losses_by_trigram_are_means_over_examples_of_that_trigram(name):
    checkpoint, run, weights = case(name)
    drawn = SampledExamples(run)
    for split, examples in (("train", drawn.fixed or drawn.of_update(20)), ("test", drawn.test())):
        losses, _, _ = answers(run, weights, examples)
        expected = [losses[examples.labels == trigram].mean() for trigram in range(3)]
        np.testing.assert_allclose(value(f"{split}_loss_by_trigram", checkpoint), expected)


@pytest.mark.parametrize("name", ["repeated_subsequence", "doubled", "scores", "no mask"])
def test_scores_of_heads_are_means_of_attention(name):
    checkpoint, run, weights = case(name)
    test = SampledExamples(run).test()
    _, _, patterns = answers(run, weights, test)
    induction, previous = np.zeros((2, 2)), np.zeros((2, 2))
    examples = min(PATTERN_EXAMPLES, len(test.tokens))
    for layer, pattern in enumerate(patterns):
        for head in range(2):
            to_followers, to_previous = [], []
            for tokens, positions, labels, attention in zip(*test, pattern[:, head], strict=True):
                for position, label in zip(positions, labels, strict=True):
                    followers = [
                        u + 1 for u in range(position) if tokens[u] == tokens[position] and tokens[u + 1] == label
                    ]
                    assert followers
                    to_followers.append(attention[position, followers].sum())
                to_previous += [attention[position, position - 1] for position in range(1, len(attention))]
            induction[layer, head], previous[layer, head] = np.mean(to_followers), np.mean(to_previous)
    assert examples == 40
    np.testing.assert_allclose(value("induction_score", checkpoint), induction)
    np.testing.assert_allclose(value("previous_token_score", checkpoint), previous)


def test_every_measure_of_sequences_is_tested():
    tested = (
        "train_loss_by_answer test_loss_by_answer test_accuracy_by_answer train_loss_by_trigram test_loss_by_trigram"
    )
    tested += " induction_score previous_token_score"
    assert {name for name, m in measures().items() if m.family == "sequences"} == set(tested.split())


def test_sum_of_squares_is_over_every_weight():
    checkpoint, _, weights = case("repeated_subsequence")
    parts = [(w**2).sum() for w in weights.values()]
    np.testing.assert_allclose(value("sum_of_squared_weights_by_parameter", checkpoint), parts)
    np.testing.assert_allclose(value("sum_of_squared_weights", checkpoint), sum(parts))


# ---- deeper networks on pairs


TWO_LAYER_MEASURES = [
    name for name in REFERENCES if measures()[name].applies_to(pair_run("modular_addition", layers=2))
]


def test_two_layer_network_has_exactly_the_applicable_measures():
    needed = {"restricted_loss", "excluded_loss", "maximal_excluded_loss", "ablated_loss_by_frequency", "gini_W_L",
              "neuron_frequency", "key_frequency", "readout_fraction_explained", "cosine_coefficient"}  # fmt: skip
    assert needed <= set(TWO_LAYER_MEASURES)
    assert not {"attention_alpha", "mean_attention", "neuron_offset"} & set(TWO_LAYER_MEASURES)
    assert two_layer_checkpoint()[0].context.key_frequencies.tolist() == [2]


@pytest.mark.parametrize(
    "name", [name for name in TWO_LAYER_MEASURES if not name.startswith(("sum_of_squared", "intervention"))]
)
def test_measure_of_a_two_layer_network_equals_its_definition(name):
    checkpoint, network = two_layer_checkpoint()
    actual, expected = np.asarray(value(name, checkpoint)), np.asarray(REFERENCES[name](network))
    assert actual.shape == expected.shape
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0) if expected.ndim else 0
    np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-11 * largest)


# ---- cubes


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """Cubes of small experiments by the command line: one per task on sequences, one with two layers, one with two widths."""
    folder = tmp_path_factory.mktemp("cubes")
    experiments = folder / "config/experiments"
    experiments.mkdir(parents=True)
    recipe = {"epochs": 40, "checkpoint_every": 20, "evaluate_every": 10}
    files = {
        kind: {"title": kind, "task": {"kind": kind} | SEQUENCES[kind]["task"], "model": SEQUENCES[kind]["model"]}
        | {"training": recipe | {"batch": 16}, "split": {"test_examples": 30}}
        for kind in SEQUENCES
    }
    files["two_layer"] = SMALL | {"model": SMALL["model"] | {"layers": 2}, "training": recipe}
    widths = {"model.d_model, model.d_mlp": [[16, 32], [24, 48]]}
    files["width"] = SMALL | {"training": recipe, "grid": widths}
    for name, content in files.items():
        (experiments / f"{name}.yaml").write_text(yaml.safe_dump(content))
    verbs = ("train {} --runs-per-shard 2", "measure {}", "gather {}", "publish {}")
    commands(*(verb.format(name) for name in files for verb in verbs), folder=folder)
    return folder


@pytest.mark.parametrize("name", [*SEQUENCES, "two_layer", "width"])
def test_cube_has_exactly_the_applicable_measures(cubes, monkeypatch, name):
    from progress_measures.experiments import load_experiment

    monkeypatch.chdir(cubes)
    cube, run = open_cube(name).load(), load_experiment(name).runs(name)[0]
    expected = {measure_name for measure_name, m in measures().items() if m.applies_to(run)}
    assert {variable for variable in cube.data_vars if not variable.startswith("history_")} == expected
    assert {"train_loss", "test_loss", "sum_of_squared_weights", "grok_time", "history_train_loss"} <= set(
        cube.data_vars
    )
    epochs = np.intersect1d(cube.epoch, cube.history_epoch)
    for quantity in ("train_loss", "test_loss", "test_accuracy"):
        recorded = cube[f"history_{quantity}"].sel(history_epoch=epochs)
        np.testing.assert_allclose(recorded, cube[quantity].sel(epoch=epochs), rtol=1e-4, atol=1e-7)
    assert command("describe", name, folder=cubes).returncode == 0


def test_cubes_of_sequences_name_their_answers(cubes, monkeypatch):
    monkeypatch.chdir(cubes)
    digits, repeated, trigrams = (open_cube(name) for name in SEQUENCES)
    assert digits.test_loss_by_answer.answer.values.tolist() == ["carry", "10^1", "10^0"]
    assert repeated.induction_score.dims == ("run", "epoch", "layer", "head")
    assert repeated.answer.values[-1] == "occurrence 3, token 4"
    assert trigrams.test_loss_by_trigram.sizes["trigram"] == 3
    assert np.isinf(float(digits.examples[0]))
    assert "key_frequency_rule" not in digits.attrs


def test_one_cube_has_networks_of_several_widths(cubes, monkeypatch):
    monkeypatch.chdir(cubes)
    cube = open_cube("width")
    assert cube.sizes["neuron"] == 48
    narrow = cube.neuron_fraction_explained.sel(run="d_model16").isel(epoch=-1)
    assert narrow.notnull().sum() == 32
    assert cube.d_mlp.values.tolist() == [32, 48]
