"""Figures of the TransformerLens grokking demo, as the integer addition notebook contains it."""
