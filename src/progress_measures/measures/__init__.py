"""Measures of a network: one function per measure, one module per family.

A decorator declares each measure. The function takes a `Checkpoint`; in the family `phases` it takes the cube of
one run. The registry is the only list of measures: the cube's structure, its attributes and the reference page derive
from it.
"""

from progress_measures.measures.registry import FAMILIES, Measure, families_of, family_measures, measures

__all__ = ["FAMILIES", "Measure", "families_of", "family_measures", "measures"]
