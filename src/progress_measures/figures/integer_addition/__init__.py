"""Figures of the integer addition notebook."""
