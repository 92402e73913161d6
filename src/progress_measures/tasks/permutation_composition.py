"""Composition of permutations of m objects, whose group S_m is not commutative (S5 in Power et al. 2022)."""

import itertools
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from progress_measures.tasks.base import PairTask


class PermutationComposition(PairTask):
    """`a b =` ↦ the permutation a ∘ b: first b, then a."""

    kind: Literal["permutation_composition"]
    degree: int = Field(
        5,
        ge=3,
        le=6,
        description="Number m of permuted objects. a and b range over the m! permutations in lexicographic order.",
    )

    @property
    def operand_count(self) -> int:
        """Number of operand values: the m! permutations."""
        return math.factorial(self.degree)

    @property
    def output_count(self) -> int:
        """Number of outputs: the m! permutations."""
        return self.operand_count

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index of a ∘ b in the lexicographic order of permutations, elementwise."""
        permutations = np.array(list(itertools.permutations(range(self.degree))))
        composed = np.take_along_axis(permutations[a], permutations[b], axis=-1)
        # Each permutation is looked up by a number whose digits in base m are the entries of the permutation.
        place_values = self.degree ** np.arange(self.degree)
        order = np.argsort(permutations @ place_values)
        return order[np.searchsorted((permutations @ place_values)[order], composed @ place_values)]
