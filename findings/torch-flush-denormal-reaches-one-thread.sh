#!/usr/bin/env bash
# `torch.set_flush_denormal(True)` takes effect in one thread only, so only part of a large tensor is flushed to zero.
#
# Expected: the function "disables denormal floating numbers on CPU" and returns True. After this call no operation on
#   the CPU gives a subnormal (denormal) number; after `set_flush_denormal(False)` operations give subnormal numbers again.
# What happens: the call changes a setting of the calling thread. PyTorch divides large operations among threads, which it
#   starts at the first parallel operation. They copy the setting of the thread that starts them, and keep it. After an earlier
#   operation on a large tensor, the call therefore takes effect only in the first part of a tensor. A call before the first
#   parallel operation takes effect in all threads, but a later `set_flush_denormal(False)` takes effect in one of them only.
# What to do: call the function once in each process, before the first operation on a large tensor, and check the effect on a
#   product of large tensors. Or compute in one thread.
# Why it matters: when the loss of a network is very small, gradients and Adam's second moments become subnormal, with
#   which a CPU is many times slower. The call seems to have no effect, and the results of the same code depend on the number
#   of threads and on the size of a tensor.
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

cat > try.py <<'PY'
import sys

import torch

order = sys.argv[1]
torch.set_num_threads(1)  # the fill below must not start other threads
subnormal = torch.full((1_000_000,), 1e-39)
ones = torch.ones_like(subnormal)
torch.set_num_threads(2)


def fraction_of_zeros(when):
    bits = (subnormal * ones).view(torch.int32)  # bits, because a flushing thread reads a subnormal float as zero
    fraction = (bits == 0).double().mean().item()
    first, last = ("zero" if bits[at] == 0 else "1e-39" for at in (0, -1))
    print(f"    {when:33}{fraction:4.0%} zeros; the first number is {first}, the last is {last}")
    return fraction


fractions = []
if order == "late":
    fractions.append(fraction_of_zeros("before the call"))
    assert torch.set_flush_denormal(True), "this processor cannot flush subnormal numbers"
    fractions.append(fraction_of_zeros("after set_flush_denormal(True)"))
    torch.set_num_threads(1)
    fractions.append(fraction_of_zeros("after set_num_threads(1)"))
    described = [0, 0.5, 1]
else:
    assert torch.set_flush_denormal(True)
    fractions.append(fraction_of_zeros("after set_flush_denormal(True)"))
    assert torch.set_flush_denormal(False)
    fractions.append(fraction_of_zeros("after set_flush_denormal(False)"))
    described = [1, 0.5]
if fractions != described:
    sys.exit(f"NOT AS DESCRIBED: fractions of zeros {fractions}, not {described}")
PY
"$PYTHON" - <<'PY'
import torch

print("torch", torch.__version__)
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about version 2.15.0"
PY
echo "A million products 1e-39 * 1, with two threads; set_flush_denormal is called after a parallel operation:"
"$PYTHON" try.py late
echo "set_flush_denormal is called before the first parallel operation:"
"$PYTHON" try.py early
echo "As described: the call takes effect in one of two threads."
