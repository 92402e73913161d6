"""Limits that decide how a forward pass is computed. Cost estimates use them too, so this module imports no torch."""

# Maximum number of positions for which attention is computed as sums over keys, faster than products of tiny matrices.
SHORT = 4

# Maximum number of entries of a layer's attention patterns in memory at a time during an evaluation: 64 MiB in float32.
PIECE = 2**24
