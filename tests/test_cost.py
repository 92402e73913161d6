"""The cost model of training: its estimates compared with measured use, and plans computed from it."""

import importlib
import json
import subprocess
import sys

import pytest

from progress_measures.experiments import load_experiment
from progress_measures.experiments.schema import Experiment
from progress_measures.training import cost, plan
from progress_measures.training.launcher.shards import runs_that_fit
from progress_measures.training.schedule import checkpoint_epochs
from support import ROOT
from support.experiments import folder_with, sequence_run, small_experiment
from support.processes import command

MAINLINE = Experiment.model_validate(
    {"title": "x", "task": {"kind": "modular_addition"}, "training": {"epochs": 40000}, "grid": {"seed": [0, 1, 2]}}
).runs("x")
PRINT_PEAK_MEMORY = """
import json, sys
from pathlib import Path
from progress_measures.training.machine import peak_memory_mib
from progress_measures.experiments.schema import Run
from progress_measures.data.dataset import write_dataset
from progress_measures.training.loop import train
from progress_measures.training.machine import set_up
set_up(1)
runs = [Run.model_validate(settings) for settings in json.loads(sys.argv[1])]
write_dataset(runs, Path("dataset.zarr"))
train(runs, Path("dataset.zarr"), Path("runs"))
print(int(peak_memory_mib() * 2**20))
"""


def mainline_runs(number=1, layers=1, prime=113, epochs=40, model=None, tokens="a b =", **training):
    """Return runs of the mainline's size."""
    task = {"kind": "modular_addition", "prime": prime, "tokens": tokens}
    settings = {"task": task, "model": {"layers": layers} | (model or {}), "split": {}}
    recipe = small_experiment(epochs=epochs, checkpoint_every=1, evaluate_every=20)["training"] | training
    grid = {"seed": list(range(number))}
    return Experiment.model_validate({"title": "x", "training": recipe, "grid": grid} | settings).runs("x")


@pytest.mark.parametrize(
    "shape",
    [
        {"number": 2},
        {"number": 3, "prime": 13},
        {"layers": 2, "prime": 53, "epochs": 20},
        {"number": 4, "dropout": 0.2},
        {"number": 2, "model": {"activation": "gelu", "normalization": "layer_norm", "gated_mlp": True}},
        {"number": 3, "model": {"mlp_input": "one_hot", "activation": "square"}, "tokens": "a b"},
    ],
    ids=str,
)
def test_requested_memory_covers_the_peak_of_a_job(tmp_path, shape):
    """The peak memory of a training with a checkpoint at every epoch is below the request, but not far below."""
    runs = mainline_runs(**shape)
    line = [sys.executable, "-c", PRINT_PEAK_MEMORY, json.dumps([run.model_dump(mode="json") for run in runs])]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    requested = cost.job_memory(runs[0], len(runs), gpu=False)
    # the peak varies by a fifth, with the library pages that the system counts for the process
    assert int(done.stdout) <= requested <= 1.9 * int(done.stdout)


def test_parameters_are_counted():
    """Count embeddings of 114 tokens and 3 positions, four attention matrices, the MLP with biases, and the unembedding."""
    by_hand = 114 * 128 + 3 * 128 + 4 * 128 * 128 + 2 * 128 * 512 + 512 + 128 + 128 * 113
    assert cost.parameter_count(MAINLINE[0]) == by_hand


@pytest.mark.parametrize(
    "run",
    [
        mainline_runs(layers=2, prime=13)[0],
        sequence_run("five_digit_addition", model={"mlp_biases": False}),
        sequence_run("repeated_subsequence"),
        sequence_run("repeated_subsequence", task={"vocabulary": 128, "length": 85, "subsequence": 16}),
        sequence_run("skip_trigram", batch=100),
    ],
    ids=["two layers", "digits", "short", "blocks", "table"],
)
def test_operations_at_answer_positions_are_counted(monkeypatch, run):
    """torch counts matrix products, but not sums of rows; in the case `table` they are a twentieth of all operations."""
    import torch
    from torch.nn.attention import SDPBackend
    from torch.utils.flop_counter import FlopCounterMode

    from progress_measures.models.initialize import initial_weights
    from progress_measures.training.objectives.paper_design import Objective

    monkeypatch.setattr("progress_measures.models.gemm.library", lambda: "torch")
    monkeypatch.setattr("progress_measures.models.attention.BACKENDS", [SDPBackend.MATH])
    weights = {name: tensor[None].requires_grad_() for name, tensor in initial_weights(run).items()}
    mask = torch.arange(169).view(1, 13, 13) < cost.train_pair_count(run) if not run.on_sequences else torch.zeros(1, 0)
    objective = Objective([run], mask, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        objective.loss(weights).sum().backward()
    assert cost.update_flops(run) == pytest.approx(counter.get_total_flops(), rel=0.06)


DESIGNS = {
    "gated": ({"gated_mlp": True, "activation": "silu"}, "a b ="),
    "two layers with norms": ({"layers": 2, "normalization": "layer_norm"}, "a b ="),
    "attention only": ({"layers": 2, "attention_only": True, "attention_scale": 1.0}, "a b ="),
    "four tokens": ({"positions": "rotary"}, "a 13 b 14"),
    "summed": ({"mlp_input": "summed", "layers": 3}, "a b"),
    "concatenated": ({"mlp_input": "concatenated", "layers": 3}, "a b"),
    "one-hot": ({"mlp_input": "one_hot"}, "a b"),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_operations_of_other_designs_are_counted(name):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from progress_measures.models.initialize import initial_weights
    from progress_measures.training.objectives.any_design import AnyDesignObjective

    model, tokens = DESIGNS[name]
    task = {"kind": "operation", "expression": "a/b", "modulus": 13, "outputs": 15, "tokens": tokens}
    sizes = {"d_model": 32, "d_mlp": 64} | ({} if "mlp_input" in model else {"heads": 2, "d_head": 16})
    settings = {"title": "x", "task": task, "model": sizes | model, "training": {"epochs": 100}}
    (run,) = Experiment.model_validate(settings).runs("x")
    train = run.task.train_mask(run.split, 0)
    assert cost.train_pair_count(run) == train.sum() == int(0.3 * 13 * 12)
    assert cost.examples_per_evaluation(run) == 13 * 12
    weights = {name: tensor[None].requires_grad_() for name, tensor in initial_weights(run).items()}
    if model.get("mlp_input") in (None, "concatenated"):
        outside_layers = {"W_E", "W_pos", "W_U"} | ({"W_out"} if "mlp_input" in model else set())
        matrices = [w for name, w in weights.items() if name.startswith("W_") and name not in outside_layers]
        assert run.model.weight_count == sum(w.numel() for w in matrices)
    objective = AnyDesignObjective([run], torch.from_numpy(train)[None], torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        objective.loss(weights).sum().backward()
    assert cost.update_flops(run) == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("layers", [1, 2])
def test_memory_includes_the_masks_of_dropout(layers):
    """Masks have one element a neuron: for the last position in the last layer, for all three in earlier layers."""
    import torch

    from progress_measures.training.objectives import objective_module

    (run,), (plain,) = (mainline_runs(layers=layers, prime=13, dropout=dropout_rate) for dropout_rate in (0.2, 0.0))
    mask = torch.arange(169).view(1, 13, 13) < cost.train_pair_count(run)
    objective = importlib.import_module(objective_module(run)).Objective([run], mask, torch.device("cpu"))
    dropout = objective._dropout
    size = sum(tensor.nbytes for tensor in [*dropout.masks, *dropout._random_words])
    difference = cost.memory(run).device - cost.memory(plain).device
    assert difference == pytest.approx(cost.ALLOCATOR_FACTOR * size, rel=0.01)


def test_capacity_of_a_gpu_fills_its_memory():
    run = MAINLINE[0]
    run_count = cost.same_shape_runs_that_fit(run, 40e9)
    used = cost.CUDA_DEVICE_FLOOR + cost.memory(run, run_count).device
    assert 0.75 * 40e9 < used <= 0.81 * 40e9
    assert runs_that_fit(MAINLINE, 40e9) == run_count
    assert (
        runs_that_fit(mainline_runs(prime=401), 1e9) == 1
    )  # at least one run, even if the cost model says that it does not fit


def test_plan_packs_runs_and_adds_up():
    cores = cost.core(200e9)
    single, three = (plan.plan("x", runs, cost.GPUS["h100"], cores) for runs in (MAINLINE[:1], MAINLINE))
    assert (single.shards, three.shards) == (1, 1)
    assert three.flops == 3 * single.flops
    assert single.training < three.training < 3 * single.training
    assert three.measuring == pytest.approx(3 * single.measuring)
    core = plan.plan("x", MAINLINE, cores, cores)
    assert core.measuring == three.measuring
    assert core.shards == 3
    assert plan.wall_time(core, 2) == pytest.approx(core.training / 2)
    assert plan.wall_time(core, 99) == pytest.approx(core.longest_shard_seconds)


@pytest.mark.parametrize(
    ("experiment", "milliseconds"),
    [("mainline", 539), ("prime_53", 180), ("two_layer", 1347), ("five_digit_addition", 299), ("subtraction", 717)],
)
def test_measuring_is_estimated_within_a_factor_of_two(experiment, milliseconds):
    """Recorded in the cubes, per checkpoint, on cores of about 105 GFLOP/s beside other work."""
    run = load_experiment(experiment, ROOT / "config/experiments").runs(experiment)[0]
    estimate = cost.measuring_seconds(run, cost.core(105e9)) / len(checkpoint_epochs(run.training))
    assert 0.5 < estimate * 1e3 / milliseconds < 2


def test_plan_names_its_hardware_and_refuses_unknown_names(tmp_path):
    folder = folder_with(tmp_path)
    output = command("plan", "small", "--gpu", "h100", folder=folder).stdout
    assert "Training on 1 H100, measuring on" in output
    assert "Expected, not measured" in output
    refused = command("plan", "all", "--gpu", "h1", folder=folder)
    assert refused.returncode == 2
    assert "one of: h200, h100" in refused.stderr
    refused = command("plan", "smal", folder=folder)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_planning_does_not_import_torch():
    code = "import sys, progress_measures.training.plan; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
