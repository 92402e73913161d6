#!/usr/bin/env bash
# A native network of TransformerLens 4 accepts five settings of the attention and ignores them.
#
# Expected: `TransformerBridge.boot_native(TransformerBridgeConfig(..., use_attn_scale=False))` makes a network whose
#   attention scores are not divided by sqrt(d_head), as `HookedTransformer` does, or ends with an error.
# What happens: the setting is stored in `cfg`, and the scores are divided nevertheless. (`attn_scale=1.0`, which has the same
#   meaning, gives an error.) Four more settings are accepted and ignored: `scale_attn_by_inverse_layer_idx`,
#   `parallel_attn_mlp`, `use_local_attn` with its window, and `rotary_adjacent_pairs`. The network behaves as if
#   `rotary_adjacent_pairs` were True, although False is the default. The logits with each of these settings are bit-identical
#   to those without. After `convert_tl_checkpoint`, weights of an old network with such a setting load strictly, and the new
#   network computes other logits. A rotary network is affected even with the default settings of both versions.
# What to do: after converting weights, compare the logits of both versions. For `use_attn_scale=False`, multiply W_Q and
#   b_Q by sqrt(d_head).
# Why it matters: every trained weight of the network is right, but attention patterns, logits and loss are wrong. A check of
#   names, shapes or weights does not detect the error.
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

cat > networks.py <<'PY'
import warnings

import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
SIZES = dict(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=32, d_vocab=12, d_vocab_out=11, n_ctx=3, act_fn="relu",
             normalization_type=None, device="cpu", seed=0)  # fmt: skip
ROTARY = dict(positional_embedding_type="rotary", rotary_dim=8)
TOKENS = torch.tensor([[1, 2, 11], [3, 4, 11], [10, 9, 11]])
# name of a setting: configuration without the setting, configuration with it
CASES = {
    "attn_scale=2.0": ({}, dict(attn_scale=2.0)),
    "attention_dir='bidirectional'": ({}, dict(attention_dir="bidirectional")),
    "use_attn_scale=False": ({}, dict(use_attn_scale=False)),
    "scale_attn_by_inverse_layer_idx": ({}, dict(scale_attn_by_inverse_layer_idx=True)),
    "parallel_attn_mlp": ({}, dict(parallel_attn_mlp=True)),
    "use_local_attn, window_size=1": ({}, dict(use_local_attn=True, window_size=1, attn_types=["local", "local"])),
    "rotary_adjacent_pairs=False": ({**ROTARY, "rotary_adjacent_pairs": True}, {**ROTARY, "rotary_adjacent_pairs": False}),
}
PY
cat > old.py <<'PY'
"""Save the weights of a HookedTransformer, and its logits without and with each setting; the weights do not differ."""
import torch
from networks import CASES, SIZES, TOKENS
from transformer_lens import HookedTransformer, HookedTransformerConfig


def logits_and_weights(settings):
    network = HookedTransformer(HookedTransformerConfig(**SIZES, **settings, init_weights=True))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.3)
        return network(TOKENS), network.state_dict()


torch.save({what: [logits_and_weights(settings) for settings in configurations] for what, configurations in CASES.items()}, "old.pt")
PY
cat > new.py <<'PY'
from importlib.metadata import version

import torch
from networks import CASES, SIZES, TOKENS
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

print("transformer_lens 2.16.1 and", version("transformer_lens"), "| torch", torch.__version__)
assert version("transformer_lens") == "4.3.0", "this is about version 4.3.0"
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about torch 2.15.0"
old = torch.load("old.pt")


def converted(settings, state_dict):
    config = TransformerBridgeConfig(**SIZES, **settings)
    network = TransformerBridge.boot_native(config)
    # as the converter advises: drop the rotary tables, because the network computes them from its configuration
    weights = {name: weight for name, weight in state_dict.items() if "rotary" not in name}
    network.load_state_dict(convert_tl_checkpoint(weights, config), strict=True)
    return network


def distance(one, two):
    return (one - two).abs().max().item()


print(f"\nLargest difference of logits        {'2.16.1: without':>16}{'4.3.0: without':>16}{'with it: 2.16.1':>17}")
print(f"{'':36}{'and with it':>16}{'and with it':>16}{'and 4.3.0':>17}")
wrong = []
with torch.no_grad():
    for what, (without_setting, with_setting) in CASES.items():
        (old_without, _), (old_with, weights) = old[what]
        new_without, new_with = (converted(settings, weights)(TOKENS) for settings in (without_setting, with_setting))
        effect_in_old, effect_in_new = distance(old_without, old_with), distance(new_without, new_with)
        between_versions = distance(old_with, new_with)
        print(f"    {what:32}{effect_in_old:16.3f}{effect_in_new:16.3f}{between_versions:17.1e}")
        if what in ("attn_scale=2.0", "attention_dir='bidirectional'"):  # version 4 implements these two
            described = effect_in_old > 0.1 and effect_in_new > 0.1 and between_versions < 1e-4
        else:
            described = effect_in_old > 0.1 and effect_in_new == 0 and between_versions > 0.1
        if not described:
            wrong.append(what)

    unscaled, weights = old["use_attn_scale=False"][1]
    for name in weights:
        if name.endswith(("W_Q", "b_Q")):
            weights[name] = weights[name] * SIZES["d_head"] ** 0.5
    network = converted(dict(use_attn_scale=False), weights)
    remedied = distance(network(TOKENS), unscaled)
print("use_attn_scale in the network's cfg:", network.cfg.use_attn_scale)
print(f"use_attn_scale=False, W_Q and b_Q multiplied by sqrt(d_head): 2.16.1 and 4.3.0 differ by {remedied:.1e}")
if remedied > 1e-4 or network.cfg.use_attn_scale:
    wrong.append("the remedy for use_attn_scale")
try:
    TransformerBridge.boot_native(TransformerBridgeConfig(**SIZES, attn_scale=1.0))
    wrong.append("attn_scale=1.0 is accepted")
except ValueError as error:
    print("attn_scale=1.0:", str(error).partition(";")[0])
if wrong:
    raise SystemExit("NOT AS DESCRIBED: " + "; ".join(wrong))
print("As described: five settings are accepted and ignored.")
PY
PYTHONPATH=$folder/old "$PYTHON" old.py
"$PYTHON" new.py
