"""What is kept of the checklists, on SQLite; how an item is signed, measured on no production, and what a host says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samaops.changes import verbs
from samaops.changes.checklist.sign import SIGN, Signing
from samaops.changes.run import operations
from samaops.clients import load
from samaops.clients.shell import Completed
from samaops.clients.shells import ShellPool
from samaops.collect.checklist import host
from samaops.collect.engine import Probe
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UsageError
from samaops.facts.checklist import SEEN, SIGNED, BookFacts, Entry
from samaops.facts.selection import EVERYTHING
from samaops.journal.checklist import Book
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.model.plan import Plan
from samaops.site import chosen
from samaops.site.commands import LAB_SITE
from samaops.site.site import Site
from samaops.workflows import change
from tests.service import faulty
from tests.unit.changes.test_plans import SETTINGS, snapshot
from tests.unit.checks.judging import seen


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def journal(file: Path) -> Iterator[Journal]:
    made = Journal(f"sqlite:///{file}", "dakar")
    yield made
    made.close()


def test_what_is_written_comes_back_in_its_order_and_of_this_site_alone(journal: Journal) -> None:
    book, other = Book(journal, "dakar"), Book(journal, "thies")
    book.add([Entry("", "tests", "push", SEEN, state="to_sign")])
    other.add([Entry("", "tests", "push", SEEN, state="ok")])
    book.add([Entry("", "tests", "push", SIGNED, by="awa", note="été")])
    first, second = book.entries()
    assert (first.kind, first.state, second.note) == (SEEN, "to_sign", "été")
    assert first.at <= second.at
    assert BookFacts(book.entries()).signature("tests", "push") == second


def test_who_only_reads_makes_no_file(journal: Journal, file: Path) -> None:
    assert Book(journal, "dakar").entries() == ()
    assert not file.exists()


def test_a_history_of_an_earlier_version_gets_the_table_when_it_is_written(
    journal: Journal, file: Path
) -> None:
    journal.prepare()
    book = Book(journal, "dakar")
    assert book.entries() == ()
    book.add([Entry("2026-01-01T00:00:00.000+00:00", "tests", "push", SEEN, state="ok")])
    assert book.entries()[0].at.startswith("2026-01-01")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE samaops_checklist SET details = '{'")
    assert book.entries()[0].state == "", "a spoiled line spoils no other"


def test_a_damaged_history_is_no_empty_one(file: Path, journal: Journal) -> None:
    file.parent.mkdir(mode=0o700)
    file.write_bytes(b"not a database at all, but long enough to be read as one" * 30)
    with pytest.raises(HistoryError):
        Book(journal, "dakar").entries()
    shutil.rmtree(file.parent)


def planned(*arguments: str, book: tuple[Entry, ...] = (), verb: str = "checklist sign") -> Plan:
    facts = snapshot(seen("checklist_book/book", BookFacts(book)))
    return verbs.find(verb).plan(facts, Site(SETTINGS), arguments)


def test_signing_the_same_again_changes_nothing_and_another_ones_comes_back_with_undo() -> None:
    before = Entry("2026-01-01T00:00:00+00:00", "tests", "push", SIGNED, by="awa", note="seen")
    assert planned("tests", "push", "awa", "seen", book=(before,)).nothing_to_do
    (step,) = planned("tests", "push", "modou", "again", book=(before,)).steps
    assert step.undo is not None
    assert step.undo.arguments == {
        "checklist": "tests", "item": "push", "by": "awa", "note": "seen",
        "signed_at": "2026-01-01T00:00:00+00:00", "accepts": (),
    }  # fmt: skip


@pytest.mark.parametrize(
    "words", [("tests", "push", "", "x"), ("tests", "push", "awa", " "), ("tests", "push", "awa", "…")]
)
def test_nobody_signs_without_a_name_and_a_reason(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        planned(*words)


@pytest.mark.parametrize(("status", "accepts"), [("warning", ("a.b.c@d/e",)), ("critical", ())])
def test_who_signs_accepts_the_warning_that_was_seen_last_and_nothing_critical(
    status: str, accepts: tuple[str, ...]
) -> None:
    entry = Entry(
        "t", "before", "sizes", SEEN, state="failed", status=status, reason="it is small", keys=("a.b.c@d/e",)
    )
    plan = planned("before", "sizes", "awa", "agreed", book=(entry,))
    assert plan.steps[0].operation.arguments["accepts"] == accepts
    assert any("it is small" in note for note in plan.notes)


def test_a_signature_is_written_and_taken_back_for_real(file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    site = Site(Settings.model_validate({"history": {"url": {"command": ["echo", f"sqlite:///{file}"]}}}))
    plan = planned("tests", "push", "awa", "seen")
    (step,) = plan.steps
    assert step.undo is not None
    journal = Journal(f"sqlite:///{file}", site.name)
    assert operations.run(step.operation, site).is_ok
    assert BookFacts(Book(journal, site.name).entries()).signature("tests", "push")
    assert operations.run(step.undo, site).is_ok
    assert BookFacts(Book(journal, site.name).entries()).signature("tests", "push") is None
    journal.close()
    assert step.operation.kind == SIGN
    assert Signing(**step.operation.arguments).by == "awa"


def measuring(**more: Any) -> Site:
    fields = {**SETTINGS.model_dump(), "loadbalancer": {"url": "http://10.0.0.8"}, **more}
    return Site(Settings.model_validate(fields))


@pytest.mark.parametrize("name", ["load", "ramp", "member", "worker"])
def test_nothing_is_measured_on_a_site_that_is_not_for_tests(name: str) -> None:
    verb = verbs.find("checklist measure")
    for site in (measuring(), measuring(site=LAB_SITE)):  # a name alone makes no lab
        with pytest.raises(RefusedError, match="is no test site"):
            verb.codes(site, (name,))
        with pytest.raises(RefusedError, match="is no test site"):
            verb.plan(snapshot(), site, (name,))
    verb.codes(measuring(safety={"is_test_site": True}), (name,))


def test_measuring_shows_what_can_be_typed_here_and_is_refused_with_another_command() -> None:
    site = measuring(safety={"is_test_site": True})
    for name in ("load", "ramp"):
        plan = verbs.find("checklist measure").plan(snapshot(), site, (name,))
        (action,) = change.report_of(site, plan).actions
        assert action.commands == (f"samaops checklist measure {name}",)
    with pytest.raises(RefusedError) as refused:
        verbs.find("checklist measure").codes(measuring(), ("load",))
    chosen.remember(Path("x.toml"), lab=False)
    assert "measure" not in chosen.same(refused.value.hint)
    chosen.remember(None, lab=False)


def test_programs_too_are_told_the_command_of_the_lab() -> None:
    site = Site(Settings(site=LAB_SITE))
    (action,) = change.report_of(site, planned("tests", "push", "awa", "seen")).actions
    assert action.commands == ("samaops --lab checklist sign tests push --by awa --note seen",)
    assert action.undo == ("samaops --lab checklist unsign tests push",)


def test_a_note_that_is_empty_is_told_as_empty() -> None:
    with pytest.raises(UsageError, match="--note is empty"):
        planned("tests", "push", "awa", "")


def test_the_doer_refuses_too_whatever_was_planned_elsewhere() -> None:
    step = (
        verbs.find("checklist measure")
        .plan(snapshot(), measuring(safety={"is_test_site": True}), ("load",))
        .steps[0]
    )
    with pytest.raises(RefusedError):
        operations.run(step.operation, measuring())


def test_a_burst_counts_what_became_of_each_request() -> None:
    with faulty.answering(faulty.http_response(b"fine")) as (address, port):
        burst = load.send(f"http://{address}:{port}/health", [0.0] * 5, 5.0)
    assert (burst.outcomes, burst.failed, len(burst.times_ms)) == ({"200": 5}, 0, 5)
    with faulty.answering(faulty.http_response(b"no", "503 Service Unavailable")) as (address, port):
        burst = load.send(f"http://{address}:{port}", [0.0, 0.01], 5.0)
    assert (burst.outcomes, burst.failed) == ({"503": 2}, 2)
    with faulty.silent() as (address, port):
        burst = load.send(f"http://{address}:{port}", [0.0], 0.3)
    assert (burst.outcomes, burst.percentile(95)) == ({"timeout": 1}, 0.0)
    with faulty.refused_port() as (address, port):
        assert load.send(f"http://{address}:{port}", [0.0], 1.0).outcomes == {"refused": 1}
    with faulty.garbage() as (address, port):
        assert load.send(f"http://{address}:{port}", [0.0], 1.0).outcomes == {"broken": 1}


def test_what_is_due_after_the_end_is_not_sent() -> None:
    with faulty.answering(faulty.http_response(b"fine")) as (address, port):
        burst = load.send(f"http://{address}:{port}", [0.0, 0.1, 0.2], 5.0, stop=lambda: True)
    assert burst.count == 0


HOST = """
@@TOKEN release
ubuntu 22.04

@@TOKEN size
4 8130000

@@TOKEN disks
205000000

@@TOKEN user
samaops
may sudo

@@TOKEN sshd
permitrootlogin no
passwordauthentication no
kbdinteractiveauthentication no
pubkeyauthentication yes

@@TOKEN fail2ban
running
sshd, nginx-http-auth

@@TOKEN firewall
iptables -P INPUT ACCEPT
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
iptables -A INPUT -j DROP
exit 0

@@TOKEN docker
Docker version 24.0.7, build afdd53b

@@TOKEN compose
2.21.0

@@TOKEN ports
LISTEN 0 4096 0.0.0.0:9100 0.0.0.0:*
LISTEN 0 128 [::]:22 [::]:*
LISTEN 0 128 127.0.0.53%lo:53 0.0.0.0:*
exit 0

@@TOKEN users
postgres
exit 0

@@TOKEN secrets
600\tapp\t/opt/samaconso/.env.production
exit 0
"""


def read(text: str, stderr: str = "") -> tuple[Any, Probe]:
    probe = Probe(ShellPool(Settings()), EVERYTHING, 1e12, "db")
    return host.read(Completed(0, text, stderr), "TOKEN", probe), probe


def test_what_a_host_says_is_read() -> None:
    facts, probe = read(HOST)
    assert (facts.release, facts.processors, facts.memory_bytes) == ("ubuntu 22.04", 4, 8130000 * 1024)
    assert (facts.user, facts.may_sudo, facts.input_policy) == ("samaops", True, "drop")
    assert facts.sshd["passwordauthentication"] == "no"
    assert (facts.fail2ban, facts.jails) == ("running", ("sshd", "nginx-http-auth"))
    assert (facts.docker, facts.compose) == ("24.0.7", "2.21.0")
    assert facts.ports == (("0.0.0.0", 9100), ("::", 22), ("127.0.0.53", 53))
    assert facts.secrets == (("600", "app", "/opt/samaconso/.env.production"),)
    assert not probe.missing


def test_what_only_root_may_see_is_missing_with_the_reason_and_never_well() -> None:
    lines = HOST.replace("may sudo\n", "")
    for name in ("sshd", "firewall", "secrets"):
        begin = lines.index(f"@@TOKEN {name}\n") + len(f"@@TOKEN {name}\n")
        end = lines.find("\n@@TOKEN", begin)
        lines = lines[:begin] + (lines[end:] if end >= 0 else "")
    complaints = "".join(
        f"\n@@TOKEN {name}\nsudo: a password is required\n" for name in ("sshd", "firewall", "secrets")
    )
    facts, probe = read(lines, complaints)
    assert (facts.sshd, facts.input_policy, facts.secrets, facts.may_sudo) == (None, None, None, False)
    assert {"sshd", "input_policy", "secrets"} == set(probe.missing)
    assert "password is required" in probe.missing["sshd"].message


@pytest.mark.parametrize(
    ("lines", "policy"),
    [
        (["iptables -P INPUT DROP"], "drop"),
        (["iptables -P INPUT ACCEPT"], "accept"),
        (
            ["iptables -P INPUT ACCEPT", "iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited"],
            "reject",
        ),
        (["iptables -P INPUT ACCEPT", "iptables -A INPUT -p tcp --dport 25 -j DROP"], "accept"),
        (["nft type filter hook input priority filter; policy drop;"], "drop"),
        (["nft type filter hook input priority filter; policy accept;"], "accept"),
        ([], "accept"),
    ],
)
def test_what_becomes_of_what_no_rule_names(lines: list[str], policy: str) -> None:
    assert host.policy_of(lines) == policy
