"""Figures. Each draws cube variables that it declares.

A figure with a drawing of its own is a module in a folder of its source. Figures that share drawings are declared in the
modules of this package; `plots` has the drawings.
"""

from progress_measures.figures.registry import Animation, Figure, figure, figure_ids, load_figure

__all__ = ["Animation", "Figure", "figure", "figure_ids", "load_figure"]
