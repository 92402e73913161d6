"""What tests share: small experiments and networks, slow definitions of measures, processes, copies of the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The root of the repository."""
