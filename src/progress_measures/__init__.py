"""Training of networks that grok, measures of their checkpoints, and the figures drawn from these measures.

For example, open the cube of the experiment `mainline`, the labeled dataset of all its measures:

    from progress_measures import open_cube
    cube = open_cube("mainline")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from progress_measures.cube.open import open_cube, open_run
    from progress_measures.cube.table_of_contents import contents
    from progress_measures.importing.recorder import Recorder

__version__ = "0.1.0"
__all__ = ["Recorder", "contents", "open_cube", "open_run"]


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` on first use: its module imports xarray or torch, which most commands do not need."""
    if name == "Recorder":
        return importlib.import_module("progress_measures.importing.recorder").Recorder
    if name in __all__:
        return getattr(importlib.import_module("progress_measures.cube"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
