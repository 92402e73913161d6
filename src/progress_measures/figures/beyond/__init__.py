"""Figures that go beyond the sources."""
