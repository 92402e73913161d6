"""The cube: all measures of an experiment in one labeled dataset.

`extract` computes one family of measures of one run at a time, `gather` joins all runs, and `open_cube` opens a cube by
name. The package `progress_measures.analysis` interprets cubes.
"""

from progress_measures.cube.open import open_cube, open_run

__all__ = ["open_cube", "open_run"]
