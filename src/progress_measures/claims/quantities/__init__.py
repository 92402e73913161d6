"""Quantities that judge claims: functions of cubes, one module per source or topic."""
