#!/usr/bin/env bash
# Two equal models of pydantic cannot be compared after both have computed a cached array.
#
# Expected: pydantic compares models by their fields. A `functools.cached_property` is no field, so `a == b` and `a in [b]` give the
#   same answer before and after it is read.
# What happens: `==` first compares the `__dict__` of both models, which also holds the cached values. If both hold a NumPy array
#   or a torch tensor with several elements, this raises ValueError (RuntimeError for a tensor). While only one of the two models
#   has computed its array, the comparison is True.
# What to do: compare `a.model_dump() == b.model_dump()`, or keep arrays out of models, in a function with `functools.cache`.
# Why it matters: an experiment's settings may be a model that caches its labels or masks. Such models can be compared and found in
#   lists only until two of them have computed these arrays.
# Versions: pydantic 2.14.3, NumPy 2.4.3, Python 3.11 or later.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check pydantic==2.14.3 numpy==2.4.3 2>&1 | grep -v '^WARNING' || true
venv/bin/python - <<'PY'
from functools import cached_property

import numpy as np
import pydantic

print("pydantic", pydantic.VERSION, "numpy", np.__version__)


class Task(pydantic.BaseModel, frozen=True):
    prime: int

    @cached_property
    def labels(self):
        return np.add.outer(np.arange(self.prime), np.arange(self.prime)) % self.prime


def compared(a, b):
    try:
        return str(a == b)
    except ValueError as error:
        return f"ValueError: {error}"


a, b = Task(prime=5), Task(prime=5)
answers = [compared(a, b)]
a.labels
answers.append(compared(a, b))
b.labels
answers.append(compared(a, b))
for when, answer in zip(("before the labels are read", "after a.labels", "after b.labels too"), answers):
    print(f"a == b {when}: {answer}")
assert answers[:2] == ["True", "True"] and answers[2].startswith("ValueError"), "NOT AS DESCRIBED"
print("As described: equal models cannot be compared after both have computed their labels.")
PY
