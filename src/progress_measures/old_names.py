"""Names of settings that released versions spelled otherwise, so that their files stay readable."""

RENAMED_FIELDS = {"initialisation": "initialization", "recognised": "recognized"}
"""Old name to new name. Hashes of runs keep the old names, so that a run keeps its hash."""
