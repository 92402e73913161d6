"""The page of claims in a real, headless Chromium: its filter, links to a claim, and the page without scripts."""

import re

import markdown
import pytest

from support import ROOT

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The committed page as the site shows it, without the site's theme."""
    folder = tmp_path_factory.mktemp("claims")
    content = markdown.markdown((ROOT / "docs/claims.md").read_text(), extensions=["md_in_html", "tables", "toc"])
    (folder / "claims.js").write_text((ROOT / "docs/claims.js").read_text())
    (folder / "style.css").write_text((ROOT / "docs/style.css").read_text())
    head = '<meta charset="utf-8"><link rel="stylesheet" href="style.css"><script defer src="claims.js"></script>'
    (folder / "claims.html").write_text(f'{head}<body class="md-typeset">{content}')
    return folder / "claims.html"


@pytest.fixture
def page(browser, page_file):
    messages = []
    opened = browser.new_page()
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.goto(page_file.as_uri())
    yield opened
    opened.close()
    assert not messages


def shown(page):
    """Return the ids of the visible claims."""
    return page.eval_on_selector_all(
        "details.claim", "claims => claims.filter(c => c.checkVisibility()).map(c => c.id)"
    )


def claims_with(page_file, pattern):
    """Return the ids of the claims whose first tag or summary matches a regular expression."""
    entries = re.findall(r'^<details class="claim" id="([^"]+)"(.*\n<summary>.*)$', page_file.read_text(), re.M)
    return [name for name, text in entries if re.search(pattern, text, re.I)]


def test_filter_shows_the_claims_that_match_every_choice(page, page_file):
    everything = claims_with(page_file, "")
    assert shown(page) == everything
    page.select_option("select[name=verdict]", "differs")
    assert shown(page) == claims_with(page_file, 'data-verdict="differs"') != everything
    assert page.locator("h2:visible").first.inner_text() == "Differs"
    assert not page.locator("h2#holds").is_visible()
    page.select_option("select[name=source]", "paper")
    assert shown(page) == claims_with(page_file, 'data-verdict="differs" data-source="paper"')
    page.select_option("select[name=verdict]", "")
    page.fill("input", "DECAY weight")
    both = set(claims_with(page_file, r"<summary>.*decay")) & set(claims_with(page_file, r"<summary>.*weight"))
    assert shown(page) == [name for name in claims_with(page_file, 'data-source="paper"') if name in both] != []
    assert page.inner_text("output") == f"{len(shown(page))} of {len(everything)} claims"


def test_filter_of_experiments_includes_claims_about_several(page, page_file):
    page.select_option("select[name=experiments]", "l1")
    assert shown(page) == claims_with(page_file, r'data-experiments="([^"]* )?l1[ "]')
    assert "l1 mainline" in page_file.read_text()


def test_link_opens_its_claim_even_if_it_is_filtered_out(page, page_file):
    page.select_option("select[name=verdict]", "differs")
    page.goto(f"{page_file.as_uri()}#paper.table4.seed1")
    claim = page.locator("details[id='paper.table4.seed1']")
    assert claim.is_visible()
    assert claim.get_by_text("key_block_ablation").is_visible()


def test_all_visible_claims_open_at_once(page):
    page.select_option("select[name=verdict]", "differs")
    page.click("text=Open all")
    assert page.eval_on_selector_all("details[open]", "claims => claims.map(claim => claim.id)") == shown(page)
    page.click("text=Close all")
    assert page.locator("details[open]").count() == 0


def test_without_scripts_every_claim_is_there_and_opens(browser, page_file):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(page_file.as_uri())
    assert page.locator("form").count() == 0
    assert page.locator("details.claim:visible").count() == len(claims_with(page_file, ""))
    claim = page.locator("details.claim").first
    claim.locator("summary").click()
    assert claim.locator("li").first.is_visible()
    page.context.close()
