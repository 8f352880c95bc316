"""What the services of a lab hold: containers, RabbitMQ, Redis, PostgreSQL, PgBouncer. Reads, changes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from samaops.lab import lab
from samaops.lab.compose import CONTAINERS
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import broker, sessions, traffic
from samaops.lab.processes import StartError

Values = dict[str, Any]
_SQL = Path(__file__).parent / "sql"
_IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBER = re.compile(r"\d+")
# Keys that expire and that every notification or request adds to.
_GROWN_BY_LOAD = ("celery-task-meta-*", "samaconso:consumption:*")
_NODE = ("running", "mem_limit", "disk_free_limit", "mem_alarm", "disk_free_alarm", "enabled_plugins")
_QUEUE = ("durable", "auto_delete", "exclusive", "policy", "consumers", "messages")


def parts(site: Site) -> Values:
    """Return the state of every part, and what the lab still calls broken."""
    found = {one.name: one.state for one in lab.status(site.layout).parts}
    return {**found, "broken": ", ".join(site.memory.broken())}


def containers(site: Site) -> Values:
    """Return what every engine has: containers, images, volumes, networks."""
    found: Values = {}
    for server in CONTAINERS if site.has_containers else ():
        listed = site.run(server, ["docker", "ps", "-aq", "--no-trunc"]).split()
        inspected = json.loads(site.run(server, ["docker", "inspect", *listed])) if listed else []
        for one in inspected:
            found.update(_container(f"{server}{one['Name']}", one))
        for kind, form in (
            ("image", "{{.Repository}}:{{.Tag}}"),
            ("volume", "{{.Name}}"),
            ("network", "{{.Name}}"),
        ):
            lines = site.run(server, ["docker", kind, "ls", "--format", form]).split()
            found[f"{server}/{kind}s"] = ", ".join(sorted(lines))
    return found


def _container(name: str, one: Mapping[str, Any]) -> Values:
    """Return a container without its ids and times."""
    state, config, host = one["State"], one["Config"], one["HostConfig"]
    return {
        f"{name}/state": state["Status"],
        f"{name}/health": state.get("Health", {}).get("Status", "none"),
        f"{name}/oom_killed": state["OOMKilled"],
        f"{name}/restarts": one["RestartCount"],
        f"{name}/image": config["Image"],
        f"{name}/command": " ".join([one["Path"], *one["Args"]]),
        f"{name}/environment": digest(sorted(config["Env"])),
        f"{name}/mounts": digest(sorted(host["Binds"] or ())),
        f"{name}/restart_policy": host["RestartPolicy"]["Name"],
        f"{name}/limits": [
            host[key] for key in ("Memory", "MemorySwap", "NanoCpus", "CpuQuota", "PidsLimit")
        ],
    }


def digest(value: object) -> str:
    """Return a short fingerprint of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def rabbitmq(site: Site) -> Values:
    """Return queues, exchanges, bindings, consumers, rights and limits; names made of ids are counted."""
    found: Values = {}
    transient: Counter[str] = Counter()
    for queue in _listed(site, "queues"):
        name = _general(queue["name"])
        if name != queue["name"]:
            transient[f"queue/{name}"] += 1
            continue
        found[f"queue/{name}"] = {**_chosen(queue, _QUEUE), "arguments": queue["arguments"]}
    for consumer in _listed(site, "consumers"):
        transient[
            f"consumer/{_general(consumer['queue']['name'])}/prefetch {consumer['prefetch_count']}"
        ] += 1
    for binding in _listed(site, "bindings"):
        words = (binding["source"], binding["destination"], binding["routing_key"], binding["arguments"])
        transient["binding/" + " ".join(_general(str(word)) for word in words)] += 1
    for exchange in _listed(site, "exchanges"):
        found[f"exchange/{exchange['name']}"] = _chosen(
            exchange, ("type", "durable", "auto_delete", "internal", "arguments", "policy")
        )
    for kind in (
        "policies",
        "operator-policies",
        "parameters",
        "global-parameters",
        "permissions",
        "vhost-limits",
    ):
        found[kind] = sorted(json.dumps(one, sort_keys=True) for one in _listed(site, kind))
    for user in _listed(site, "users"):
        found[f"user/{user['name']}"] = digest(user)
    for node in _listed(site, "nodes"):
        found.update({f"node/{key}": node.get(key) for key in _NODE})
    return {**found, **transient}


def _listed(site: Site, path: str) -> list[dict[str, Any]]:
    found = broker.look(site, path)
    if not isinstance(found, list):
        raise StartError(f"RabbitMQ: {path}")
    return found


def _chosen(row: Mapping[str, Any], names: Iterable[str]) -> Values:
    return {name: row.get(name) for name in names}


def _general(name: str) -> str:
    return _IDENTIFIER.sub("*", name)


def redis(_site: Site) -> Values:
    """Return the configuration, and how many keys of each pattern there are, with expiry and without."""
    found: Values = {}
    with traffic.redis_of() as client:
        found.update({f"config/{name}": value for name, value in client.config_get("*").items()})
        names = list(client.scan_iter(count=1000))
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.ttl(name)
        lives = pipe.execute()
    counted: Counter[str] = Counter()
    for name, seconds in zip(names, lives, strict=True):
        pattern = _NUMBER.sub("*", _general(name))
        if seconds == -1:
            counted[f"keys/{pattern} without expiry"] += 1
        elif seconds >= 0 and pattern not in _GROWN_BY_LOAD:
            counted[f"keys/{pattern}"] += 1
    return {**found, **counted}


def postgresql(site: Site) -> Values:
    """Return settings, roles, objects and rows; each file in ``sql`` answers with names and values."""
    found: Values = {}
    with sessions.administrator(site) as session:
        for path in sorted(_SQL.glob("*.sql")):
            for name, value in session.execute(_statement(path)).fetchall():
                found[f"{path.stem}/{name}"] = value
    return found


@cache
def _statement(path: Path) -> bytes:
    return path.read_bytes()


def pgbouncer(site: Site) -> Values:
    """Return the databases, whether they are paused, the settings, and whether somebody waits."""
    found: Values = {}
    with sessions.console(site) as console:
        for row in _rows(console, b"SHOW DATABASES"):
            row.pop("current_connections")
            found[f"database/{row.pop('name')}"] = row
        for row in _rows(console, b"SHOW CONFIG"):
            found[f"config/{row['key']}"] = row["value"]
        for row in _rows(console, b"SHOW POOLS"):
            found[f"waiting/{row['database']}/{row['user']}"] = row["cl_waiting"]
        found["users"] = sorted(str(row["name"]) for row in _rows(console, b"SHOW USERS"))
    # A pool is there once somebody has used it.
    return {name: value for name, value in found.items() if not name.startswith("waiting/") or value}


def _rows(console: Any, command: bytes) -> list[Values]:
    cursor = console.execute(command)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
