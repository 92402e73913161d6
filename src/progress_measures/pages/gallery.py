"""Generate the gallery: figures and tables with their captions, and the claims that cite them, each with a verdict."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from progress_measures.claims.claims_page import SIGNS
from progress_measures.claims.schema import Claim, load_claims
from progress_measures.figures import figure_ids, load_figure
from progress_measures.figures.registry import Figure, figure_module
from progress_measures.markdown import inline
from progress_measures.paths import published_cube
from progress_measures.tables import load_table, table_ids
from progress_measures.tables.registry import Table, table_module

PAGE_TITLES = {
    "paper": "The paper",
    "subtraction": "Modular subtraction",
    "integer_addition": "Small-integer addition",
    "demo": "The TransformerLens demo",
    "mod_addition": "The blog's modular addition",
    "beyond": "Beyond the sources",
}
"""Title of each gallery page, by the folder of its figures and tables, in the order of the gallery."""

CLAIMS_PAGE = Path("docs/claims.md")

# Pattern of a claim in the page of claims; its groups are the id and the verdict of the claim.
VERDICT_PATTERN = re.compile(r'^<details class="claim" id="([^"]+)" data-verdict="([^"]+)"', re.M)


@dataclass(frozen=True)
class GalleryItem:
    """A figure or table in the gallery.

    Attributes:
        declared: declaration of the figure or table.
        kind: `figure` or `table`.
    """

    declared: Figure | Table
    kind: str

    @property
    def source(self) -> str:
        """First part of the id: a source, such as `paper`, or `beyond`. Claims about the item have this `source`."""
        return self.declared.id.partition("/")[0]

    @property
    def name(self) -> str:
        """The displayed name: `Figure 7` for `paper/fig07`, `Table 5` for `paper/table05`; the second part of any other id."""
        name = self.declared.id.partition("/")[2]
        numbered = re.fullmatch(r"(fig|table)(\d+)", name)
        return f"{self.kind.capitalize()} {int(numbered[2])}" if numbered else name

    @property
    def page(self) -> str:
        """The path of the item's gallery page in the documentation."""
        return f"gallery/{self.source}.md"

    @property
    def anchor(self) -> str:
        """The anchor of the item on its gallery page, such as `figure-fig07`."""
        return f"{self.kind}-{self.declared.id.partition('/')[2]}"

    @property
    def file(self) -> Path:
        """The path to which the workflow writes the figure or table."""
        kind, ending = ("figures", "png") if self.kind == "figure" else ("tables", "md")
        return Path(f"results/{kind}/{self.declared.id}.{ending}")

    @property
    def can_be_made(self) -> bool:
        """Whether the published cubes suffice to make the figure or table.

        A table with `partial` true can always be made: it leaves the cells of missing cubes empty.
        """
        partial = getattr(self.declared, "partial", False)
        return partial or all(published_cube(name).exists() for name in self.declared.experiments)


@functools.cache
def gallery_items() -> tuple[GalleryItem, ...]:
    """Return all figures, then all tables. Figures that the sources mention but do not show come last among the figures."""
    figures = [GalleryItem(load_figure(name), "figure") for name in figure_ids()]
    tables = [GalleryItem(load_table(name), "table") for name in table_ids()]
    return tuple(sorted(figures, key=lambda item: "/extra_" in item.declared.id)) + tuple(tables)


def titles() -> dict[str, str]:
    """Return the title of each gallery page, by its source. A source not in `PAGE_TITLES` is last; its title is its name."""
    from_names = {item.source: item.source.replace("_", " ").capitalize() for item in gallery_items()}
    return PAGE_TITLES | {source: title for source, title in from_names.items() if source not in PAGE_TITLES}


def gallery_pages() -> dict[str, str]:
    """Generate the gallery pages, by their paths in the documentation."""
    pages = {f"gallery/{source}.md": _page(source) for source in titles()}
    return {"gallery/index.md": _index()} | pages


def images() -> dict[str, Path]:
    """Return the existing files of the figures that the published cubes suffice to draw, by their paths in the documentation.

    The files include animations and HTML pages.
    """
    files = [file for item in gallery_items() if _is_drawn(item) for file in (item.file, *_extra_files(item))]
    return {f"gallery/{file.relative_to('results/figures')}": file for file in files}


EXTRA_FORMATS = {"webp": "animated", "html": "interactive"}
"""Link texts of the formats that only some figures have, by the ending of the file."""


def _extra_files(item: GalleryItem) -> list[Path]:
    """Return the existing files of a figure in extra formats."""
    files = [item.file.with_suffix(f".{suffix}") for suffix in getattr(item.declared, "extra_formats", ())]
    return [file for file in files if file.exists()]


def _is_drawn(item: GalleryItem) -> bool:
    """Return whether an item is a figure whose picture exists and can be made from the published cubes."""
    return item.kind == "figure" and item.can_be_made and item.file.exists()


def _index() -> str:
    items = gallery_items()
    makeable = sum(item.can_be_made for item in items)
    lines = [
        "---\nhide: [toc]\n---",
        "# Gallery",
        "",
        f"All {len(items)} figures and tables. `make docs` makes {makeable} of them from the cubes in `published/`. Each other "
        "entry names the experiment that has to be trained first.",
    ]
    for source, title in titles().items():
        lines += ["", f"## [{title}]({source}.md)", "", '<div class="thumbnails" markdown>']
        lines += [_thumbnail(item) for item in items if item.source == source and _is_drawn(item)]
        lines += ["</div>"]
    return "\n".join(lines) + "\n"


def _thumbnail(item: GalleryItem) -> str:
    title = item.declared.title.replace('"', "")
    image = f"![]({item.declared.id}.png){{ loading=lazy }}"
    return f'[{image} <span>{inline(item.name)}</span>]({item.source}.md#{item.anchor} "{title}")'


def _page(source: str) -> str:
    lines = [f"# {titles()[source]}"]
    for item in gallery_items():
        if item.source == source:
            lines += ["", *_entry(item)]
    return "\n".join(lines) + "\n"


def _entry(item: GalleryItem) -> list[str]:
    """Return the Markdown lines of one item: title, picture or table, caption, reference, links and claims."""
    declared = item.declared
    name = item.name if item.name != declared.id.partition("/")[2] else ""
    title = f"{name}: {declared.title}" if name else declared.title
    lines = [f"## {inline(title)} {{#{item.anchor}}}", "", *_content(item), "", inline(declared.caption), ""]
    experiments = ", ".join(f"[{name}](../reference/experiments.md#{name})" for name in declared.experiments)
    module = (figure_module if item.kind == "figure" else table_module)(declared.id)
    code = f"[`{declared.id}`](../../src/{module.replace('.', '/')}.py)"
    extra_links = "".join(
        f", [{EXTRA_FORMATS[file.suffix[1:]]}]({declared.id}{file.suffix})" for file in _extra_files(item)
    )
    lines += [f"{inline(declared.reference)}. Cubes: {experiments}. Code: {code}{extra_links}."]
    claims = list(claims_citing(item))
    if claims:
        lines += ["", f'??? quote "{_verdict_counts(claims)}"', ""]
        lines += [f"    - {_verdict(claim)} {inline(claim.statement)}" for claim in claims]
    return lines


def _content(item: GalleryItem) -> list[str]:
    """Return the Markdown lines of the picture or the table, or of a note that says what is missing."""
    if not item.can_be_made:
        missing = [name for name in item.declared.experiments if not published_cube(name).exists()]
        text = (
            f"No cube of {', '.join(missing)} is published. `snakemake -c2 {item.file}` first trains what is missing."
        )
        return ['!!! info "Requires training"', "", f"    {text}"]
    if not item.file.exists():
        text = f"`snakemake -c2 {item.file} --config cubes=published` makes it in seconds; `make docs` makes all."
        return ['!!! info "Not made yet"', "", f"    {text}"]
    if item.kind == "figure":
        return [f"![{inline(item.declared.title)}]({item.declared.id}.png){{ loading=lazy }}"]
    # The file begins with the caption, which `_entry` adds below the table.
    _, _, table = item.file.read_text(encoding="utf-8").partition("\n\n")
    return table.splitlines()


def _verdict_counts(claims: list[Claim]) -> str:
    """Return the number of claims and of each verdict, such as `3 claims: holds 2, differs 1`."""
    verdicts = [verdicts_of_claims().get(claim.id, "not run") for claim in claims]
    counts = [f"{verdict} {verdicts.count(verdict)}" for verdict in SIGNS if verdict in verdicts]
    return f"{len(claims)} claim{'s' if len(claims) > 1 else ''}: {', '.join(counts)}"


def _verdict(claim: Claim) -> str:
    """Return the verdict on a claim with its sign, as a link to the page of claims."""
    verdict = verdicts_of_claims().get(claim.id, "not run")
    return f"[{SIGNS[verdict]} {verdict}](../claims.md#{claim.id})"


@functools.cache
def verdicts_of_claims() -> dict[str, str]:
    """Read the verdict on each claim, by its id, from the committed page of claims."""
    return dict(VERDICT_PATTERN.findall(CLAIMS_PAGE.read_text(encoding="utf-8")))


# ---- claims that cite a figure or table

NUMBER = r"(?:[A-E]\.)?\d[\d.]*"
"""Pattern of the number of a figure, table, section or appendix, such as `7`, `3.5.1` or `C.2`."""

CITATION = re.compile(rf"\b(Fig\.|Figures?|Tables?|[Ss]ections?|[Aa]ppendix) ({NUMBER}(?:(?:, | and |/){NUMBER})*)")
"""Pattern of a citation with a word, such as `Figures 3 and 16`."""

APPENDIX_NUMBER = re.compile(r"\b[A-E]\.\d[\d.]*")
"""Pattern of a cited appendix, with or without the word, such as `C.1`."""


def cited_places(text: str) -> set[tuple[str, str]]:
    """Return the places in a source that a text cites, such as ("figure", "7"), ("table", "3") and ("section", "3.5.1")."""
    cited = {("section", number.rstrip(".")) for number in APPENDIX_NUMBER.findall(text)}
    for word, numbers in CITATION.findall(text):
        kind = {"f": "figure", "t": "table"}.get(word[0].lower(), "section")
        cited |= {(kind, number.rstrip(".")) for number in re.findall(NUMBER, numbers)}
    return cited


def claims_citing(item: GalleryItem) -> Iterator[Claim]:
    """Yield the claims that cite what a figure or table reproduces: the place in its `reference`.

    A claim cites places in its field `where`. If the reference names the number of a figure or table, `where` must cite
    this number. If the reference names only a section, `where` must cite this section and no figure or table, and the
    claim must be about one of the item's experiments. If the reference names neither, `where` must contain the heading
    that follows the reference's first comma.
    """
    reference_places = cited_places(item.declared.reference)
    numbered = {place for place in reference_places if place[0] != "section"}
    heading = item.declared.reference.partition(", ")[2].lower()
    for claim in load_claims().values():
        if claim.source != item.source:
            continue
        cited = cited_places(claim.where)
        if numbered:
            matches = bool(numbered & cited)
        elif reference_places:
            cites_section = reference_places & cited and all(kind == "section" for kind, _ in cited)
            matches = bool(cites_section) and claim.experiment in item.declared.experiments
        else:
            matches = heading != "" and heading in claim.where.lower()
        if matches:
            yield claim
