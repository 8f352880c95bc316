"""Every JSON answer has its schema in docs/, and keeps to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from samaops.cli.main import run
from samaops.facts.selection import Selection
from samaops.workflows import causal_graph
from samaops.workflows.explain import all_checks
from tests.answers import DOCS, KINDS, schema_of, validated

CODE = Path(__file__).parents[2] / "samaops"
# Files of our own, no answers.
FILES = {"lab", "last-look", "release", "snapshot", "well"}


def answer(capsysbinary: pytest.CaptureFixture[bytes], *words: str) -> Any:
    """Return what samaops answers on stdout, read as exactly one document."""
    run([*words, "-o", "json"])
    return json.loads(capsysbinary.readouterr().out)


def test_each_kind_of_answer_has_its_schema_and_stands_in_the_documentation() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in CODE.rglob("*.py"))
    named = set(re.findall(r'"samaops/([a-z_-]+)/1"', sources)) - FILES
    tables = set(re.findall(r'\b(?:Table\(|table\(\s*site,)\s*"(?!samaops_)([a-z_]+)",', sources))
    assert tables
    assert {*named, *tables} == set(KINDS)
    documentation = (DOCS / "machines.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"[{kind}]({kind}.schema.json)" not in documentation] == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one_and_forgets_no_field(kind: str) -> None:
    schema = schema_of(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"] == {"const": f"samaops/{kind}/1"}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("explain", "--graph"), "causal-graph"),
        (("diagnose", "--list-checks"), "checks"),
        (("maintain", "list"), "tasks"),
        (("lab", "status"), "lab-status"),
        (("lab", "incidents"), "lab-incidents"),
        (("history", "list"), "history"),
        (("troubleshoot", "list"), "playbooks"),
        (("troubleshoot", "show", "notifications"), "playbook"),
        (("docs",), "documents"),
        (("docs", "install"), "document"),
        (("docs", "nonsense"), "report"),
        (("config", "show"), "configuration"),
        (("config", "check"), "report"),
        (("diagnose", "--only", "nonsense"), "report"),
        (("queue", "list"), "report"),
        (("undo", "last"), "report"),
        (("lab", "status", "--nonsense"), "report"),
    ],
)
def test_what_needs_no_system_keeps_to_its_schema(
    capsysbinary: pytest.CaptureFixture[bytes], words: tuple[str, ...], kind: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[servers.one]\naddress = "127.0.0.1"\n[safety]\nlock_directory = "{tmp_path}"\n')
    config.chmod(0o600)
    document = validated(answer(capsysbinary, "--config", str(config), *words))
    assert document["schema"] == f"samaops/{kind}/1"


def test_every_explanation_keeps_to_its_schema(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    for check in all_checks(Selection())[::7]:
        validated(answer(capsysbinary, "explain", check.code))
    causes = [cause for node in causal_graph.graph().nodes for cause in node.ids]
    for cause in causes[::9]:
        validated(answer(capsysbinary, "explain", cause))


def test_the_schema_of_the_configuration_is_one(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run(["config", "schema"])
    jsonschema.Draft202012Validator.check_schema(json.loads(capsysbinary.readouterr().out))
