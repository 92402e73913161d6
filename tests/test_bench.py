"""The baseline of the benchmark computes the same numbers as this package; no test here measures time."""

import bench
import notebook
import numpy as np
import pytest
import torch
import yaml

from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import Experiment
from progress_measures.measures import logits, losses, weights
from progress_measures.measures.checkpoint import Checkpoint, RunContext
from progress_measures.models.initialize import initial_weights
from progress_measures.models.transformer import forward
from progress_measures.training import cost
from progress_measures.training.machine import peak_memory_mib
from support.experiments import SEQUENCES, sequence_run
from support.processes import command

PRIME = 11
KEYS = np.array([1, 4])


@pytest.fixture(params=["modular_addition", "modular_subtraction"])
def run(request):
    settings = {
        "title": "Small",
        "task": {"kind": request.param, "prime": PRIME},
        "split": {"train_fraction": 0.4},
        "model": {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 24},
        "training": {"epochs": 100, "warmup": 0, "precision": "float64"},
    }
    return Experiment.model_validate(settings).runs("small")[0]


def weights_with_biases(run, dtype=torch.float64):
    """Return initial weights with nonzero biases."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: (tensor + 0.1 * torch.randn(tensor.shape, generator=generator)).to(dtype)
        for name, tensor in initial_weights(run).items()
    }


@pytest.fixture
def measured(run):
    """Results for one network in float64: the notebook's measures, and a checkpoint of this package."""
    network = {name: tensor.numpy() for name, tensor in weights_with_biases(run).items()}
    context = RunContext(run, network, train_mask(run))
    context.key_frequencies = KEYS
    data = notebook.data(PRIME, context.sign, context.train)
    cells = notebook.Notebook(PRIME, context.sign, data, KEYS, dtype=torch.float64)
    return notebook.metric_pass(notebook.HookedTransformer.from_weights(network), cells), Checkpoint(context, network)


@pytest.mark.parametrize("biases", [True, False])
def test_same_logits_at_every_position(run, biases):
    network = {
        name: w for name, w in weights_with_biases(run, torch.float32).items() if biases or not name.startswith("b_")
    }
    tokens = notebook.data(PRIME, 1, train_mask(run)).tokens
    ours = forward({name: w[None] for name, w in network.items()}, tokens)[0]
    theirs = notebook.HookedTransformer.from_weights(network)(tokens)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


def test_cache_contains_every_activation_of_a_network(run):
    network = weights_with_biases(run)
    tokens = notebook.data(PRIME, 1, train_mask(run)).tokens
    ours = {}
    forward({name: w[None] for name, w in network.items()}, tokens, lambda name, value: ours.update({name: value[0]}))
    _, cache = notebook.HookedTransformer.from_weights(network).run_with_cache(tokens)
    assert set(cache) == set(ours)
    for name in ours:
        torch.testing.assert_close(cache[name], ours[name].expand_as(cache[name]), msg=name)


@pytest.mark.parametrize(
    ("notebook_name", "measure"),
    [
        ("train_loss", losses.train_loss),
        ("test_loss", losses.test_loss),
        ("cosine_coefficients", logits.cosine_coefficient),
        ("cosine_similarities", logits.cosine_similarity),
        ("cosine_residual", logits.cosine_residual_all),
        ("restricted_loss", losses.restricted_loss_neurons),
        ("excluded_loss", losses.excluded_loss_neurons),
        ("W_E_fourier_norms", weights.W_E_fourier_norm),
        ("W_L_fourier_norms", weights.W_L_fourier_norm),
        ("sum_of_squared_weights", weights.sum_of_squared_weights),
    ],
)
def test_same_measures(measured, notebook_name, measure):
    results, checkpoint = measured
    np.testing.assert_allclose(results[notebook_name], measure(checkpoint), rtol=1e-9, atol=1e-10)


def test_loss_over_all_pairs_is_the_weighted_mean_of_both_splits(measured):
    results, checkpoint = measured
    train_fraction = checkpoint.context.train.mean()
    expected = train_fraction * results["train_loss"] + (1 - train_fraction) * results["test_loss"]
    assert results["all_loss"] == pytest.approx(expected)


def test_same_training(run):
    network, mask = initial_weights(run), train_mask(run)
    ours = bench.PackageTraining(run, {name: w.numpy() for name, w in network.items()}, mask)
    sign = 1 if run.task.kind == "modular_addition" else -1
    theirs = notebook.NotebookTraining(network, notebook.data(PRIME, sign, mask))
    loss_pairs = np.array([(ours.update(), theirs.step()[0]) for _ in range(6)])
    np.testing.assert_allclose(loss_pairs[:, 0], loss_pairs[:, 1], rtol=1e-4)
    assert loss_pairs[5, 0] < loss_pairs[0, 0]


@pytest.mark.parametrize("kind", SEQUENCES)
def test_same_training_on_sequences(kind):
    run = sequence_run(kind, precision="float64", warmup=0)
    weights = {name: w.numpy() for name, w in initial_weights(run).items()}
    ours = bench.PackageTraining(run, weights, np.zeros(0, dtype=bool))
    theirs = bench._plain_training(run, weights, np.zeros(0, dtype=bool))
    loss_pairs = np.array([(ours.update(), theirs.update()) for _ in range(6)])
    np.testing.assert_allclose(loss_pairs[:, 0], loss_pairs[:, 1], rtol=1e-4)


def test_other_tasks_can_be_timed(tmp_path, monkeypatch):
    folder = tmp_path / "config/experiments"
    folder.mkdir(parents=True)
    content = {"title": "t", "task": {"kind": "skip_trigram"}, "training": {"epochs": 100, "batch": 8}}
    (folder / "skip_trigram.yaml").write_text(yaml.safe_dump(content | {"model": {"attention_only": True}}))
    monkeypatch.chdir(tmp_path)
    timing = bench.bench_tasks(updates=1, blocks=1, names=("skip_trigram",))["skip_trigram"]
    assert timing["ratio"] == pytest.approx(timing["plain_ms_per_update"] / timing["ms_per_update"])


def test_frozen_biases_stay_at_zero(run):
    network = {name: w for name, w in initial_weights(run).items() if not name.startswith("b_")}
    training = notebook.NotebookTraining(network, notebook.data(PRIME, 1, train_mask(run)))
    training.step()
    biases = [p for name, p in training.model.named_parameters() if ".b_" in f".{name}"]
    assert len(biases) == 7
    assert not any(bias.any() for bias in biases)


def test_all_families_measure_the_checkpoint(measured):
    _, checkpoint = measured
    assert {"restricted_loss", "ablated_loss_by_frequency"} <= set(
        bench.measure_all(checkpoint.context, checkpoint.weights)
    )
    assert set(bench.notebook_measures(checkpoint.context, checkpoint.weights)) == set(bench.NOTEBOOK_MEASURES)


def test_multiply_adds_of_the_mainline():
    """The expected number is computed by hand: 3,830 pairs, 8 rows a pair, 512 neurons, 113 outputs (128 padded)."""
    products = 3_830 * 512 * 113 + 8 * 3_830 * 640
    tables = 2 * 128 * 128 + 4 * 128 * 227 + 227 * 128 * 128 + (128 + 226) * 128 * 640 + 512 * 128 * 113
    assert cost.update_flops(bench.mainline_run()) == 2 * 3 * (products + tables)


def test_benchmark_requires_the_weights_of_a_late_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="train mainline --run seed0"):
        bench.converged_weights()


def test_verb_runs_the_script_with_its_options(tmp_path):
    assert command("bench", folder=tmp_path).returncode == 2
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/bench.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    process = command("bench", "train", "--threads", "1", "--json", folder=tmp_path)
    assert (process.returncode, process.stdout) == (3, "['train', '--threads', '1', '--json']\n")


def test_table_shows_the_results_that_exist(capsys):
    from rich.console import Console

    timing = {"ms_per_epoch": 10.0, "notebook_ms_per_epoch": 160.0, "ratio": 16.0}
    Console(width=100).print(bench.table({"train": timing | {"late": {"skipped": "no weights"}}}))
    shown = capsys.readouterr().out
    assert "train, start" in shown
    assert "16.0" in shown
    assert "late" not in shown


def test_peak_of_a_process_is_plausible():
    assert 50 < peak_memory_mib() < 100_000
