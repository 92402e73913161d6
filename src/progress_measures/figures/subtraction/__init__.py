"""Figures of the modular subtraction notebook."""
