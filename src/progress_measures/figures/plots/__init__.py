"""Drawings and parts of drawings that figures share, and the style of all figures."""
