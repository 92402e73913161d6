"""Write the judged claims as JSON for programs and as a Markdown page for readers."""

import inspect
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from progress_measures.claims.judge import (
    DIFFERS,
    FEW,
    HOLDS,
    MOST,
    VERDICTS,
    Judgment,
    describe_condition,
    format_value,
)
from progress_measures.claims.registry import load_quantity
from progress_measures.claims.schema import ROOT
from progress_measures.files import atomic_path


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


def counts(judgments: list[Judgment]) -> dict[str, int]:
    """Return the number of claims with each verdict; exact claims, which no training can refute, are counted apart."""
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


_HEAD = f"""# Claims

Every checkable statement of the four sources, compared with our own networks. A rule is fixed before our values are known.
It is judged on every network that the statement speaks of; the verdict gives the number of networks in which it holds:

- *holds*: the rule holds in at least {MOST:.0%} of the networks, and in none of the controls (or the entry says why it also
  holds there);
- *holds in some*: the rule holds in more than {FEW:.0%} of the networks, but in less than {MOST:.0%};
- *differs*: the rule holds in at most {FEW:.0%} of the networks;
- *does not discriminate*: the rule holds in most networks, but also in a control, so that it says nothing;
- *cannot be judged*: no network has learned what the rule needs, or no network has its values;
- *not run*: networks that the rule needs are not trained yet;
- *recorded*: contradictions in the sources, which no network can settle, and statements for which only a value is reported.

Statements about the mainline are judged on the ten networks of `mainline` and `prime_109`, which by the paper (appendix C.2.2)
behave alike. *Measured* values are those of the runs that the entry names, often seed 0 of the mainline; *population* values
are the range over all networks. *Authors' network* is the one that the paper's authors published with weight decay 0.1
(`wd_10-1`), imported; it has one checkpoint and its loss curves. *Controls* are networks without the algorithm: untrained
networks (`untrained`), networks that memorized 10 and 20 % of all pairs (`data_fraction_low`), and a network without weight
decay (`no_weight_decay`); for statements about few fixed sequences, networks that train on fresh ones, and the reverse. A rule
that compares or counts runs is judged once on all runs, and once on all runs of each control; a rule that reads several cubes
is judged once and has no controls.
*Arithmetic* counts exact claims: arithmetic, identities, and sizes of data and arrays. They can show a mistake of this
project or of a source, but no training can refute them.

In the entries, *our run* is a network that this project trained; *published checkpoint* is the source's network, whose weights
we do not have. FVE: fraction of variance explained. n_key: number of key frequencies. OLS: least-squares fit. SD: standard
deviation. A *3x3 block* of a frequency k is the nine products of 1, cos w_k a and sin w_k a with 1, cos w_k b and sin w_k b.
*Skip* is the skip connection around the MLP. A *cube* of logits or cosines is an array over (a, b, c).""".splitlines()


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
        "may judge both rules. Before these changes, bounds were never changed, but what a rule is applied to was changed after",
        "values were known for `paper.fig30.finite_groks` (twice), `paper.c2_3.all_use_fourier` and `paper.d1.wd_times`.",
        "",
        "| claim | text of the source | earlier rule | why it was changed | verdict before | verdict now |",
        "|---|---|---|---|---|---|",
    ]
    for judgment in changed:
        change = judgment.claim.changed
        assert change is not None
        cells = [f"“{change.text}” ({judgment.claim.where})", change.before, change.reason, change.verdict]
        lines.append(
            f"| `{judgment.claim.id}` | " + " | ".join(map(_cell, cells)) + f" | {describe_verdict(judgment)} |"
        )
    return lines


def _cell(text: str) -> str:
    """Escape a text for a cell of a table."""
    return " ".join(_text(text).replace("|", "\\|").split())


def describe_verdict(judgment: Judgment) -> str:
    """Return the verdict and the number of networks in which the rule holds: `holds (9 of 10)`."""
    if not judgment.networks:
        return judgment.verdict
    return f"{judgment.verdict} ({judgment.holding} of {len(judgment.networks)})"


def describe_networks(judgment: Judgment) -> str:
    """Return on which networks the rule fails, what the authors' network gives, and what the controls give."""
    parts = []
    if judgment.networks:
        failing = [f"{outcome.cube}/{outcome.run}" for outcome in judgment.networks if not outcome.holds]
        parts.append(f"holds in {judgment.holding} of {len(judgment.networks)}")
        if failing and judgment.holding:
            parts[-1] += f", not in {', '.join(failing)}"
    if judgment.authors and judgment.authors.holds is not None:
        parts.append(f"authors' network: {_word(judgment.authors.holds)}")
    for control in dict.fromkeys(outcome.cube for outcome in judgment.controls):
        outcomes = [outcome.holds for outcome in judgment.controls if outcome.cube == control]
        counted = f" in {sum(map(bool, outcomes))} of {len(outcomes)}" if any(outcomes) and len(outcomes) > 1 else ""
        parts.append(f"{control}: {_word(any(outcomes))}{counted}")
    return "; ".join(parts)


def _word(holds: bool) -> str:
    return HOLDS if holds else "fails"


def _population_values(judgment: Judgment) -> str:
    """Return the range over the population, and the authors' value, of each number that the rule bounds."""
    ranges = []
    for name in dict.fromkeys(condition.value for condition in judgment.claim.accept):
        numbers = [number for outcome in judgment.networks for number in _numbers(outcome.values.get(name))]
        if not numbers:
            continue
        text = f"{name} {format_value(min(numbers))} to {format_value(max(numbers))}"
        authors = _numbers(judgment.authors.values.get(name)) if judgment.authors else []
        if authors:
            ends = list(dict.fromkeys([min(authors), max(authors)]))
            text += f" (authors' network {' to '.join(map(format_value, ends))})"
        ranges.append(text)
    return "; ".join(ranges)


def _numbers(value: Any) -> list[float]:
    """Return the finite numbers of a value or a list of values."""
    values = value if isinstance(value, list) else [value]
    return [x for x in values if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)]


def _page(judgments: list[Judgment], cubes: str) -> str:
    """Return the Markdown page: counts by experiment, then the claims by source."""
    columns = (*VERDICTS, ARITHMETIC)
    lines = [
        *_HEAD,
        "",
        "| experiment | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for experiment in dict.fromkeys(judgment.claim.experiment for judgment in judgments):
        experiment_counts = counts([judgment for judgment in judgments if judgment.claim.experiment == experiment])
        lines.append(f"| {experiment} | " + " | ".join(str(experiment_counts[name]) for name in columns) + " |")
    total = counts(judgments)
    lines.append("| **all** | " + " | ".join(f"**{total[name]}**" for name in columns) + " |")
    exact = [judgment.verdict for judgment in judgments if _is_arithmetic(judgment)]
    lines += ["", f"Of the {len(exact)} exact claims, {exact.count(HOLDS)} hold."]
    lines += _changes(judgments)
    for source in dict.fromkeys(judgment.claim.source for judgment in judgments):
        lines += ["", f"## {source}"]
        for judgment in judgments:
            if judgment.claim.source == source:
                lines += ["", *_entry(judgment, cubes)]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Escape Markdown: `w_14` must not become emphasis, nor `x[0](y)` a link."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def _entry(judgment: Judgment, cubes: str) -> list[str]:
    """Return the lines of one claim on the page."""
    claim = judgment.claim
    lines = [
        f"### `{claim.id}`: {describe_verdict(judgment)}",
        "",
        f"{_text(claim.statement)} ({_text(claim.where)}; experiment `{claim.experiment}`)",
        "",
    ]
    facts = {
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
    }
    lines += [f"- {name}: {_text(text)}" for name, text in facts.items() if text]
    if claim.judged_on:
        lines.append(f"- judged on: {', '.join(f'`{name}`' for name in claim.cubes)}")
    if claim.runs is not None:
        lines.append(f"- runs of the grid: {', '.join(map(str, claim.runs))}")
    if claim.quantity:
        function = load_quantity(claim.quantity).function
        file = Path(inspect.getsourcefile(function) or "").resolve()
        location = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file.name
        flag = " --cubes published" if cubes == "published" else ""
        lines.append(
            f"- code: `{claim.quantity}` in `{location}`; command: `progress-measures claims{flag} --only {claim.id}`"
        )
    return lines
