"""Documentation generated from the code: pages that `docs/hooks.py` adds to the site, and a chart in docs/design.md."""
