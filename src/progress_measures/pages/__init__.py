"""Pages of the documentation that are made of what the code declares; `docs/hooks.py` hands them to MkDocs."""
