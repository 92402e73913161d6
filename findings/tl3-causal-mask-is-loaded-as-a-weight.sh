#!/usr/bin/env bash
# The causal mask of a HookedTransformer (TransformerLens 2 and 3) is saved, loaded and required as a weight is.
#
# Expected: the mask follows from the configuration (`n_ctx`, `attention_dir`, `use_local_attn`). A file with every trained
#   parameter loads with `load_state_dict`, and a file of one version loads in the other.
# What happens: `blocks.0.attn.mask` and `blocks.0.attn.IGNORE` are buffers, which belong to the state dict. (1) A file with
#   all parameters is refused by 2.16.1 and by 3.9.0, because these two are missing. (2) A file of 3.9.0 is refused by
#   2.16.1, because its mask has no elements any more. The other direction works. (3) In 2.16.1 the mask in the file wins
#   over the configuration: weights of a network with local attention make a network with global attention a local one,
#   strictly and without a warning, while `cfg` says global.
# What to do: leave out the names that end in `.mask` and `.IGNORE`, load with `strict=False`, and check that nothing else is
#   missing: `all(name.endswith((".mask", ".IGNORE")) for name in result.missing_keys)`.
# Why it matters: files of weights are written by other programs and stay around for years. `strict=False` alone also
#   passes over a weight whose name has a spelling mistake, and that weight keeps its random start.
# Versions: transformer_lens 2.16.1 and 3.9.0, torch 2.15.0. The two are put into temporary folders, and use what version
#   4.3.0 depends on. A Python with torch and 4.3.0 may be given: PYTHON=... (torch is a download of several GB otherwise).
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
for version in 2.16.1 3.9.0; do
    install --no-deps --target "$version" "transformer_lens==$version" better-abc==0.0.3
done

cat > try.py <<'PY'
import sys
import warnings
from importlib.metadata import distributions
from pathlib import Path

import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
import transformer_lens
from transformer_lens import HookedTransformer, HookedTransformerConfig

do, version = sys.argv[1:]
folder = Path(transformer_lens.__file__).parents[1]
installed = {one.version for one in distributions(path=[str(folder)]) if one.name.replace("-", "_").lower() == "transformer_lens"}
assert installed == {version}, f"version {installed} is used in place of {version}"
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about torch 2.15.0"
SIZES = dict(n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=32, d_vocab=12, d_vocab_out=11, n_ctx=3, act_fn="relu",
             normalization_type=None, device="cpu", init_weights=True)  # fmt: skip
LOCAL = dict(use_local_attn=True, window_size=1, attn_types=["local"])
TOKENS = torch.tensor([[1, 2, 11], [3, 4, 11]])
torch.set_grad_enabled(False)


def make(seed, **settings):
    return HookedTransformer(HookedTransformerConfig(**SIZES, **settings, seed=seed))


def load(weights, into, **how):
    try:
        into.load_state_dict(weights, **how)
        return "loads"
    except RuntimeError as error:
        reason = str(error).partition("\n\t")[2]
        return "refused: " + reason.partition(": copying")[0].strip().rstrip(".")


if do == "save":
    network = make(seed=0)
    parameters = dict(network.named_parameters())
    torch.save((network.state_dict(), parameters, network(TOKENS)), f"{version}.pt")
    raise SystemExit

other = "3.9.0" if version == "2.16.1" else "2.16.1"
own, _, _ = torch.load(f"{version}.pt")
foreign, parameters, logits = torch.load(f"{other}.pt")
seen = {"own": load(own, make(seed=1)), "parameters": load(parameters, make(seed=1)), "foreign": load(foreign, make(seed=1))}
network = make(seed=1)
kept = {name: weight for name, weight in foreign.items() if not name.endswith((".mask", ".IGNORE"))}
missing = network.load_state_dict(kept, strict=False).missing_keys
seen["remedy"] = torch.allclose(network(TOKENS), logits, atol=1e-5) and all(name.endswith((".mask", ".IGNORE")) for name in missing)
network = make(seed=1)
seen["local file"] = load(make(seed=0, **LOCAL).state_dict(), network)
pattern = network.run_with_cache(TOKENS)[1]["blocks.0.attn.hook_pattern"]
seen["is local"] = torch.equal(pattern, torch.eye(3).expand(2, 2, 3, 3))

print(f"\nversion {version}:")
print("    its own file:                       ", seen["own"])
print("    a file with all parameters:         ", seen["parameters"])
print(f"    {'a file of ' + other + ':':36}", seen["foreign"])
print("    the same without masks, not strict:  same logits as there:", seen["remedy"])
print("    a file of a local network:          ", seen["local file"] + "; the network attends to its own position only:", seen["is local"])
lacking = 'refused: Missing key(s) in state_dict: "blocks.0.attn.mask", "blocks.0.attn.IGNORE"'
old = version == "2.16.1"
described = {
    "own": "loads",
    "parameters": lacking,
    "foreign": "refused: size mismatch for blocks.0.attn.mask" if old else "loads",
    "remedy": True,
    "local file": "loads",
    "is local": old,
}
if seen != described:
    sys.exit(f"NOT AS DESCRIBED: {seen}")
PY
for do in save load; do
    for version in 2.16.1 3.9.0; do
        PYTHONPATH=$folder/$version "$PYTHON" try.py "$do" "$version"
    done
done
echo
echo "As described: the mask is saved, loaded and required as a weight is."
