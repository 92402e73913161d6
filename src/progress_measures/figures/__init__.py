"""Figures: one small module each, named as the figure; it draws on a canvas from a cube with what it declares."""

from progress_measures.figures.registry import Animation, Figure, figure, figure_ids, load_figure

__all__ = ["Animation", "Figure", "figure", "figure_ids", "load_figure"]
