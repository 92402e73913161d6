"""The cube: all measures of an experiment in one labeled dataset.

`extract` computes one family of measures of one run at a time, `gather` joins all runs, and `open_cube` opens a cube by
name. The package `progress_measures.analysis` interprets cubes.
"""

from progress_measures.cube.open import open_cube, open_run
from progress_measures.cube.table_of_contents import contents

__all__ = ["contents", "open_cube", "open_run"]
