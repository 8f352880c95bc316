"""Every proposed command is safe to paste into a shell, whatever the names from outside hold.

The commands are really run, where each program is a stand-in that does nothing; ``ssh`` runs its last argument as
the shell of the server would.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import texts
from samaops.checks.registry import rules
from samaops.config.settings import Settings
from samaops.facts.docker import DockerFacts
from samaops.facts.servers import DeletedFile
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.render import escape, shell_lines
from samaops.site.commands import console, direct, sql_name, sql_text
from samaops.site.explained import filled_in
from samaops.site.site import Site
from tests.unit.causes.test_roots import CASES, findings_of
from tests.unit.causes.test_roots import settings as guide_settings
from tests.unit.checks.judging import findings, seen
from tests.unit.checks.test_docker import RUNNING
from tests.unit.checks.test_servers import HEALTHY, disk

_PROGRAMS = (
    "psql redis-cli curl openssl docker du sort head findmnt grep ls tail gzip truncate rabbitmqctl systemctl "
    "journalctl dmesg ping celery timedatectl chronyc tmsh ps top vmstat df samaops nc pg_isready sudo"
)
# Each is one way out of its place, and leaves the command line whole behind it.
_HOSTILE = (
    "; touch {mark};",
    "$(touch {mark})",
    "`touch {mark}`",
    "'; touch {mark}; '",
    "'$(touch {mark})'",
    '"; touch {mark}; "',
    "x\ntouch {mark}\n",
)

# As `samaops ssh` hands over what follows: one word as a line for the server's shell, more as a program's arguments.
_SAMAOPS = """#!/bin/sh
while [ "$1" != ssh ]; do [ $# -gt 0 ] || exit 0; shift; done
[ "$3" = -- ] || exit 0
shift 3
[ $# -gt 1 ] && exec "$@"
exec /bin/sh -c "$1"
"""

Paste = Callable[[str], None]


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


@pytest.fixture(params=_HOSTILE)
def hostile(mark: Path, request: pytest.FixtureRequest) -> str:
    return str(request.param).format(mark=mark)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a stand-in for each program."""
    programs = tmp_path_factory.mktemp("bin")
    for name in _PROGRAMS.split():
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
    (programs / "ssh").write_text('#!/bin/sh\nfor last; do :; done\nexec /bin/sh -c "$last"\n')
    (programs / "samaops").write_text(_SAMAOPS)
    (programs / "touch").symlink_to("/bin/touch")
    for program in programs.iterdir():
        if not program.is_symlink():
            program.chmod(0o755)
    return programs


@pytest.fixture
def paste(tmp_path: Path, programs: Path, mark: Path) -> Paste:
    """Return what types a command as the screen shows it, and fails when something in it acted."""

    def run(command: str) -> None:
        shown = "\n".join(shell_lines.wrap(escape.command(command), 70))
        for line in (command, shown):
            done = subprocess.run(
                ["/bin/bash", "-c", line],
                env={"PATH": str(programs)},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
            assert not mark.exists(), line
            assert "bash: -c" not in done.stderr, (line, done.stderr)  # it cannot be read at all

    return run


def _poisoned(value: Any, hostile: str) -> Any:
    """Return evidence with every text, and every number, replaced: a saved look may hold anything."""
    if isinstance(value, dict):
        return {key: _poisoned(one, hostile) if key not in _KINDS else one for key, one in value.items()}
    if isinstance(value, list):
        return [_poisoned(one, hostile) for one in value]
    return hostile if isinstance(value, str) or _is_number(value) else value


# What the graph itself tells causes apart by.
_KINDS = frozenset({"kind", "root_state", "reason", "size_bytes", "memory_percent", "ready", "messages"})


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _commands(findings_: tuple[Finding, ...]) -> Iterator[str]:
    _findings, causes = graph.explain(findings_, Site(guide_settings()))
    for cause in causes:
        for fix in cause.fixes:
            yield from (*fix.commands, *fix.undo)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_commands_of_every_cause_hold_back_hostile_evidence(
    path: Path, paste: Paste, hostile: str
) -> None:
    honest = findings_of(json.loads(path.read_text(encoding="utf-8")))
    evil = tuple(replace(one, evidence=_poisoned(dict(one.evidence), hostile)) for one in honest)
    renamed = tuple(replace(one, subject=f"{one.subject.partition('/')[0]}/{hostile}") for one in evil[:1])
    for command in (*_commands(evil), *_commands((*renamed, *evil[1:]))):
        paste(command)


@pytest.mark.parametrize(
    ("code", "evidence"),
    [
        ("redis.keys.no_expiry", {"dominant_prefix": True}),
        ("pgbouncer.pool.paused", {"database": True}),
        ("postgresql.slot.inactive", {"slot": True}),
        ("postgresql.locks.chain", {"root_pid": True}),
        ("servers.disk.full", {"mount": True}),
    ],
)
def test_names_that_an_application_or_a_user_chooses_stay_names(
    code: str, evidence: dict[str, bool], paste: Paste, hostile: str
) -> None:
    system = code.partition(".")[0]
    finding = Finding(
        code, Status.CRITICAL, f"{system}/x", "", server="db", evidence=dict.fromkeys(evidence, hostile)
    )
    for command in _commands((finding,)):
        paste(command)


def test_the_hints_of_disks_and_containers_stay_safe(paste: Paste, hostile: str) -> None:
    full = disk(99.0, mount=hostile)
    deleted = replace(disk(99.0), deleted=(DeletedFile("/data", hostile, 10**10, hostile, hostile),))  # type: ignore[arg-type]
    missing = replace(HEALTHY, missing_mounts=(hostile,))
    hung = replace(RUNNING, name=hostile, state="exited", oom_killed=True, exit_code=137, log_path=hostile)
    settings = Settings()
    hints = [
        finding.hint
        for code, facts in (
            ("servers.disk.full", full),
            ("servers.disk.inodes", full),
            ("servers.disk.deleted_open", deleted),
            ("servers.mount.missing", missing),
            ("docker.container.oom_killed", DockerFacts(0.0, 1, (hostile,), (hung,), True, ())),
            ("docker.container.stopped", DockerFacts(0.0, 1, (hostile,), (hung,), True, ())),
        )
        for finding in findings(
            code, seen(f"{code.partition('.')[0]}/db", facts, "db"), settings=settings
        ).values()
    ]
    assert any(hints)
    for hint in hints:
        if hint:
            paste(hint)


@pytest.mark.parametrize("make", [direct, console])
def test_a_statement_is_one_argument_of_psql(
    make: Callable[[Site, str], str], paste: Paste, hostile: str
) -> None:
    section = {"servers": {"db": {"address": "10.0.0.1"}}, "postgresql": {}, "pgbouncer": {}}
    site = Site(Settings.model_validate(section))
    paste(make(site, f"SELECT {sql_text(hostile)}"))
    assert make(site, "SHOW POOLS").endswith('-c "SHOW POOLS"')


def test_sql_names_and_texts_cannot_end_themselves() -> None:
    assert sql_name("samaconso") == "samaconso"
    assert sql_name('a"; DROP') == '"a""; DROP"'
    assert sql_text("a'); DROP --") == "'a''); DROP --'"


def test_an_explanation_names_the_configured_addresses_and_no_placeholder(paste: Paste) -> None:
    settings = guide_settings()
    for rule in rules(
        ("postgresql", "pgbouncer", "redis", "minio", "rabbitmq", "api", "proxy", "loadbalancer")
    ):
        for command in texts.of(rule.code).confirm:
            typed = filled_in(Site(settings), command)
            assert not re.search("<[a-z]", typed), typed
            paste(typed)
    pools = 'samaops db psql --pool -- -c "SHOW POOLS"'
    assert filled_in(Site(settings), pools) == console(Site(settings), "SHOW POOLS")
