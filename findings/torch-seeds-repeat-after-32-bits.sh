#!/usr/bin/env bash
# Seeds of PyTorch's CPU generator that differ by a multiple of 2**32 give the same network.
#
# Expected: `torch.manual_seed` takes any integer of 64 bits, so two seeds give two networks.
# What happens: the generator of the CPU uses the lower 32 bits of the seed and ignores the others. `manual_seed(598)` and
#   `manual_seed(598 + 2**32)` draw the same numbers: the same initial weights, the same shuffled data, the same dropout.
#   `torch.initial_seed()` returns the whole seed, and `torch.get_rng_state()` differs, so both say that the two are
#   different. No warning appears. A `torch.Generator` behaves alike. NumPy's `default_rng` uses all bits.
# What to do: keep what tells runs apart in the lower 32 bits, or mix all bits into 32 of them, for example with
#   `numpy.random.SeedSequence([experiment, run]).generate_state(1)[0]`.
# Why it matters: seeds are often put together, such as `experiment << 32 | run`. Then run 0 of every experiment starts
#   from the same weights, and what looks like independent replications is one network, recorded under several seeds.
# Versions: torch 2.15.0, numpy 2.4.6. A Python that has them may be given: PYTHON=... (torch is a download of several GB).
#   Needs python3, 3.11 or later, with venv.
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


def start(seed):
    """All that a training run draws: initial weights, a split of the data, a dropout mask."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Embedding(114, 128), nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 113))
    weights = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    drawn = weights, torch.randperm(113 * 113), nn.functional.dropout(torch.ones(1000))
    return drawn, torch.initial_seed(), torch.get_rng_state()


def generated(seed):
    return torch.randn(1000, generator=torch.Generator().manual_seed(seed))


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


low = 598
first, first_seed, first_state = start(low)
print(f"{'seed':>22}  {'initial_seed':>22}  drawn as from {low}  rng_state as from {low}  Generator as from {low}")
rows = []
for seed in (low, low + 2**32, 7 << 32 | low, 2**63 + low, low + 1):
    drawn, told, state = start(seed)
    row = same(first, drawn), torch.equal(first_state, state), torch.equal(generated(low), generated(seed))
    assert told == seed, "initial_seed() is not the seed"
    rows.append(row)
    print(f"{seed:22}  {told:22}  {row[0]!s:>17}  {row[1]!s:>21}  {row[2]!s:>21}")


def with_numpy(seed):
    return np.random.default_rng(seed).normal(size=10)


numpy_differs = not np.array_equal(with_numpy(low), with_numpy(low + 2**32))
print("NumPy's default_rng draws other numbers from", low, "and", low + 2**32, ":", numpy_differs)
mixed = {int(np.random.SeedSequence([experiment, 0]).generate_state(1)[0]) for experiment in range(100)}
print("seeds of run 0 in 100 experiments, mixed by SeedSequence:", len(mixed))
repeats = (True, False, True)
if rows != [(True, True, True), repeats, repeats, repeats, (False, False, False)] or not numpy_differs or len(mixed) != 100:
    raise SystemExit("NOT AS DESCRIBED: see the table")
print("As described: only the lower 32 bits of a seed count.")
PY
