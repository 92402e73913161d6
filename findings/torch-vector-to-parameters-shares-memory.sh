#!/usr/bin/env bash
# Two networks whose weights are set from one vector with `vector_to_parameters` share these weights.
#
# Expected: `torch.nn.utils.vector_to_parameters(vector, network.parameters())` copies the numbers of the vector into the
#   network, just as `parameters_to_vector` returns a copy. Training the network leaves the vector unchanged.
# What happens: every parameter becomes a view of the vector. Training the network changes the vector, and changing the vector
#   changes the network. A second network that is set from the same vector shares its weights with the first, so training one
#   trains both. The parameters also get the vector's dtype. Neither error nor warning appears.
# What to do: use a copy for each network, `vector_to_parameters(vector.clone(), network.parameters())`.
# Why it matters: vectors of weights serve to store a starting point, move along a direction of the loss landscape, average
#   checkpoints, or start two trainings from the same weights. Without a copy, the distance from the starting point is zero
#   after any training, and two trainings from one vector give one network.
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
import warnings

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

print("torch", torch.__version__)
assert torch.__version__.partition("+")[0] == "2.15.0", "this is about version 2.15.0"
torch.set_num_threads(1)
torch.manual_seed(0)
inputs, labels = torch.randn(64, 10), torch.randint(0, 5, (64,))


def make():
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 5))


def train(network, weight_decay):
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=weight_decay)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()


def weights(network):
    return parameters_to_vector(network.parameters()).detach()


def two_trainings(copy):
    """Set two networks from one vector and train the first. Return how far each network and the vector have moved."""
    torch.manual_seed(1)
    vector = weights(make())
    start = vector.clone()
    trained, other = make(), make()
    for network in (trained, other):
        vector_to_parameters(vector.clone() if copy else vector, network.parameters())
    train(trained, weight_decay=0.0)
    return {
        "the trained network": (weights(trained) - start).norm().item(),
        "the other network": (weights(other) - start).norm().item(),
        "the vector": (vector - start).norm().item(),
        "the trained network from the vector": (weights(trained) - vector).norm().item(),
    }


with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    shared, copied = two_trainings(copy=False), two_trainings(copy=True)
print("Two networks are set from one vector, and one of them is trained. Distances from the start, after training:")
print(f"    {'':37}{'vector':>8}{'vector.clone()':>16}")
for what in shared:
    print(f"    {what:37}{shared[what]:8.3f}{copied[what]:16.3f}")
float32_network = make()
vector_to_parameters(weights(float32_network).double(), float32_network.parameters())
print("dtype of a float32 network that is set from a float64 vector:", float32_network[0].weight.dtype)

distance = shared["the trained network"]
described = {
    "training moves the trained network": distance > 0.1 and copied["the trained network"] > 0.1,
    "the other network moves as far": shared["the other network"] == distance,
    "the vector moves as far": shared["the vector"] == distance,
    "the trained network still equals the vector": shared["the trained network from the vector"] == 0,
    "with copies, the other network and the vector do not move": copied["the other network"] == copied["the vector"] == 0,
    "the dtype is the vector's": float32_network[0].weight.dtype == torch.float64,
    "no warning appears": not warned,
}
wrong = [what for what, holds in described.items() if not holds]
if wrong:
    raise SystemExit("NOT AS DESCRIBED: " + "; ".join(wrong))
print("As described: the parameters are views of the vector.")
PY
