"""Figures of Nanda et al. 2023."""
