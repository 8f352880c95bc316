"""Words on stderr are no answer: every command of every script warns before and after, and the facts stay the same.

The commands are found in the scripts themselves, so that one that is added is noisy here too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

import samaops
from samaops.changes.run.shell import run_in_shell
from samaops.clients import reach
from samaops.clients.local import LocalShell
from samaops.collect import engine, registry
from samaops.config.settings import Settings
from samaops.facts.disks import CleanableFacts
from samaops.facts.observation import Observation
from samaops.facts.selection import Selection
from samaops.model.plan import SHELL, Operation
from samaops.site.site import Site
from samaops.workflows import docker as docker_workflow
from tests.service.docker_engine import NEVER_MIND, NO_FAULT

pytestmark = pytest.mark.service
# In the way in which docker, sudo and the C library warn; also words that elsewhere are the reason of a failure.
NOISE = (
    "WARNING: Error parsing config file (/root/.docker/config.json): unexpected EOF",
    "sudo: unable to resolve host api: Name or service not known",
    "warning: permission denied: No such file or directory, exit 1",
)
# What differs from one moment to the next, wherever it stands in the facts: of it, only whether it was seen.
OF_THE_MOMENT = {
    "epoch", "since", "uptime_seconds", "load_1", "load_5", "load_15", "memory_available", "swap_free", "clock_low",
    "clock_high", "taken_at", "at", "used", "available", "inodes_used", "marks", "biggest", "deleted",
    "used_bytes", "available_bytes", "is_partial", "oom_kills_since_boot", "runnable",
}  # fmt: skip
CONTAINER = {
    "id": "a" * 64, "name": "/samaconso_redis", "image": "redis:7", "image_id": "sha256:" + "b" * 64,
    "state": {**NO_FAULT, "Status": "running", "StartedAt": "2026-01-01T00:00:00Z", "Pid": 7}, "restart_count": 0,
    "restart_policy": "always", "memory_limit": 0, "log_path": "", "log_driver": "none", "log_options": None,
    "service": None, "project": None, **NEVER_MIND,
}  # fmt: skip
IMAGE = {
    "id": "sha256:" + "b" * 64, "tags": ["redis:7"], "digests": [], "created": "2026-01-01T00:00:00Z",
    "tagged": "2026-01-01T00:00:00Z", "size": 5,
}  # fmt: skip
USE = {"Name": "samaconso_redis", "ID": "aaa", "CPUPerc": "0.1%", "MemUsage": "1MiB / 2MiB", "PIDs": "3"}
SPACE = {"Type": "Images", "TotalCount": "1", "Active": "1", "Size": "5B", "Reclaimable": "0B (0%)"}
DOCKER = f"""#!/bin/sh
case "$1 $2" in
  'ps '*) echo {"a" * 64} ;;
  'inspect --type'*) echo sha256:{"b" * 64} ;;
  inspect*) echo '{json.dumps(CONTAINER)}' ;;
  'image inspect') echo '{json.dumps(IMAGE)}' ;;
  'images '*) echo sha256:{"b" * 64} ;;
  'stats '*) echo '{json.dumps(USE)}' ;;
  'system df') echo '{json.dumps(SPACE)}' ;;
  'logs '*) echo '2026-01-01T00:00:02.1Z second'; echo '2026-01-01T00:00:01.1Z first' >&2 ;;
  *) exit 125 ;;
esac
"""
# sudo as where it asks for nothing; du, which would take its time; dmesg, in which others may be killed meanwhile.
QUIET = {
    "sudo": '#!/bin/sh\nshift 2\nexec "$@"\n',
    "du": "#!/bin/sh\nprintf '900000000\\t/\\n800000000\\t/data\\n'\n",
    "dmesg": "#!/bin/sh\necho '[    0.000000] Linux version 6.1'\n",
}
DOWN = (
    "#!/bin/sh\necho 'Cannot connect to the Docker daemon at x. Is the docker daemon running?' >&2; exit 1\n"
)
CLOSED = (
    "#!/bin/sh\necho 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1\n"
)


def commands() -> set[str]:
    """Return every program that a script names, in a comment or not, and those that changes and looks call."""
    words = set(re.findall(r"[a-z][a-z0-9]+", "\n".join(_scripts())))
    return {word for word in words | {"sh", "ping", "env"} if shutil.which(word)} | {"docker", "sudo"}


def _scripts() -> Iterator[str]:
    for file in Path(samaops.__file__).parent.rglob("*.sh"):
        if "lab" not in file.parts:
            yield file.read_text(encoding="utf-8")


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes all commands noisy, and a docker of our own one of them."""
    quiet, loud = tmp_path / "quiet", tmp_path / "loud"
    quiet.mkdir()
    loud.mkdir()
    path = os.environ["PATH"]

    def use(docker: str, is_noisy: bool = False) -> None:
        _program(quiet / "docker", docker)
        for name, script in QUIET.items():
            _program(quiet / name, script)
        monkeypatch.setenv("PATH", f"{quiet}:{path}")
        if is_noisy:
            say = "".join(f"echo '{line}' >&2\n" for line in NOISE)
            for name in commands():
                real = shutil.which(name)
                run = f'(exec -a {name} "{real}" "$@")'
                _program(loud / name, f"#!/bin/bash\n{say}{run}\ncode=$?\n{say}exit $code\n")
            monkeypatch.setenv("PATH", f"{loud}:{quiet}:{path}")

    return use


def _program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def settings(directory: Path) -> Settings:
    backups, logs = directory / "backups", directory / "logs"
    for place in (backups, logs):
        place.mkdir(exist_ok=True)
    (backups / "samaconso_1.backup").write_text("x")
    (logs / "app.log").write_text("2026-01-01 ERROR one\nall is well\n2026-01-01 CRITICAL two\n")
    return Settings.model_validate(
        {
            "servers": {"api": {"address": "127.0.0.1", "ping": False, "ssh": "local"}},
            "docker": {"containers": {"api": ["samaconso_redis"]}},
            "backup": {"server": "api", "directory": str(backups)},
            "maintenance": {"log_servers": ["api"], "log_directory": str(logs), "log_pattern": "app.log"},
        }
    )


def facts(site: Site, *systems: str) -> dict[str, Any]:
    """Return what is observed of some systems by their types of facts, without what changes from moment to moment."""
    selection = Selection(systems)
    snapshot = engine.observe(registry.collectors(site, selection), site, selection, 60.0)
    return {one.facts_type: _lasting(one) for one in snapshot.observations}


def _lasting(observation: Observation) -> Any:
    parts = {part: failure.kind for part, failure in observation.missing.items()}
    failure = observation.failure
    return parts, failure and failure.kind, failure and failure.message, _plain(observation.facts)


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        fields = {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        if isinstance(value, CleanableFacts):  # all logs of this machine, on which others write and work
            mine = [log for log in value.logs if log.path.startswith("/var/log/apt/")]
            fields["logs"] = [_plain(log) for log in mine]
        return {name: field is None if name in OF_THE_MOMENT else field for name, field in fields.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


@pytest.mark.parametrize("docker", [DOCKER, DOWN, CLOSED])
def test_facts_are_the_same_when_every_command_warns(
    noisy: Callable[..., None], tmp_path: Path, docker: str
) -> None:
    systems = ("servers", "backup", "docker", "maintenance") if docker is DOCKER else ("docker",)
    site = Site(settings(tmp_path))
    noisy(docker)
    quiet = facts(site, *systems)
    noisy(docker, is_noisy=True)
    loud = facts(site, *systems)
    assert LocalShell().run("true", 5).stderr.count(NOISE[0]) >= 1, "the noise is heard"
    assert quiet.keys() == loud.keys()
    for name in quiet:
        assert loud[name] == quiet[name], name
    if docker is DOCKER:
        failed = {name for name, (_parts, failure, _words, _facts) in quiet.items() if failure is not None}
        # Lynis takes minutes, this machine may keep no log-ins, and the engine above answers one form of inspect only.
        assert failed <= {"AuditFacts", "LoginsFacts", "SafetyFacts"}, [quiet[name] for name in failed]


def test_a_directory_that_is_not_there_is_that_also_where_commands_warn(
    noisy: Callable[..., None], tmp_path: Path
) -> None:
    whole = settings(tmp_path)
    assert whole.backup is not None
    away = {
        "backup": whole.backup.model_copy(update={"directory": str(tmp_path / "away")}),
        "maintenance": whole.maintenance.model_copy(update={"log_directory": str(tmp_path / "away")}),
    }
    site = Site(whole.model_copy(update=away))
    noisy(DOCKER)
    quiet = facts(site, "backup", "maintenance.logs")
    noisy(DOCKER, is_noisy=True)
    assert facts(site, "backup", "maintenance.logs") == quiet


def test_changes_and_logs_hold_what_was_answered_alone(noisy: Callable[..., None], tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    noisy(DOCKER, is_noisy=True)
    operation = Operation(SHELL, {"command": "cat /proc/sys/kernel/ostype"}, "api", 10)
    outcome = run_in_shell(operation, site)
    assert (outcome.is_ok, outcome.output) == (True, "Linux")
    failed = run_in_shell(replace(operation, arguments={"command": "cat /nowhere/at/all"}), site)
    assert not failed.is_ok
    assert "/nowhere/at/all: No such file" in failed.output
    lines = docker_workflow.logs(site, "samaconso_redis", 10, None).rows
    assert [row["line"] for row in lines] == ["first", "second"]
    uses = docker_workflow.stats(site).rows
    assert [row["container"] for row in uses] == ["samaconso_redis"]


def test_a_ping_by_the_command_is_read_without_its_warnings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = {
        0: "64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.5 ms",
        1: "1 packets transmitted, 100% packet loss",
    }
    for code, words in answers.items():
        _program(
            tmp_path / "ping",
            f"#!/bin/sh\necho '{NOISE[0]}' >&2; echo '{words}'; echo '{NOISE[1]}' >&2; exit {code}\n",
        )
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        echo = reach._ping_by_command("127.0.0.1", 1.0, "not allowed")
        assert (echo.milliseconds, echo.reason) == ((0.5, "") if code == 0 else (None, words))
