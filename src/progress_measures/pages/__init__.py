"""Documentation pages that are generated from declarations in the code; `docs/hooks.py` adds them to the MkDocs site."""
