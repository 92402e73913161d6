"""The cube: all measures of an experiment in one labeled dataset.

The module `extract` computes the measures of one run and writes one Zarr store per family (the measures of one module).
The module `gather` joins the stores of all runs into the cube. `open_cube` opens a cube by name or path, `contents` lists
its variables, and `open_run` opens the weights of a run. The package `progress_measures.analysis` computes what figures
and claims state about cubes.
"""

from progress_measures.cube.open import open_cube, open_run
from progress_measures.cube.table_of_contents import contents

__all__ = ["contents", "open_cube", "open_run"]
