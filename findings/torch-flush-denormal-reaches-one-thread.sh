#!/usr/bin/env bash
# `torch.set_flush_denormal(True)` flushes subnormal numbers to zero in one part of a tensor and keeps them in the rest.
#
# Expected: the function "disables denormal floating numbers on CPU" and returns True. From then on no operation on the
#   CPU gives a subnormal number, and `set_flush_denormal(False)` brings them back.
# What happens: the switch belongs to the thread that makes the call. The threads among which PyTorch divides large
#   operations take their setting from the thread that starts them, at the first parallel operation, and keep it. After
#   any earlier operation on a large tensor, the call reaches the first part of a tensor only. A call that comes early
#   enough reaches all threads, and then `False` switches one of them back.
# What to do: call it before the first operation on a large tensor, once in each process, and check it by a product of a
#   large tensor. Or compute in one thread.
# Why it matters: when the loss of a network is very small, gradients and Adam's second moments become subnormal, and a
#   CPU is many times slower with these. The call seems to have no effect, and the same code gives other numbers with
#   another number of threads or another size of tensor.
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

cat > try.py <<'PY'
import sys

import torch

order = sys.argv[1]
torch.set_num_threads(1)  # no operation is divided yet
subnormal = torch.full((1_000_000,), 1e-39)
ones = torch.ones_like(subnormal)
torch.set_num_threads(2)


def look(when):
    bits = (subnormal * ones).view(torch.int32)  # a thread that flushes reads every subnormal number as zero
    zeros = (bits == 0).double().mean().item()
    first, last = ("zero" if bits[at] == 0 else "1e-39" for at in (0, -1))
    print(f"    {when:33}{zeros:4.0%} zeros; the first number is {first}, the last is {last}")
    return zeros


seen = []
if order == "late":
    seen.append(look("before the call"))
    assert torch.set_flush_denormal(True), "this processor cannot flush subnormal numbers"
    seen.append(look("after set_flush_denormal(True)"))
    torch.set_num_threads(1)
    seen.append(look("the same with one thread"))
    described = [0, 0.5, 1]
else:
    assert torch.set_flush_denormal(True)
    seen.append(look("after set_flush_denormal(True)"))
    assert torch.set_flush_denormal(False)
    seen.append(look("after set_flush_denormal(False)"))
    described = [1, 0.5]
if seen != described:
    sys.exit(f"NOT AS DESCRIBED: parts of zeros {seen}, not {described}")
PY
"$PYTHON" - <<'PY'
import torch

print("torch", torch.__version__)
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about version 2.15.0"
PY
echo "A million times 1e-39 * 1, with two threads; the call comes after a parallel operation:"
"$PYTHON" try.py late
echo "The call comes before the first parallel operation:"
"$PYTHON" try.py early
echo "As described: the call reaches one of two threads."
