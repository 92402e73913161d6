"""Measures of a network: one function per measure, one module per family.

A decorator declares each measure. A measure takes a `Checkpoint`; a measure of the family `phases` takes the cube of one
run. The registry is the only list of measures: the structure and the attributes of the cube and the reference page derive
from the registry.
"""

from progress_measures.measures.registry import FAMILIES, Measure, families_of, family_measures, measures

__all__ = ["FAMILIES", "Measure", "families_of", "family_measures", "measures"]
