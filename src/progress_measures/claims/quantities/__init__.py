"""What claims measure: functions of cubes, a module for each part of the sources."""
