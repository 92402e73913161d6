"""Modular addition (a + b) mod p, the paper's task (section 3)."""

from typing import ClassVar, Literal

from progress_measures.tasks.base import ModularSumTask


class ModularAddition(ModularSumTask):
    """`a b =` ↦ (a + b) mod p, the paper's task."""

    kind: Literal["modular_addition"]
    sign: ClassVar[int] = 1
