"""The explorer: one self-contained page on which grokking can be watched."""
