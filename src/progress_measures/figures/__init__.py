"""Figures, drawn from cubes: xarray datasets with the measures of an experiment.

Each figure declares the variables that it reads. Each figure of the paper (in `paper`), and each figure that is not in
the sources (in `beyond`), has a separate module. The sources are the paper and its companions, two notebooks and a blog
post. The figures of a companion are declared together in one or two modules; figures that several companions have are
in `notebooks`. `plots` has the drawing functions that several figures share.
"""

from progress_measures.figures.registry import Animation, Figure, figure, figure_ids, load_figure

__all__ = ["Animation", "Figure", "figure", "figure_ids", "load_figure"]
