#!/usr/bin/env bash
# A HookedTransformer (TransformerLens 2 and 3) saves, loads and requires its causal mask like a weight.
#
# Expected: the configuration (`n_ctx`, `attention_dir`, `use_local_attn`) determines the mask. `load_state_dict` accepts a
#   file with every trained parameter, and each version accepts files that the other version saved.
# What happens: `blocks.0.attn.mask` and `blocks.0.attn.IGNORE` are buffers, which belong to the state dict. (1) Both
#   versions reject a file with all parameters, because these two buffers are missing. (2) 2.16.1 rejects a file of 3.9.0, whose
#   mask has no elements any more; 3.9.0 accepts a file of 2.16.1. (3) In 2.16.1 the mask in the file overrides the
#   configuration: after loading weights of a network with local attention, a network with global attention attends locally.
#   The load is strict and gives no warning, and `cfg` still says global.
# What to do: remove the tensors whose names end in `.mask` or `.IGNORE` from the file, load with `strict=False`, and check that
#   nothing else is missing: `all(name.endswith((".mask", ".IGNORE")) for name in result.missing_keys)`.
# Why it matters: files of weights are written by other programs and are used for years. `strict=False` without the check
#   also ignores a weight whose name is misspelled; the network then keeps its random initial value.
# Versions: transformer_lens 2.16.1 and 3.9.0, torch 2.15.0. Both versions are installed into temporary folders, and use the
#   dependencies of version 4.3.0. Set PYTHON=... to a Python with torch and 4.3.0, else torch is downloaded (several GB).
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

step, version = sys.argv[1:]
folder = Path(transformer_lens.__file__).parents[1]
packages = distributions(path=[str(folder)])
installed = {package.version for package in packages if package.name.replace("-", "_").lower() == "transformer_lens"}
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


if step == "save":
    network = make(seed=0)
    parameters = dict(network.named_parameters())
    torch.save((network.state_dict(), parameters, network(TOKENS)), f"{version}.pt")
    raise SystemExit

other = "3.9.0" if version == "2.16.1" else "2.16.1"
state_dict, _, _ = torch.load(f"{version}.pt")
other_state_dict, other_parameters, other_logits = torch.load(f"{other}.pt")
observed = {
    "file of this version": load(state_dict, make(seed=1)),
    "file with all parameters": load(other_parameters, make(seed=1)),
    "file of the other version": load(other_state_dict, make(seed=1)),
}
network = make(seed=1)
weights = {name: weight for name, weight in other_state_dict.items() if not name.endswith((".mask", ".IGNORE"))}
missing = network.load_state_dict(weights, strict=False).missing_keys
only_masks_missing = all(name.endswith((".mask", ".IGNORE")) for name in missing)
observed["remedy"] = torch.allclose(network(TOKENS), other_logits, atol=1e-5) and only_masks_missing
network = make(seed=1)
observed["file with local attention"] = load(make(seed=0, **LOCAL).state_dict(), network)
pattern = network.run_with_cache(TOKENS)[1]["blocks.0.attn.hook_pattern"]
observed["attends locally"] = torch.equal(pattern, torch.eye(3).expand(2, 2, 3, 3))

print(f"\nversion {version}:")
for what in ("file of this version", "file with all parameters", "file of the other version"):
    print(f"    {what:35}{observed[what]}")
print(f"    without masks, strict=False        the logits equal those of {other}:", observed["remedy"])
print(f"    file with local attention          {observed['file with local attention']}; the network then attends"
      " locally:", observed["attends locally"])
lacking = 'refused: Missing key(s) in state_dict: "blocks.0.attn.mask", "blocks.0.attn.IGNORE"'
old = version == "2.16.1"
described = {
    "file of this version": "loads",
    "file with all parameters": lacking,
    "file of the other version": "refused: size mismatch for blocks.0.attn.mask" if old else "loads",
    "remedy": True,
    "file with local attention": "loads",
    "attends locally": old,
}
if observed != described:
    sys.exit(f"NOT AS DESCRIBED: {observed}")
PY
for step in save load; do
    for version in 2.16.1 3.9.0; do
        PYTHONPATH=$folder/$version "$PYTHON" try.py "$step" "$version"
    done
done
echo
echo "As described: the mask is saved, loaded and required like a weight."
