"""The cube: all measures of an experiment in one labeled dataset.

`extract` computes one family of measures of one run at a time, `gather` joins all runs, and `open_cube` opens a cube by
name. Nothing here interprets a cube; that is `progress_measures.analysis`.
"""

from progress_measures.cube.open import open_cube, open_run

__all__ = ["open_cube", "open_run"]
