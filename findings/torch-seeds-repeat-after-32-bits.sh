#!/usr/bin/env bash
# Seeds of PyTorch's CPU generator that differ by a multiple of 2**32 give the same network.
#
# Expected: `torch.manual_seed` accepts any 64-bit integer, so different seeds give different networks.
# What happens: the CPU generator uses only the lower 32 bits of the seed. After `manual_seed(598)` and after
#   `manual_seed(598 + 2**32)` it draws the same numbers: the same initial weights, the same shuffled data, the same dropout.
#   `torch.initial_seed()` returns all bits of the seed, and `torch.get_rng_state()` differs, so the two generators seem to
#   differ. No warning appears. A `torch.Generator` does the same. NumPy's `default_rng` uses all bits.
# What to do: use seeds that differ in their lower 32 bits, or hash all bits into 32, for example with
#   `numpy.random.SeedSequence([experiment, run]).generate_state(1)[0]`.
# Why it matters: seeds are often composed, such as `experiment << 32 | run`. Then run 0 of every experiment starts from the
#   same weights, and seemingly independent replications are one network, recorded under several seeds.
# Versions: torch 2.15.0, numpy 2.4.6. Set PYTHON=... to a Python that has both, else torch is downloaded (several
#   GB). Needs python3, 3.11 or later, with venv.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
PYTHON=${PYTHON:-}
if [ -z "$PYTHON" ]; then
    python3 -m venv venv
    PYTHON=$folder/venv/bin/python
    "$PYTHON" -m pip install -q --disable-pip-version-check torch==2.15.0 numpy==2.4.6 2>&1 | grep -v '^WARNING' || true
fi

"$PYTHON" - <<'PY'
import numpy as np
import torch
from torch import nn

print("torch", torch.__version__, "| numpy", np.__version__)
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about torch 2.15.0"


def draw(seed):
    """Draw what a training run draws: initial weights, a split of the data, a dropout mask. Also return seed and state."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Embedding(114, 128), nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 113))
    weights = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    drawn = weights, torch.randperm(113 * 113), nn.functional.dropout(torch.ones(1000))
    return drawn, torch.initial_seed(), torch.get_rng_state()


def draw_from_generator(seed):
    return torch.randn(1000, generator=torch.Generator().manual_seed(seed))


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


low = 598
first, _, first_state = draw(low)
print(f"{'seed':>22}  {'initial_seed':>22}  draws as {low}  rng_state as {low}  Generator as {low}")
rows = []
for seed in (low, low + 2**32, 7 << 32 | low, 2**63 + low, low + 1):
    drawn, initial_seed, state = draw(seed)
    same_generator = torch.equal(draw_from_generator(low), draw_from_generator(seed))
    row = same(first, drawn), torch.equal(first_state, state), same_generator
    assert initial_seed == seed, "initial_seed() is not the seed"
    rows.append(row)
    print(f"{seed:22}  {initial_seed:22}  {row[0]!s:>12}  {row[1]!s:>16}  {row[2]!s:>16}")


def draw_with_numpy(seed):
    return np.random.default_rng(seed).normal(size=10)


numpy_differs = not np.array_equal(draw_with_numpy(low), draw_with_numpy(low + 2**32))
print("NumPy's default_rng draws different numbers for", low, "and", low + 2**32, ":", numpy_differs)
hashed = {int(np.random.SeedSequence([experiment, 0]).generate_state(1)[0]) for experiment in range(100)}
print("different seeds of run 0 in 100 experiments, hashed by SeedSequence:", len(hashed))
repeats = (True, False, True)
if rows != [(True, True, True), repeats, repeats, repeats, (False, False, False)] or not numpy_differs or len(hashed) != 100:
    raise SystemExit("NOT AS DESCRIBED: see the table")
print("As described: only the lower 32 bits of a seed count.")
PY
