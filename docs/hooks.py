"""Hooks of MkDocs, which it calls while it builds the site. They add pages, and change the content of pages.

Added pages are the reference, the gallery, the explorer, the executed tutorial with its outputs, and each file of the repository
outside of docs/ to which a page links. In all pages, formulas become MathML, which browsers typeset themselves, so the site needs
no script and no network for them. In pages of text, the first use of a technical term links to its explanation. The page on the
algorithm gets live views of a published cube.
"""

import base64
import functools
import html
import os
import re
import tempfile
from pathlib import Path, PurePosixPath

import nbformat
from docutils.utils.math import latex2mathml
from mkdocs.structure.files import File
from nbclient import NotebookClient

from progress_measures import open_cube
from progress_measures.explorer import EXPERIMENTS
from progress_measures.explorer.page import article_parts, assemble
from progress_measures.explorer.payload import pack
from progress_measures.pages.gallery import gallery_pages, images
from progress_measures.pages.reference_pages import reference_pages

ROOT = Path(__file__).parents[1]
TUTORIAL = "docs/tutorial.ipynb"
PAGE_NAMES = {
    "README.md": "index.md",
    "results/README.md": "results-folder.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    TUTORIAL: "tutorial.md",
}
"""Page of the site by the file that becomes it, for files that are not Markdown pages in docs/."""

GENERATED_FROM = {
    "src/progress_measures/measures": "reference/measures.md",
    "src/progress_measures/capabilities.py": "reference/measures.md",
    "src/progress_measures/figures": "gallery/index.md",
}
"""Page of the site by the code from which it is generated.

Links in Markdown pages name the code. In a clone they open the code; on the site they are replaced by links to the page.
"""

EXPLORER_PAGE = "live-explorer.html"
LINKS_OF_EXPLORER = {
    "What the network computes": "algorithm.html",
    "How to use this page": "explorer.html",
    "Its code": "source/src/progress_measures/explorer/page.py.html",
}
ALGORITHM_PAGE = "algorithm.md"
TERMS = {
    "Fourier component": "fourier-components",
    "key frequenc(?:y|ies)": "key-frequencies",
    "neuron cluster": "neurons-and-clusters",
    "neuron-logit map": "from-neurons-to-logits",
    "restricted loss": "restricted-and-excluded-loss",
    "excluded loss": "restricted-and-excluded-loss",
    "Gini coefficient": "gini-coefficient-and-weight-norm",
    "nat": "restricted-and-excluded-loss",
}
"""Technical terms, as regular expressions, and the sections of the page on the algorithm that explain them."""

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
"""A formula as pymdownx.arithmatex marks it: the element, which is `div` for a block, and the formula in LaTeX."""

WITHOUT_TERMS = ("a", "button", "code", "h1", "h2", "h3", "h4", "math", "pre", "script", "summary", "th")
"""Elements whose text gets no links."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#:]+)(#[^)\s]*)?( \"[^\"]*\")?\)")
"""A link of Markdown to a file: `!` for a picture, the text, the path, the anchor, and the title."""


def on_config(config):
    """Add one gallery page for each source to the navigation."""
    results = next(part["Results"] for part in config.nav if "Results" in part)
    next(part for part in results if "Gallery" in part)["Gallery"] = list(gallery_pages())


def on_files(files, config):
    """Add the generated pages, the pictures, and a page for each file that a page links to."""
    pages = reference_pages() | gallery_pages()
    pages |= {name: (ROOT / path).read_text(encoding="utf-8") for path, name in PAGE_NAMES.items()}
    pages[PAGE_NAMES[TUTORIAL]], pictures = executed_notebook(ROOT / TUTORIAL)
    for name, picture in pictures.items():
        files.append(File.generated(config, name, content=picture))
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for name, path in images().items():
        files.append(File.generated(config, name, abs_src_path=str(path.resolve())))
    explorer = assemble([pack(open_cube(name, published=True)) for name in EXPERIMENTS], LINKS_OF_EXPLORER)
    files.append(File.generated(config, EXPLORER_PAGE, content=explorer))
    linked_paths = set()
    for file in files.documentation_pages():
        for _, _, target, *_ in LINK.findall(file.content_string):
            linked_paths.add(_repository_path(file.src_uri, target))
    for path in sorted(linked_paths - {None} - set(GENERATED_FROM)):
        if _page_of_file(path) is not None and files.get_file_from_path(_page_of_file(path)) is None:
            language = {".py": "python", ".yaml": "yaml", ".smk": "python"}.get(Path(path).suffix, "text")
            text = f"# {path}\n\n````{language}\n{(ROOT / path).read_text(encoding='utf-8')}\n````\n"
            files.append(File.generated(config, _page_of_file(path), content=text))
    return files


def executed_notebook(path):
    """Execute a notebook with only the published cubes; return it as Markdown with its outputs, and its pictures by name."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("config", "published"):
            (Path(folder) / name).symlink_to(ROOT / name)
        resources, kernel_arguments = {"metadata": {"path": folder}}, ["--log-level=ERROR"]
        NotebookClient(notebook, kernel_name="python3", resources=resources, extra_arguments=kernel_arguments).execute()
    parts, pictures = [], {}
    for cell in notebook.cells:
        parts.append(f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source)
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                parts.append(f"![Output of the cell above]({name})")
            elif output.get("name") != "stderr":
                parts.append(f"```text\n{data.get('text/plain', output.get('text', '')).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def on_page_markdown(markdown, page, config, files):
    """Rewrite links to files of the repository as links to pages of the site; links to folders become plain text."""
    name = page.file.src_uri
    if name == "claims.md" or name.startswith("source/"):
        page.meta["hide"] = ["toc"]  # room for long lines
    if name.startswith("source/"):
        return markdown

    def relink(match):
        image, text, target, anchor, title = match.groups()
        path = _repository_path(name, target)
        if path is None:
            return match[0]
        site_path = (PAGE_NAMES | GENERATED_FROM).get(path) or (
            path.removeprefix("docs/") if path.startswith("docs/") else _page_of_file(path)
        )
        if site_path is None:  # a folder
            return text if text.startswith("`") else f"`{text}`"
        relative = os.path.relpath(site_path, PurePosixPath(name).parent)
        return f"{image}[{text}]({relative}{anchor or ''}{title or ''})"

    return LINK.sub(relink, markdown)


def on_page_content(content, page, config, files):
    """Typeset formulas; link technical terms in pages of text; add the time bar of the views to the page on the algorithm."""
    content = with_mathml(content)
    if page.file.src_uri == ALGORITHM_PAGE:
        return content + _views()[0]
    if page.file.src_uri.startswith(("source/", "reference/")) or page.file.src_uri == "claims.md":
        return content
    return with_linked_terms(content, os.path.relpath("algorithm.html", PurePosixPath(page.file.dest_uri).parent))


def on_post_page(output, page, config):
    """Add the scripts and the data of the views to the page on the algorithm, after the search index has been made."""
    if page.file.src_uri != ALGORITHM_PAGE:
        return output
    before, end, after = output.rpartition("</body>")
    return before + _views()[1] + end + after


@functools.cache
def _views():
    """Return what the views of the mainline's first run need, as HTML: style sheet and time bar; and scripts and data."""
    return article_parts(open_cube("mainline", published=True).isel(run=[0]))


def with_mathml(content):
    """Replace the formulas in LaTeX that pymdownx.arithmatex has marked in a page by MathML."""

    def with_formula(match):
        formula = html.unescape(match[2]).strip()
        as_block = match[1] == "div"
        typeset = latex2mathml.tex2mathml(formula, as_block=as_block)
        return f'<div class="formula">{typeset}</div>' if as_block else typeset

    return FORMULA.sub(with_formula, content)


def with_linked_terms(content, page):
    """Link the first use of each of the `TERMS` in a page to the section that explains it.

    Args:
        content: HTML of the page.
        page: path from this page to the page on the algorithm.
    """
    remaining, inside, parts = dict(TERMS), [], []  # `inside`: the open elements whose text gets no links
    for part in re.split(r"(<[^>]+>)", content):
        if tag := re.match(r"<(/?)(\w+)", part):
            if not tag[1] and tag[2] in WITHOUT_TERMS:
                inside.append(tag[2])
            elif tag[1] and inside and tag[2] == inside[-1]:
                inside.pop()
        elif not inside:
            for term, section in list(remaining.items()):
                link = rf'<a href="{page}#{section}">\g<0></a>'
                part, count = re.subn(rf"\b{term}s?\b(?![^<]*</a>)", link, part, count=1, flags=re.I)
                if count:
                    del remaining[term]
        parts.append(part)
    return "".join(parts)


def _repository_path(page, target):
    """Return a link's target as a path from the repository's root, or None if the repository has no such file or folder."""
    page_path = next((path for path, name in PAGE_NAMES.items() if name == page), f"docs/{page}")
    path = os.path.normpath(PurePosixPath(page_path).parent / target)
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def _page_of_file(path):
    """Return the site's page for a file outside of docs/, or None for folders and files in docs/."""
    return f"source/{path}.md" if (ROOT / path).is_file() and not path.startswith("docs/") else None
