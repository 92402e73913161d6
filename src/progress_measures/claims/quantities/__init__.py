"""Quantities by which claims are judged: functions of cubes, one module per source or topic."""
