"""Read very many keys of Redis: a scan of their names, and questions about each, hundreds in one go.

Redis serves everybody else between two parts of what it reads (16 kB of questions at a time), so that nobody waits for
all of it. What is asked here neither touches a key (its idle time stays) nor blocks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.redis import RedisClient
from samaops.i18n import _
from samaops.model.failure import FailureKind

END = b"\r\n"
# So many names in one answer, and questions in one go: about what Redis reads at a time, half a millisecond of it.
NAMES_AT_ONCE = 250
SIZE, EXPIRY, IDLE = (b"MEMORY", b"USAGE"), (b"PTTL",), (b"OBJECT", b"IDLETIME")
# What PTTL says of a key that never expires, and of one that is not there.
NEVER, GONE = -1, -2
_GLOB = b"\\*?[]^-"


class Pace(Struct):
    """So many keys a second at most; 0: as fast as it goes."""

    rate: float
    began_at: float = 0.0
    done: int = 0

    def keep(self, keys: int) -> None:
        """Wait until so many more keys may be asked for."""
        now = time.monotonic()
        self.began_at = self.began_at or now
        self.done += keys
        if self.rate:
            ahead = self.done / self.rate - (now - self.began_at)
            if ahead > 0:
                time.sleep(ahead)


def is_group(word: bytes) -> bool:
    """Return whether a word takes all keys that begin or end so (``cache:*``, ``*.reply``), and not one of this name."""
    return word.startswith(b"*") or word.endswith(b"*")


def pattern_of(word: bytes) -> bytes:
    """Return a word as a pattern of SCAN: a star acts at its beginning and its end alone."""
    begins, ends = (b"*" if is_there else b"" for is_there in (word.startswith(b"*"), word.endswith(b"*")))
    inner = word[len(begins) :]
    return begins + escaped(inner[: -len(ends)] if ends and inner.endswith(b"*") else inner) + ends


def escaped(name: bytes) -> bytes:
    """Return a name in which no character of a pattern acts."""
    return b"".join(b"\\" + bytes([byte]) if byte in _GLOB else bytes([byte]) for byte in name)


def names(client: RedisClient, pattern: bytes = b"", at_once: int = NAMES_AT_ONCE) -> Iterator[list[bytes]]:
    """Yield the names of all keys, as SCAN gives them: each at least once, empty lists too. Raises ClientError.

    SCAN goes by the hashes of the names, so that the first of them are a random sample of all.
    """
    cursor = b"0"
    words = (b"MATCH", pattern) if pattern else ()
    while True:
        request = packed(b"SCAN", cursor, *words, b"COUNT", b"%d" % at_once)
        answer = bytes(client.exchange(request, "SCAN", 1, _is_scan_whole))
        if answer.startswith(b"-"):
            raise client.refused(answer[1 : -len(END)].decode(errors="replace"))
        scanned = _scanned(answer)
        if scanned is None:
            raise ClientError(FailureKind.GARBAGE, _("the answer to SCAN cannot be read"), "SCAN")
        cursor, keys = scanned
        yield keys
        if cursor == b"0":
            return


def ask(
    client: RedisClient, keys: Sequence[bytes], *questions: tuple[bytes, ...]
) -> list[tuple[int | None, ...]]:
    """Return for each key a number for each question; None where it has none, as of a key that is gone.

    Raises ClientError, also where one of the questions is refused.
    """
    if not keys:
        return []
    heads = [_head(question) for question in questions]
    request = b"".join([b"%b$%d\r\n%b\r\n" % (head, len(key), key) for key in keys for head in heads])
    wanted = len(keys) * len(heads)
    stage = " ".join(word.decode() for word in questions[0])

    def is_whole(data: bytearray) -> bool:
        return data.endswith(END) and data.count(END) >= wanted

    answer = client.exchange(request, stage, wanted, is_whole)
    lines = bytes(answer).split(END)
    try:
        numbers = [int(line[1:]) if line[:1] == b":" else None for line in lines[:wanted]]
    except ValueError as error:
        raise ClientError(FailureKind.GARBAGE, str(error), stage) from error
    if b"-" in (line[:1] for line in lines[:wanted]):
        refusal = next(line for line in lines if line[:1] == b"-")
        raise client.refused(refusal[1:].decode(errors="replace"))
    each = len(heads)
    return [tuple(numbers[at : at + each]) for at in range(0, wanted, each)]


def packed(*words: bytes) -> bytes:
    """Return one command as it travels."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _head(question: tuple[bytes, ...]) -> bytes:
    words = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in question)
    return b"*%d\r\n" % (len(question) + 1) + words


def _is_scan_whole(data: bytearray) -> bool:
    if not data.endswith(END):
        return False
    return data.startswith(b"-") or _scanned(bytes(data)) is not None


def _scanned(data: bytes) -> tuple[bytes, list[bytes]] | None:
    """Return the cursor and the names of an answer to SCAN; None while a part of it is missing."""
    lines = data.split(END)
    if len(lines) < 5 or lines[0] != b"*2" or not lines[3].startswith(b"*"):
        return None
    count, cursor = int(lines[3][1:]), lines[2]
    lengths, found = lines[4:-1:2], lines[5:-1:2]
    # No name holds a line's end, as a rule: then each second line is a name, as long as the line before it says.
    if len(lengths) == len(found) == count and all(
        length == b"$%d" % len(name) for length, name in zip(lengths, found, strict=True)
    ):
        return cursor, found
    return _slowly(data, data.index(lines[3], len(lines[0]) + len(END)), count, cursor)


def _slowly(data: bytes, at: int, count: int, cursor: bytes) -> tuple[bytes, list[bytes]] | None:
    """Read the names by their lengths, whatever they hold."""
    at = data.find(END, at) + len(END)
    found: list[bytes] = []
    for _name in range(count):
        end = data.find(END, at)
        if end < 0:
            return None
        begin = end + len(END)
        at = begin + int(data[at + 1 : end]) + len(END)
        if at > len(data):
            return None
        found.append(data[begin : at - len(END)])
    return cursor, found
