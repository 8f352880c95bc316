"""What was observed and what must be found: each file in ``tests/data/checks/<system>/`` holds the cases of one check.

``check`` is its code, ``facts`` and ``settings`` hold for all cases. A case has a ``name`` and what it ``expects``: one
finding, or a list of them when the check makes one for each part. Every field that is written there must be so; of
``evidence`` only what is written. What makes the case:

- ``changes``: the fields of the facts that are different in it;
- ``missing``: a part that could not be looked at, with the kind of failure;
- ``failure``: the kind of failure, when nothing could be looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from samaops.checks.registry import Rule, rules
from samaops.config.settings import Settings
from samaops.facts.observation import Observation
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from tests.unit.checks.judging import findings

FILES = sorted((Path(__file__).parents[2] / "data" / "checks").rglob("*.yaml"))
DOCUMENTS = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES}
CASES = [
    pytest.param(document, case, id=f"{document['check']}: {case['name']}")
    for document in DOCUMENTS.values()
    for case in document["cases"]
]


def rule_of(code: str) -> Rule:
    (rule,) = (rule for rule in rules((code.partition(".")[0],)) if rule.code == code)
    return rule


def merged(base: Any, changes: Any) -> Any:
    if isinstance(base, dict) and isinstance(changes, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}
    return changes


def failure_of(kind: str) -> Failure:
    return Failure(FailureKind(kind), "the other side's own words", "look")


def observation_of(document: dict[str, Any], case: dict[str, Any]) -> Observation:
    rule = rule_of(document["check"])
    subject = document.get("subject", f"{rule.system}/case")
    place = (rule.system, subject, document.get("server"), rule.facts.__name__)
    if "failure" in case:
        return Observation(*place, failure=failure_of(case["failure"]))
    facts: Any = msgspec.convert(merged(document["facts"], case.get("changes", {})), rule.facts)
    missing = {part: failure_of(kind) for part, kind in case.get("missing", {}).items()}
    return Observation(*place, facts, missing=missing)


def assert_is(finding: Finding, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "evidence":
            assert {key: finding.evidence.get(key) for key in value} == value
        else:
            assert getattr(finding, name) == value, name


@pytest.mark.parametrize(("document", "case"), CASES)
def test_a_case_is_judged_as_it_says(document: dict[str, Any], case: dict[str, Any]) -> None:
    settings = Settings.model_validate(document.get("settings", {}))
    judged = findings(document["check"], observation_of(document, case), settings=settings)
    expected = case["expects"] if isinstance(case["expects"], list) else [case["expects"]]
    assert len(judged) == len(expected)
    for finding, wanted in zip(judged.values(), expected, strict=True):
        assert_is(judged[wanted["subject"]] if "subject" in wanted else finding, wanted)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_has_the_name_of_its_check_and_a_good_and_a_bad_case(path: Path) -> None:
    document = DOCUMENTS[path]
    assert document["check"] == f"{path.parent.name}.{path.stem}"
    listed = [case["expects"] for case in document["cases"]]
    expected = [finding for each in listed for finding in (each if isinstance(each, list) else [each])]
    statuses = {finding["status"] for finding in expected}
    assert "ok" in statuses
    assert statuses - {"ok"}
