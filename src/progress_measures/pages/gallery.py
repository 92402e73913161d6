"""Every figure and table with our drawing, what it shows, and the claims that name it with our verdicts."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from progress_measures.claims.ledger import Claim, load_claims
from progress_measures.figures import figure_ids, load_figure
from progress_measures.figures.registry import Figure, figure_module
from progress_measures.pages.markdown import inline
from progress_measures.paths import published_cube
from progress_measures.tables import load_table, table_ids
from progress_measures.tables.registry import Table, table_module

SOURCES = {
    "paper": "The paper",
    "subtraction": "Modular subtraction",
    "integer_addition": "Small-integer addition",
    "demo": "The demo",
    "mod_addition": "The blog's modular addition",
    "beyond": "Beyond the sources",
}
CLAIMS_PAGE = Path("docs/claims.md")
VERDICT = re.compile(r"^### `([^`]+)`: (\w[\w ]*)$", re.M)
SIGNS = {"holds": "✓ holds", "differs": "≠ differs", "not run": "… not run", "recorded": "¶ recorded"}


@dataclass(frozen=True)
class Shown:
    """A figure or a table as the gallery has it."""

    declared: Figure | Table
    kind: str  # figure or table

    @property
    def source(self) -> str:
        """The document that it is of."""
        return self.declared.id.partition("/")[0]

    @property
    def name(self) -> str:
        """Its id without the source, for people: `Figure 7`, `26_restricted`."""
        name = self.declared.id.partition("/")[2]
        numbered = re.fullmatch(r"(fig|table)(\d+)", name)
        return f"{self.kind.capitalize()} {int(numbered[2])}" if numbered else name

    @property
    def page(self) -> str:
        """The gallery's page of its source."""
        return f"gallery/{self.source}.md"

    @property
    def anchor(self) -> str:
        """Where on that page."""
        return f"{self.kind}-{self.declared.id.partition('/')[2]}"

    @property
    def file(self) -> Path:
        """Where the workflow writes it."""
        kind, ending = ("figures", "png") if self.kind == "figure" else ("tables", "md")
        return Path(f"results/{kind}/{self.declared.id}.{ending}")

    @property
    def covered(self) -> bool:
        """Whether published cubes are enough to make it."""
        partial = getattr(self.declared, "partial", False)
        return partial or all(published_cube(name).exists() for name in self.declared.experiments)


@functools.cache
def shown_things() -> tuple[Shown, ...]:
    """All figures, what the sources mention without showing it last, then all tables."""
    figures = [Shown(load_figure(name), "figure") for name in figure_ids()]
    tables = [Shown(load_table(name), "table") for name in table_ids()]
    return tuple(sorted(figures, key=lambda one: "/extra_" in one.declared.id)) + tuple(tables)


def titles() -> dict[str, str]:
    """The titles of the sources: known ones in their order, then others by the names of their folders."""
    others = {thing.source: thing.source.replace("_", " ").capitalize() for thing in shown_things()}
    return SOURCES | {source: title for source, title in others.items() if source not in SOURCES}


def gallery_pages() -> dict[str, str]:
    """The gallery's pages by their path in the documentation."""
    pages = {f"gallery/{source}.md": _page(source) for source in titles()}
    return {"gallery/index.md": _index()} | pages


def images() -> dict[str, Path]:
    """The drawings that there are, those that move too, by their path in the documentation."""
    files = [file for thing in shown_things() if _drawn(thing) for file in (thing.file, *_twins(thing))]
    return {f"gallery/{file.relative_to('results/figures')}": file for file in files}


TWINS = {"webp": "as it moves", "html": "to hover over"}


def _twins(thing: Shown) -> list[Path]:
    """The other forms of a figure that there are."""
    extra_formats = [thing.file.with_suffix(f".{twin}") for twin in getattr(thing.declared, "twins", ())]
    return [file for file in extra_formats if file.exists()]


def _drawn(thing: Shown) -> bool:
    return thing.kind == "figure" and thing.covered and thing.file.exists()


def _index() -> str:
    things = shown_things()
    drawn = sum(thing.covered for thing in things)
    lines = [
        "---\nhide: [toc]\n---",
        "# Gallery",
        "",
        f"All {len(things)} figures and tables. {drawn} of them are made here of the cubes in `published/`, by `make docs`; "
        "the others say which experiment they wait for.",
    ]
    for source, title in titles().items():
        lines += ["", f"## [{title}]({source}.md)", "", '<div class="thumbnails" markdown>']
        lines += [_thumbnail(thing) for thing in things if thing.source == source and _drawn(thing)]
        lines += ["</div>"]
    return "\n".join(lines) + "\n"


def _thumbnail(thing: Shown) -> str:
    title = thing.declared.title.replace('"', "")
    image = f"![]({thing.declared.id}.png){{ loading=lazy }}"
    return f'[{image} <span>{inline(thing.name)}</span>]({thing.source}.md#{thing.anchor} "{title}")'


def _page(source: str) -> str:
    lines = [f"# {titles()[source]}"]
    for thing in shown_things():
        if thing.source == source:
            lines += ["", *_entry(thing)]
    return "\n".join(lines) + "\n"


def _entry(thing: Shown) -> list[str]:
    declared = thing.declared
    name = thing.name if thing.name != declared.id.partition("/")[2] else ""
    title = f"{name}: {declared.title}" if name else declared.title
    lines = [f"## {inline(title)} {{#{thing.anchor}}}", "", *_made(thing), "", inline(declared.caption), ""]
    experiments = ", ".join(f"[{name}](../reference/experiments.md#{name})" for name in declared.experiments)
    module = (figure_module if thing.kind == "figure" else table_module)(declared.id)
    code = f"[`{declared.id}`](../../src/{module.replace('.', '/')}.py)"
    forms = "".join(f", [{TWINS[file.suffix[1:]]}]({declared.id}{file.suffix})" for file in _twins(thing))
    lines += [f"{inline(declared.reference)}. Of {experiments}, by {code}{forms}."]
    claims = list(claims_on(thing))
    if claims:
        lines += ["", f'??? quote "{_count(claims)}"', ""]
        lines += [f"    - {_verdict(claim)} {inline(claim.statement)}" for claim in claims]
    return lines


def _made(thing: Shown) -> list[str]:
    """The drawing or the table, or what it waits for."""
    if not thing.covered:
        missing = [name for name in thing.declared.experiments if not published_cube(name).exists()]
        said = f"No cube of {', '.join(missing)} is published: `snakemake -c2 {thing.file}` trains it first."
        return ['!!! info "Needs a longer run"', "", f"    {said}"]
    if not thing.file.exists():
        said = f"`snakemake -c2 {thing.file} --config cubes=published` makes it in seconds; `make docs` makes all."
        return ['!!! info "Not made yet"', "", f"    {said}"]
    if thing.kind == "figure":
        return [f"![{inline(thing.declared.title)}]({thing.declared.id}.png){{ loading=lazy }}"]
    _, _, rows = thing.file.read_text(encoding="utf-8").partition("\n\n")  # its caption is ours already
    return rows.splitlines()


def _count(claims: list[Claim]) -> str:
    verdicts = [verdicts_of_claims().get(claim.id, "not run") for claim in claims]
    counted = [f"{verdict} {verdicts.count(verdict)}" for verdict in SIGNS if verdict in verdicts]
    return f"{len(claims)} claim{'s' if len(claims) > 1 else ''}: {', '.join(counted)}"


def _verdict(claim: Claim) -> str:
    return f"[{SIGNS[verdicts_of_claims().get(claim.id, 'not run')]}](../claims.md#{claim.id})"


@functools.cache
def verdicts_of_claims() -> dict[str, str]:
    """The verdict on each claim, as the committed page of claims has it."""
    return dict(VERDICT.findall(CLAIMS_PAGE.read_text(encoding="utf-8")))


# ---- which claims speak of a figure

NUMBER = r"(?:[A-E]\.)?\d[\d.]*"
NAMED = re.compile(rf"\b(Fig\.|Figures?|Tables?|[Ss]ections?|[Aa]ppendix) ({NUMBER}(?:(?:, | and |/){NUMBER})*)")
BARE = re.compile(r"\b[A-E]\.\d[\d.]*")


def places(text: str) -> set[tuple[str, str]]:
    """What a place in a document names: ("figure", "7"), ("table", "3"), ("section", "3.5.1")."""
    found = {("section", number.rstrip(".")) for number in BARE.findall(text)}
    for word, numbers in NAMED.findall(text):
        kind = {"f": "figure", "t": "table"}.get(word[0].lower(), "section")
        found |= {(kind, number.rstrip(".")) for number in re.findall(NUMBER, numbers)}
    return found


def claims_on(thing: Shown) -> Iterator[Claim]:
    """The claims that name a figure or table.

    Where it has no number of its own, those on its experiments that name its section, and no figure.
    """
    own = places(thing.declared.reference)
    numbered = {place for place in own if place[0] != "section"}
    heading = thing.declared.reference.partition(", ")[2].lower()
    for claim in load_claims().values():
        if claim.source != thing.source:
            continue
        named = places(claim.where)
        if numbered:
            speaks = bool(numbered & named)
        elif own:
            of_section = own & named and all(kind == "section" for kind, _ in named)
            speaks = bool(of_section) and claim.experiment in thing.declared.experiments
        else:
            speaks = heading != "" and heading in claim.where.lower()
        if speaks:
            yield claim
