#!/usr/bin/env bash
# Two networks that are set from one vector with `vector_to_parameters` are one network afterwards.
#
# Expected: `torch.nn.utils.vector_to_parameters(vector, network.parameters())` copies the numbers of the vector into the
#   network. The vector stays as it is, as it does with `parameters_to_vector`, which returns a copy.
# What happens: every parameter becomes a view of the vector. What trains the network changes the vector, and what changes
#   the vector changes the network. A second network that is set from the same vector shares its weights with the first,
#   so that training one trains both. The parameters also take on the vector's dtype. No error and no warning appears.
# What to do: give each network a copy, `vector_to_parameters(vector.clone(), network.parameters())`.
# Why it matters: a vector of weights is how one keeps a starting point, walks along a direction of the loss landscape,
#   averages checkpoints, or starts two trainings from the same weights. Distances from the "starting point" are zero
#   after any training, and two trainings that are compared with each other are one.
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
import warnings

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

print("torch", torch.__version__)
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about version 2.15.0"
torch.set_num_threads(1)
torch.manual_seed(0)
inputs, labels = torch.randn(64, 10), torch.randint(0, 5, (64,))


def network():
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 5))


def train(trained, weight_decay):
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-2, weight_decay=weight_decay)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(trained(inputs), labels).backward()
        optimizer.step()


def weights(of):
    return parameters_to_vector(of.parameters()).detach()


def two_trainings(copy):
    """Two networks start from one vector. How far is what from where it was?"""
    torch.manual_seed(1)
    start = weights(network())
    kept = start.clone()
    one, two = network(), network()
    for each in (one, two):
        vector_to_parameters(start.clone() if copy else start, each.parameters())
    train(one, weight_decay=0.0)
    return {
        "the trained network": (weights(one) - kept).norm().item(),
        "the other network": (weights(two) - kept).norm().item(),
        "the vector": (start - kept).norm().item(),
        "the trained network from the vector": (weights(one) - start).norm().item(),
    }


with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    shared, copied = two_trainings(copy=False), two_trainings(copy=True)
print("Two networks are set from one vector, and one of them is trained. Distances after that:")
print(f"    {'':37}{'vector':>8}{'vector.clone()':>16}")
for what in shared:
    print(f"    {what:37}{shared[what]:8.3f}{copied[what]:16.3f}")
doubled = network()
vector_to_parameters(weights(doubled).double(), doubled.parameters())
print("dtype of a float32 network that is set from a float64 vector:", doubled[0].weight.dtype)

moved = shared["the trained network"]
described = {
    "the training moves the network": moved > 0.1 and copied["the trained network"] > 0.1,
    "the other network moves as far": shared["the other network"] == moved,
    "the vector moves as far": shared["the vector"] == moved,
    "so the distance from the vector is zero": shared["the trained network from the vector"] == 0,
    "a copy keeps them apart": copied["the other network"] == copied["the vector"] == 0,
    "the dtype is the vector's": doubled[0].weight.dtype == torch.float64,
    "without a warning": not said,
}
wrong = [what for what, holds in described.items() if not holds]
if wrong:
    raise SystemExit("NOT AS DESCRIBED: " + "; ".join(wrong))
print("As described: the parameters are views of the vector.")
PY
