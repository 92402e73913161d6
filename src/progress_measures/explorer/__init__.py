"""The explorer: one self-contained HTML page with interactive views of how networks grok.

The module `payload` packs the parts of a cube that the page shows. The module `page` combines them with plotly.js and
the page's source files in `web/`.
"""

from pathlib import Path

SOURCE = Path(__file__).with_name("web")
"""Folder of the page's source files: HTML, CSS and JavaScript."""

EXPERIMENTS = ("mainline", "subtraction", "no_weight_decay")
"""Experiments on the page `results/explorer/index.html`, if their cubes are available. The networks of `no_weight_decay` do
not grok; they are there for comparison."""
