#!/usr/bin/env bash
# The output bias b_U of a native network of TransformerLens 4 is not trained.
#
# Expected: `TransformerBridge.boot_native(config)` makes a network whose b_U is a parameter, as b_Q, b_O, b_in and b_out
#   are, and as b_U is in `HookedTransformer`. An optimizer over `network.parameters()` trains it.
# What happens: b_U is added to the logits, is saved and loaded with the weights, and can be set by hand, but it is a buffer.
#   So b_U is not among `parameters()` and gets neither gradient nor weight decay. In a network trained from scratch, b_U stays
#   at zero. In a network loaded from an old checkpoint and trained further, b_U keeps its old values while all weights change.
#   A count of parameters, or a sum of squared weights, over `parameters()` does not include b_U.
# What to do: replace the buffer by a parameter before the optimizer is made:
#       output = network.unembed.original_component
#       output.register_parameter("bias", torch.nn.Parameter(output._buffers.pop("bias")))
#   The names in `state_dict` and `load_state_dict` do not change.
# Why it matters: a network with a trained output bias can represent the frequency of each answer in this bias. Trained in
#   version 4, the network must represent it elsewhere, so the two versions give different networks.
# Versions: transformer_lens 2.16.1 and 4.3.0, torch 2.15.0. Set PYTHON=... to a Python that has the last two, else
#   torch is downloaded (several GB). Version 2.16.1 is installed into a temporary folder.
#   Needs python3, 3.11 or later, with venv.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
PYTHON=${PYTHON:-}
python3 -m venv venv
install() { venv/bin/python -m pip install -q --disable-pip-version-check "$@" 2>&1 | grep -v '^WARNING' || true; }
if [ -z "$PYTHON" ]; then
    PYTHON=$folder/venv/bin/python
    install torch==2.15.0 transformer_lens==4.3.0 transformers==5.23.0 numpy==2.4.6
fi
install --no-deps --target old transformer_lens==2.16.1 better-abc==0.0.3

cat > common.py <<'PY'
import json
import sys
import warnings
from pathlib import Path

import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
SIZES = dict(n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=32, d_vocab=12, d_vocab_out=11, n_ctx=3, act_fn="relu",
             normalization_type=None, device="cpu", seed=0)  # fmt: skip


def train(what, network, weights):
    """Train on examples whose answer is mostly 5. Return the largest changes of b_U and b_out, and the number of parameters."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 12, (200, 3), generator=generator)
    answers = torch.where(torch.rand(200, generator=generator) < 0.8, 5, torch.randint(0, 11, (200,), generator=generator))
    initial = [weight().detach().clone() for weight in weights.values()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(50):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(tokens)[:, -1], answers).backward()
        optimizer.step()
    changes = {name: (weight().detach() - old).abs().max().item() for (name, weight), old in zip(weights.items(), initial)}
    count = sum(weight.numel() for weight in network.parameters())
    listed = ", ".join(f"{name} {change:.3f}" for name, change in changes.items())
    print(f"    {what:30}{count:5} parameters; largest change: {listed}")
    return changes["b_U"], changes["b_out"], count
PY
cat > old.py <<'PY'
from common import SIZES, Path, json, train
from transformer_lens import HookedTransformer, HookedTransformerConfig

network = HookedTransformer(HookedTransformerConfig(**SIZES, init_weights=True))
mlp = network.blocks[0].mlp
result = train("2.16.1", network, {"b_out": lambda: mlp.b_out, "b_U": lambda: network.unembed.b_U})
Path("old.json").write_text(json.dumps(result))
PY
cat > new.py <<'PY'
from importlib.metadata import version

from common import SIZES, Path, json, sys, torch, train
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

assert version("transformer_lens") == "4.3.0", "this is about version 4.3.0"
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about torch 2.15.0"


def make():
    return TransformerBridge.boot_native(TransformerBridgeConfig(**SIZES))


def weights(network):
    return {"b_out": lambda: network.blocks[0].mlp.b_out, "b_U": lambda: network.b_U}


as_made, with_bias_set, with_parameter = make(), make(), make()
with torch.no_grad():
    with_bias_set.b_U.copy_(torch.linspace(-1, 1, 11))
buffers = [name for name, _ in as_made.named_buffers() if name.startswith("unembed")]
output = with_parameter.unembed.original_component
output.register_parameter("bias", torch.nn.Parameter(output._buffers.pop("bias")))
results = [
    train("4.3.0", as_made, weights(as_made)),
    train("4.3.0, b_U set before", with_bias_set, weights(with_bias_set)),
    train("4.3.0, b_U made a parameter", with_parameter, weights(with_parameter)),
]
reloaded = make()
reloaded.load_state_dict(with_parameter.state_dict(), strict=True)
tokens = torch.tensor([[1, 2, 3]])
print("    buffers of the unembedding in 4.3.0:", buffers)
old_bias, old_other, old_count = json.loads(Path("old.json").read_text())
described = {
    "2.16.1 trains b_U": old_bias > 0.1 and old_other > 0.1,
    "4.3.0 does not train b_U": results[0][0] == 0 and results[0][1] > 0.1,
    "4.3.0 does not train a b_U that was set": results[1][0] == 0 and results[1][1] > 0.1,
    "4.3.0 does not count b_U as parameters": results[0][2] == old_count - 11,
    "b_U is a buffer": len(buffers) == 1 and buffers[0].endswith("bias"),
    "b_U as a parameter is trained": results[2][0] > 0.1 and results[2][2] == old_count,
    "b_U as a parameter is saved and loaded": torch.equal(reloaded(tokens), with_parameter(tokens)),
}
wrong = [what for what, holds in described.items() if not holds]
if wrong:
    sys.exit("NOT AS DESCRIBED: " + "; ".join(wrong))
print("As described: b_U is trained in 2.16.1 and not in 4.3.0.")
PY
echo "A network of one layer is trained for 50 steps:"
PYTHONPATH=$folder/old "$PYTHON" old.py
"$PYTHON" new.py
