"""Limits that select how networks are computed. Cost estimates use them too, so this module imports no torch."""

# Positions up to which attention is written as sums over keys: there, sums are faster than products of tiny matrices.
SHORT = 4

# Numbers of a layer's attention that an evaluation holds at a time: 64 MiB of them.
PIECE = 2**24
