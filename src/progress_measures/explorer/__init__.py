"""The explorer: one self-contained page on which grokking can be watched.

`payload` packs what the page shows of a cube, `page` puts it together with plotly.js and the page's own source in `web/`.
"""

from pathlib import Path

SOURCE = Path(__file__).with_name("web")
"""The page's own HTML, CSS and JavaScript."""

EXPERIMENTS = ("mainline", "subtraction", "no_weight_decay")
"""What `results/explorer/index.html` shows: the paper's networks, the notebook's, and one that never groks."""
