"""Write the judged claims as JSON for programs and as a page for readers."""

import html
import inspect
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from progress_measures.claims.judge import (
    CANNOT_BE_JUDGED,
    DIFFERS,
    FEW,
    HOLDS,
    HOLDS_IN_SOME,
    MOST,
    NOT_DISCRIMINATING,
    NOT_RUN,
    RECORDED,
    VERDICTS,
    Judgment,
    describe_condition,
    format_value,
)
from progress_measures.claims.registry import load_quantity
from progress_measures.claims.schema import REPOSITORY, Claim
from progress_measures.files import atomic_path
from progress_measures.markdown import cell


def as_objects(judgments: list[Judgment]) -> list[dict[str, Any]]:
    """Convert each judgment to a dictionary that can be written as JSON."""
    return [
        {
            "id": judgment.claim.id,
            "source": judgment.claim.source,
            "experiment": judgment.claim.experiment,
            "statement": judgment.claim.statement,
            "published": judgment.claim.published,
            "measured": _finite(judgment.measured) or None,
            "incomplete": judgment.incomplete,
            "rule": judgment.claim.rule,
            "verdict": judgment.verdict,
            "holds_in": judgment.holding,
            "networks": len(judgment.networks),
            "authors": judgment.authors.holds if judgment.authors else None,
            "passing_controls": judgment.passing_controls,
            "explanation": judgment.explanation,
        }
        for judgment in judgments
    ]


def _finite(value: Any) -> Any:
    """Replace infinity and NaN, which JSON lacks, by None."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


ARITHMETIC = "arithmetic"
"""Section of the page for judged claims of kind `exact`, such as identities. Other claims are listed by verdict."""


def counts(judgments: list[Judgment]) -> dict[str, int]:
    """Return the number of claims with each verdict; judged exact claims, which no training can refute, count as `arithmetic`."""
    counter = Counter(ARITHMETIC if _is_arithmetic(judgment) else judgment.verdict for judgment in judgments)
    return {name: counter[name] for name in (*VERDICTS, ARITHMETIC)}


def _is_arithmetic(judgment: Judgment) -> bool:
    """Return whether a claim is an exact statement that has been judged."""
    return judgment.claim.kind == "exact" and judgment.verdict in (HOLDS, DIFFERS)


def write_claims(judgments: list[Judgment], json_file: Path, page: Path, cubes: str) -> None:
    """Write the judgments as a JSON file and as a Markdown page. Both files are replaced atomically.

    Args:
        judgments: the judged claims, in the order of `config/claims/`.
        json_file: path of the JSON file.
        page: path of the Markdown page.
        cubes: the folder of the cubes, `results` or `published`; the commands printed on the page read cubes from it.
    """
    with atomic_path(json_file) as temporary:
        text = json.dumps(as_objects(judgments), indent=1, ensure_ascii=False, allow_nan=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")
    with atomic_path(page) as temporary:
        temporary.write_text(_page(judgments, cubes), encoding="utf-8")


SIGNS = {
    HOLDS: "✓",
    HOLDS_IN_SOME: "±",
    DIFFERS: "≠",
    NOT_DISCRIMINATING: "≈",
    CANNOT_BE_JUDGED: "?",
    NOT_RUN: "…",
    RECORDED: "¶",
}
"""Sign of each verdict, on the page of claims and in the gallery of figures."""

_MEANINGS = {
    DIFFERS: f"The rule holds in at most {FEW:.0%} of the networks.",
    HOLDS_IN_SOME: f"The rule holds in more than {FEW:.0%} of the networks, but in less than {MOST:.0%}.",
    NOT_DISCRIMINATING: "The rule holds in most networks, but also in a control, so that it says nothing.",
    CANNOT_BE_JUDGED: "No network has the final accuracy that the claim requires, or no cube has the variables that the "
    "rule reads.",
    NOT_RUN: "Networks that the rule needs are not trained, or their cubes are not published yet.",
    HOLDS: f"The rule holds in at least {MOST:.0%} of the networks, and in none of the controls (or the entry says why it "
    "also holds there).",
    RECORDED: "Contradictions in the sources, which no network can settle, and statements for which only a value is "
    "reported.",
    ARITHMETIC: "Exact claims: arithmetic, identities, and sizes of data and arrays. They can show a mistake of this "
    "project or of a source, but no training can refute them.",
}
"""What each section of the page contains, in the order of the page; sections with claims that do not hold come first."""

_JUDGING = """
## How a claim is judged

A rule is fixed before our values are known; the exceptions are listed under *Changed rules*. It is judged on every network that
the statement is about. Statements about the mainline are judged on the ten networks of `mainline` and `prime_109`, which by the
paper (appendix C.2.2) behave alike. A rule that compares or counts runs is judged once on all runs, and once on all runs of each
control; a rule that reads several cubes is judged once and has no controls.

- *Measured* values are those of the runs that the entry names, often seed 0 of the mainline. *Population* values are the range
  over all networks.
- *Authors' network* is the one that the paper's authors published with weight decay 0.1 (`wd_10-1`), imported. It has one
  checkpoint and its loss curves.
- *Controls* are networks without the algorithm: untrained networks (`untrained`), networks that memorized 10 and 20 % of all
  pairs (`data_fraction_low`), and a network without weight decay (`no_weight_decay`); for statements about a
  small fixed training set of sequences, networks trained on fresh sequences; for statements about fresh sequences, networks
  trained on a fixed set.
- *Our run* is a network that this project trained. *Published checkpoint* is the network on which the
  source's numbers were computed; we do not have its weights.
- FVE: fraction of variance explained. n_key: number of key frequencies. OLS: least-squares fit. SD: standard deviation. A
  *3x3 block* of a frequency k is the nine products of 1, cos w_k a and sin w_k a with 1, cos w_k b and sin w_k b. *Skip* is
  the skip connection around the MLP."""


def _changes(judgments: list[Judgment]) -> list[str]:
    """Return the lines of the table of changed rules."""
    changed = [judgment for judgment in judgments if judgment.claim.changed]
    if not changed:
        return []
    lines = [
        "",
        "## Changed rules",
        "",
        "A rule is changed only where the text of the source says otherwise than the rule; each entry quotes the text. Our",
        "values were known when these rules were changed, and where the text gives no number, the new bound is ours, so a reader",
        "may judge both rules. No other bound was ever changed. For three other claims, the networks or values to which the",
        "rule is applied were changed after our values were known: `paper.fig30.finite_groks` (twice),",
        "`paper.c2_3.all_use_fourier` and `paper.d1.wd_times`.",
        "",
        "| claim | text of the source | earlier rule | why it was changed | verdict before | verdict now |",
        "|---|---|---|---|---|---|",
    ]
    for judgment in changed:
        change = judgment.claim.changed
        assert change is not None
        cells = [f"“{change.text}” ({judgment.claim.where})", change.before, change.reason, change.verdict]
        lines.append(
            f"| `{judgment.claim.id}` | " + " | ".join(map(cell, cells)) + f" | {describe_verdict(judgment)} |"
        )
    return lines


def describe_verdict(judgment: Judgment) -> str:
    """Return the verdict and, if each network was judged, in how many the rule holds: `holds (9 of 10)`."""
    if not judgment.networks:
        return judgment.verdict
    return f"{judgment.verdict} ({judgment.holding} of {len(judgment.networks)})"


def describe_networks(judgment: Judgment) -> str:
    """Describe in how many networks the rule holds, in which it fails, and its outcome on the authors' network and controls.

    The text is empty if the rule is judged once and has no controls.
    """
    parts = []
    if judgment.networks:
        failing = [f"{outcome.cube}/{outcome.run}" for outcome in judgment.networks if not outcome.holds]
        parts.append(f"holds in {judgment.holding} of {len(judgment.networks)}")
        if failing and judgment.holding:
            parts[-1] += f", not in {', '.join(failing)}"
    if judgment.authors and judgment.authors.holds is not None:
        parts.append(f"authors' network: {_holds_or_fails(judgment.authors.holds)}")
    for control in dict.fromkeys(outcome.cube for outcome in judgment.controls):
        outcomes = [outcome.holds for outcome in judgment.controls if outcome.cube == control]
        count = f" in {sum(map(bool, outcomes))} of {len(outcomes)}" if any(outcomes) and len(outcomes) > 1 else ""
        parts.append(f"{control}: {_holds_or_fails(any(outcomes))}{count}")
    return "; ".join(parts)


def _holds_or_fails(holds: bool) -> str:
    return HOLDS if holds else "fails"


def _population_values(judgment: Judgment) -> str:
    """Return the range over the population, and the authors' value, of each number that a rule names, as one text."""
    ranges = []
    for name in dict.fromkeys(condition.value for condition in judgment.claim.accept):
        numbers = [number for outcome in judgment.networks for number in _numbers(outcome.values.get(name))]
        if not numbers:
            continue
        text = f"{name} {_range(numbers)}"
        authors = _numbers(judgment.authors.values.get(name)) if judgment.authors else []
        ranges.append(f"{text} (authors' network {_range(authors)})" if authors else text)
    return "; ".join(ranges)


def _range(numbers: list[float]) -> str:
    """Return the smallest and the largest number, or the only one: `0.5 to 2`."""
    return " to ".join(dict.fromkeys(map(format_value, (min(numbers), max(numbers)))))


def _numbers(value: Any) -> list[float]:
    """Return the finite numbers of a value or a list of values."""
    values = value if isinstance(value, list) else [value]
    return [x for x in values if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)]


def _page(judgments: list[Judgment], cubes: str) -> str:
    """Return the page: claims by verdict, how they are judged, counts by experiment, and changed rules.

    Each claim is a line that opens at a click. Claims are raw HTML without blank lines, because GitHub and MkDocs render
    HTML alike, but not Markdown within HTML.
    """
    sections = {name: [j for j in judgments if _section(j) == name] for name in _MEANINGS}
    sections = {name: section for name, section in sections.items() if section}
    flag = " --cubes published" if cubes == "published" else ""
    count = Counter(judgment.claim.source for judgment in judgments)
    ours, of_papers = count.pop("beyond", 0), count.pop("accelerators", 0)
    lines = [
        "# Claims",
        "",
        f"The four sources make {count.total()} checkable statements, papers on faster grokking make {of_papers}, and {ours} are",
        "ours. Each line below is one. Click it for the published and the measured value, the rule and the code. The number on",
        "the left counts the networks in which the rule holds.",
        f"`progress-measures claims{flag} --only ID` judges one statement again.",
        "",
        " · ".join(
            f"[{_sign(name)}{name}](#{name.replace(' ', '-')}) {len(section)}" for name, section in sections.items()
        ),
    ]
    for name, section in sections.items():
        lines += ["", f"## {name.capitalize()}", "", _MEANINGS[name]]
        for judgment in section:
            lines += ["", *_entry(judgment)]
    lines += [*_JUDGING.splitlines(), *_counts_by_experiment(judgments), *_changes(judgments)]
    return "\n".join(lines) + "\n"


def _section(judgment: Judgment) -> str:
    """Return the section of the page that a claim belongs to: `arithmetic` for judged exact claims, else its verdict."""
    return ARITHMETIC if _is_arithmetic(judgment) else judgment.verdict


def _sign(name: str) -> str:
    """Return the sign of a section and a no-break space; an empty string for `arithmetic`, whose claims have several verdicts."""
    return f"{SIGNS[name]}\N{NO-BREAK SPACE}" if name in SIGNS else ""


def _counts_by_experiment(judgments: list[Judgment]) -> list[str]:
    """Return the lines of the table of verdicts by experiment."""
    columns = tuple(_MEANINGS)
    lines = [
        "",
        "## Verdicts by experiment",
        "",
        "A claim that compares several experiments counts for the first of them.",
        "",
        "| experiment | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for experiment in dict.fromkeys(judgment.claim.cubes[0] for judgment in judgments):
        experiment_counts = counts([judgment for judgment in judgments if judgment.claim.cubes[0] == experiment])
        cells = (str(experiment_counts[name] or "") for name in columns)
        lines.append(f"| {experiment} | " + " | ".join(cells) + " |")
    total = counts(judgments)
    lines.append("| **all** | " + " | ".join(f"**{total[name]}**" for name in columns) + " |")
    exact = [judgment.verdict for judgment in judgments if _is_arithmetic(judgment)]
    return [*lines, "", f"Of the {len(exact)} exact claims, {exact.count(HOLDS)} hold."]


def _entry(judgment: Judgment) -> list[str]:
    """Return the lines of one claim on the page; docs/claims.js filters by the `data-` attributes."""
    claim = judgment.claim
    data = {"verdict": judgment.verdict, "source": claim.source, "experiments": " ".join(claim.cubes)}
    attributes = " ".join(f'data-{name}="{html.escape(value)}"' for name, value in data.items())
    count = f" {judgment.holding} of {len(judgment.networks)}" if judgment.networks else ""
    facts = {
        "where": claim.where,
        "experiments": _experiments(claim),
        "published": format_value(claim.published),
        "measured": format_value(judgment.measured) if judgment.measured else "",
        "networks": describe_networks(judgment),
        "population": _population_values(judgment),
        "missing": judgment.incomplete,
        "what is measured": claim.measured_as,
        "rule": claim.rule,
        "as judged": "; ".join(f"{condition.value} {describe_condition(condition)}" for condition in claim.accept),
        "explanation": judgment.explanation,
        "why the rule also holds of controls": claim.passes_on_controls or "",
        "note": claim.note or "",
        "code": _code(claim.quantity) if claim.quantity else "",
    }
    return [
        f'<details class="claim" id="{html.escape(claim.id)}" {attributes}>',
        f"<summary><b>{SIGNS[judgment.verdict]}{count}</b> {_text(claim.statement)} <code>{claim.id}</code></summary>",
        "<ul>",
        *(f"<li><b>{name}</b>: {_text(text)}</li>" for name, text in facts.items() if text),
        "</ul>",
        "</details>",
    ]


def _experiments(claim: Claim) -> str:
    """Return the experiments whose cubes a claim reads and, if values of only some runs are shown, these runs."""
    runs = f"; values of run {', '.join(map(str, claim.runs))} of the grid" if claim.runs is not None else ""
    return ", ".join(claim.cubes) + runs


def _text(text: str) -> str:
    """Escape a text for HTML; text in backquotes becomes code."""
    escaped = html.escape(" ".join(text.split()), quote=False).replace("](", "]&#40;")  # not a link in Markdown
    return re.sub("`([^`]+)`", r"<code>\1</code>", escaped)


def _code(quantity: str) -> str:
    """Return the name of a quantity's function and the file that defines it."""
    file = Path(inspect.getsourcefile(load_quantity(quantity).function) or "").resolve()
    return f"`{quantity}` in `{file.relative_to(REPOSITORY) if file.is_relative_to(REPOSITORY) else file.name}`"
