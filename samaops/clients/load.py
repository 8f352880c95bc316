"""Many requests at once to one address, each on a connection of its own, all within one time: what became of each.

Only GET, and of the answer only its status line is read. There are no retries; a request that is late is counted, not repeated.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.clients import footprint, tls
from samaops.clients.errors import ClientError
from samaops.i18n import _
from samaops.model.failure import FailureKind

# What nobody exceeds, whatever is asked.
MOST_REQUESTS = 5000
_LONGEST_LINE = 4096
# Files that this process has open besides.
_OTHER_FILES = 100


class Burst(Struct, frozen=True):
    """What became of some requests: how many of each outcome ("200", "timeout", "refused"), and the times of those answered.

    Times in milliseconds, sorted. ``failed_at`` are the seconds since the start at which requests were sent that failed.
    """

    outcomes: dict[str, int]
    times_ms: tuple[float, ...]
    failed_at: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """How many requests were sent."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        """How many were not answered with 200."""
        return self.count - self.outcomes.get("200", 0)

    def percentile(self, percent: float) -> float:
        """Return the time within which so many of those that were answered had their answer; 0 where none was."""
        if not self.times_ms:
            return 0.0
        return self.times_ms[min(len(self.times_ms) - 1, int(len(self.times_ms) * percent / 100))]


def send(
    url: str,
    due_seconds: Iterable[float],
    timeout: float,
    ca_file: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Burst:
    """Send a request at each of these seconds after the start, whatever becomes of those before.

    What is due once ``stop`` says so is not sent. Raises ClientError where this process may not open so many connections.
    """
    due = sorted(due_seconds)
    if len(due) > MOST_REQUESTS:
        raise ValueError(f"{len(due)} requests are more than {MOST_REQUESTS}")
    _allow_files(len(due))
    return asyncio.run(_all(url, due, timeout, ca_file, stop))


def _allow_files(count: int) -> None:
    wanted = count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            text = _("this process may open {count} files, and {wanted} are needed (ulimit -n)")
            raise ClientError(FailureKind.ERROR, text.format(count=hard, wanted=wanted), "files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _all(
    url: str, due: list[float], timeout: float, ca_file: Path | None, stop: Callable[[], bool]
) -> Burst:
    parts = urlsplit(url)
    context = tls.verifying(ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: samaops\r\nConnection: close\r\n\r\n"
    )
    outcomes: Counter[str] = Counter()
    times: list[float] = []
    failed_at: list[float] = []
    began = time.monotonic()

    async def one() -> None:
        started = time.monotonic()
        outcome = await _outcome(str(parts.hostname), port, context, request.encode(), timeout)
        outcomes[outcome] += 1
        if outcome.isdigit():
            times.append((time.monotonic() - started) * 1000)
        if outcome != "200":
            failed_at.append(started - began)

    sent = []
    for seconds in due:
        if (wait := began + seconds - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        if stop():
            break
        sent.append(asyncio.create_task(one()))
    await asyncio.gather(*sent)
    footprint.count(connections=sum(outcomes.values()))
    return Burst(dict(sorted(outcomes.items())), tuple(sorted(times)), tuple(sorted(failed_at)))


async def _outcome(
    host: str, port: int, context: ssl.SSLContext | None, request: bytes, timeout: float
) -> str:
    try:
        return await asyncio.wait_for(_status(host, port, context, request), timeout)
    except (asyncio.TimeoutError, TimeoutError):
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except (OSError, ValueError, EOFError):
        return "broken"


async def _status(host: str, port: int, context: ssl.SSLContext | None, request: bytes) -> str:
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_LONGEST_LINE)
    try:
        writer.write(request)
        await writer.drain()
        words = (await reader.readline()).split()
        return words[1].decode("ascii") if len(words) > 1 and words[1].isdigit() else "broken"
    finally:
        writer.close()
