"""A bounded stream of real requests and notifications to the lab: its rates are not zero. It ends by itself."""

from __future__ import annotations

import ipaddress
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from msgspec import Struct

from samaops.errors import RefusedError, UsageError
from samaops.i18n import _
from samaops.lab.layout import OUTSIDE_ADDRESS, QUEUE_PRIORITIES, VIP_PORT

VIP_URL = f"http://{OUTSIDE_ADDRESS}:{VIP_PORT}"
LONGEST_SECONDS = 3600.0
HIGHEST_RATE = 200.0
THREADS = 8
ANSWER_TIMEOUT_SECONDS = 8.0
USERS = 20_000
MESSAGE = "Charge du laboratoire"

# What customers' applications ask for, over and over. Seven and four priorities have no common divisor.
_KINDS = (
    "health",
    "consumption",
    "notification",
    "consumption",
    "consumption",
    "notification",
    "consumption",
)


class LoadResult(Struct, frozen=True):
    """What came of a load: requests by kind and outcome ("consumption 200", "health timeout")."""

    outcomes: dict[str, int]
    sent: int
    seconds: float

    @property
    def rate_per_second(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0


class Request(Struct, frozen=True):
    """One request to send, ``due_seconds`` after the start."""

    kind: str
    method: str
    path: str
    due_seconds: float
    body: dict[str, object] | None = None


Progress = Callable[[int, int], None]


def run(
    seconds: float,
    rate: float,
    *,
    url: str = VIP_URL,
    priorities: tuple[str, ...] = tuple(QUEUE_PRIORITIES),
    on_progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> LoadResult:
    """Send ``rate`` requests a second for ``seconds``, and count what came of each.

    It ends at the latest one answer's timeout after ``seconds``, or when ``stop`` is set: what is late is
    not sent.

    Raises:
        RefusedError: the address is not of this machine's loopback.
        UsageError: too long, too many, or nothing at all.
    """
    refuse_other_machines(url)
    _refuse_excess(seconds, rate)
    wanted = list(plan(seconds, rate, priorities))
    source = _Source(wanted, deadline=time.monotonic() + seconds, stop=stop or threading.Event())
    threads = [threading.Thread(target=_work, args=(source, url), daemon=True) for _number in range(THREADS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
            if on_progress:
                on_progress(source.sent(), len(wanted))
    return LoadResult(dict(sorted(source.outcomes.items())), source.sent(), time.monotonic() - started)


def refuse_other_machines(url: str) -> None:
    """Raise RefusedError unless ``url`` leads to this machine's loopback."""
    host = urlsplit(url).hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise RefusedError(
            _("{host} is not a loopback address: load is for the lab alone").format(host=host or url),
            _("leave the address out to load the lab"),
        )


def _refuse_excess(seconds: float, rate: float) -> None:
    if not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(_("seconds must be more than 0 and at most {most:g}").format(most=LONGEST_SECONDS))
    if not 0 < rate <= HIGHEST_RATE:
        raise UsageError(
            _("rate must be more than 0 and at most {most:g} a second").format(most=HIGHEST_RATE)
        )


def plan(seconds: float, rate: float, priorities: tuple[str, ...]) -> list[Request]:
    """Return the requests to send, evenly spread over the time, priorities in turn."""
    chooser = random.Random(20_000)  # noqa: S311 - the same customers every time, nothing secret
    requests_wanted = []
    for number in range(max(1, int(seconds * rate))):
        kind = _KINDS[number % len(_KINDS)]
        priority = priorities[number % len(priorities)]
        requests_wanted.append(_request(kind, number / rate, chooser.randint(1, USERS), priority))
    return requests_wanted


def _request(kind: str, due_seconds: float, user_id: int, priority: str) -> Request:
    if kind == "consumption":
        return Request(kind, "GET", f"/api/consumption/{user_id}", due_seconds)
    if kind == "notification":
        body: dict[str, object] = {"user_id": user_id, "priority": priority, "message": MESSAGE}
        return Request(f"notification {priority}", "POST", "/notifications", due_seconds, body)
    return Request("health", "GET", "/health", due_seconds)


class _Source:
    """Hands out the requests when they are due, and counts their outcomes; shared by the threads."""

    def __init__(self, wanted: list[Request], deadline: float, stop: threading.Event) -> None:
        self._wanted = iter(wanted)
        self._started = time.monotonic()
        self._deadline = deadline
        self._stop = stop
        self._lock = threading.Lock()
        self.outcomes: Counter[str] = Counter()

    def next(self) -> Request | None:
        """Wait until the next request is due and return it; None when the time is over."""
        with self._lock:
            request = next(self._wanted, None)
        if request is None:
            return None
        late_or_stopped = self._stop.wait(max(0.0, self._started + request.due_seconds - time.monotonic()))
        return None if late_or_stopped or time.monotonic() > self._deadline else request

    def count(self, outcome: str) -> None:
        """Count one outcome."""
        with self._lock:
            self.outcomes[outcome] += 1

    def sent(self) -> int:
        """Return how many requests have an outcome."""
        with self._lock:
            return sum(self.outcomes.values())


def _work(source: _Source, url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False  # no proxy of the environment between the lab and its load
        while request := source.next():
            source.count(f"{request.kind} {_outcome(session, url, request)}")


def _outcome(session: requests.Session, url: str, request: Request) -> str:
    session.cookies.clear()  # every request is another customer: both members get their share
    try:
        response = session.request(
            request.method, f"{url}{request.path}", json=request.body, timeout=ANSWER_TIMEOUT_SECONDS
        )
    except requests.Timeout:
        return "timeout"
    except requests.ConnectionError:
        return "connection failed"
    except requests.RequestException as error:
        return type(error).__name__
    return str(response.status_code)
