"""What was observed is saved and comes back the same, without secrets."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from samaops.collect import registry, store
from samaops.config import masking
from samaops.config.settings import Settings
from samaops.errors import UsageError
from samaops.facts.backup_run import Run
from samaops.facts.maintenance_week import Use
from samaops.facts.objects import ObjectRun
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.proxy import ProxyFacts
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.facts.telling import Silence
from samaops.i18n import use_language
from samaops.model import encoding
from samaops.model.failure import Failure, FailureKind
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import diagnose

st.register_type_strategy(float, st.floats(allow_nan=False))
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.text())
st.register_type_strategy(object, PLAIN)


def _few(rows: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return tuples of a type, with few rows: facts are nested, and many rows of many rows show nothing more.

    Never none of floats: a latency is measured at least once.
    """
    kinds = get_args(rows)
    if kinds[1:] == (Ellipsis,):
        return st.lists(st.from_type(kinds[0]), min_size=int(kinds[0] is float), max_size=2).map(tuple)
    return st.tuples(*map(st.from_type, kinds))


st.register_type_strategy(tuple, _few)
# Moments of facts have their time zone.
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(timezone.utc)))
FAILURE = Failure(FailureKind.REFUSED, "connection refused", "connect", 3)
MOMENT = datetime(2026, 1, 31, 3, 12, tzinfo=timezone.utc)


def facts_types() -> list[tuple[str, type]]:
    """Return what each look observes, with its system."""
    found = [(system, kind) for system in SYSTEMS for kind in registry.facts_of(system).values()]
    return sorted(found, key=lambda each: (each[0], each[1].__name__))


def _made_up(kind: type[Struct]) -> st.SearchStrategy[Any]:
    """Say what msgspec makes anew for each struct: that stands as no value in its signature, from which others are made up."""
    hints = get_type_hints(kind)
    anew = [each.name for each in fields(kind) if each.default_factory is not NODEFAULT]
    return st.builds(kind, **{name: st.from_type(hints[name]) for name in anew})


for made_anew in (Run, ObjectRun, Use, Silence):
    st.register_type_strategy(made_anew, _made_up(made_anew))
# A whole report, of which only some is a fact's own: it has the tests of the answers.
st.register_type_strategy(Report, st.builds(Report, command=st.text(), started_at=st.from_type(datetime)))


@pytest.mark.parametrize(("system", "kind"), facts_types(), ids=lambda each: getattr(each, "__name__", each))
def test_any_facts_come_back_the_same(system: str, kind: type, tmp_path: Path) -> None:
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(facts=st.from_type(kind))
    def comes_back(facts: Any) -> None:
        plain = json.loads(json.dumps(encoding.encode(facts)))
        assert encoding.decode(plain, kind) == facts

    comes_back()
    # Wherever they are declared, a saved look finds them by their name.
    look = Observation(system, f"{system}/x", None, kind.__name__, None, FAILURE)
    path = tmp_path / "look.json"
    store.save(path, Snapshot(MOMENT, (look,), 1), Site(Settings()), Selection())
    assert store.load(path).snapshot.observations == (look,)


def snapshot(facts: object = None, failure: Failure | None = None) -> Snapshot:
    observation = Observation(
        "proxy", "proxy/proxy", None, ProxyFacts.__name__, facts, failure, {"part": FAILURE}, duration_ms=7
    )
    return Snapshot(MOMENT, (observation,), 12, True)


def test_a_look_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "look.json"
    configured = Settings.model_validate(
        {"servers": {"db": {"address": "10.0.0.1"}}, "thresholds": {"a.b": {"warning": 1}}}
    )
    selection = Selection(("proxy",), ("proxy.tunnel",), deep=True)
    store.save(path, snapshot(failure=FAILURE), Site(configured), selection)
    saved = store.load(path)
    assert saved.snapshot == snapshot(failure=FAILURE)
    assert saved.site.settings == configured
    assert saved.selection == selection


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "look.json"
    path.write_text("older")
    path.chmod(0o644)
    store.save(path, snapshot(failure=FAILURE), Site(Settings()), Selection())
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_literal_secrets_travel_masked_and_references_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "look.json"
    configured = Settings.model_validate(
        {"redis": {"password": "canary-5d41"}, "flower": {"password": {"env": "FLOWER"}}}
    )
    store.save(path, snapshot(failure=FAILURE), Site(configured), Selection())
    assert "canary-5d41" not in path.read_text()
    saved = store.load(path).site
    assert saved.settings.redis is not None
    assert saved.settings.redis.password is not None
    assert saved.settings.redis.password.reveal() == masking.MASK
    assert saved.settings.flower is not None
    assert saved.settings.flower.password is not None
    assert saved.settings.flower.password.env == "FLOWER"


def test_a_known_secret_is_masked_in_any_text_of_the_facts() -> None:
    failure = Failure(FailureKind.ERROR, "login with canary-77aa failed")
    masked = masking.redacted(snapshot(failure=failure), ["canary-77aa"])
    assert masked.observations[0].failure.message == f"login with {masking.MASK} failed"
    assert masked.observations[0].missing["part"] == FAILURE


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        '{"schema": "samaops/snapshot/9"}',
        '{"schema": "samaops/snapshot/1"}',
        '{"schema": "samaops/snapshot/1", "snapshot": 3, "settings": {}, "selection": {}}',
        '{"schema": "samaops/snapshot/1", "snapshot": {"taken_at": "x", "observations": []},'
        ' "settings": {}, "selection": {}}',
        '{"schema": "samaops/snapshot/1", "snapshot": {"taken_at": "2026-01-31T03:12:00+00:00", "observations": [{}]},'
        ' "settings": {}, "selection": {}}',
        '{"schema": "samaops/snapshot/1", "snapshot": {"taken_at": "2026-01-31T03:12:00+00:00", "observations": []},'
        ' "settings": {"nonsense": 1}, "selection": {}}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "look.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="is not a saved look of samaops"):
        store.load(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x1f\x8b", "ce n'est pas du texte, à partir de l'octet 1"),
        (b'{\n"schema": x', "ligne 2, colonne 11 : ce n'est pas du JSON"),
        (b"[" * 100_000, "trop profond"),
    ],
)
def test_why_it_is_none_is_said_in_the_language_of_the_user(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "look.json"
    path.write_bytes(content)
    use_language("fr")
    try:
        with pytest.raises(UsageError) as refused:
            store.load(path)
    finally:
        use_language("en")
    assert refused.value.message == f"{path} n'est pas un examen gardé par samaops : {reason}"


def test_facts_of_an_unknown_system_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "look.json"
    store.save(path, snapshot(failure=FAILURE), Site(Settings()), Selection())
    document = json.loads(path.read_text())
    document["snapshot"]["observations"][0].update(system="os", facts_type="path", facts={})
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="unknown system 'os'"):
        store.load(path)


def test_a_missing_file_and_an_unwritable_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json cannot be read: No such file"):
        store.load(tmp_path / "gone.json")
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        store.save(tmp_path / "no" / "x.json", snapshot(failure=FAILURE), Site(Settings()), Selection())


GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "look.queue-without-consumer.json.gz"


def _changed(document: Any, place: list[Any], value: Any) -> None:
    *to_parent, key = place
    for part in to_parent:
        document = document[part]
    document[key] = value


def _number_of(document: Any, facts_type: str) -> int:
    kinds = [observation["facts_type"] for observation in document["snapshot"]["observations"]]
    return kinds.index(facts_type)


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (["settings", "redis", "port"], "x", "settings.redis.port: must be a whole number"),
        (["settings", "servers", "db", "address"], 3, "settings.servers.db.address: must be a text in quotes"),
        (["settings", "nonsense"], {}, "settings.nonsense: unknown key"),
        (["selection", "only"], "redis", "selection.only: "),
        (["selection", "only"], ["redis", 3], "selection.only[1]: "),
        (["snapshot", "taken_at"], "yesterday", "snapshot.taken_at: "),
        (["snapshot", "taken_at"], "2026-01-31T03:12:00", "snapshot.taken_at: "),
        (["snapshot", "taken_at"], "0001-01-01T00:00:00Z", "snapshot.taken_at: "),
        (["snapshot", "observations"], None, "snapshot.observations: "),
        (["snapshot", "footprint", "commands"], 1.5, "snapshot.footprint.commands: "),
        (["well"], {"at": "2026-01-31T03:12:00", "portrait": {}}, "well.at: "),
        (["well"], {"at": "9999-12-31T23:59:59-23:59", "portrait": {}}, "well.at: "),
        (["well"], {"at": "2026-01-31T03:12:00Z", "portrait": {"redis@w/setting": {"a": {"": [1]}}}},
         "well.portrait['redis@w/setting'].a[''][0]: "),
        (["snapshot", "observations", 2, "system"], "os", "snapshot.observations[2].system: "),
        (["snapshot", "observations", 2, "facts_type"], "Path", "snapshot.observations[2].facts_type: "),
        (["snapshot", "observations", 2, "facts"], None, "snapshot.observations[2]: "),
        (["snapshot", "observations", 2, "failure"], {"kind": "refused", "message": ""}, "snapshot.observations[2]: "),
        (["snapshot", "observations", 2, "missing"], {"a b": {"kind": "odd", "message": ""}},
         "snapshot.observations[2].missing['a b'].kind: "),
        (["PostgresFacts", "uptime_seconds"], float("nan"), ".facts.uptime_seconds: "),
        (["PostgresFacts", "uptime_seconds"], float("inf"), ".facts.uptime_seconds: "),
        (["PostgresFacts", "version_number"], 10**400, ".facts.version_number: "),
        (["PostgresFacts", "in_recovery"], 0, ".facts.in_recovery: "),
        (["PostgresFacts", "connections", "by_state"], {"active": 1, "idle": "1", "": 2}, ".facts.connections.by_state.idle: "),
        (["RabbitMQFacts", "queues", 0, "name"], 7, ".facts.queues[0].name: "),
    ],
)  # fmt: skip
def test_the_place_of_a_wrong_value_is_named(
    tmp_path: Path, place: list[Any], value: Any, named: str
) -> None:
    document = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    if place[0].endswith("Facts"):
        number = _number_of(document, place[0])
        place = ["snapshot", "observations", number, "facts", *place[1:]]
        named = f"snapshot.observations[{number}]{named}"
    _changed(document, place, value)
    path = tmp_path / "look.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError) as refused:
        store.load(path)
    assert refused.value.exit_code == 64
    assert f"{path} is not a saved look of samaops: {named}" in refused.value.message


def test_a_look_names_no_journal_that_is_opened(tmp_path: Path) -> None:
    path, mark = tmp_path / "look.json", tmp_path / "mark"
    store.save(path, snapshot(failure=FAILURE), Site(Settings()), Selection())
    document = json.loads(path.read_text())
    document["settings"]["history"] = {"url": {"command": ["touch", str(mark)]}}
    document["well"] = {"at": "2026-01-30T00:00:00Z", "portrait": {"proxy/setting": {"a": {"": ["b", None]}}}}
    path.write_text(json.dumps(document))
    assert store.load(path).site.settings.history.url is None
    diagnose.judge_saved(path, is_since_well=True)
    assert not mark.exists()
