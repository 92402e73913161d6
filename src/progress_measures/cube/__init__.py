"""The cube: all measures of an experiment in one labeled dataset.

`extract` computes the measures of one run and writes one Zarr store per family (the measures of one module). `gather`
joins the stores of all runs into the cube, and `open_cube` opens a cube by name. The package
`progress_measures.analysis` computes what figures and claims state about cubes.
"""

from progress_measures.cube.open import open_cube, open_run
from progress_measures.cube.table_of_contents import contents

__all__ = ["contents", "open_cube", "open_run"]
