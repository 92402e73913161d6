"""Write the judged claims as JSON for programs and as a Markdown page for readers."""

import inspect
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from progress_measures.claims.judge import VERDICTS, Judgment, describe_condition, format_value
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


def counts(judgments: list[Judgment]) -> dict[str, int]:
    """Return the number of claims with each verdict."""
    by_verdict = Counter(judgment.verdict for judgment in judgments)
    return {verdict: by_verdict[verdict] for verdict in VERDICTS}


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


def _page(judgments: list[Judgment], cubes: str) -> str:
    """Return the Markdown page: counts by experiment, then the claims by source."""
    lines = [
        "# Claims",
        "",
        "Every checkable statement of the four sources, compared with our own runs. Each rule was fixed before our",
        "values were known. *Recorded* claims are contradictions in the sources, which no run can settle, and",
        "statements for which only a value is reported.",
        "",
        "In the entries, *our run* is a network that this project trained; *published checkpoint* is the source's network,",
        "whose weights we do not have. FVE: fraction of variance explained. n_key: number of key frequencies. OLS:",
        "least-squares fit. SD: standard deviation. A *3x3 block* of a frequency k is the nine products of 1, cos w_k a and",
        "sin w_k a with 1, cos w_k b and sin w_k b. *Skip* is the skip connection around the MLP. A *cube* of logits or",
        "cosines is an array over (a, b, c).",
        "",
        "| experiment | " + " | ".join(VERDICTS) + " |",
        "|---|" + "---|" * len(VERDICTS),
    ]
    for experiment in dict.fromkeys(judgment.claim.experiment for judgment in judgments):
        experiment_counts = counts([judgment for judgment in judgments if judgment.claim.experiment == experiment])
        lines.append(f"| {experiment} | " + " | ".join(str(experiment_counts[verdict]) for verdict in VERDICTS) + " |")
    total = counts(judgments)
    lines.append("| **all** | " + " | ".join(f"**{total[verdict]}**" for verdict in VERDICTS) + " |")
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
        f"### `{claim.id}`: {judgment.verdict}",
        "",
        f"{_text(claim.statement)} ({_text(claim.where)}; experiment `{claim.experiment}`)",
        "",
    ]
    facts = {
        "published": format_value(claim.published),
        "measured": format_value(judgment.measured) if judgment.measured else "",
        "runs": judgment.incomplete,
        "what is measured": claim.measured_as,
        "rule": claim.rule,
        "as judged": "; ".join(f"{condition.value} {describe_condition(condition)}" for condition in claim.accept),
        "explanation": judgment.explanation,
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
