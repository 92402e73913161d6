"""Figures: one small module each, named as the figure; it draws on a canvas from a cube with what it declares."""

from progress_measures.figures.registry import Figure, figure, figure_ids, load_figure

__all__ = ["Figure", "figure", "figure_ids", "load_figure"]
