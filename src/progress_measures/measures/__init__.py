"""What is measured of a network: one function a measure, one module a family.

A measure is declared by a decorator and takes a `View` of one checkpoint (or, for phases, the run's part of the cube).
The registry is the one list of measures: the cube's schema, its attributes and the reference page come from it.
"""

from progress_measures.measures.registry import FAMILIES, Measure, families_of, family_measures, measures

__all__ = ["FAMILIES", "Measure", "families_of", "family_measures", "measures"]
