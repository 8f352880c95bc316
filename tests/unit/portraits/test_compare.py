"""What is different between two looks is told in words; what is not known, or changes by itself, is not."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from samaops.facts.portrait import Trait
from samaops.i18n import use_language
from samaops.model.difference import Difference
from samaops.portraits.compare import compare, unknown_parts
from samaops.portraits.portrait import Portrait
from samaops.portraits.systems import STARTED

WELL_AT = datetime(2026, 1, 31, 2, 0, tzinfo=timezone.utc)
LATER = WELL_AT.timestamp() + 600
Traits = dict[str, str]


def portrait(part: str, **things: Traits) -> Portrait:
    return {
        part: {
            name: {attribute: Trait(value) for attribute, value in traits.items()}
            for name, traits in things.items()
        }
    }


def titles(before: Portrait, after: Portrait) -> list[str]:
    return [difference.title for difference in compare(before, after, WELL_AT)]


CASES: list[tuple[str, Traits | None, Traits | None, str]] = [
    ("rabbitmq@api/effective", {"policy": ""}, {"policy": "ttl-test"}, "queue x has policy ttl-test"),
    ("rabbitmq@api/effective", {"policy": "a"}, {"policy": ""}, "queue x no longer has policy a"),
    ("rabbitmq@api/policy", None, {"pattern": "^a$", "priority": "0"}, "policy x is new: pattern ^a$; priority 0"),
    ("rabbitmq@api/binding", {"": ""}, None, "binding x is gone"),
    ("rabbitmq@api/permission", {"write": ".*"}, {"write": "^$"}, "permissions of x: write is ^$, it was .*"),
    ("rabbitmq@api/user", {"tags": ""}, {"tags": "", "limit max-channels": "1"}, "RabbitMQ user x has limit max-channels 1"),
    ("rabbitmq@api/parameter", {"": "1"}, None, "RabbitMQ parameter x is no longer set, it was 1"),
    ("redis@workers/setting", {"": "noeviction"}, {"": "allkeys-lru"}, "Redis setting x is allkeys-lru, it was noeviction"),
    ("redis@workers/setting", {"": "#1234.a"}, {"": "#1234.b"}, "Redis setting x was changed"),
    ("redis@workers/setting", {"": ""}, {"": "#1234.b"}, "Redis setting x was set"),
    ("postgresql@db/setting", None, {"": "64kB"}, "PostgreSQL setting x is 64kB, it was not set"),
    ("postgresql@db/index", {"": "on a (b)"}, None, "index x is gone: on a (b)"),
    ("postgresql@db/role", {}, {"setting work_mem": "64kB"}, "PostgreSQL role x has setting work_mem 64kB"),
    ("docker@api/container", {"environment A": "#1234.a"}, {"environment A": "#1234.b"}, "container x: environment A was changed"),
    ("docker@api/container", {"image": "a"}, {"image": "a", "environment A": "#1234.b"}, "container x has environment A"),
    ("docker@api/container", {"image": "a", "environment A": "#1234.b"}, {"image": "a"}, "container x no longer has environment A"),
    ("rabbitmq@api/node", {"memory limit": "358400000"}, {"memory limit": "0"}, "node x: memory limit is 0 B, it was 342 MB"),
    ("docker@api/container", {"started": "a"}, {"started": "b"}, "container x was started anew"),
    ("docker@api/file", {"": "#1234.a"}, {"": "#1234.b"}, "file x of server api was changed"),
    ("servers@db/crontab", {"": "#1234.a"}, None, "crontab x of server db is gone"),
    ("servers@db/service", {"started": "a"}, {"started": "b"}, "server db was started anew"),
    ("servers@db/mount", {"mode": "rw"}, {"mode": "ro"}, "mount x of server db: mode is ro, it was rw"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "before", "after", "title"), CASES)
def test_a_difference_is_one_sentence(
    part: str, before: Traits | None, after: Traits | None, title: str
) -> None:
    looks = [portrait(part, **({} if traits is None else {"x": traits})) for traits in (before, after)]
    assert titles(looks[0], looks[1]) == [title]
    assert titles(looks[0], looks[0]) == titles(looks[1], looks[1]) == []


@pytest.mark.parametrize("part", ["redis@workers/setting", "pgbouncer@db/setting", "celery@workers/worker"])
def test_what_comes_with_a_version_or_goes_with_what_is_down_is_no_difference(part: str) -> None:
    there = portrait(part, a={"": "1"})
    assert titles({part: {}}, there) == titles(there, {part: {}}) == []


def test_what_could_not_be_looked_at_is_unknown_and_not_gone() -> None:
    before = {
        **portrait("redis@w/setting", a={"": "1"}), **portrait("docker@api/file", a={"": "1"}),
        **portrait("docker@api/container", a={"image": "1"}),
    }  # fmt: skip
    after = portrait("docker@api/container", a={"image": "1"})
    assert titles(before, after) == titles(after, before) == []
    assert unknown_parts(before, after) == ("redis@w", "docker@api/file")


def test_a_start_is_told_when_nothing_else_is_different_and_last() -> None:
    compose = "compose definition"
    before = portrait(
        "docker@api/container",
        a={STARTED: "1", compose: "1", "image": "1"},
        b={STARTED: "1"},
        c={STARTED: "1", compose: "1"},
    )
    after = portrait(
        "docker@api/container",
        b={STARTED: "2"},
        a={STARTED: "2", compose: "2", "image": "2"},
        c={STARTED: "2", compose: "2"},
    )
    assert titles(before, after) == [
        "container a: image is 2, it was 1",
        "container c: compose definition is 2, it was 1",
        "container b was started anew",
    ]


def test_a_digest_of_another_key_says_nothing() -> None:
    before, after = (portrait("redis@w/setting", a={"": value}) for value in ("#1111.a", "#2222.b"))
    assert titles(before, after) == []


def changed(at: float | None) -> Difference:
    before = {"docker@api/file": {"/c.yml": {"": Trait("#1234.a", 5.0)}}}
    after = {"docker@api/file": {"/c.yml": {"": Trait("#1234.b", at)}}}
    (difference,) = compare(before, after, WELL_AT)
    return difference


def test_a_secret_is_masked_and_the_time_is_told_where_it_is_known() -> None:
    difference = changed(LATER)
    assert (difference.place, difference.server) == ("docker/file//c.yml", "api")
    assert (difference.before, difference.after) == ("********", "********")
    assert difference.at is not None
    assert difference.at.timestamp() == LATER


@pytest.mark.parametrize("at", [None, WELL_AT.timestamp() - 60])
def test_a_time_before_the_well_look_is_not_when_it_changed(at: float | None) -> None:
    assert changed(at).at is None


def test_a_long_value_is_cut_in_the_sentence() -> None:
    (title,) = titles(
        portrait("redis@w/setting", a={"": "1"}), portrait("redis@w/setting", a={"": "x" * 190})
    )
    assert len(title) < 180


def test_what_is_a_plain_word_is_one_in_french_too() -> None:
    use_language("fr")
    try:
        (title,) = titles(
            portrait("rabbitmq@api/node", x={"memory limit": "1048576"}),
            portrait("rabbitmq@api/node", x={"memory limit": "0"}),
        )
    finally:
        use_language("en")
    assert title == "le nœud x : la limite de mémoire vaut 0 o, auparavant 1,0 Mo"
