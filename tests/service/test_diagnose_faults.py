"""Whatever a server does to us, a diagnosis ends in time, costs that server's own checks only, and says what it was."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from samaops.config.settings import Settings
from samaops.model.failure import OUTAGE_KINDS
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import diagnose
from tests.service import faulty

pytestmark = pytest.mark.service

Address = tuple[str, int]
DEADLINE_SECONDS = 8.0
# What a server may be said to do. A system whose client cannot tell two of them apart may name either.
FAULTS: dict[str, tuple[Callable[[], AbstractContextManager[Address]], set[str]]] = {
    "refused": (faulty.refused_port, {"refused"}),
    "silent": (faulty.silent, {"silent", "no_answer", "deadline"}),
    "hanging": (faulty.hanging, {"no_answer", "silent", "deadline"}),
    "dripping": (lambda: faulty.dripping(b"\x00", 0.2), {"no_answer", "garbage", "deadline", "closed"}),
    "garbage": (faulty.garbage, {"garbage", "closed", "tls"}),
    "closing": (faulty.closing, {"closed", "garbage", "tls"}),
}
# Their own way is broken, so that they are unknown: Google behind the proxy, Celery behind the broker.
BEHIND_ANOTHER = {"firebase", "celery"}


# A file that vouches for no server.
NOBODY = str(Path(__file__).with_name("__init__.py"))


def everything_at(address: Address) -> Settings:
    """Return settings in which every system is the same faulty server."""
    host, port = address
    url = f"http://{host}:{port}"
    bounded = {"timeout": 2.0}
    return Settings.model_validate(
        {
            "servers": {
                "one": {"address": host, "ssh": {"port": port, "timeout": 2.0, "known_hosts": NOBODY}},
            },
            "postgresql": {"server": "one", "port": port, "password": "x", **bounded},
            "pgbouncer": {"server": "one", "port": port, "admin_password": "x", **bounded},
            "redis": {"server": "one", "port": port, **bounded},
            "rabbitmq": {"server": "one", "port": port, "management_port": port, "password": "x", **bounded},
            "flower": {"server": "one", "url": url, **bounded},
            "api": {"instances": [{"name": "api_1", "url": url, "server": "one"}], **bounded},
            "celery": {"workers": {"worker1": {"server": "one", "queues": ["urgent"]}}},
            "minio": {"server": "one", "url": url, "access_key": "a", "secret_key": "x", **bounded},
            "loadbalancer": {"url": url, **bounded},
            "proxy": {"url": url},
            "firebase": bounded,
            "prometheus": {"url": url, **bounded},
            "alertmanager": {"url": url, **bounded},
            "certificates": [{"name": "vip", "host": host, "port": port}],
        }
    )


@contextmanager
def diagnosis_of(fault: str) -> Iterator[tuple[Report, float]]:
    """Diagnose a site in which everything has this fault; yield the report and the seconds it took."""
    with FAULTS[fault][0]() as address:
        settings = everything_at(address)
        started = time.monotonic()
        snapshot = diagnose.observe(Site(settings), deadline_seconds=DEADLINE_SECONDS)
        yield diagnose.judge(snapshot, Site(settings)), time.monotonic() - started


def access_findings(report: Report) -> list[Finding]:
    """Return what is said of each system that could not be looked at."""
    return [one for one in report.findings if one.evidence.get("kind") and one.status is not Status.OK]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_system_says_what_its_server_did(fault: str) -> None:
    outages = {kind.value for kind in OUTAGE_KINDS}
    with diagnosis_of(fault) as (report, seconds):
        assert seconds < DEADLINE_SECONDS + 1
        said = {f"{one.code}@{one.subject}": str(one.evidence["kind"]) for one in access_findings(report)}
        wrong = {
            key: kind
            for key, kind in said.items()
            if key.partition(".")[0] not in BEHIND_ANOTHER
            and not key.startswith("servers.log.")  # behind the same log-in as the server's other looks
            and kind not in FAULTS[fault][1]
        }
        assert not wrong
        judged = {one.system for one in report.findings}
        assert judged >= {"postgresql", "pgbouncer", "redis", "rabbitmq", "flower", "api", "minio", "proxy"}
        for finding in access_findings(report):
            expected = Status.CRITICAL if finding.evidence["kind"] in outages else Status.UNKNOWN
            assert finding.status is expected or finding.code.startswith("loadbalancer.management"), finding


@pytest.mark.parametrize("fault", FAULTS)
def test_every_other_check_of_the_system_is_skipped_and_names_the_finding(fault: str) -> None:
    with diagnosis_of(fault) as (report, _seconds):
        silent_codes = {f"{one.code}@{one.subject}" for one in access_findings(report)}
        skipped = [one for one in report.findings if one.status is Status.SKIPPED]
        named = [word for one in skipped for word in re.findall(r"\S+@\S+", one.detail)]
        assert named
        assert set(named) <= silent_codes
