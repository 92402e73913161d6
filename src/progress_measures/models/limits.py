"""Limits that decide how a forward pass is computed. Cost estimates use them too, so this module imports no torch."""

# Maximum number of positions of a sequence for `models.short_sequences`: up to this length, sums over keys are faster than
# products of tiny matrices.
MAX_SHORT_LENGTH = 4

# Maximum number of entries of one layer's attention patterns that an evaluation holds in memory: 64 MiB in float32.
MAX_PATTERN_ENTRIES = 2**24
