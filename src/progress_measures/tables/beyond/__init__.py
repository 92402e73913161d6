"""Tables of results that the sources do not have."""
