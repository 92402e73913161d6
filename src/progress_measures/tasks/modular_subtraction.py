"""Modular subtraction (a - b) mod p, the subtraction notebook's task."""

from typing import ClassVar, Literal

from progress_measures.tasks.base import ModularSumTask


class ModularSubtraction(ModularSumTask):
    """`a b =` ↦ (a − b) mod p."""

    kind: Literal["modular_subtraction"]
    sign: ClassVar[int] = -1
