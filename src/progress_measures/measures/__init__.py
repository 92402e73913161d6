"""Measures of a network: one function per measure, one module per family.

The decorator `measure` declares each measure and adds it to the registry. The variables of the cube, their attributes and the
documentation's page of measures are generated from the registry. A measure is a function of a checkpoint; only a measure of the
family `phases` is a function of the cube of one run.
"""

from progress_measures.measures.registry import FAMILIES, Measure, families_of, family_measures, measures

__all__ = ["FAMILIES", "Measure", "families_of", "family_measures", "measures"]
