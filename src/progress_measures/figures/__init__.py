"""Figures, one module each. A module is named after its figure and draws cube variables that it declares."""

from progress_measures.figures.registry import Animation, Figure, figure, figure_ids, load_figure

__all__ = ["Animation", "Figure", "figure", "figure_ids", "load_figure"]
