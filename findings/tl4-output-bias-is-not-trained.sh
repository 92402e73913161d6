#!/usr/bin/env bash
# The output bias b_U of a native network of TransformerLens 4 is not trained.
#
# Expected: `TransformerBridge.boot_native(config)` makes a network whose b_U is a parameter, as b_Q, b_O, b_in and b_out
#   are, and as b_U is in `HookedTransformer`. An optimizer over `network.parameters()` trains it.
# What happens: b_U is added to the logits, is saved and loaded with the weights, and can be set by hand, but it is a buffer.
#   It is not among `parameters()`, gets no gradient and no weight decay, and stays at zero in a network that is trained
#   from scratch. In a network that is loaded from an old checkpoint and trained on it stays at the old values, while all
#   else moves on. A count of parameters or a sum of squared weights over `parameters()` lacks it.
# What to do: replace the buffer by a parameter before the optimizer is made:
#       output = network.unembed.original_component
#       output.register_parameter("bias", torch.nn.Parameter(output._buffers.pop("bias")))
#   `state_dict` and `load_state_dict` keep their names.
# Why it matters: a network with a trained output bias can express how frequent each answer is there. The same training
#   in version 4 has to express it elsewhere, and a comparison of the two versions finds another network.
# Versions: transformer_lens 2.16.1 and 4.3.0, torch 2.15.0. A Python that has the latter two may be given: PYTHON=...
#   (torch is a download of several GB otherwise). Version 2.16.1 is put into a temporary folder.
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


def train(what, network, moved):
    """Answer 5 is right in most of the examples. Returns how far each weight in `moved` goes."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 12, (200, 3), generator=generator)
    answers = torch.where(torch.rand(200, generator=generator) < 0.8, 5, torch.randint(0, 11, (200,), generator=generator))
    before = [weight().detach().clone() for weight in moved.values()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(50):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(tokens)[:, -1], answers).backward()
        optimizer.step()
    far = {name: (weight().detach() - old).abs().max().item() for (name, weight), old in zip(moved.items(), before)}
    count = sum(weight.numel() for weight in network.parameters())
    print(f"    {what:30}{count:5} parameters; moved by " + ", ".join(f"{name} {by:.3f}" for name, by in far.items()))
    return far["b_U"], far["b_out"], count
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


as_made, loaded, mended = make(), make(), make()
with torch.no_grad():
    loaded.b_U.copy_(torch.linspace(-1, 1, 11))
buffers = [name for name, _ in as_made.named_buffers() if name.startswith("unembed")]
output = mended.unembed.original_component
output.register_parameter("bias", torch.nn.Parameter(output._buffers.pop("bias")))
results = [
    train("4.3.0", as_made, weights(as_made)),
    train("4.3.0, b_U set before", loaded, weights(loaded)),
    train("4.3.0, b_U made a parameter", mended, weights(mended)),
]
again = make()
again.load_state_dict(mended.state_dict(), strict=True)
tokens = torch.tensor([[1, 2, 3]])
print("    buffers of the unembedding in 4.3.0:", buffers)
old_bias, old_other, old_count = json.loads(Path("old.json").read_text())
described = {
    "2.16.1 trains b_U": old_bias > 0.1 and old_other > 0.1,
    "4.3.0 does not": results[0][0] == 0 and results[0][1] > 0.1,
    "nor where it has other values": results[1][0] == 0 and results[1][1] > 0.1,
    "nor counts it": results[0][2] == old_count - 11,
    "it is a buffer": len(buffers) == 1 and buffers[0].endswith("bias"),
    "as a parameter it is trained": results[2][0] > 0.1 and results[2][2] == old_count,
    "and saved and loaded": torch.equal(again(tokens), mended(tokens)),
}
wrong = [what for what, holds in described.items() if not holds]
if wrong:
    sys.exit("NOT AS DESCRIBED: " + "; ".join(wrong))
print("As described: b_U is trained in 2.16.1 and not in 4.3.0.")
PY
echo "A network of one layer is trained for 50 steps:"
PYTHONPATH=$folder/old "$PYTHON" old.py
"$PYTHON" new.py
