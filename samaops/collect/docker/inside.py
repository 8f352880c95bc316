"""Read what the script saw inside the containers: the last words of their logs, their environments, their ways.

An environment holds secrets. They are compared by digests with a key of this process, which nobody keeps.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from samaops.collect.docker.times import epoch_of
from samaops.collect.log_lines import shortened, without_secrets
from samaops.collect.sections import check_exit
from samaops.facts.docker import Variable, Way
from samaops.facts.log import LogLine

_KEY = secrets.token_bytes(32)
_DIGEST_CHARACTERS = 16
_SECRET_NAME = re.compile(r"(?i)PASS|PWD|SECRET|TOKEN|KEY|AUTH|CREDENTIAL|DSN|SALT")
# Of these, and of URLs, the value may be shown; of all others nobody knows what it holds.
_PATH = re.compile(r"/[\w./-]*")
_SHOWN_NAME = re.compile(r"(?i)(^|_)(HOST|PORT|ENDPOINT|SERVER|DB|DATABASE|NAME|USER|PROXY|SSLMODE|VHOST)$")
_HARMLESS = re.compile(r"[\w.,:/*-]{0,200}")
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(?:([^/]*)@)?([^/:?#@]*)(?::(\d+))?(/[^?#]*)?")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
# A shorter secret stands by chance in too many harmless words.
_SHORTEST_SECRET = 6
_LONGEST_TEXT = 300
# Options whose value is no secret in any of the programs; an address is shown without the port, which is its own.
_SHOWN_OPTION = re.compile(
    r"--?(host|bind|b|address|port|uds|l|loglevel|log-level|workers|w|threads|pool|limit-\w+|timeout\S*|backlog|keep-?alive|m|A|app|root-path)"
)
_BINDING = ("--bind", "-b")
_NO_NAME, _NO_ANSWER = "unknown host", "no answer"
_ANSWERS = (
    ("refused", "refused"),
    ("no route", "no route"),
    ("unreachable", "no route"),
    ("timed out", _NO_ANSWER),
)
Seen = dict[str, dict[str, Any]]


def digest(value: str) -> str:
    """Return what tells only whether two values of this run are the same."""
    return hmac.new(_KEY, value.encode(), hashlib.sha256).hexdigest()[:_DIGEST_CHARACTERS]


def environment(pairs: Sequence[str] | None) -> tuple[Variable, ...] | None:
    """Return the variables of a container without their values."""
    if pairs is None:
        return None
    named = (pair.partition("=") for pair in pairs)
    return tuple(_variable(name, value) for name, _equals, value in sorted(named))


def _variable(name: str, value: str) -> Variable:
    url = _URL.match(value)
    if url is not None:
        scheme, login, host, port, path = url.groups()
        user, _colon, password = (login or "").partition(":")
        parts = {
            "scheme": scheme,
            "host": host,
            "port": port,
            "database": unquote(path or "").strip("/"),
            "user": user,
        }
        shown = {part: text[:_LONGEST_TEXT] for part, text in parts.items() if text}
        return Variable(name, digest(value), shown, digest(unquote(password)) if password else "")
    is_open = _PATH.fullmatch(value) or (_SHOWN_NAME.search(name) and _HARMLESS.fullmatch(value))
    # A path to a secret is no secret.
    is_secret = _SECRET_NAME.search(name) and not value.startswith("/")
    return Variable(name, digest(value), {"value": value} if is_open and not is_secret else {})


def limits(document: Mapping[str, Any]) -> Iterator[Variable]:
    """Yield the limits that a container has; none where there is no limit."""
    known = document.get("limits") or {}
    quota, period = known.get("quota") or 0, known.get("period") or 100_000
    cpus = (known.get("cpus") or 0) / 1e9 or max(0, quota) / period
    found = {"cpus": f"{cpus:g}" if cpus else "", "pids": str(max(0, known.get("pids") or 0) or "")}
    found["memory"] = str(document.get("memory_limit") or "")
    found |= {str(row.get("Name")): str(row.get("Soft")) for row in known.get("files") or ()}
    for name, value in found.items():
        if value:
            yield Variable(f"limit {name}", digest(value), {"value": value})


def options(document: Mapping[str, Any]) -> Iterator[Variable]:
    """Yield the options of a container's command line, and the rest of it as one; it may hold a password."""
    words = [*(document.get("entrypoint") or ()), *(document.get("command") or ())]
    if words[1:2] == ["-c"]:  # of a shell
        with contextlib.suppress(ValueError):
            words = shlex.split(" ".join(words[2:3]))
    given: dict[str, str] = {}
    rest: list[str] = []
    name = ""
    for word in map(str, words):
        if word.startswith("-"):
            is_long = word.startswith("--")
            name, _equals, value = word.partition("=") if is_long else (word[:2], "", word[2:])
            given[name] = value
            name = "" if value else name
        elif name:
            given[name], name = word, ""
        else:
            rest.append(word)
    for option, value in given.items():
        compared = value.rpartition(":")[0] if option in _BINDING else value
        is_open = _SHOWN_OPTION.fullmatch(option) and _HARMLESS.fullmatch(compared)
        yield Variable(option, digest(compared), {"value": compared} if is_open else {})
    if rest:
        yield Variable("command", digest(" ".join(rest)), {})


def secrets_of(documents: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return what must not be shown of these containers' logs: values of secret names, passwords in URLs."""
    found = set()
    for document in documents:
        for pair in document.get("environment") or ():
            name, _equals, value = pair.partition("=")
            url = _URL.match(value)
            password = (url.group(2) or "").partition(":")[2] if url else ""
            found |= {password, unquote(password)}
            if _SECRET_NAME.search(name) and not value.startswith("/"):
                found.add(value)
    return {value for value in found if len(value) >= _SHORTEST_SECRET}


def read(
    lines: Sequence[str] | None, complaints: Sequence[str], documents: Sequence[Mapping[str, Any]]
) -> Seen:
    """Return for each container's id what was seen in it. Raises ClientError when nobody may look."""
    if lines is None:
        return {}
    check_exit(lines[-1:], complaints, "inside")
    hidden = secrets_of(documents)
    logs: dict[str, list[LogLine]] = {}
    hosts: dict[str, list[str]] = {}
    absent: dict[str, list[str]] = {}
    current: list[LogLine] = []
    for line in lines:
        word, _space, rest = line.partition(" ")
        if word == "source":
            current = logs.setdefault(rest, [])
        elif word == "log":
            current += _log_lines(rest, hidden)
        elif word == "plain":
            current += _plain_lines(rest, hidden)
        elif word == "hosts":
            path, _colon, entry = rest.partition(":")
            hosts.setdefault(path, []).append(" ".join(entry.partition("#")[0].split()))
        elif word == "absent":
            id_, _space, name = rest.partition(" ")
            absent.setdefault(id_, []).append(name)
    return {
        document["id"]: {
            "log": _in_order(logs.get(document["log_path"], logs.get(document["id"]))),
            "hosts": _in_order(hosts.get(document.get("hosts_path", ""))),
            "absent_files": tuple(absent.get(document["id"], ())),
        }
        for document in documents
    }


def _in_order(rows: list[Any] | None) -> tuple[Any, ...] | None:
    return None if rows is None else tuple(rows)


def _log_lines(raw: str, hidden: set[str]) -> Iterator[LogLine]:
    """Yield one line of a json-file log; nothing for one that was cut by the place where reading began."""
    try:
        entry = json.loads(raw)
        text = shortened(without_secrets(str(entry["log"]), hidden))
        if text:
            yield LogLine(epoch_of(str(entry["time"])), text)
    except (ValueError, KeyError, TypeError):
        return


def _plain_lines(raw: str, hidden: set[str]) -> Iterator[LogLine]:
    """Yield one line of ``docker logs -t``; what has no time are words of docker's own."""
    stamp, _space, words = raw.partition(" ")
    text = shortened(without_secrets(words, hidden)) if _STAMP.match(stamp) else ""
    if text:
        yield LogLine(epoch_of(stamp), text)


def ways(
    inside: Sequence[str] | None, tried: Sequence[str] | None, complaints: Sequence[str]
) -> dict[str, tuple[Way, ...]]:
    """Return for each running container's id how its places answered. Raises ClientError when they could not be tried."""
    if inside is None or tried is None:
        return {}
    check_exit(tried[-1:], complaints, "ways")
    networks: dict[str, str] = {}
    answers: dict[tuple[str, ...], str] = {}
    untried: set[tuple[str, ...]] = set()
    for line in (*inside, *tried):
        word, *fields = line.split(" ", 4)
        if word == "network" and len(fields) == 2:
            networks[fields[0].split("/")[2]] = fields[1]
        elif word == "gone":  # its container ended meanwhile
            rest = line.split()[1:]
            untried.update(zip(rest[0::3], rest[1::3], rest[2::3], strict=False))
        elif word == "way" and len(fields) == 4:
            answers[fields[0], fields[1], fields[2]] = _answer(fields[3])
    reached: dict[str, list[Way]] = {}
    for line in inside:
        word, *fields = line.split(" ", 5)
        if word == "place" and len(fields) == 5 and fields[3].isdigit():
            id_, pid, host, port, address = fields
            way = (networks.get(pid, ""), address, port)
            if pid not in networks or way in untried:
                continue
            # Without a program in the container that looks names up, the address is a question mark.
            answer = answers.get(way, _NO_ANSWER if _is_address(address) else "")
            answer = answer if address else _NO_NAME
            reached.setdefault(id_, []).extend([Way(host, int(port), answer)] if answer else [])
    return {id_: tuple(places) for id_, places in reached.items()}


def _is_address(text: str) -> bool:
    return text.replace(".", "").isdigit()


def _answer(words: str) -> str:
    """Return "open", or why not; what did not answer within its time has left no word."""
    known = (answer for word, answer in _ANSWERS if word in words.lower())
    return next(known, words[:_LONGEST_TEXT])
