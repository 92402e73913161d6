"""Figures of the TransformerLens grokking demo, as contained in the integer addition notebook."""
