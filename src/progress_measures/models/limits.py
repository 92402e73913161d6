"""Limits that determine how a forward pass is computed. Cost estimates use them too, so no torch is imported here."""

# Maximum number of positions of a sequence for `models.short_sequences`. Up to this length, attention computed as sums
# over keys is faster than attention computed as products of tiny matrices.
MAX_SHORT_LENGTH = 4

# Maximum number of entries of one layer's attention patterns that an evaluation holds in memory: 64 MiB in float32.
# If the patterns of a single example have more entries, examples are evaluated one at a time.
MAX_PATTERN_ENTRIES = 2**24
