"""The checklists on a whole lab, the book in a real PostgreSQL, and an F5 on its documented answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.facts.checklist import SIGNED, BookFacts, Entry
from samaops.journal.checklist import Book
from samaops.journal.history import Journal
from samaops.model.status import Status
from tests.service.documented import data
from tests.service.lab_fixture import RunningLab
from tests.service.looking import Look, look
from tests.service.postgres_server import PostgresServer, eventually, postgres_server
from tests.service.test_history_postgresql import url_of
from tests.service.test_loadbalancer_client import F5_URL, POOL, mocked

__all__ = ["postgres_server"]
pytestmark = pytest.mark.service
VIRTUAL = "/mgmt/tm/ltm/virtual/~Common~samaconso_api_vip"
COOKIE = "/mgmt/tm/ltm/persistence/cookie/~Common~cookie"


def f5(**changes: tuple[int, Any]) -> Look:
    answers = {
        "pool": (200, data("loadbalancer/pool.json")),
        "virtual": (200, data("loadbalancer/virtual.json")),
        "cookie": (200, data("loadbalancer/persistence_cookie.json")),
    } | changes
    bigip = {"url": F5_URL, "username": "reader", "password": "x"}
    settings = Settings.model_validate({"loadbalancer": {"url": "http://127.0.0.1:1", "bigip": bigip}})
    paths = {"pool": POOL, "virtual": VIRTUAL, "cookie": COOKIE}
    with mocked({paths[name]: answer for name, answer in answers.items()}) as mock:
        seen = look(settings, "checklist.balancer.method", "checklist.balancer.persistence")
        assert {call.request.method for call in mock.calls} == {"GET"}
    return seen


def test_an_f5_as_the_guide_wants_it_is_well() -> None:
    seen = f5()
    assert not seen.bad(), seen.summary()
    assert len(seen.findings) == 2


def test_an_f5_that_shares_in_turns_and_keeps_nobody_is_told() -> None:
    pool = {**data("loadbalancer/pool.json"), "loadBalancingMode": "round-robin"}
    virtual = {name: value for name, value in data("loadbalancer/virtual.json").items() if name != "persist"}
    seen = f5(pool=(200, pool), virtual=(200, virtual))
    assert seen.status("checklist.balancer.method") is Status.WARNING
    assert seen.status("checklist.balancer.persistence") is Status.WARNING


def test_another_profile_is_no_cookie_and_an_f5_that_refuses_is_unknown() -> None:
    assert f5(cookie=(404, {})).status("checklist.balancer.persistence") is Status.WARNING
    assert f5(virtual=(401, {})).status("checklist.balancer.method") is Status.UNKNOWN


def test_two_machines_share_one_book_in_postgresql(postgres_server: PostgresServer) -> None:
    first, second = (Journal(url_of(postgres_server.port), "dakar") for _machine in range(2))
    try:
        assert Book(second, "dakar").entries() == ()
        Book(first, "dakar").add([Entry("", "tests", "push", SIGNED, by="awa", note="vu")])
        signature = BookFacts(Book(second, "dakar").entries()).signature("tests", "push")
        assert signature is not None
        assert signature.by == "awa"
    finally:
        first.close()
        second.close()
        postgres_server.run("DROP TABLE samaops_events, samaops_checklist")


def rows(lab: RunningLab, *words: str) -> dict[str, dict[str, Any]]:
    """Return the items of an answer by their names."""
    answer = json.loads(lab.samaops(*lab.calm, "checklist", *words, "-o", "json").stdout)
    return {row["item"]: row for row in answer["checklist"]}


def test_the_installation_of_a_lab_is_looked_at_on_the_right_servers(whole_lab: RunningLab) -> None:
    seen: dict[str, Any] = {}

    def is_looked_at() -> bool:
        seen.update(rows(whole_lab, "run", "installation"))
        return bool(seen["api-firewall"]["state"] != "unknown")

    eventually(is_looked_at, 60)  # on a busy machine a look may not come in its time
    assert len(seen) == 41
    well = (
        "db-postgresql",
        "db-pgbouncer",
        "db-extensions",
        "api-rabbitmq",
        "workers-redis",
        "workers-worker2",
    )
    assert {name: seen[name]["state"] for name in well} == dict.fromkeys(well, "ok")
    # The lab has no firewall, and another balancer than an F5.
    assert (seen["api-firewall"]["state"], seen["f5-method"]["state"]) == ("failed", "unknown")
    assert all(row["command"] for row in seen.values() if row["state"] not in ("ok", "signed"))


def test_an_item_that_was_well_turns_back_and_says_since_when(whole_lab: RunningLab) -> None:
    (file,) = (whole_lab.layout.of_server("api") / "opt").rglob(".env.production")
    assert rows(whole_lab, "run", "installation")["api-environment"]["state"] == "ok"
    mode = file.stat().st_mode
    file.chmod(0o644)
    try:
        first = rows(whole_lab, "run", "installation")["api-environment"]
        again = rows(whole_lab, "report", "installation")["api-environment"]
    finally:
        file.chmod(mode)
    assert (first["state"], first["status"]) == ("failed", "critical")
    assert again["well_until"] == first["since"] == again["since"]
    assert "was well until" in again["reason"]
    assert rows(whole_lab, "run", "installation")["api-environment"]["state"] == "ok"


def test_a_person_signs_and_undo_takes_it_back(whole_lab: RunningLab) -> None:
    words = ("checklist", "sign", "tests", "xss", "--by", "awa", "--note", "no finding of the scan")
    whole_lab.samaops(*whole_lab.calm, *words, expected=77)
    assert rows(whole_lab, "show", "tests")["xss"]["signed_by"] is None
    whole_lab.samaops(*whole_lab.calm, *words, "--yes", expected=0)
    shown = rows(whole_lab, "show", "tests")["xss"]
    assert (shown["signed_by"], shown["note"], shown["state"]) == ("awa", "no finding of the scan", "signed")
    whole_lab.samaops(*whole_lab.calm, "undo", "last", "--yes", expected=0)
    assert rows(whole_lab, "show", "tests")["xss"]["signed_by"] is None


def test_a_thousand_requests_at_once_are_answered_and_close_their_item(whole_lab: RunningLab) -> None:
    whole_lab.samaops(*whole_lab.calm, "checklist", "measure", "load", "--yes", expected=0)
    row = rows(whole_lab, "run", "tests")["load"]
    assert row["state"] == "ok"
    assert "1000 of 1000" in row["reason"]
