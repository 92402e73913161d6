"""Figures, drawn from cubes. Each figure declares the variables that it reads.

The paper's figures and those in `beyond` have one module each. The figures of a companion are declared together in one
module or two. `plots` has the drawing functions that several figures share.
"""

from progress_measures.figures.registry import Animation, Figure, figure, figure_ids, load_figure

__all__ = ["Animation", "Figure", "figure", "figure_ids", "load_figure"]
