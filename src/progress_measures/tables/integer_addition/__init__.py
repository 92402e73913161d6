"""Tables of the integer addition notebook."""
