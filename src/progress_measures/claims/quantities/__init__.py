"""Quantities of claims: functions of cubes, one module per part of the sources."""
