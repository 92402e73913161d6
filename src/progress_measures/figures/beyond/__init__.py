"""Figures that are neither in the paper nor in its companions, two notebooks and a blog post."""
