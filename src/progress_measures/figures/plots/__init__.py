"""Drawing functions that several figures share, and the style of all figures."""
