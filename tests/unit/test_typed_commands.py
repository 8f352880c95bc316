"""Every proposed command works as typed: its program exists, a verb of samaops takes its options, nothing is left blank."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from samaops.causes import graph
from samaops.causes.root import safe
from samaops.checks import texts
from samaops.checks.registry import rules
from samaops.config.settings import Settings
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import faces
from samaops.render.faces import Output
from samaops.site import chosen
from samaops.site.commands import LAB_SITE, as_superuser, console, direct, on_server, redis_cli
from samaops.site.explained import filled_in
from samaops.site.site import Site
from tests.command_line import take
from tests.unit.causes.test_roots import CASES, findings_of
from tests.unit.causes.test_roots import settings as guide_settings

# What a Debian with psql, redis-tools and the usual tools has, and sudo on a server.
PROGRAMS = frozenset(
    (
        *("ssh", "curl", "openssl", "nc", "ping", "ip", "getent", "pg_isready", "for", "odbcinst", "samaops"),
        *("sudo", "psql", "docker", "date", "ps", "systemctl", "last"),
    )
)
BLANK = re.compile(
    r"<[a-z]|\b(CONTAINER|QUEUE|WORKER|POLICY|TASK_ID|PID|USER@ADDRESS|HOST:PORT|BROKER|PROXY|FILE)\b"
)


def refused_by_samaops(words: list[str]) -> str:
    """Return why the command line of samaops does not take these words, "" when it does."""
    try:
        take(words)
    except Exception as error:  # noqa: BLE001 - whatever it is, the command cannot be typed
        return f"{type(error).__name__}: {error}"
    return ""


def require_typable(line: str) -> None:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    end = next((place for place, word in enumerate(words) if set(word) <= set("|;&<>")), len(words))
    assert words[0] in PROGRAMS, line
    assert not BLANK.search(line), line
    if words[0] == "samaops":
        assert not refused_by_samaops(words[1:end]), (line, refused_by_samaops(words[1:end]))


def site(**more: Any) -> Site:
    return Site(guide_settings().model_copy(update=more))


def proposed(case: Path, of: Site) -> Iterator[str]:
    findings, causes = graph.explain(findings_of(json.loads(case.read_text(encoding="utf-8"))), of)
    yield from (finding.hint for finding in findings if finding.hint)
    for cause in causes:
        for fix in cause.fixes:
            yield from (*fix.commands, *fix.undo)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_a_cause_proposes_can_be_typed(case: Path) -> None:
    for line in (*proposed(case, site()), *proposed(case, site(site=LAB_SITE))):
        require_typable(line)


@pytest.mark.parametrize("of", [Settings(), guide_settings()], ids=["nothing configured", "the guide"])
def test_what_confirms_a_finding_can_be_typed(of: Settings) -> None:
    for rule in rules():
        for line in texts.of(rule.code).confirm:
            require_typable(filled_in(Site(of), line))


def test_a_verb_that_does_not_exist_is_found_out() -> None:
    assert not refused_by_samaops(["--lab", "ssh", "db", "--", "ls", "-l"])
    assert refused_by_samaops(["sssh", "db"])
    assert refused_by_samaops(["ssh", "db", "--no-such"])
    assert refused_by_samaops(["db", "psql", "-c", "SELECT 1"]), "it needs the two dashes"


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("docker logs --tail 5 c", "docker logs --tail 5 c"),
        ("docker inspect -f '{{.State}} {{.Id}}' c", "docker inspect -f '{{.State}} {{.Id}}' c"),
        ("true", "true"),
        ("du -x / | sort", '"du -x / | sort"'),
        ("dmesg | grep -i 'out of'", "\"dmesg | grep -i 'out of'\""),
        ("ls $HOME", "'ls $HOME'"),
        ("ls it's", '"ls it\'s"'),
    ],
)
def test_a_command_on_a_server_is_as_short_as_it_can_be(line: str, typed: str) -> None:
    assert on_server(site(), "db", line) == f"samaops ssh db -- {typed}"


def test_a_server_without_ssh_of_ours_has_no_command_of_ours() -> None:
    servers = {"here": {"address": "10.0.0.1", "ssh": "local"}, "far": {"address": "10.0.0.2", "ssh": "none"}}
    of = Site(Settings.model_validate({"servers": servers}))
    assert on_server(of, "here", "df -h /") == "df -h /"
    assert on_server(of, "far", "df -h /") == "ssh 10.0.0.2 'df -h /'"
    assert on_server(of, "10.0.0.9", "df -h /") == "ssh 10.0.0.9 'df -h /'"
    assert on_server(of, None, "df -h /") == "df -h /"
    assert on_server(of, "-oProxyCommand=x", "df -h /") == "ssh -- -oProxyCommand=x 'df -h /'", (
        "a name from outside is no option"
    )


def test_what_needs_a_superuser_asks_for_no_password() -> None:
    statement = "SELECT pg_cancel_backend(7)"
    assert as_superuser(site(), statement) == (
        f"samaops ssh db -- sudo -u postgres psql -d samaconso -c '{statement}'"
    )
    pool = guide_settings().pgbouncer
    assert pool is not None
    with_password = site(pgbouncer=type(pool).model_validate({"admin_password": {"env": "X"}}))
    typed = as_superuser(with_password, statement, "postgres", before="SET x = off")
    assert typed == f'samaops db psql -- -U postgres -d postgres -c "SET x = off" -c "{statement}"'
    require_typable(typed)


@pytest.mark.parametrize("of", [Site(Settings()), site()], ids=["nothing configured", "the guide"])
def test_statements_and_commands_of_a_service_are_short(of: Site) -> None:
    assert direct(of, "SELECT 1") == 'samaops db psql -- -c "SELECT 1"'
    assert console(of, "SHOW POOLS") == 'samaops db psql --pool -- -c "SHOW POOLS"'
    assert redis_cli(of, "info memory") == "samaops redis cli -- info memory"


def test_the_lab_s_commands_are_for_the_lab_and_any_for_the_language_that_was_asked_for() -> None:
    in_lab = on_server(site(site=LAB_SITE), "db", "df -h /")
    assert in_lab == "samaops --lab ssh db -- df -h /"
    chosen.remember(None, lab=False, language="fr")
    assert chosen.same(in_lab) == "samaops --lab --lang fr ssh db -- df -h /"
    assert chosen.same("samaops lab up") == "samaops --lang fr lab up"
    chosen.remember(Path("my site.toml"), lab=False, language="fr")
    typed = chosen.same(in_lab)
    assert typed == "samaops --config 'my site.toml' --lang fr ssh db -- df -h /"
    assert chosen.same(typed) == typed
    require_typable(typed)


def test_every_form_for_people_and_monitors_names_the_configuration_that_was_named() -> None:
    chosen.remember(Path("other.toml"), lab=False, language="fr")
    command_line = "samaops ssh db -- true"
    fix = safe("x", "Try it", command_line)
    cause = Cause("ssh-unusable", None, Verdict.CONFIRMED, "servers/db", "No log-in", fixes=(fix,))
    finding = Finding(
        "servers.ssh.unreachable", Status.CRITICAL, "servers/db", "No log-in", hint=command_line
    )
    report = Report("diagnose", datetime.now(timezone.utc), findings=(finding,), causes=(cause,))
    for form in (Output.NAGIOS, Output.JUNIT, Output.MARKDOWN):
        assert "samaops --config other.toml --lang fr ssh db -- true" in faces.render(report, form), form
