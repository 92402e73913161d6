"""Execute a notebook and write it as Markdown with its outputs."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

PUBLIC = ("config", "published")
"""Folders of the repository that the notebook can read; it must not depend on results that only this machine has."""


def executed_notebook(path: Path, root: Path) -> tuple[str, dict[str, bytes]]:
    """Execute a notebook with only the published cubes.

    Args:
        path: the notebook.
        root: the repository.

    Returns:
        The notebook as Markdown: text, code, and outputs as text or pictures. The pictures by file name.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        for name in PUBLIC:
            (Path(folder) / name).symlink_to(root / name)
        NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook.cells:
        parts.append(f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source)
        for output in cell.get("outputs", ()):
            parts.append(_output(output, f"{path.stem}-{len(pictures) + 1}.png", pictures))
    return "\n\n".join(filter(None, parts)) + "\n", pictures


def _output(output: Any, picture: str, pictures: dict[str, bytes]) -> str:
    """Return an output of a cell as Markdown, and add its picture to `pictures`."""
    data = output.get("data", {})
    if "image/png" in data:
        pictures[picture] = base64.b64decode(data["image/png"])
        return f"![Output of the cell above]({picture})"
    text = data.get("text/plain", output.get("text", "")) if output.get("name") != "stderr" else ""
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
