"""What the scripts of weekly and monthly maintenance say, recorded on servers, and what is read from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.maintenance import month, safety
from samaops.collect.maintenance.database import _unused, _used
from samaops.facts.maintenance_month import Counted
from samaops.facts.maintenance_week import Counted as Ended
from samaops.facts.maintenance_week import IndexUse, Statements, Use, compared
from samaops.model.failure import FailureKind

RECORDED = Path(__file__).parents[2] / "data" / "maintenance"
ACCESS = """
@@TOKEN now
1770000000

@@TOKEN users
root:x:0:0:root:/root:/bin/bash
sync:x:4:65534:sync:/bin:/bin/sync
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
awa:x:1000:1000::/home/awa:/bin/bash
modou:x:1001:27::/home/modou:/bin/zsh
deploy:x:1002:1002::/home/deploy:/bin/sh
exit 0

@@TOKEN groups
root:x:0:
sudo:x:27:awa
docker:x:109:deploy

@@TOKEN shadow
root\tlocked
awa\tset
modou\tempty
deploy\tlocked
exit 0

@@TOKEN sudoers
%sudo   ALL=(ALL:ALL) ALL
deploy ALL=(root) NOPASSWD: /usr/bin/docker
exit 0

@@TOKEN sshd
permitrootlogin without-password
passwordauthentication no

@@TOKEN keys
awa\t1760000000\t256 SHA256:aaa awa@desk of dakar (ED25519)
deploy\t1750000000\t3072 SHA256:bbb no comment (RSA)
deploy\t1750000000\t? unreadable
exit 0
"""
LOGINS = """
@@TOKEN now
1770000000

@@TOKEN source
journal

@@TOKEN oldest
1769000000.5

@@TOKEN lines
    120 ssh Failed password for invalid user admin from 10.0.0.7
    120 ssh Invalid user admin from 10.0.0.7
     40 ssh Accepted publickey for awa from 10.0.0.9
      7 ssh Failed password for root from 10.0.0.7
      3 ssh Connection closed by authenticating user root 10.0.0.8
      2 sudo awa
exit 0
"""


def completed(output: str, complaints: str = "") -> Completed:
    return Completed(0, output, complaints)


def recorded(name: str) -> Completed:
    return completed((RECORDED / name).read_text(encoding="utf-8"))


def test_updates_that_close_holes_are_told_from_others() -> None:
    facts = month.read_updates(recorded("updates.debian12.txt"), "TOKEN")
    assert facts.release == "debian 12"
    assert [update.name for update in facts.updates][:2] == ["base-files", "bash"]
    assert "libssl3" in [update.name for update in facts.security]
    assert "bash" not in [update.name for update in facts.security]
    assert facts.updates[0].old == "12.4+deb12u11"
    assert facts.deferred == 0
    assert (facts.reboot_packages, facts.newer_kernel, facts.stale) == (None, "", ())


def test_ubuntus_phased_updates_are_not_pending() -> None:
    text = (RECORDED / "updates.debian12.txt").read_text(encoding="utf-8")
    text = text.replace(
        "136 upgraded, 0 newly installed, 0 to remove and 0 not",
        "1 upgraded, 0 newly installed, 0 to remove and 3 not",
    )
    assert month.read_updates(completed(text), "TOKEN").deferred == 3


def test_a_server_that_wants_a_restart_names_the_packages() -> None:
    text = (RECORDED / "updates.debian12.txt").read_text(encoding="utf-8")
    text = text.replace("@@TOKEN reboot\n", "@@TOKEN reboot\nlinux-base\nrequired\n")
    assert month.read_updates(completed(text), "TOKEN").reboot_packages == ("linux-base",)


def test_apt_that_fails_is_no_server_without_updates() -> None:
    text = (RECORDED / "updates.debian12.txt").read_text(encoding="utf-8")
    head, mark, tail = text.partition("@@TOKEN reboot")
    broken = head.rstrip().removesuffix("exit 0") + "exit 100\n" + mark + tail
    said = "\n@@TOKEN updates\nE: dpkg was interrupted\n"
    with pytest.raises(ClientError, match="dpkg was interrupted"):
        month.read_updates(completed(broken, said), "TOKEN")


def test_a_server_without_apt_is_not_one_without_updates() -> None:
    text = "\n@@TOKEN now\n1\n\n@@TOKEN release\nrhel 9\n\n@@TOKEN lists\nexit 127\n"
    with pytest.raises(ClientError) as caught:
        month.read_updates(completed(text), "TOKEN")
    assert caught.value.kind is FailureKind.MISSING


def test_the_report_of_lynis_is_read_by_its_ids() -> None:
    facts = month.read_audit(recorded("audit.lynis308.txt"), "TOKEN", None)
    assert facts.now.warnings == ("FIRE-4512", "LOGG-2138", "PKGS-7392")
    assert (facts.now.index, facts.tests, facts.version) == (55, 257, "3.0.8")
    assert facts.issues[0].text == "Found one or more vulnerable packages."
    assert "DEB-0280" in facts.now.suggestions


def test_a_report_of_lynis_that_was_cut_says_nothing() -> None:
    text = (RECORDED / "audit.lynis308.txt").read_text(encoding="utf-8").replace("finish=true\n", "")
    with pytest.raises(ClientError):
        month.read_audit(completed(text), "TOKEN", None)


def test_lynis_that_is_not_installed_is_said() -> None:
    with pytest.raises(ClientError, match="lynis is not installed"):
        month.read_audit(completed("\n@@TOKEN now\n1\n\n@@TOKEN lynis\nexit 127\n"), "TOKEN", None)


def test_who_may_log_in_by_whatever_it_is() -> None:
    facts = month.read_access(completed(ACCESS), "TOKEN", None)
    assert [login.user for login in facts.logins] == ["root", "awa", "modou", "deploy"]
    assert facts.now.logins == ("awa", "deploy", "modou"), "root is locked and has no key"
    assert "modou (sudo)" in facts.now.administrators, "it is the first group of modou"
    assert "deploy ALL=(root) NOPASSWD: /usr/bin/docker" in facts.now.administrators
    assert facts.now.keys[0] == "awa SHA256:aaa awa@desk of dakar"
    assert facts.keys is not None
    assert [(key.kind, key.bits) for key in facts.keys] == [("ED25519", 256), ("RSA", 3072), ("", None)]


def test_what_only_root_sees_is_not_taken_for_nothing() -> None:
    text = ACCESS.replace("exit 0\n\n@@TOKEN sshd", "\n@@TOKEN sshd")
    assert month.read_access(completed(text), "TOKEN", None).sudo is None
    text = text[: text.index("@@TOKEN keys")] + "@@TOKEN keys\n"
    with pytest.raises(ClientError) as caught:
        month.read_access(completed(text, "\n@@TOKEN keys\nsudo: a password is required\n"), "TOKEN", None)
    assert caught.value.kind is FailureKind.PERMISSION


def test_log_ins_are_counted_by_source_and_once() -> None:
    facts = month.read_logins(completed(LOGINS), "TOKEN", 1767000000.0)
    assert facts.accepted == (Counted("awa", "10.0.0.9", 40, "publickey"),)
    assert facts.failures_by_address == {"10.0.0.7": 127, "10.0.0.8": 3}
    assert facts.sudo == (Counted("awa", "", 2),)
    assert facts.oldest == 1769000000.5


def test_no_log_of_log_ins_is_not_no_log_ins() -> None:
    text = "\n@@TOKEN now\n1\n\n@@TOKEN source\nabsent\n"
    with pytest.raises(ClientError) as caught:
        month.read_logins(completed(text), "TOKEN", 0.0)
    assert caught.value.kind is FailureKind.MISSING


def test_what_listens_is_read_with_its_program() -> None:
    lines = [
        'LISTEN 0      128      0.0.0.0:22  0.0.0.0:* users:(("sshd",pid=1,fd=3))',
        "LISTEN 0      128      [::]:22     [::]:*",
        'LISTEN 0      128      127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=7,fd=3))',
    ]
    found = safety._listening(lines)
    assert [(each.address, each.port, each.program, each.is_open_to_all) for each in found] == [
        ("0.0.0.0", 22, "sshd", True),
        ("[::]", 22, "?", True),
        ("127.0.0.53", 53, "systemd-resolve", False),
    ]


def test_what_a_container_may_do_is_read_without_its_secrets() -> None:
    found = safety._container('"/samaconso_api_1" "" false "samaconso_api:2.0" PYTHONHTTPSVERIFY')
    assert (found.name, found.user, found.is_privileged) == ("samaconso_api_1", "", False)
    assert (found.image, found.without_tls) == ("samaconso_api:2.0", ("PYTHONHTTPSVERIFY",))


DAY = 86400.0


def use(at: float, run: str = "a", **counted: float) -> Use:
    return Use(at, run, counted, {})


def test_the_use_of_a_week_is_the_difference_of_two_runs() -> None:
    fields = compared(use(7 * DAY, published=1700), use(0.0, published=1000))
    assert fields["now"].per_day == {"published": 100.0}  # type: ignore[attr-defined]
    assert fields["is_since_start"] is False


def test_what_began_anew_is_counted_from_its_start_and_never_negative() -> None:
    fields = compared(use(7 * DAY, published=300), use(0.0, published=1000), uptime_seconds=3 * DAY)
    assert fields["now"].per_day == {"published": 100.0}  # type: ignore[attr-defined]
    assert fields["is_since_start"] is True
    undated = compared(use(7 * DAY, published=300), use(0.0, published=1000))
    assert undated["now"].per_day == {}, "nobody knows since when it counts"  # type: ignore[attr-defined]


def test_another_run_that_counted_more_began_anew_too() -> None:
    fields = compared(use(7 * DAY, "b", commands=5000), use(0.0, "a", commands=1000), uptime_seconds=5 * DAY)
    assert fields["now"].per_day == {"commands": 1000.0}  # type: ignore[attr-defined]


def test_two_runs_a_minute_apart_say_nothing_of_a_pace() -> None:
    assert compared(use(60.0, published=1010), use(0.0, published=1000))["now"].per_day == {}  # type: ignore[attr-defined]


def statement(calls: int, total_ms: float, query_id: int = 1, *, is_top: bool = True) -> dict[str, object]:
    return {
        "user_id": 10,
        "database_id": 5,
        "query_id": query_id,
        "is_top": is_top,
        "calls": calls,
        "total_ms": total_ms,
    }


def test_a_statement_has_used_what_was_counted_since() -> None:
    earlier = Statements(0.0, "r", {"10/5/1": Ended(100, 50.0)})
    ((_row, used),) = _used([statement(150, 90.0)], earlier)
    assert (used.calls, used.total_ms) == (50, 40.0)


def test_a_statement_that_was_thrown_out_meanwhile_began_anew() -> None:
    earlier = Statements(0.0, "r", {"10/5/1": Ended(100, 50.0)})
    ((_row, used),) = _used([statement(7, 3.0)], earlier)
    assert (used.calls, used.total_ms) == (7, 3.0)


def test_a_statement_inside_another_counts_there() -> None:
    assert _used([statement(7, 3.0, is_top=False)], None) == []


def test_an_index_is_unused_only_after_a_month_without_a_scan_and_without_a_reset() -> None:
    then, now = IndexUse(0.0, 1.0, 2.0, {"5": 3, "6": 3}), IndexUse(31 * DAY, 1.0, 2.0, {"5": 3, "6": 4})
    assert _unused(now, then)("5")
    assert not _unused(now, then)("6")
    assert not _unused(now, IndexUse(8 * DAY, 1.0, 2.0, {"5": 3}))("5"), "not for long enough"
    assert not _unused(now, IndexUse(0.0, None, 99.0, {"5": 3}))("5"), "a crash zeroed all counters"
    assert not _unused(now, None)("5")
