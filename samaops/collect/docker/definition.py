"""How containers were created, without the secrets of their environments, and the files they were created from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from samaops.collect import kept_files
from samaops.collect.values import Answer
from samaops.facts.portrait import Row, Things, Trait, gather
from samaops.journal import digests

# What an environment may be shown of: names of these, with values of this form. All else is kept as digests.
_OPEN_NAME = re.compile(
    r"(.*_)?(HOST|HOSTNAME|PORT|DB|DATABASE|LEVEL|TZ|LANG|CONCURRENCY|TIMEOUT|WORKERS|DEBUG|ENV|ENVIRONMENT|PATH)",
    re.IGNORECASE,
)
_OPEN_VALUE = re.compile(r"[\w.:/-]{0,200}", re.ASCII)
_COMPOSE = "com.docker.compose."
# It tells what compose would create anew; other labels of compose only name the project.
_COMPOSE_HASH = f"{_COMPOSE}config-hash"


def configuration_of(
    documents: Sequence[Mapping[str, Any]], created: Mapping[str, float | None], files: Sequence[str] | None
) -> Things:
    """Return how and when each container was created; the compose files too, where they could be read."""
    rows = [
        row for document in documents if "environment" in document for row in _container(document, created)
    ]
    readable = files is not None and files[-1:] == ["exit 0"]
    return gather(
        ("container", *(["file"] if readable else [])),
        [*rows, *(kept_files.rows("file", files or ()) if readable else ())],
    )


def _container(document: Mapping[str, Any], created: Mapping[str, float | None]) -> Iterator[Row]:
    name = document["name"].lstrip("/")
    for attribute, value in _attributes(Answer(document)):
        yield "container", name, attribute, Trait(value, created.get(name))


def _attributes(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in document["environment"] or ():
        name, _equals, value = variable.partition("=")
        is_open = _OPEN_NAME.fullmatch(name) and _OPEN_VALUE.fullmatch(value)
        yield f"environment {name}", digests.unless_harmless(name, value) if is_open else digests.of(value)
    for label, value in (document["labels"] or {}).items():
        if label == _COMPOSE_HASH:
            yield "compose definition", digests.of(value)
        elif not label.startswith(_COMPOSE):
            yield f"label {label}", digests.of(value)
    for mount in document["mounts"] or ():
        source = mount.get("Source", "") if mount.get("Type") == "bind" else mount.get("Type", "")
        yield f"mount {mount.get('Destination')}", f"{source} {'rw' if mount.get('RW') else 'ro'}"
    yield "network", str(document["network"] or "")
    yield "user", str(document["user"] or "")
    yield "hosts", ", ".join(sorted(document["hosts"] or ()))
    yield "ports", json.dumps(document["ports"] or {}, sort_keys=True)
    # A command line may hold a password.
    yield "command", digests.of(json.dumps([document["entrypoint"], document["command"]]))
