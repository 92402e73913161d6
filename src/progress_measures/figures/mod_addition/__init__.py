"""Figures of the blog on a published run of modular addition, drawn of our mainline's first run."""
