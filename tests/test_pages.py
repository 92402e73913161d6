"""The documentation: navigation, generated pages, links, and the blocks of every page."""

import re
from pathlib import Path

import markdown
import numpy as np
import pytest
import yaml

from progress_measures.claims.schema import load_claims
from progress_measures.cube.open import open_cube
from progress_measures.experiments import experiment_names, load_experiment
from progress_measures.explorer import SOURCE
from progress_measures.measures import measures
from progress_measures.measures.checkpoint import Checkpoint, RunContext
from progress_measures.measures.registry import DIMENSIONS
from progress_measures.models.architecture import Architecture
from progress_measures.pages import gallery, reference_pages
from support import ROOT
from support.documentation import PAGES, Reader, blocks, check_syntax, site_hooks

WITH_BLOCKS = [page for page in PAGES if blocks(page)]


SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def pages_below(entry):
    """Return the pages below an entry of the navigation."""
    if isinstance(entry, str):
        return [entry]
    return [page for below in (entry.values() if isinstance(entry, dict) else entry) for page in pages_below(below)]


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_are_valid_in_their_language(page):
    for block in blocks(page):
        check_syntax(block)


def test_every_page_is_in_the_navigation():
    page_files = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert page_files <= set(pages_below(SITE["nav"])), "add it to `nav` in mkdocs.yml"


def test_pages_of_the_navigation_exist():
    generated = {
        *reference_pages.reference_pages(),
        *gallery.gallery_pages(),
        "index.md",
        "results-folder.md",
        "contributing.md",
        "changelog.md",
        "tutorial.md",
        "live-explorer.html",
    }
    for page in pages_below(SITE["nav"]):
        assert page in generated or (ROOT / "docs" / page).exists(), page


# ---- generated pages


def test_every_measure_is_in_the_reference():
    page = reference_pages.measures_page()
    for name, measure in measures().items():
        assert f"### `{name}` {{#{name}}}" in page
        assert measure.function.__doc__, name
    assert set(re.findall(r"^## (\w+)$", page, re.M)) == {measure.family for measure in measures().values()}


def test_every_variable_and_dimension_is_in_the_reference():
    page = reference_pages.cube_page()
    cube = open_cube("mainline", published=True)
    for name in {*map(str, cube.data_vars), *measures(), *DIMENSIONS}:
        assert re.search(rf"^\| (\[?)`{name}`", page, re.M), name


@pytest.mark.parametrize("command", reference_pages.command_names())
def test_every_command_and_option_is_in_the_reference(command):
    from typer.testing import CliRunner

    from progress_measures.cli import app

    help_text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    page = reference_pages.commands_page()
    section = page.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    options = set(re.findall(r"(?<![\w`-])--[a-z][a-z-]+", help_text)) - {"--help"}
    assert section
    for option in (option for option in options if not option.startswith("--no-")):
        assert option in section, option


def test_every_experiment_is_in_the_reference():
    page = reference_pages.experiments_page()
    assert re.findall(r"^## (\w+)$", page, re.M) == experiment_names()


def test_variables_of_every_figure_and_table_are_in_the_reference():
    page = reference_pages.figures_page()
    for item in gallery.gallery_items():
        (row,) = re.findall(rf"^.*/{item.page}#{item.anchor}\).*$", page, re.M)
        assert all(f"`{name}`" in row for name in item.declared.variables), item
        assert all(f"#{name})" in row for name in item.declared.experiments), item


def test_every_figure_and_table_is_in_the_gallery():
    pages = gallery.gallery_pages()
    for item in gallery.gallery_items():
        assert f"{{#{item.anchor}}}" in pages[item.page], item


def test_every_claim_about_a_figure_or_table_is_listed_below_it():
    """Only claims about the paper are tested, since all of its figures and tables exist."""
    listed = {claim.id for item in gallery.gallery_items() for claim in gallery.claims_citing(item)}
    for claim in load_claims().values():
        if claim.source == "paper" and re.search(r"(Figure|Table)s? \d", claim.where):
            assert claim.id in listed, claim.where


def test_places_of_claims_are_parsed():
    assert gallery.cited_places("Figures 3, 16 and 17; Table 3(a) (C.2.1)") == {
        ("figure", "3"), ("figure", "16"), ("figure", "17"), ("table", "3"), ("section", "C.2.1"),
    }  # fmt: skip
    assert gallery.cited_places("Section 3.5.1, cell 30") == {("section", "3.5.1")}


def test_every_verdict_is_parsed():
    assert set(gallery.verdicts_of_claims()) == set(load_claims())


@pytest.fixture(scope="module")
def hooks():
    return site_hooks()


def test_links_are_rewritten_for_the_site(hooks):
    class Page:
        def __init__(self, name):
            self.file = type("File", (), {"src_uri": name})
            self.meta = {}

    def rewritten(text, page):
        return hooks.on_page_markdown(text, Page(page), None, None)

    assert rewritten("[x](docs/cluster.md#logs)", "index.md") == "[x](cluster.md#logs)"
    assert rewritten("![x](docs/images/fig07.png)", "index.md") == "![x](images/fig07.png)"
    assert rewritten("[x](../Makefile)", "cluster.md") == "[x](source/Makefile.md)"
    assert rewritten("[x](../../src/progress_measures/cli.py)", "reference/commands.md").endswith("cli.py.md)")
    assert rewritten("[all](../config/experiments)", "cluster.md") == "`all`"
    assert rewritten("[x](../src/progress_measures/measures)", "cube.md") == "[x](reference/measures.md)"
    assert set(hooks.GENERATED_FROM.values()) <= {*reference_pages.reference_pages(), *gallery.gallery_pages()}
    assert rewritten("[x](cluster.md)", "start.md") == "[x](cluster.md)"
    assert rewritten("[x](https://a.b/c)", "start.md") == "[x](https://a.b/c)"


def test_formulas_become_mathml(hooks):
    """Each formula of the page on the algorithm is typeset, so that the site needs no script for it."""
    source = (ROOT / "docs/algorithm.md").read_text(encoding="utf-8")
    extensions = ["attr_list", "md_in_html", "pymdownx.arithmatex", "tables"]
    content = markdown.markdown(
        source, extensions=extensions, extension_configs={"pymdownx.arithmatex": {"generic": True}}
    )
    typeset = hooks.with_mathml(content)
    assert content.count('class="arithmatex"') == typeset.count("<math") > 40
    assert "arithmatex" not in typeset
    assert "$" not in typeset
    assert typeset.count('<div class="formula"><math') == typeset.count('display="block"') == source.count("\n$$")


def test_terms_are_linked_once_and_only_in_text(hooks):
    content = (
        "<h2>Restricted loss</h2><p>The <code>restricted loss</code> and <a href='x'>restricted loss</a> are not linked, "
        "Restricted loss is, restricted loss is not again.</p><p>In nats; key frequencies; alternative</p>"
    )
    linked = hooks.with_linked_terms(content, "algorithm.html")
    assert linked.count("algorithm.html#restricted-and-excluded-loss") == 2
    assert '<a href="algorithm.html#restricted-and-excluded-loss">Restricted loss</a> is, restricted' in linked
    assert '<a href="algorithm.html#key-frequencies">key frequencies</a>' in linked
    assert re.sub('<a href="algorithm[^>]*>(.*?)</a>', r"\1", linked) == content


def test_terms_link_to_sections_of_the_page_on_the_algorithm(hooks):
    page = (ROOT / "docs/algorithm.md").read_text(encoding="utf-8")
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", page, re.M)}
    assert set(hooks.TERMS.values()) <= sections


def test_views_of_the_page_on_the_algorithm_exist():
    page = (ROOT / "docs/algorithm.md").read_text(encoding="utf-8")
    views = "".join(path.read_text(encoding="utf-8") for path in SOURCE.glob("views/*.js"))
    names = re.findall(r'data-view="([^"]+)"', page)
    assert len(names) == len(set(names)) > 8
    for name in names:
        assert f'"{name}"' in views, name
        picture = re.search(rf'data-view="{name}"><img src="(images/[^"]+)" width="\d+" alt="[^"]+"></div>', page)
        assert picture, name
        assert (ROOT / "docs" / picture[1]).stat().st_size < 100_000, name


# ---- every page, followed literally


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(tmp_path_factory.mktemp("reader"))


# a page that continues the work of another page
CONTINUES = {"docs/add-a-measure.md": "docs/add-an-experiment.md"}


def generalizes(folder, experiment):
    """Return whether an experiment's first run generalizes."""
    return float(open_cube(folder / f"results/{experiment}/cube.zarr").test_accuracy.isel(run=0, epoch=-1)) > 0.95


def added_measure_falls(folder):
    """Return whether the measure that docs/add-a-measure.md adds falls during training."""
    values = open_cube(folder / "results/prime_59/cube.zarr").directions_of_W_E.isel(run=0)
    return values[0] > 2 * values[-1] and np.isfinite(values).all()


# by page, a check of the folder after the page was followed
RESULTS = {
    "docs/start.md": lambda folder: (folder / "results/lead.png").stat().st_size > 20_000,
    "docs/add-an-experiment.md": lambda folder: generalizes(folder, "prime_59"),
    "docs/add-a-measure.md": added_measure_falls,
    "docs/add-a-task.md": lambda folder: generalizes(folder, "product_59"),
    "docs/record.md": lambda folder: generalizes(folder, "mine"),
}


# Pages with results take longest and start first; a page that continues another one runs with the same reader.
IN_ORDER = sorted(WITH_BLOCKS, key=lambda page: page not in RESULTS)


@pytest.mark.docs
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.xdist_group(CONTINUES.get(page, page))) for page in IN_ORDER]
)
def test_page_can_be_followed_literally(page, reader):
    if page in CONTINUES:
        reader.follow(CONTINUES[page])
    reader.follow(page)
    assert RESULTS.get(page, lambda folder: True)(Path(reader.folder))


def test_page_on_measures_names_what_a_checkpoint_has():
    """Every attribute exists, and every tensor of the mainline is listed with its axes."""
    page = (ROOT / "docs/add-a-measure.md").read_text()
    table = page.partition("| name | content | axes |")[2].partition("\n\n")[0]
    run = load_experiment("mainline", ROOT / "config/experiments").runs("mainline")[0]
    context = RunContext(run, None, None)
    checkpoint = Checkpoint(context, {})
    for owner, pattern in ((checkpoint, r"`checkpoint\.(\w+)"), (context, r"`checkpoint\.context\.(\w+)")):
        names = set(re.findall(pattern, page))
        assert names
        for name in names:
            assert hasattr(type(owner), name) or name in vars(owner), name
    shapes = Architecture.of(run).shapes()
    assert set(re.findall(r'\["(\w+)"\]', table)) == set(shapes)
    sizes = {
        "layer": 1,
        "head": 4,
        "d_model": 128,
        "d_head": 32,
        "neuron": 512,
        "token": 114,
        "position": 3,
        "output": 113,
    }
    for row in table.strip().splitlines()[1:]:
        name, _, axes = (cell.strip() for cell in row.strip("|").split("|"))
        tensors = re.findall(r'\["(\w+)"\]', name)
        listed = (
            [tuple(sizes[axis.split()[0]] for axis in part.split(", ")) for part in axes.split("; ")] if tensors else []
        )
        for tensor, shape in zip(tensors, listed * (len(tensors) // max(len(listed), 1)), strict=True):
            assert shapes[tensor] == shape, tensor
