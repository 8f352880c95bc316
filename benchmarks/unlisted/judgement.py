"""Whether an answer names a fault: by its declaration alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from msgspec import Struct

from .declaration import Expected

Outcome = Literal["named", "narrowed down", "not seen", "wrong name", "no answer", "not broken"]
# A person reads so many findings before going on by hand.
FIRST = 5
ORDER = {"critical": 0, "warning": 1, "unknown": 2}


class Judgement(Struct, frozen=True):
    """The outcome, and the lines of the answer that decided it."""

    outcome: Outcome
    said: tuple[str, ...] = ()


def judge(report: dict[str, Any], expected: Expected) -> Judgement:
    """Judge a report of ``samaops diagnose``."""
    if "findings" not in report:
        return Judgement("no answer")
    causes, findings = report["causes"], sorted(_unwell(report), key=lambda one: ORDER[one["status"]])
    said = (*map(_cause_line, causes), *(_finding_line(one) for one in findings[:FIRST]))
    if any(_is_wrong(one, expected) for one in causes):
        return Judgement("wrong name", said)
    first = [*map(_cause_text, causes), *map(_finding_text, findings[:FIRST])]
    if any(_has_all(text, expected.names) for text in first):
        return Judgement("named", said)
    every = [*first, *map(_finding_text, findings[FIRST:])]
    is_near = any(_has_any(text, (*expected.area,)) or _has_all(text, expected.names) for text in every)
    return Judgement("narrowed down" if is_near else "not seen", said)


def _unwell(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (one for one in report["findings"] if one["status"] in ORDER)


def _is_wrong(cause: dict[str, Any], expected: Expected) -> bool:
    """Tell whether a cause is given as the truth, and is neither the fault nor what the fault honestly does."""
    if cause["verdict"] == "inconclusive" or _has_all(_cause_text(cause), expected.names):
        return False
    return not _has_any(f"{cause['id']}@{cause['subject']}", expected.honest)


def _has_all(text: str, patterns: Iterable[str]) -> bool:
    return all(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


def _has_any(text: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


def _cause_text(cause: dict[str, Any]) -> str:
    return "\n".join((cause["subject"], cause["title"], *cause.get("speaks_for", ())))


def _cause_line(cause: dict[str, Any]) -> str:
    return f"{cause['verdict']} {cause['id']}@{cause['subject']}: {cause['title']}"


def _finding_text(finding: dict[str, Any]) -> str:
    evidence = json.dumps(finding["evidence"], ensure_ascii=False)
    return "\n".join((finding["subject"], finding["title"], finding["detail"], evidence))


def _finding_line(finding: dict[str, Any]) -> str:
    detail = f" ({finding['detail']})" if finding["detail"] else ""
    return f"{finding['status']} {finding['code']}@{finding['subject']}: {finding['title']}{detail}"[:400]
