"""What RabbitMQ lacks of a backup is made again on a real broker, and nothing that it has is changed."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import amqp
import pytest

from samaops.clients.rabbitmq import ManagementApi
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.backup_run import Part
from samaops.model.plan import Plan
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import change, history, restoring_broker
from tests.service.made_backups import make_of_files
from tests.service.rabbitmq_server import Broker

pytestmark = pytest.mark.service
ID, PART = "20261128T010000Z-0001", "rabbitmq/definitions.json"
QUEUE, OTHER, EXCHANGE = "restored_queue", "other_queue", "restored_exchange"


@pytest.fixture
def filled(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """Yield a broker with a user, an exchange, two queues, a binding and a policy; they are gone afterwards."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    broker.request("PUT", "users/restored_user", {"password": "secret", "tags": ""})
    rights = {"configure": "^a", "write": "^b", "read": "^c"}
    broker.request("PUT", "permissions/%2F/restored_user", rights)
    broker.request("PUT", f"exchanges/%2F/{EXCHANGE}", {"type": "direct", "durable": True})
    broker.request("PUT", f"queues/%2F/{QUEUE}", {"durable": True, "arguments": {"x-max-length": 7}})
    broker.request("PUT", f"queues/%2F/{OTHER}", {"durable": True})
    broker.request("PUT", "queues/%2F/passing", {"durable": False, "auto_delete": False})
    broker.request("POST", f"bindings/%2F/e/{EXCHANGE}/q/{QUEUE}", {"routing_key": "key"})
    set_policy(broker, "restored_policy", "^restored")
    try:
        yield broker
    finally:
        _remove(broker)
        broker.delete(OTHER)


def set_policy(broker: Broker, name: str, pattern: str) -> None:
    broker.request("PUT", f"policies/%2F/{name}", {"pattern": pattern, "definition": {"max-length": 9}})


def _remove(broker: Broker) -> None:
    for path in (
        f"queues/%2F/{QUEUE}", "queues/%2F/passing", f"exchanges/%2F/{EXCHANGE}", "users/restored_user",
        "policies/%2F/restored_policy",
    ):  # fmt: skip
        if any(
            _name(row) == path.rpartition("/")[2]
            for row in broker.request("GET", path.partition("/")[0]).json()
        ):
            broker.request("DELETE", path)


def _name(row: dict[str, Any]) -> str:
    return str(row.get("name"))


def made_site(broker: Broker, directory: Path, **changes: Any) -> Site:
    section = {**broker.section().model_dump(), "password": broker.password, **changes}
    values = {
        "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
        "postgresql": {"server": "db"},
        "rabbitmq": section,
        "backup": {"directory": str(directory / "backups"), "os_user": getpass.getuser()},
    }
    return Site(Settings.model_validate(values))


def backed_up(broker: Broker, directory: Path, **changes: Any) -> Site:
    """Return a site whose only backup has what the broker has now."""
    made = made_site(broker, directory, **changes)
    content = json.dumps(broker.request("GET", "definitions").json()).encode()
    make_of_files(made, ID, {PART: content}, (Part("rabbitmq", (PART,)),))
    return made


def lacking(plan: Plan) -> list[str]:
    return [step.about.partition("/")[2] for step in plan.steps]


def test_what_is_missing_comes_back_as_it_was_and_the_rest_stays(filled: Broker, tmp_path: Path) -> None:
    site = backed_up(filled, tmp_path)
    assert "lacks none" in restoring_broker.plan(site, "latest").nothing_to_do
    before = filled.request("GET", "definitions").json()
    _remove(filled)
    filled.publish(OTHER)
    set_policy(filled, "of_today", "^today")
    try:
        plan = restoring_broker.plan(site, "latest")
        assert lacking(plan) == ["users", "permissions", "policies", "exchanges", "queues", "bindings"]
        assert "passing" not in " ".join(step.title for step in plan.steps), "it does not last"
        report = change.apply(site, plan, 10.0)
        assert not report.errors, report.errors
        assert [action.status for action in report.actions] == ["verified"] * 6
        after = filled.request("GET", "definitions").json()
        for kind in ("users", "permissions", "exchanges", "bindings"):
            assert sorted(map(str, after[kind])) == sorted(map(str, before[kind])), (
                "with the same hash of the password"
            )
        assert {_name(row): row["arguments"] for row in after["queues"]}[QUEUE] == {"x-max-length": 7}
        assert {"of_today", "restored_policy"} <= {_name(row) for row in after["policies"]}
        assert (
            len(
                filled.request(
                    "POST",
                    f"queues/%2F/{OTHER}/get",
                    {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"},
                ).json()
            )
            == 1
        )
        journaled = b"".join(file.read_bytes() for file in (tmp_path / "state").rglob("*") if file.is_file())
        assert plan.steps[0].title.encode() in journaled
        assert before["users"][0]["password_hash"].encode() not in journaled
    finally:
        filled.request("DELETE", "policies/%2F/of_today")


def take_back(site: Site, report: Report) -> Report:
    return change.apply(site, history.undo(site, str(report.actions[0].journal)), 10.0)


def there(broker: Broker) -> set[str]:
    """Return which of what was restored the broker has."""
    found = broker.request("GET", "definitions").json()
    names = {_name(row) for kind in ("users", "policies", "exchanges", "queues") for row in found[kind]}
    bound = {f"{row['source']} -> {row['destination']}" for row in found["bindings"]}
    rights = {f"rights of {row['user']}" for row in found["permissions"]}
    return {each for each in names | bound | rights if "restored" in each}


ALL = {
    QUEUE,
    EXCHANGE,
    f"{EXCHANGE} -> {QUEUE}",
    "restored_user",
    "rights of restored_user",
    "restored_policy",
}


def test_undo_removes_exactly_what_was_made_while_nobody_uses_it(filled: Broker, tmp_path: Path) -> None:
    site = backed_up(filled, tmp_path)
    _remove(filled)
    plan = restoring_broker.plan(site, "latest")
    set_policy(filled, "restored_policy", "^restored")  # somebody makes the same one between look and change
    report = change.apply(site, plan, 10.0)
    assert not report.errors, report.errors
    assert there(filled) == ALL
    assert not take_back(site, report).errors
    assert there(filled) == {"restored_policy"}, "that is not what samaops has made"


def test_undo_leaves_all_as_it_is_where_something_would_be_lost(filled: Broker, tmp_path: Path) -> None:
    site = backed_up(filled, tmp_path)
    _remove(filled)
    report = change.apply(site, restoring_broker.plan(site, "latest"), 10.0)
    filled.publish(QUEUE)
    refused = take_back(site, report)
    assert any("restored_queue: messages are in it" in error.message for error in refused.errors), (
        refused.errors
    )
    assert there(filled) == ALL, "the binding that was taken away before is there again"
    filled.request("DELETE", f"queues/%2F/{QUEUE}/contents")
    set_policy(filled, "restored_policy", "^changed since")
    refused = take_back(site, report)
    assert any("restored_policy: it was changed since" in error.message for error in refused.errors), (
        refused.errors
    )
    assert there(filled) == ALL
    assert filled.request("GET", "policies/%2F/restored_policy").json()["pattern"] == "^changed since"
    set_policy(filled, "restored_policy", "^restored")
    filled.request("PUT", f"queues/%2F/{OTHER}", {"durable": True})
    filled.request("POST", f"bindings/%2F/e/{EXCHANGE}/q/{OTHER}", {"routing_key": "of today"})
    refused = take_back(site, report)
    assert any(f"{EXCHANGE}: something is bound to it" in error.message for error in refused.errors), (
        refused.errors
    )
    assert there(filled) >= ALL


def test_undo_leaves_a_virtual_host_and_a_user_that_somebody_uses(filled: Broker, tmp_path: Path) -> None:
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    filled.request("PUT", "vhosts/restored_vhost", {})
    filled.request("PUT", "permissions/restored_vhost/restored_user", rights)
    site = backed_up(filled, tmp_path)
    _remove(filled)
    filled.request("DELETE", "vhosts/restored_vhost")
    try:
        report = change.apply(
            site, restoring_broker.plan(site, "latest", ("vhosts", "users", "permissions")), 10.0
        )
        assert not report.errors, report.errors
        who = {"userid": "restored_user", "password": "secret", "virtual_host": "restored_vhost"}
        with amqp.Connection(f"127.0.0.1:{filled.port}", **who):
            await_connection(filled, "restored_user")
            refused = take_back(site, report)
            assert any("restored_user has 1 connection" in error.message for error in refused.errors), (
                refused.errors
            )
        await_connection(filled, "restored_user", is_there=False)
        filled.request("PUT", "queues/restored_vhost/of_today", {"durable": False})
        refused = take_back(site, report)
        assert any("would go with it: of_today" in error.message for error in refused.errors), refused.errors
        assert {"restored_user", "rights of restored_user"} <= there(filled), "they are there again"
        filled.request("DELETE", "queues/restored_vhost/of_today")
        done = take_back(site, report)
        assert not done.errors, done.errors
        assert there(filled) == set()
        assert "restored_vhost" not in {_name(row) for row in filled.request("GET", "vhosts").json()}
    finally:
        if "restored_vhost" in {_name(row) for row in filled.request("GET", "vhosts").json()}:
            filled.request("DELETE", "vhosts/restored_vhost")


def await_connection(broker: Broker, user: str, *, is_there: bool = True) -> None:
    """Wait until the management API shows a user's connection, or does no more."""
    ends_at = time.monotonic() + 20
    while is_there != any(row.get("user") == user for row in broker.request("GET", "connections").json()):
        assert time.monotonic() < ends_at, f"{user}: {is_there}"
        time.sleep(0.1)


def test_some_kinds_alone_and_what_is_otherwise_is_named_and_left(filled: Broker, tmp_path: Path) -> None:
    site = backed_up(filled, tmp_path)
    _remove(filled)
    set_policy(filled, "restored_policy", "^other")
    plan = restoring_broker.plan(site, "latest", ("policies", "queues"))
    assert lacking(plan) == ["queues"]
    assert any("restored_policy" in note for note in plan.notes)
    assert not change.apply(site, plan, 10.0).errors
    assert filled.request("GET", "policies/%2F/restored_policy").json()["pattern"] == "^other"
    with pytest.raises(UsageError, match="have no messages"):
        restoring_broker.plan(site, "latest", ("messages",))


def test_a_list_that_the_broker_does_not_tell_is_not_taken_for_empty(
    filled: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = backed_up(filled, tmp_path)
    whole = ManagementApi.get

    def without_policies(api: ManagementApi, path: str, **parameters: Any) -> Any:
        answer = whole(api, path, **parameters)
        return {k: v for k, v in answer.items() if k != "policies"} if path == "definitions" else answer

    monkeypatch.setattr(ManagementApi, "get", without_policies)
    with pytest.raises(UnavailableError, match="the answer has no policies"):
        restoring_broker.plan(site, "latest")


def test_it_is_refused_without_the_right_and_without_definitions(filled: Broker, tmp_path: Path) -> None:
    site = backed_up(filled, tmp_path)
    make_of_files(
        site, "20261128T020000Z-0002", {"globals.sql": b""}, (Part("rabbitmq", (), "no recipient"),)
    )
    with pytest.raises(RefusedError, match="no definitions of RabbitMQ: no recipient"):
        restoring_broker.plan(site, "20261128T020000Z-0002")
    filled.request("PUT", "users/restored_user", {"password": "secret", "tags": "monitoring"})
    limited = made_site(filled, tmp_path, username="restored_user", password="secret")
    with pytest.raises(RefusedError, match="to administrators alone, and our user restored_user is none"):
        restoring_broker.plan(limited, ID)
