"""Figures of the modular addition blog, drawn from the first run of our mainline in place of the blog's run."""
