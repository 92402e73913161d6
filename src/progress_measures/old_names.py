"""Earlier names of settings and capabilities, so that files written by released versions remain readable."""

RENAMED_FIELDS = {"initialisation": "initialization", "recognised": "recognized"}
"""New name of each setting by its old name. Hashes of runs use the old names, so that existing runs keep their hashes."""

RENAMED_CAPABILITIES = {"modular_sum": "cyclic_group"}
"""New name of each capability by its old name; the attribute `provides` of earlier cubes has old names."""
