"""The guide's checklists: every item is there, what it names exists, and how it is follows from what was found."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from samaops.checks.registry import rules
from samaops.cli import commands
from samaops.config import checklists
from samaops.config.checklists import EVERYTHING, Item
from samaops.config.documents import Text
from samaops.config.settings import Settings
from samaops.facts.checklist import MEASURED, SEEN, SIGNED, UNSIGNED, BookFacts, Entry
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.checklist import judged
from samaops.workflows.checklist.judged import Judged, Seen

GUIDE = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "guide_checklists.yaml").read_text(encoding="utf-8")
)
KNOWN = frozenset(rule.code for rule in rules())
NOW = datetime(2026, 6, 1, 9, tzinfo=timezone.utc)
CODE, OTHER = "redis.memory.high", "redis.latency.high"
SETTINGS = Settings.model_validate(
    {
        "servers": {
            "db": {"address": "10.0.0.1"},
            "api": {"address": "10.0.0.2"},
            "w": {"address": "10.0.0.3"},
        },
        "postgresql": {"server": "db"},
        "redis": {"server": "w"},
        "api": {
            "instances": [
                {"name": "api_1", "url": "http://10.0.0.2:8001", "server": "api", "container": "c1"},
                {"name": "api_2", "url": "http://10.0.0.2:8002", "server": "api", "container": "c2"},
            ]
        },
        "firebase": {},
        "certificates": [
            {"name": "google", "host": "10.0.0.9", "server_name": "oauth2.googleapis.com"},
            {"name": "public", "host": "10.0.0.10", "server_name": "api.samaconso.senelec.sn"},
        ],
    }
)


def test_every_item_of_the_guide_is_there_in_its_order_and_words() -> None:
    ours = [
        {
            "title": each.title.fr,
            "sections": [
                {"title": part.title.fr, "items": [item.title.fr for item in part.items]}
                for part in each.sections
            ],
        }
        for each in checklists.all_of().values()
    ]
    assert ours == GUIDE
    assert sum(len(each.items()) for each in checklists.all_of().values()) == 103


def test_every_code_that_an_item_names_is_a_check() -> None:
    named = {
        code
        for each in checklists.all_of().values()
        for item in each.items()
        for code in (*item.checks, *item.also)
    }
    assert named - KNOWN == {EVERYTHING}


def test_every_command_that_an_item_proposes_is_one_of_samaops() -> None:
    proposed = {
        item.command.split()[0]
        for each in checklists.all_of().values()
        for item in each.items()
        if item.command
    }
    assert proposed
    assert proposed <= set(commands.COMMANDS)


def item_of(**fields: Any) -> Item:
    return Item(id="x", title=Text(en="x", fr="y"), **fields)


def finding(status: Status, code: str = CODE, subject: str = "redis/w", server: str | None = "w") -> Finding:
    return Finding(code, status, subject, f"{code} is {status}", server=server, hint="samaops what")


def found(
    item: Item,
    *findings: Finding,
    book: tuple[Entry, ...] = (),
    at: datetime = NOW,
) -> Judged:
    part = checklists.Part(id="p", title=Text(en="p", fr="q"), items=(item,))
    checklist = checklists.Checklist(id="before", title=Text(en="a", fr="b"), sections=(part,))
    (one,) = judged.judge(checklist, Seen(Site(SETTINGS), findings, BookFacts(book), at))
    return one


def entry(kind: str, hours_ago: float = 1, **details: Any) -> Entry:
    return Entry((NOW - timedelta(hours=hours_ago)).isoformat(), "before", "x", kind, **details)


SIGNATURE = entry(SIGNED, by="awa", note="seen")


@pytest.mark.parametrize(
    ("findings", "state", "status"),
    [
        ((finding(Status.OK),), "ok", Status.OK),
        ((finding(Status.WARNING),), "failed", Status.WARNING),
        ((finding(Status.OK), finding(Status.CRITICAL, subject="redis/2")), "failed", Status.CRITICAL),
        ((finding(Status.UNKNOWN),), "unknown", Status.UNKNOWN),
        ((finding(Status.SKIPPED),), "unknown", Status.UNKNOWN),
        ((), "unknown", Status.UNKNOWN),
        ((finding(Status.OK, OTHER),), "unknown", Status.UNKNOWN),
    ],
)
def test_an_item_is_as_its_check_found_it_and_unknown_where_nothing_was_seen(
    findings: tuple[Finding, ...], state: str, status: Status
) -> None:
    one = found(item_of(checks=(CODE,)), *findings)
    assert (one.state, one.status) == (state, status)
    assert bool(one.command) == (state != "ok")


def test_one_failure_among_several_checks_decides_and_gives_the_next_command() -> None:
    one = found(item_of(checks=(CODE, OTHER)), finding(Status.OK), finding(Status.CRITICAL, OTHER))
    assert (one.state, one.command, one.reason) == ("failed", "samaops what", f"{OTHER} is critical")


def test_what_another_server_has_says_nothing() -> None:
    at_database = item_of(checks=(CODE,), server=("database",))
    assert found(at_database, finding(Status.CRITICAL)).state == "unknown"
    assert found(at_database, finding(Status.CRITICAL, server="db")).state == "failed"


def test_the_first_member_is_told_from_the_others() -> None:
    code = "docker.container.stopped"
    looks = (finding(Status.OK, code, "docker/c1", "api"), finding(Status.CRITICAL, code, "docker/c2", "api"))
    assert found(item_of(checks=(code,), of="first_member"), *looks).state == "ok"
    assert found(item_of(checks=(code,), of="other_members"), *looks).state == "failed"
    assert found(item_of(checks=(code,), of="first_worker"), *looks).state == "unknown"


def test_a_certificate_that_others_show_us_says_nothing_of_ours() -> None:
    code = "certificates.expiry.near"
    item = item_of(checks=(code, OTHER), of="our_names")
    google = finding(Status.OK, code, "certificates/google")
    well = finding(Status.OK, OTHER, "redis/1")
    assert found(item, google, well).state == "unknown"
    assert found(item, google, well, finding(Status.OK, code, "certificates/public")).state == "ok"
    failed = found(item, google, well, finding(Status.WARNING, code, "certificates/public"))
    assert failed.state == "failed"


def test_what_counts_only_where_the_site_has_it_is_not_missed_and_still_fails() -> None:
    item = item_of(checks=(CODE,), also=(OTHER,))
    assert found(item, finding(Status.OK)).state == "ok"
    assert found(item, finding(Status.OK), finding(Status.CRITICAL, OTHER)).state == "failed"


def test_everything_is_all_that_a_diagnosis_finds_but_what_is_asked_for_by_name() -> None:
    item = item_of(checks=(EVERYTHING,))
    asked_for = finding(Status.CRITICAL, "checklist.firewall.open", "host/w")
    assert found(item, finding(Status.OK), asked_for).state == "ok"
    assert found(item, finding(Status.OK), finding(Status.WARNING, OTHER)).state == "failed"


def test_a_person_signs_and_may_take_it_back() -> None:
    item = item_of(signed=True)
    open_ = found(item)
    assert (open_.state, open_.status) == ("to_sign", Status.WARNING)
    assert open_.command == "samaops checklist sign before x", "the note is asked for"
    signed = found(item, book=(SIGNATURE,))
    assert (signed.state, signed.status) == ("signed", Status.OK)
    assert signed.reason == "signed by awa, 2026-06-01 08:00 UTC: seen"
    assert found(item, book=(SIGNATURE, entry(UNSIGNED, 0.5))).state == "to_sign"


def test_a_signature_stands_in_for_what_could_not_be_seen_and_never_for_a_failure() -> None:
    item = item_of(checks=(CODE,))
    assert found(item, finding(Status.UNKNOWN), book=(SIGNATURE,)).state == "signed"
    assert found(item, finding(Status.WARNING), book=(SIGNATURE,)).state == "failed"


def test_a_warning_that_was_known_is_accepted_by_who_signs_and_no_other_one() -> None:
    item = item_of(checks=(CODE, OTHER))
    accepted = entry(SIGNED, by="awa", note="agreed", keys=(f"{CODE}@redis/w",))
    fine = finding(Status.OK, OTHER)
    assert found(item, finding(Status.WARNING), fine, book=(accepted,)).state == "signed"
    assert found(item, finding(Status.CRITICAL), fine, book=(accepted,)).state == "failed"
    assert found(item, finding(Status.WARNING, subject="redis/2"), fine, book=(accepted,)).state == "failed"
    assert found(item, finding(Status.OK), finding(Status.WARNING, OTHER), book=(accepted,)).state == "failed"


def test_a_measurement_closes_an_item_by_its_last_figures() -> None:
    item = item_of(measured="load")

    def measured(state: str) -> Entry:
        return Entry(NOW.isoformat(), "", "load", MEASURED, state=state, reason="1000 of 1000")

    assert found(item).state == "to_sign"
    assert found(item).command.startswith("samaops checklist sign before x"), (
        "measuring is refused on this site"
    )
    assert found(item, book=(measured("failed"), measured("ok"))).state == "ok"
    failed = found(item, book=(measured("ok"), measured("failed")))
    assert (failed.state, failed.status) == ("failed", Status.CRITICAL)
    assert "1000 of 1000" in failed.reason


def test_an_item_that_was_well_and_is_not_any_more_says_since_when() -> None:
    item = item_of(checks=(CODE,))
    past = (entry(SEEN, 5, state="failed"), entry(SEEN, 4, state="ok"), entry(SEEN, 2, state="failed"))
    one = found(item, finding(Status.CRITICAL), book=past)
    assert one.since == past[2].at
    assert one.well_until == past[2].at
    assert one.reason.startswith("was well until 2026-06-01 07:00 UTC; ")
    assert found(item, finding(Status.CRITICAL), book=past[:2]).well_until == NOW.isoformat(
        timespec="milliseconds"
    )
    assert found(item, finding(Status.CRITICAL), book=past[:1]).well_until == ""
    back = found(item, finding(Status.OK), book=past)
    assert (back.state, back.well_until) == ("ok", "")


def test_only_what_is_otherwise_than_before_is_kept() -> None:
    item = item_of(checks=(CODE,))
    first = found(item, finding(Status.WARNING))
    (kept,) = judged.changed([first], BookFacts(()))
    assert kept.keys == (f"{CODE}@redis/w",)
    later = found(item, finding(Status.WARNING), book=(kept,), at=NOW + timedelta(hours=1))
    assert later.since == kept.at
    assert judged.changed([later], BookFacts((kept,))) == []
    other = found(item, finding(Status.CRITICAL), book=(kept,), at=NOW + timedelta(hours=1))
    (more,) = judged.changed([other], BookFacts((kept,)))
    assert (more.status, more.at) == ("critical", "")
    assert other.since == kept.at, "it has failed since then, whatever it is by now"


@pytest.mark.parametrize(
    ("parts", "book", "state"),
    [
        ({"signed": True}, (), None),
        ({"signed": True}, (entry(SEEN, 2, state="to_sign"),), "to_sign"),
        ({"signed": True}, (entry(SEEN, 2, state="to_sign"), SIGNATURE), "signed"),
        ({"signed": True}, (SIGNATURE,), "signed"),
        ({"signed": True}, (entry(SEEN, 2, state="signed"), entry(UNSIGNED, 0.5)), "to_sign"),
        ({"checks": (CODE,)}, (SIGNATURE,), None),
        ({"checks": (CODE,)}, (entry(SEEN, 2, state="unknown"), SIGNATURE), "signed"),
        (
            {"checks": (CODE,)},
            (entry(SEEN, 2, state="failed", status="critical", keys=("a@b",)), SIGNATURE),
            "failed",
        ),
        ({"checks": (CODE,)}, (entry(SEEN, 2, state="signed"), entry(UNSIGNED, 0.5)), None),
    ],
)
def test_a_signature_counts_from_when_it_is_written(
    parts: dict[str, Any], book: tuple[Entry, ...], state: str | None
) -> None:
    assert judged.remembered("before", item_of(**parts), BookFacts(book)) == state


def test_an_accepted_warning_is_remembered_as_signed() -> None:
    failed = entry(SEEN, 2, state="failed", status="warning", keys=(f"{CODE}@redis/w",))
    accepted = entry(SIGNED, by="awa", note="agreed", keys=(f"{CODE}@redis/w",))
    other = entry(SIGNED, by="awa", note="agreed", keys=(f"{OTHER}@redis/w",))
    item = item_of(checks=(CODE,))
    assert judged.remembered("before", item, BookFacts((failed, accepted))) == "signed"
    assert judged.remembered("before", item, BookFacts((failed, other))) == "failed"


def test_what_is_not_configured_is_named() -> None:
    unlooked = {
        "prometheus.service.unreachable": "prometheus.service.unreachable: [prometheus] is not in the configuration",
        "redis.memory.high": "redis.memory.high: nothing was looked at",
        "checklist.dns.unresolved": "checklist.dns.unresolved: nothing was looked at",
    }
    assert [found(item_of(checks=(code,))).reason for code in unlooked] == list(unlooked.values())
