"""Adds generated pages to the documentation: the reference, the gallery, and the files that pages link to.

Pages link to files of the repository outside of docs/. Each such file also becomes a page of the site.
"""

import json
import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.structure.files import File

from progress_measures.pages.gallery import gallery_pages, images
from progress_measures.pages.measures_page import reference_pages

ROOT = Path(__file__).parents[1]
PAGES_OUTSIDE_DOCS = {
    "README.md": "index.md",
    "results/README.md": "results-folder.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "docs/tutorial.ipynb": "tutorial.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#:]+)(#[^)\s]*)?( \"[^\"]*\")?\)")


def on_config(config):
    """Add one gallery page for each source to the navigation."""
    results = next(part["Results"] for part in config.nav if "Results" in part)
    next(part for part in results if "Gallery" in part)["Gallery"] = list(gallery_pages())


def on_files(files, config):
    """Add the generated pages, the pictures, and a page for each file that a page links to."""
    pages = reference_pages() | gallery_pages()
    pages |= {name: _text(ROOT / path) for path, name in PAGES_OUTSIDE_DOCS.items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for name, path in images().items():
        files.append(File.generated(config, name, abs_src_path=str(path.resolve())))
    linked_paths = set()
    for file in files.documentation_pages():
        for _, _, target, *_ in LINK.findall(file.content_string):
            linked_paths.add(_in_repository(file.src_uri, target))
    for path in sorted(linked_paths - {None}):
        if _source(path) is not None and files.get_file_from_path(_source(path)) is None:
            language = {".py": "python", ".yaml": "yaml", ".smk": "python"}.get(Path(path).suffix, "text")
            text = f"# {path}\n\n````{language}\n{(ROOT / path).read_text(encoding='utf-8')}\n````\n"
            files.append(File.generated(config, _source(path), content=text))
    return files


def _text(path):
    """Return the text of a Markdown file, or the cells of a notebook as Markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells) + "\n"


def on_page_markdown(markdown, page, config, files):
    """Rewrite links to files of the repository as links to pages of the site."""
    name = page.file.src_uri
    if name == "claims.md" or name.startswith("source/"):
        page.meta["hide"] = ["toc"]  # room for long lines
    if name.startswith("source/"):
        return markdown

    def relink(match):
        image, text, target, anchor, title = match.groups()
        path = _in_repository(name, target)
        if path is None:
            return match[0]
        site_path = PAGES_OUTSIDE_DOCS.get(path) or (
            path.removeprefix("docs/") if path.startswith("docs/") else _source(path)
        )
        if site_path is None:  # a folder
            return text if text.startswith("`") else f"`{text}`"
        relative = os.path.relpath(site_path, PurePosixPath(name).parent)
        return f"{image}[{text}]({relative}{anchor or ''}{title or ''})"

    return LINK.sub(relink, markdown)


def _in_repository(page, target):
    """Return a link's target as a path from the repository's root, or None if the repository has no such file or folder."""
    page_path = next((path for path, name in PAGES_OUTSIDE_DOCS.items() if name == page), f"docs/{page}")
    path = os.path.normpath(PurePosixPath(page_path).parent / target)
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def _source(path):
    """Return the site's page for a file outside of docs/, or None for folders and files in docs/."""
    return f"source/{path}.md" if (ROOT / path).is_file() and not path.startswith("docs/") else None
