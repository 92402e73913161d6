"""Earlier names of settings, which keep the files of released versions readable."""

RENAMED_FIELDS = {"initialisation": "initialization", "recognised": "recognized"}
"""New name of each setting by its old name. Hashes of runs use the old names, so that existing runs keep their hashes."""
