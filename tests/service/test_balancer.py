"""Members of a balancer's pool, taken out and put back: an F5 on its documented answers, and a site's own commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from samaops.changes.balancer.members import DRAIN, SET, Draining, Setting
from samaops.changes.run import operations
from samaops.clients.errors import ClientError
from samaops.clients.loadbalancer import BigIpControl
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.model.plan import ActionStatus, Operation
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import balancer, change, history
from tests.service import faulty
from tests.service.f5_stand_in import F5, PASSWORD, answering
from tests.service.postgres_server import eventually

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
RUNNING = b'{"message": "SAMA CONSO", "version": "2.0.0", "status": "running"}'
STARTING = b'{"message": "SAMA CONSO", "version": "2.0.0", "status": "starting"}'


@pytest.fixture
def members() -> Iterator[tuple[str, ...]]:
    """Serve the health path of three API members, and return their addresses."""
    with ExitStack() as stack:
        serving = [
            stack.enter_context(faulty.answering(faulty.http_response(RUNNING))) for _number in range(3)
        ]
        yield tuple(f"{host}:{port}" for host, port in serving)


@pytest.fixture
def f5(members: tuple[str, ...]) -> Iterator[F5]:
    with answering(*members) as serving:
        yield serving


def configured(f5: F5, tmp_path: Path, *instances: str, **loadbalancer: Any) -> Site:
    bigip = {"url": f5.url, "username": "samaops", "password": PASSWORD}
    values = {
        "servers": {"api": {"address": "127.0.0.1", "ssh": "local"}},
        "api": {
            "instances": [
                {"name": f"api_{number}", "url": f"http://{address}", "server": "api"}
                for number, address in enumerate(instances, 1)
            ]
        },
        "loadbalancer": {"url": "http://127.0.0.1:9", "bigip": bigip, **loadbalancer},
        "safety": {"lock_directory": str(tmp_path), "server_lock_directory": str(tmp_path)},
    }
    return Site(Settings.model_validate(values))


@pytest.fixture
def site(f5: F5, members: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return configured(f5, tmp_path, *members)


def made(site: Site, verb: str, *arguments: str, wait: float = 5) -> Report:
    """Make a change and return its report, however it ended."""
    return change.apply(site, change.prepare(site, verb, arguments), wait)


def status_of(report: Report) -> ActionStatus:
    (action,) = report.actions
    return action.status


def undone(site: Site) -> Report:
    return change.apply(site, history.undo(site, "last"), 5)


def test_a_drained_member_is_forced_offline_and_its_connections_are_waited_for(
    site: Site, f5: F5, members: tuple[str, ...]
) -> None:
    f5.members[members[0]].connections = 3
    report = made(site, "balancer drain", "api_1", "20")
    assert status_of(report) is ActionStatus.VERIFIED
    assert (f5.members[members[0]].state, f5.members[members[0]].session) == ("user-down", "user-disabled")
    assert f5.members[members[0]].connections == 0
    assert "no connection any more" in report.actions[0].result
    assert (
        f"members modify {{ {members[0]} {{ state user-down session user-disabled }} }}"
        in report.actions[0].commands[0]
    )
    assert all(f5.members[name].is_enabled for name in members[1:])
    listed = {row["instance"]: row for row in balancer.members(site).rows}
    assert (listed["api_1"]["state"], listed["api_1"]["setting"]) == ("taken-out", "offline")
    assert (listed["api_2"]["state"], listed["api_2"]["is_serving"]) == ("serving", True)
    undone(site)
    assert f5.members[members[0]].is_enabled
    assert f5.members[members[0]].state == "user-up"
    assert not [path for _method, path in f5.asked if path.endswith("/sys/config")], "a drain is never saved"
    assert not f5.tokens, "every token is given back"


def test_what_is_still_open_at_the_end_is_told(site: Site, f5: F5, members: tuple[str, ...]) -> None:
    f5.members[members[0]].connections = 1000
    report = made(site, "balancer drain", "api_1", "1")
    assert status_of(report) is ActionStatus.VERIFIED
    assert "still open after" in report.actions[0].result


def test_a_member_that_was_disabled_before_stays_so_after_an_undo(
    site: Site, f5: F5, members: tuple[str, ...]
) -> None:
    f5.members[members[0]].session = "user-disabled"
    made(site, "balancer drain", "api_1", "2")
    assert f5.members[members[0]].state == "user-down"
    undone(site)
    assert (f5.members[members[0]].state, f5.members[members[0]].session) == ("user-up", "user-disabled")


def test_an_answer_that_changes_nothing_is_found_and_refused(
    site: Site, f5: F5, members: tuple[str, ...]
) -> None:
    f5.takes = ()
    report = made(site, "balancer drain", "api_1", "2")
    assert (status_of(report), report.errors[0].exit_code) == (ActionStatus.REFUSED, 77)
    assert "said yes and changed nothing" in report.errors[0].message
    assert "nothing was changed" in report.errors[0].message
    assert f5.members[members[0]].is_enabled


def test_a_member_that_is_set_in_part_is_put_back(site: Site, f5: F5, members: tuple[str, ...]) -> None:
    f5.takes = ("session",)
    report = made(site, "balancer drain", "api_1", "2")
    assert (status_of(report), report.errors[0].exit_code) == (ActionStatus.REVERTED, 2)
    assert f5.members[members[0]].is_enabled


@pytest.mark.parametrize("status", [400, 401, 403, 404, 503])
def test_a_refusal_of_the_f5_changes_nothing(
    status: int, site: Site, f5: F5, members: tuple[str, ...]
) -> None:
    f5.patch_status = status
    report = made(site, "balancer drain", "api_1", "2")
    assert (status_of(report), report.errors[0].exit_code) == (ActionStatus.REFUSED, 77)
    assert f"HTTP {status}" in report.errors[0].message
    assert f5.members[members[0]].is_enabled


def test_a_token_that_runs_out_during_a_drain_is_asked_for_anew(
    site: Site, f5: F5, members: tuple[str, ...]
) -> None:
    f5.uses = 6
    f5.members[members[0]].connections = 5
    report = made(site, "balancer drain", "api_1", "20")
    assert status_of(report) is ActionStatus.VERIFIED
    assert f5.members[members[0]].connections == 0
    assert f5.logins() >= 2


def test_a_password_that_is_refused_is_not_tried_twice(
    f5: F5, members: tuple[str, ...], tmp_path: Path
) -> None:
    site = configured(f5, tmp_path, *members)
    assert site.settings.loadbalancer is not None
    assert site.settings.loadbalancer.bigip is not None
    control = BigIpControl(site.settings.loadbalancer.bigip.model_copy(update={"username": "nobody"}), 2.0)
    with pytest.raises(ClientError, match="401"):
        control.members()
    assert f5.logins() == 1


def test_the_last_one_that_serves_is_never_taken_out(site: Site, f5: F5, members: tuple[str, ...]) -> None:
    made(site, "balancer drain", "api_1", "1")
    made(site, "balancer drain", "api_2", "1")
    with pytest.raises(RefusedError, match=r"Without .* 0 of 2 other members would serve; at least 1 must"):
        change.prepare(site, "balancer drain", ("api_3", "1"))


def test_a_member_that_the_balancer_believes_well_and_that_is_not_does_not_count(
    f5: F5, members: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with (
        faulty.answering(faulty.http_response(STARTING)) as (host, port),
        answering(members[0], f"{host}:{port}") as f5,
    ):
        site = configured(f5, tmp_path, members[0], f"{host}:{port}")
        with pytest.raises(RefusedError, match="0 of 1 other members would serve"):
            change.prepare(site, "balancer drain", ("api_1", "1"))
        f5.members[f"{host}:{port}"].session = "user-disabled"
        with pytest.raises(RefusedError, match="does not serve on its own health path"):
            change.prepare(site, "balancer enable", ("api_2",))
    assert not [method for method, _path in f5.asked if method == "PATCH"]


def test_as_many_serve_as_the_site_wants(
    f5: F5, members: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    site = configured(f5, tmp_path, *members, least_serving=2)
    made(site, "balancer drain", "api_1", "1")
    with pytest.raises(RefusedError, match="1 of 2 other members would serve; at least 2 must"):
        change.prepare(site, "balancer drain", ("api_2", "1"))


def test_somebody_else_who_is_quicker_is_seen_at_the_last_moment(
    site: Site, f5: F5, members: tuple[str, ...]
) -> None:
    for name in members[1:]:
        f5.members[name].state, f5.members[name].session = "user-down", "user-disabled"
    outcome = operations.run(Operation(DRAIN, asdict(Draining(members[0], 1.0))), site)
    assert outcome.is_skipped
    assert "0 members would be given connections" in outcome.output
    assert f5.members[members[0]].is_enabled


def test_a_member_is_enabled_once_its_monitor_sees_it(site: Site, f5: F5, members: tuple[str, ...]) -> None:
    member = f5.members[members[1]]
    member.state, member.session, member.is_well = "user-down", "user-disabled", False
    report = made(site, "balancer enable", "api_2", wait=2)
    assert (status_of(report), member.state) == (ActionStatus.REVERTED, "user-down")
    member.is_well = True
    assert status_of(made(site, "balancer enable", "api_2")) is ActionStatus.VERIFIED
    assert member.is_enabled
    undone(site)
    assert member.state == "user-down", "it was forced offline before"


def test_a_name_that_is_none_is_told(site: Site) -> None:
    with pytest.raises(UsageError, match="no member 'api_9'"):
        change.prepare(site, "balancer drain", ("api_9", "1"))


def guards() -> list[int]:
    """Return the processes of watchdogs of this machine."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(b"samaops-balancer ") and word.endswith(b" guard") for word in words):
            found.append(int(place.parent.name))
    return found


def everything_that_is_seen() -> str:
    """Return the command lines and environments of all processes, as ps and /proc show them."""
    seen = []
    for place in Path("/proc").glob("[0-9]*"):
        if int(place.name) == os.getpid():
            continue
        for file in ("cmdline", "environ"):
            try:
                seen.append((place / file).read_text(errors="replace"))
            except OSError:
                continue
    return "\n".join(seen)


def test_a_watchdog_puts_a_member_back_and_nobody_sees_the_password(
    site: Site, f5: F5, members: tuple[str, ...]
) -> None:
    draining = Draining(members[0], 0.5, "enabled", guard_seconds=3)
    operation = Operation(DRAIN, asdict(draining), "api")
    assert "by itself 3 s later" in operations.lines(operation, site)[0]
    assert operations.run(operation, site).is_ok
    assert not f5.members[members[0]].is_enabled
    assert guards()
    seen = everything_that_is_seen()
    assert "samaops-balancer" in seen
    assert not re.search("secret-of-f5", seen)
    eventually(lambda: f5.members[members[0]].is_enabled, 15)
    eventually(lambda: not guards(), 5)


def test_a_watchdog_puts_back_what_was_before(site: Site, f5: F5, members: tuple[str, ...]) -> None:
    draining = Draining(members[0], 0.5, "disabled", guard_seconds=1)
    assert operations.run(Operation(DRAIN, asdict(draining), "api"), site).is_ok
    eventually(lambda: f5.members[members[0]].state == "user-up", 15)
    assert f5.members[members[0]].session == "user-disabled"
    eventually(lambda: not guards(), 10)


def test_a_watchdog_ends_with_the_drain(site: Site, f5: F5, members: tuple[str, ...]) -> None:
    draining = Draining(members[0], 0.5, "enabled", guard_seconds=30)
    assert operations.run(Operation(DRAIN, asdict(draining), "api"), site).is_ok
    assert guards()
    outcome = operations.run(Operation(SET, asdict(Setting(members[0], "enabled"))), site)
    assert (outcome.is_ok, outcome.output) == (True, "")
    assert not guards()


def test_a_watchdog_that_would_not_reach_the_f5_is_no_guard(
    site: Site, f5: F5, members: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for program in ("sh", "grep", "setsid", "timeout", "cat", "tr", "tail", "id", "head"):
        (bare / program).symlink_to(subprocess.check_output(["which", program], text=True).strip())
    monkeypatch.setenv("PATH", str(bare))
    draining = Draining(members[0], 0.5, "enabled", guard_seconds=30)
    outcome = operations.run(Operation(DRAIN, asdict(draining), "api"), site)
    assert outcome.is_skipped
    assert "curl" in outcome.output
    assert f5.members[members[0]].is_enabled
    assert not guards()


DRAIN_AND_DIE = """
import json, sys
from samaops.changes.run import operations
from samaops.config.settings import Settings
from samaops.model.plan import Operation
from samaops.site.site import Site
settings, arguments = json.loads(sys.stdin.read())
operations.run(Operation("balancer.drain", arguments, "api"), Site(Settings.model_validate(settings)))
"""


def test_a_member_is_put_back_when_samaops_is_killed(
    site: Site, f5: F5, members: tuple[str, ...], tmp_path: Path
) -> None:
    f5.members[members[0]].connections = 1000
    settings = {
        "servers": {"api": {"address": "127.0.0.1", "ssh": "local"}},
        "loadbalancer": {
            "url": "http://127.0.0.1:9",
            "bigip": {"url": f5.url, "username": "samaops", "password": PASSWORD, "server": "api"},
        },
    }
    arguments = asdict(Draining(members[0], 60.0, "enabled", guard_seconds=4))
    killed = subprocess.Popen(
        [sys.executable, "-c", DRAIN_AND_DIE], stdin=subprocess.PIPE, start_new_session=True
    )
    assert killed.stdin is not None
    killed.stdin.write(json.dumps([settings, arguments]).encode())
    killed.stdin.close()
    try:
        eventually(lambda: not f5.members[members[0]].is_enabled, 20)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait(10)
    assert not f5.members[members[0]].is_enabled
    began = time.monotonic()
    eventually(lambda: f5.members[members[0]].is_enabled, 20)
    assert time.monotonic() - began < 15
    eventually(lambda: not guards(), 10)


OWN_CONTROL = """#!/bin/sh
# A balancer of a site: a file a member, with its state.
cd "$(dirname "$0")" || exit 1
case $1 in
  list) for file in member-*; do
          printf '{"name": "%s", "state": "%s", "address": "%s", "connections": 0}\\n' \
            "${file#member-}" "$(cat "$file")" "$(cat "address-${file#member-}")"
        done ;;
  *) [ -f "member-$2" ] || { echo "no member $2" >&2; exit 3; }
     [ -e broken ] || echo "$1" >"member-$2" ;;
esac
"""


@pytest.fixture
def own(members: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site whose balancer has a control of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    control = tmp_path / "control"
    control.write_text(OWN_CONTROL)
    control.chmod(0o755)
    for name, address in zip(("api_1", "api's 2"), members, strict=False):
        (tmp_path / f"member-{name}").write_text("up")
        (tmp_path / f"address-{name}").write_text(address)
    commands = {
        "server": "api",
        **{
            name: f"{control} {word}"
            for name, word in (("list", "list"), ("offline", "offline {member}"), ("online", "up {member}"))
        },
    }
    values = {
        "servers": {"api": {"address": "127.0.0.1", "ssh": "local"}},
        "api": {"instances": [{"name": f"api_{n}", "url": f"http://{members[n - 1]}"} for n in (1, 2)]},
        "loadbalancer": {"url": "http://127.0.0.1:9", "commands": commands},
        "safety": {"lock_directory": str(tmp_path), "server_lock_directory": str(tmp_path)},
    }  # fmt: skip
    return Site(Settings.model_validate(values))


def test_a_balancer_with_commands_of_its_own(own: Site, tmp_path: Path) -> None:
    assert status_of(made(own, "balancer drain", "api_2", "2")) is ActionStatus.VERIFIED
    assert (tmp_path / "member-api's 2").read_text() == "offline\n"
    with pytest.raises(RefusedError, match="0 of 1 other members would serve"):
        change.prepare(own, "balancer drain", ("api_1", "2"))
    assert status_of(made(own, "balancer enable", "api_2")) is ActionStatus.VERIFIED
    undone(own)
    assert (tmp_path / "member-api's 2").read_text() == "offline\n"


def test_a_command_that_changes_nothing_is_found(own: Site, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    report = made(own, "balancer drain", "api_1", "2")
    assert (status_of(report), report.errors[0].exit_code) == (ActionStatus.REFUSED, 77)


def test_a_watchdog_of_commands(own: Site, tmp_path: Path) -> None:
    operation = Operation(DRAIN, asdict(Draining("api's 2", 0.5, "enabled", guard_seconds=2)), "api")
    assert operations.run(operation, own).is_ok
    assert (tmp_path / "member-api's 2").read_text() == "offline\n"
    eventually(lambda: (tmp_path / "member-api's 2").read_text() == "up\n", 15)
    eventually(lambda: not guards(), 10)


@pytest.mark.parametrize(
    "line", ["", "nginx: error", '{"name": "api_1"}', '{"name": "", "state": "up"}', "[1]"]
)
def test_a_list_of_another_shape_is_told(line: str, own: Site, tmp_path: Path) -> None:
    (tmp_path / "control").write_text(f"#!/bin/sh\necho '{line}'\n")
    with pytest.raises(UnavailableError):
        balancer.members(own)
