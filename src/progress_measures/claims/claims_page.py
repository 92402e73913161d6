"""The ledger as files: JSON for programs, Markdown for people."""

import inspect
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from progress_measures.claims.judge import VERDICTS, Judgment, described, shown
from progress_measures.claims.registry import load_quantity
from progress_measures.files import atomic_path

_ROOT = Path(__file__).parents[3]


def as_objects(judgments: list[Judgment]) -> list[dict[str, Any]]:
    """The ledger as a list of plain objects."""
    return [
        {
            "id": one.claim.id,
            "source": one.claim.source,
            "experiment": one.claim.experiment,
            "statement": one.claim.statement,
            "published": one.claim.published,
            "measured": _finite(one.measured) or None,
            "incomplete": one.incomplete,
            "rule": one.claim.rule,
            "verdict": one.verdict,
            "explanation": one.explanation,
        }
        for one in judgments
    ]


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: null stands for them."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def counts(judgments: list[Judgment]) -> dict[str, int]:
    """How many claims have each verdict."""
    found = Counter(one.verdict for one in judgments)
    return {verdict: found[verdict] for verdict in VERDICTS}


def write_claims(judgments: list[Judgment], json_file: Path, page: Path, cubes: str) -> None:
    """Write both files, by rename."""
    with atomic_path(json_file) as temporary:
        text = json.dumps(as_objects(judgments), indent=1, ensure_ascii=False, allow_nan=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")
    with atomic_path(page) as temporary:
        temporary.write_text(_page(judgments, cubes), encoding="utf-8")


def _page(judgments: list[Judgment], cubes: str) -> str:
    lines = [
        "# Claims",
        "",
        "Every checkable statement of the four sources, held against what our own runs give. A rule is decided before our",
        "values are seen. *Recorded* are contradictions in the sources, which no run can settle, and statements of which",
        "no more than a report is asked.",
        "",
        "| experiment | " + " | ".join(VERDICTS) + " |",
        "|---|" + "---|" * len(VERDICTS),
    ]
    for experiment in dict.fromkeys(one.claim.experiment for one in judgments):
        found = counts([one for one in judgments if one.claim.experiment == experiment])
        lines.append(f"| {experiment} | " + " | ".join(str(found[verdict]) for verdict in VERDICTS) + " |")
    total = counts(judgments)
    lines.append("| **all** | " + " | ".join(f"**{total[verdict]}**" for verdict in VERDICTS) + " |")
    for source in dict.fromkeys(one.claim.source for one in judgments):
        lines += ["", f"## {source}"]
        for one in judgments:
            if one.claim.source == source:
                lines += ["", *_entry(one, cubes)]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Text that Markdown leaves alone: `w_14` is no emphasis, `x[0](y)` no link."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def _entry(one: Judgment, cubes: str) -> list[str]:
    claim = one.claim
    lines = [
        f"### `{claim.id}`: {one.verdict}",
        "",
        f"{_text(claim.statement)} ({_text(claim.where)}; experiment `{claim.experiment}`)",
        "",
    ]
    told = {
        "published": shown(claim.published),
        "measured": shown(one.measured) if one.measured else "",
        "runs": one.incomplete,
        "what is measured": claim.measured_as,
        "rule": claim.rule,
        "as judged": "; ".join(f"{condition.value} {described(condition)}" for condition in claim.accept),
        "explanation": one.explanation,
        "note": claim.note or "",
    }
    lines += [f"- {name}: {_text(text)}" for name, text in told.items() if text]
    if claim.judged_on:
        lines.append(f"- judged on: {', '.join(f'`{name}`' for name in claim.cubes)}")
    if claim.runs is not None:
        lines.append(f"- runs: {', '.join(map(str, claim.runs))} of the grid")
    if claim.quantity:
        function = load_quantity(claim.quantity).function
        file = Path(inspect.getsourcefile(function) or "").resolve()
        place = file.relative_to(_ROOT) if file.is_relative_to(_ROOT) else file.name
        flag = " --cubes published" if cubes == "published" else ""
        lines.append(
            f"- code: `{claim.quantity}` in `{place}`; again: `progress-measures claims{flag} --only {claim.id}`"
        )
    return lines
