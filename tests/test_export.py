"""Exported files load in every version of TransformerLens with the program that `export` prints.

Versions 2 and 3 are downloaded, each into a folder of its own and without its dependencies; they use those of version 4.
"""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from progress_measures.cube.open import OpenRun
from progress_measures.experiments import load_experiment
from progress_measures.export import export
from progress_measures.models.design import design_of
from progress_measures.models.initialize import initial_weights
from progress_measures.models.transformer import forward
from support import ROOT
from support.experiments import pair_runs
from support.networks import random_tensors

OLD_VERSIONS = ("2.16.1", "3.9.0")
DESIGNS = {
    "paper": {},
    "two layers": {"layers": 2, "mlp_biases": False},
    "attention only": {"attention_only": True},
    "LayerNorm": {"normalization": "layer_norm", "layers": 2},
    "attention only, LayerNorm": {"attention_only": True, "normalization": "layer_norm"},
}
TOKENS = torch.cartesian_prod(torch.arange(13), torch.arange(13), torch.tensor([13]))
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


class RandomRun(OpenRun):
    """A run with random weights."""

    def __init__(self, dtype, **model):
        (run,) = pair_runs(count=1, **model)
        super().__init__(run.experiment, run.name)
        self.settings = run
        self.tensors = {name: tensor.detach() for name, tensor in random_tensors([run], dtype, scale=0.3).items()}

    def weights(self, epoch=None):
        return {name: tensor[0].numpy() for name, tensor in self.tensors.items()}

    def logits(self):
        """Return the logits of our own forward pass: [pair, position, output]."""
        return forward(self.tensors, TOKENS, design=design_of(self.settings.model))[0]


def assert_close(actual, expected):
    assert actual.dtype == expected.dtype
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("design", DESIGNS)
def test_version_4_loads_the_file_with_the_printed_program(tmp_path, dtype, design):
    run, names = RandomRun(dtype, **DESIGNS[design]), {}
    exec(export(run, [7], "transformer-lens-4", tmp_path / "exported.pth"), names)
    with torch.no_grad():
        assert_close(names["network"](TOKENS), run.logits())
        assert_close(run.transformer_lens()(TOKENS), run.logits())
    assert names["network"].cfg.dtype == run.transformer_lens().cfg.dtype == dtype


@pytest.fixture(scope="module", params=OLD_VERSIONS)
def run_in_old_version(request, tmp_path_factory):
    """A function that runs a Python program with an old version of TransformerLens."""
    folder = tmp_path_factory.mktemp("transformer_lens")
    uv = shutil.which("uv") or ROOT / ".venv-uv/bin/uv"  # as in the Makefile
    packages = [f"transformer_lens=={request.param}", "better-abc==0.0.3"]
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--target", folder, *packages], check=True)
    start = f"""\
import warnings
from importlib.metadata import version
warnings.simplefilter("ignore")
assert version("transformer_lens") == "{request.param}"
"""

    def run(program):
        environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", start + program], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    return run


@pytest.mark.old_lens
def test_old_versions_load_the_files_with_the_printed_program(run_in_old_version, tmp_path):
    cases = {(design, dtype): RandomRun(dtype, **DESIGNS[design]) for design in DESIGNS for dtype in TOLERANCE}
    program = ""
    for i, run in enumerate(cases.values()):
        program += export(run, [7], "transformer-lens", tmp_path / f"{i}.pth")
        program += f"torch.save(network(torch.tensor({TOKENS.tolist()})).detach(), {str(tmp_path / f'{i}.logits')!r})\n"
    run_in_old_version(program)
    for i, run in enumerate(cases.values()):
        assert_close(torch.load(tmp_path / f"{i}.logits"), run.logits())


def initial_weights_and_settings():
    """Return our initial weights of the demo, their names, and the same network's configuration in TransformerLens."""
    (run,) = load_experiment("transformer_lens_demo").runs("transformer_lens_demo")
    assert run.model.initialization == "transformer_lens"
    weights = initial_weights(run)
    sizes = {"d_model": 128, "n_heads": 4, "d_head": 32, "d_mlp": 512, "d_vocab": 114, "d_vocab_out": 113, "n_ctx": 3}
    settings = {"n_layers": 1, "act_fn": "relu", "normalization_type": None, "seed": run.seed, "device": "cpu"}
    return weights, [name for name in weights if name.startswith("W_")], sizes | settings


@pytest.mark.old_lens
def test_old_versions_draw_our_initial_weights(run_in_old_version, tmp_path):
    weights, names, settings = initial_weights_and_settings()
    run_in_old_version(f"""
import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
network = HookedTransformer(HookedTransformerConfig(**{settings}))
torch.save({{name: getattr(network, name).detach() for name in {names}}}, {str(tmp_path / "initial.pth")!r})
""")
    theirs = torch.load(tmp_path / "initial.pth")
    for name in names:
        assert torch.equal(theirs[name], weights[name]), name


def test_seeds_of_version_4_give_equal_embeddings_and_other_matrices():
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    weights, names, settings = initial_weights_and_settings()
    network = TransformerBridge.boot_native(TransformerBridgeConfig(**settings))
    equal = {name for name in names if torch.equal(getattr(network, name).detach(), weights[name])}
    assert equal == {"W_E", "W_pos"}
