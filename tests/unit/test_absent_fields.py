"""What a system leaves out of its answer is unknown: no field that goes missing makes anything look better.

Each recorded answer (tests/data/recorded) is judged as it is, and again with each field of it removed, null, or empty. Whatever was ill stays ill or becomes unknown; in a healthy answer nothing becomes critical;
nothing crashes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from samaops.checks.engine import judge
from samaops.clients.errors import ClientError
from samaops.clients.flower import FlowerClient
from samaops.clients.http import HttpAnswer, HttpConnection
from samaops.clients.loadbalancer import BigIpClient
from samaops.clients.rabbitmq import ManagementApi
from samaops.clients.shell import Completed
from samaops.collect import alertmanager as alertmanager_look
from samaops.collect import backup as backup_look
from samaops.collect import celery as celery_look
from samaops.collect import flower as flower_look
from samaops.collect import loadbalancer as loadbalancer_look
from samaops.collect import minio as minio_look
from samaops.collect import pgbouncer as pgbouncer_look
from samaops.collect import prometheus as prometheus_look
from samaops.collect.celery import REPLIES
from samaops.collect.docker import reading as docker_look
from samaops.collect.engine import Probe
from samaops.collect.postgresql import reading as postgresql_look
from samaops.collect.rabbitmq import broker as rabbitmq_look
from samaops.collect.redis import reading as redis_look
from samaops.collect.servers import reading as servers_look
from samaops.config.balancer_settings import BigIp
from samaops.config.settings import Endpoint, Settings
from samaops.facts.celery import CeleryNode
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.facts.selection import Selection
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.status import SEVERITY, Status
from samaops.site.site import Site
from tests.unit.checks.judging import TAKEN_AT

DATA = Path(__file__).parents[1] / "data" / "recorded"
SETTINGS = Settings.model_validate(
    {
        "servers": {"api": {"address": "10.0.0.2"}, "workers": {"address": "10.0.0.3"}},
        "rabbitmq": {"queues": {"urgent": 9, "normal": 5}},
        "celery": {"workers": {"worker1": {"queues": ["urgent"]}, "worker2": {"queues": ["normal"]}}},
        "flower": {"password": "x"},
        "postgresql": {"expected_settings": {"work_mem": "4MB"}},
        "pgbouncer": {"expected_settings": {"pool_mode": "transaction"}},
        "redis": {},
        "minio": {"server": "api", "access_key": "samaops", "secret_key": "x"},
        "backup": {"server": "api"},
    }
)
SITE = Site(SETTINGS)
BAD = (Status.CRITICAL, Status.UNKNOWN, Status.WARNING)
# A place in an answer: the keys and positions that lead to it.
Place = tuple[str | int, ...]


class Look(Struct, frozen=True):
    """How the recorded answers of a healthy and of an ill system are looked at, and judged by one system's checks.

    ``answers`` are places whose being absent, null or empty is an answer of its own, with the reason. ``parts`` are
    what it reads of the answers, where another look reads the rest.
    """

    system: str
    observe: Callable[[Any, pytest.MonkeyPatch], Observation]
    answers: Mapping[str, str]
    recorded: str = ""
    parts: tuple[str, ...] = ()

    def documents(self) -> Iterator[str]:
        """Yield the recorded answers."""
        for state in ("healthy", "ill"):
            yield f"{self.recorded or self.system}.{state}.json"


def probe() -> Probe:
    return Probe(None, Selection(), float("inf"), "api")  # type: ignore[arg-type]  # no look here opens a shell


def observation(system: str, facts_type: str, look: Callable[[Probe], object]) -> Observation:
    """Return what the engine makes of a look that ends so."""
    ours = probe()
    try:
        facts = look(ours)
    except ClientError as error:
        return Observation(system, f"{system}/here", "api", facts_type, failure=error.failure())
    return Observation(system, f"{system}/here", "api", facts_type, facts, missing=dict(ours.missing))


def recorded(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def of_document(document: Mapping[str, Any], key: str) -> Any:
    if key not in document or document[key] is None:
        raise ClientError(FailureKind.MISSING, "HTTP 404", key)
    return document[key]


def answering(document: Any, patch: pytest.MonkeyPatch) -> None:
    """Let the management API answer as recorded."""

    def get(api: ManagementApi, path: str, **parameters: Any) -> Any:
        return of_document(document, "replies" if parameters.get("name") == REPLIES else path)

    patch.setattr(ManagementApi, "get", get)


def rabbitmq(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    answering(document, patch)
    section = SETTINGS.rabbitmq
    assert section is not None
    return observation(
        "rabbitmq", "RabbitMQFacts", lambda ours: rabbitmq_look.observe("127.0.0.1", section, ours)
    )


def celery_of_broker(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    answering(document, patch)
    patch.setattr(celery_look, "_of_flower", lambda site: ((), celery_look.recent_of((), 0.0)))
    return observation("celery", "CeleryFacts", lambda ours: celery_look.observe(SITE, ours))


def showing(document: Any, patch: pytest.MonkeyPatch) -> None:
    """Let Flower answer as recorded."""
    patch.setattr(
        FlowerClient, "_object", lambda _client, path: of_document(document, path.partition("&")[0])
    )


def flower(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    showing(document, patch)
    section = SETTINGS.flower
    assert section is not None
    return observation(
        "flower", "FlowerFacts", lambda ours: flower_look.observe("http://127.0.0.1:5", section, ours)
    )


def celery_of_flower(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    showing(document, patch)
    patch.setattr(celery_look, "_of_broker", lambda *_of: (NODES, (), ()))
    patch.setattr("samaops.collect.celery.time.time", lambda: NOW)
    return observation("celery", "CeleryFacts", lambda ours: celery_look.observe(SITE, ours))


NOW = 1_795_000_000.0
NODES = tuple(
    CeleryNode(f"worker{number}@host", "", (queue,), 8, 8) for number, queue in ((1, "urgent"), (2, "normal"))
)


class OfRows:
    """A client that has the recorded rows of each statement."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def read(self, name: str, parameters: Any = None) -> Any:
        return of_document(self._document, name)

    read_one = read_of_table = show = config_get_of = read

    def version(self) -> str:
        return str(of_document(self._document, "version"))

    def info(self, section: str = "info") -> Any:
        return self.read("info")

    def config_get(self, name: str) -> Any:
        return self.read(f"config {name}")

    def client_list(self) -> Any:
        return self.read("clients")

    def acl_log(self, count: int) -> Any:
        return self.read("acl log")

    def cluster(self, part: str) -> Any:
        return self.read(f"cluster {part}")

    def holds_writes(self) -> Any:
        return self.read("holds writes")

    def execute_command(self, *words: str) -> Any:
        return self.read(" ".join(words[:1]))

    def ping_ms(self) -> float:
        return 0.4

    def exchange(self, packed: bytes, *_how: object) -> bytearray:
        return bytearray(b"*2\r\n$1\r\n0\r\n*0\r\n")  # SCAN: no key


def postgresql(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    section = SETTINGS.postgresql
    assert section is not None

    def look(ours: Probe) -> object:
        client: Any = OfRows(document)
        return postgresql_look.facts_of(client, section, ours, 2.0, "samaconso_api")

    return observation("postgresql", "PostgresFacts", look)


def pgbouncer(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    def look(ours: Probe) -> object:
        client: Any = OfRows(document)
        return PgBouncerFacts("console", "1.18.0", console=pgbouncer_look.read_console(client))

    return observation("pgbouncer", "PgBouncerFacts", look)


def redis(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    section = SETTINGS.redis
    assert section is not None
    patch.setattr(redis_look, "RATE_SECONDS", 0.0)
    patch.setattr("samaops.collect.redis.info.time.time", lambda: NOW)

    def look(ours: Probe) -> object:
        client: Any = OfRows(document)
        return redis_look._read(client, section, ours, Site(SETTINGS))

    return observation("redis", "RedisFacts", look)


def output(sections: Mapping[str, Any]) -> Completed:
    """Return what a server's script prints: its sections, each with its lines; a table is a line of JSON."""
    lines = []
    for name, listed in sections.items():
        lines.append(f"@@TOKEN {name}")
        lines += [line if isinstance(line, str) else json.dumps(line) for line in listed or ()]
    return Completed(0, "\n".join(lines) + "\n", "")


def servers(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    asked = (1_795_000_000.05, 1_795_000_000.25)
    done = output(document)
    return observation(
        "servers", "ServerFacts", lambda ours: servers_look.read(done, "TOKEN", asked, ("/data",), ours)
    )


def docker(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    done, names = output(document), ("aa", "bb", "cc", "dd")[: len(document.get("ps") or ()) - 1]
    return observation("docker", "DockerFacts", lambda ours: docker_look.read(done, "TOKEN", names, ours))


def backup(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    done, section = output(document), SETTINGS.backup
    assert section is not None
    return observation("backup", "BackupFacts", lambda ours: backup_look.read(done, "TOKEN", section))


def minio(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    def get(url: str, **_options: Any) -> HttpAnswer:
        answer = of_document(document, "cluster" if url.endswith("/cluster") else "health")
        return HttpAnswer(of_document(answer, "status"), answer.get("headers") or {}, b"", 1.0, 1.0, 1.0)

    def list_buckets(_url: str, access_key: str, *_options: Any) -> tuple[str, ...]:
        if access_key == minio_look.DEFAULT_KEY:
            raise ClientError(FailureKind.AUTHENTICATION, "InvalidAccessKeyId", "list buckets")
        return tuple(of_document(document, "buckets"))

    patch.setattr(minio_look, "get", get)
    patch.setattr(minio_look, "list_buckets", list_buckets)
    section = SETTINGS.minio
    assert section is not None
    return observation(
        "minio", "MinioFacts", lambda ours: minio_look.observe("http://127.0.0.1:9", section, ours)
    )


def prometheus(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    patch.setattr(
        "samaops.clients.prometheus.ask", lambda _connection, _settings, path: of_document(document, path)
    )
    section = Endpoint(url="http://127.0.0.1:9")
    return observation("prometheus", "PrometheusFacts", lambda ours: prometheus_look.observe(section, ours))


def alertmanager(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    patch.setattr("samaops.clients.alertmanager.firing", lambda _settings: of_document(document, "alerts"))
    section = Endpoint(url="http://127.0.0.1:9")
    return observation(
        "alertmanager", "AlertmanagerFacts", lambda ours: alertmanager_look.observe(section, ours)
    )


def loadbalancer(document: Any, patch: pytest.MonkeyPatch) -> Observation:
    patch.setattr(BigIpClient, "_get", lambda _client, path: of_document(document, path.rpartition("/")[0]))
    section = BigIp(url="https://127.0.0.1:9")
    return observation(
        "loadbalancer", "BigIpFacts", lambda ours: loadbalancer_look.observe(section, 1.0, ours)
    )


NEVER = "the broker leaves out what never happened, or holds nothing"
OPTIONAL = "left out where there is none"
NO_ROW = "a row is never null"
NO_LINE = "a line less is another answer"
OF_POSTGRESQL = {
    "*/? null": NO_ROW,
    "activity/?/wait_event_type *": "who does not wait",
    **{
        f"{name} empty": "a statement without rows"
        for name in ("tables", "invalid_indexes", "prepared", "slots", "temp_files", "standbys", "locks")
    },
    "slots/?/retained_bytes null": "one that was never used",
    "standbys/?/lag_seconds null": "one that has caught up",
    "notifications_table/size_bytes null": "no such table",
    "application/can_login null": "no such role",
    "application/settings*empty": "nothing is set for it",
    "locks/?/blocked_by empty": "who blocked it has just gone",
}
OF_SERVERS = {
    "df/[12] *": NO_LINE,
    "mountinfo/? *": NO_LINE,
    "kernel_log/[12] *": NO_LINE,
    "deleted/? *": NO_LINE,
    "resolved/? *": NO_LINE,
    "deleted removed": "nothing is nearly full",
}
OF_DOCKER = {
    "*/state/Health removed": OPTIONAL,
    "*/state/Health null": OPTIONAL,
    "*/state/Health/Log*": OPTIONAL,
    "*/log_path empty": "one that never started",
    "*/labels/* null": "a label is a text",
    "*/environment/? null": NO_ROW,
    "*/mounts/? null": NO_ROW,
    "inspect *": "docker inspect did not answer in time",
    "logs/? *": NO_LINE,
    "ps/? *": NO_LINE,
}
OF_LOADBALANCER = {
    # Shown by the state as well: what a person did says so in its words too.
    "*/status.statusReason*": "an F5 that gives no reason",
    "*/entries *": "a pool without members",
    "*/members empty": "a pool without members",
    "*/entries/[ab] removed": "a member less",
    "/pool/monitor *": "a pool without a monitor",
}
OF_REDIS = {"*/? null": NO_ROW, "clients/?/name *": OPTIONAL, "acl log empty": "nobody was refused"}
OF_BACKUP = {"files/? *": NO_LINE, "directory/1 *": NO_LINE}
OF_FLOWER = {"/api/tasks* empty": "no task", "/api/tasks*/t1 removed": "no task"}
OF_RABBITMQ = {
    "*/message_stats/publish_details*": NEVER,
    "*/message_stats *": NEVER,
    "exchanges/%2F/*/message_stats*": NEVER,
    "*/items/?/arguments*": OPTIONAL,
    "*/permissions* empty": "a user without a right",
    "nodes/?/partitions* empty": OPTIONAL,
    "vhosts/%2F/permissions/0 *": "a user without rights",
    "vhost-limits/%2F/0/value*": OPTIONAL,
    "users empty": "no user",
    "replies/items empty": "no queue for replies",
    "connections empty": "nobody is connected",
    "consumers/%2F empty": "nobody consumes",
    "vhost-limits/%2F empty": OPTIONAL,
    "queues/%2F/items empty": "no queue",
    "queues/%2F/urgent/messages_*": "how much a limit dropped is not seen; the limit is",
    "queues/%2F/normal/messages_*": "how much a limit dropped is not seen; the limit is",
    "queues/%2F/normal empty": "how much a limit dropped is not seen; the limit is",
    "whoami/tags empty": "who has no tag may not see who else there is",
    "whoami/tags/0 *": "who has no tag may not see who else there is",
}
LOOKS = (
    Look("rabbitmq", rabbitmq, OF_RABBITMQ),
    Look(
        "celery",
        celery_of_broker,
        OF_RABBITMQ,
        "rabbitmq",
        parts=("whoami", "consumers/%2F", "channels", "replies"),
    ),
    Look("postgresql", postgresql, OF_POSTGRESQL),
    Look("pgbouncer", pgbouncer, {"*/? null": NO_ROW}),
    Look("redis", redis, OF_REDIS),
    Look("servers", servers, OF_SERVERS),
    Look("docker", docker, OF_DOCKER),
    Look("backup", backup, OF_BACKUP),
    Look(
        "minio",
        minio,
        {
            "*/headers*": "a server that does not call itself MinIO",
            "buckets*": "the check of the log-in says why",
        },
    ),
    Look(
        "prometheus",
        prometheus,
        {
            "*/groups empty": OPTIONAL,
            "*/activeTargets empty": "nothing to scrape",
            "*/rules empty": OPTIONAL,
            "*/lastError *": OPTIONAL,
        },
    ),
    Look(
        "alertmanager",
        alertmanager,
        {"*/labels/severity *": OPTIONAL, "alerts empty": "none fires", "*/labels empty": OPTIONAL},
    ),
    Look("loadbalancer", loadbalancer, OF_LOADBALANCER),
    Look("flower", flower, OF_FLOWER),
    Look("celery", celery_of_flower, OF_FLOWER, "flower"),
)
CASES = [
    pytest.param(look, document, id=f"{look.system} of {Path(document).stem}")
    for look in LOOKS
    for document in look.documents()
]


def places(document: Any, above: Place = ()) -> Iterator[Place]:
    """Yield every place of an answer; of the elements of a long list the first three."""
    if isinstance(document, dict):
        inside: Iterator[tuple[str | int, Any]] = iter(document.items())
    elif isinstance(document, list):
        inside = iter(enumerate(document[:3]))
    else:
        return
    for key, value in inside:
        yield (*above, key)
        yield from places(value, (*above, key))


def without(document: Any, place: Place) -> Iterator[tuple[str, Any]]:
    """Yield the answer with what is at a place removed, null, and where it is a list, table or text, empty."""
    is_element = isinstance(
        place[-1], int
    )  # one that is not there at all is another answer, and no gap in this one
    for how in ("null", "empty") if is_element else ("removed", "null", "empty"):
        changed = holder = copy.copy(document)
        for key in place[:-1]:
            holder[key] = copy.copy(holder[key])
            holder = holder[key]
        value = holder[place[-1]]
        if how == "removed":
            del holder[place[-1]]
        elif how == "null":
            holder[place[-1]] = None
        elif isinstance(value, (list, dict, str)) and value:
            holder[place[-1]] = type(value)()
        else:
            continue
        yield how, changed


def judged(look: Look, document: Any) -> dict[str, Finding]:
    with pytest.MonkeyPatch.context() as patch:
        for method in ("__init__", "__enter__", "__exit__"):  # nobody is connected to
            patch.setattr(HttpConnection, method, lambda *_of, **_options: None)
        patch.setattr("samaops.journal.digests._key", lambda _directory: b"the key of these tests")
        seen = look.observe(document, patch)
        return {finding.key: finding for finding in judge(Snapshot(TAKEN_AT, (seen,)), SITE)}


def is_worse_or_unknown(before: Finding, after: Mapping[str, Finding]) -> bool:
    """Return whether what was ill is still said to be; where its subject is gone, its check or its system tells why."""
    now = after.get(before.key)
    if now is not None and now.status in BAD:
        return now.status is Status.UNKNOWN or SEVERITY.index(now.status) <= SEVERITY.index(before.status)
    if now is not None and now.status is not Status.SKIPPED:
        return False
    system = before.code.partition(".")[0]
    return any(
        finding.status in (Status.CRITICAL, Status.UNKNOWN)
        and (finding.code == before.code or finding.code.endswith(("unreachable", "unreadable")))
        and finding.code.startswith(f"{system}.")
        for finding in after.values()
    )


@pytest.mark.parametrize(("look", "name"), CASES)
def test_what_is_not_in_the_answer_is_unknown(look: Look, name: str) -> None:
    from fnmatch import fnmatchcase

    document = recorded(name)
    before = judged(look, document)
    wrong = []
    read = {part: document[part] for part in look.parts} if look.parts else document
    for place in places(read):
        path = "/".join(map(str, place))
        for how, changed in without(document, place):
            if any(fnmatchcase(f"{path} {how}", pattern) for pattern in look.answers):
                continue
            try:
                after = judged(look, changed)
            except Exception as error:  # noqa: BLE001 - all that is wrong at once, not the first of it
                wrong.append(f"{path} {how}: {type(error).__name__}: {error}")
                continue
            wrong += [
                f"{path} {how}: {finding.key} was {finding.status}, is "
                f"{after[finding.key].status if finding.key in after else 'gone'}"
                for finding in before.values()
                if finding.status in BAD and not is_worse_or_unknown(finding, after)
            ]
            if not any(finding.status is Status.CRITICAL for finding in before.values()):
                wrong += [
                    f"{path} {how}: {key} is critical"
                    for key, finding in after.items()
                    if finding.status is Status.CRITICAL
                ]
    assert document == recorded(name), (
        "a look has changed what it read, and what came after was judged by that"
    )
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:60])


@pytest.mark.parametrize(("look", "name"), CASES)
def test_a_recorded_answer_is_what_its_name_says(look: Look, name: str) -> None:
    bad = [finding.key for finding in judged(look, recorded(name)).values() if finding.status in BAD]
    assert bool(bad) == name.endswith("ill.json"), bad
