"""The proxy and Google behind it: a real tinyproxy, real TLS, each way it can fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.lab.outside.certificates import Authority
from samaops.model.status import Status
from tests.service import faulty
from tests.service.google_stand_in import (
    GOOGLE,
    HOST,
    make_authority,
    stop_answering,
    tinyproxy,
    tls_server,
)
from tests.service.looking import Look, look
from tests.service.postgres_server import free_port

pytestmark = pytest.mark.service
CANARY = "canary-proxy-password"


@dataclass
class Google:
    """The two hosts, told apart by their ports, and the file of the authority that signed for them."""

    directory: Path
    signer: Authority
    ca_file: Path
    oauth: int
    fcm: int

    def settings(self, proxy: str | None, **changes: Any) -> Settings:
        credentials = changes.pop("credentials", {})
        firebase = {
            "oauth_url": f"https://{HOST}:{self.oauth}/",
            "fcm_url": f"https://{HOST}:{self.fcm}/",
            "ca_file": self.ca_file,
            "timeout": 2.5,
            **changes,
        }
        values: dict[str, Any] = {"firebase": firebase}
        if proxy is not None:
            values["proxy"] = {"url": proxy, **credentials}
        return Settings.model_validate(values)

    def subject(self, system: str, port: int) -> str:
        return f"{system}/{HOST}:{port}"


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Google]:
    signer, ca_file = make_authority(tmp_path, GOOGLE, "GTS test")
    with tls_server(tmp_path, signer) as oauth, tls_server(tmp_path, signer) as fcm:
        yield Google(tmp_path, signer, ca_file, oauth, fcm)


def seen(settings: Settings) -> Look:
    return look(settings, "proxy", "firebase")


def test_both_hosts_through_a_healthy_proxy_are_ok(google: Google) -> None:
    with tinyproxy(google.oauth, google.fcm) as proxy:
        answer = seen(google.settings(proxy.url))
    assert not answer.bad(), answer.summary()
    assert answer.status("firebase.tls.intercepted", google.subject("firebase", google.oauth)) is Status.OK
    assert answer.status("proxy.host.blocked", google.subject("proxy", google.fcm)) is Status.OK


def test_without_a_proxy_the_hosts_are_reached_directly(google: Google) -> None:
    answer = seen(google.settings(None))
    assert not answer.bad(), answer.summary()


def test_a_proxy_that_wants_a_password_is_the_fault_and_google_unknown(google: Google) -> None:
    with tinyproxy(google.oauth, google.fcm, user="senelec", password=CANARY) as proxy:
        answer = seen(google.settings(proxy.url))
    finding = answer.one("proxy.auth.required")
    assert finding.status is Status.CRITICAL
    assert "407" in finding.title
    assert answer.status("proxy.service.unreachable") is Status.OK
    google_finding = answer.one("firebase.host.unreachable", google.subject("firebase", google.fcm))
    assert google_finding.status is Status.UNKNOWN
    assert google_finding.evidence["kind"] == "dependency"
    assert "407" in google_finding.detail


def test_a_proxy_that_takes_only_kerberos_and_ntlm_is_told_at_every_hop_behind_it(google: Google) -> None:
    offers = b"Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n"
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n" + offers + b"Content-Length: 0\r\n\r\n"
    with faulty.answering(refusal) as (host, port):
        credentials = {"username": "senelec", "password": CANARY}
        answer = seen(google.settings(f"http://{host}:{port}", credentials=credentials))
    finding = answer.one("proxy.auth.required")
    assert (finding.status, finding.evidence["schemes"]) == (Status.CRITICAL, ["NTLM", "Negotiate"])
    for target in (google.oauth, google.fcm):
        behind = answer.one("firebase.host.unreachable", google.subject("firebase", target))
        assert (behind.status, behind.evidence["kind"]) == (Status.UNKNOWN, "dependency")
        assert "Negotiate, NTLM" in behind.detail


def test_the_configured_password_opens_the_proxy_and_is_never_shown(google: Google) -> None:
    with tinyproxy(google.oauth, google.fcm, user="senelec", password=CANARY) as proxy:
        credentials = {"username": "senelec", "password": CANARY}
        answer = seen(google.settings(proxy.url, credentials=credentials))
    assert not answer.bad(), answer.summary()
    assert CANARY not in repr(answer)


def test_a_refused_password_is_unknown_and_never_shown(google: Google) -> None:
    wrong = {"username": "senelec", "password": CANARY}
    with tinyproxy(google.oauth, google.fcm, user="senelec", password="another") as proxy:
        answer = seen(google.settings(proxy.url, credentials=wrong))
    assert answer.status("proxy.auth.required") is Status.UNKNOWN
    assert CANARY not in repr(answer)


def test_one_blocked_host_of_two_is_visible_as_that(google: Google) -> None:
    with tinyproxy(google.oauth) as proxy:
        answer = seen(google.settings(proxy.url))
    blocked = answer.one("proxy.host.blocked", google.subject("proxy", google.fcm))
    assert blocked.status is Status.CRITICAL
    assert blocked.evidence["status"] == 403
    assert answer.status("proxy.host.blocked", google.subject("proxy", google.oauth)) is Status.OK
    reached = google.subject("firebase", google.oauth)
    assert answer.status("firebase.host.unreachable", reached) is Status.OK
    unreached = google.subject("firebase", google.fcm)
    assert answer.status("firebase.host.unreachable", unreached) is Status.UNKNOWN


def test_a_host_the_proxy_does_not_reach_is_told_by_the_proxy(google: Google) -> None:
    with faulty.refused_port() as (_host, port):
        google.fcm = port
        with tinyproxy(google.oauth, port) as proxy:
            answer = seen(google.settings(proxy.url))
    failing = answer.one("proxy.upstream.failing", google.subject("proxy", port))
    assert failing.status is Status.CRITICAL
    assert failing.evidence["status"] >= 500
    assert answer.status("proxy.upstream.failing", google.subject("proxy", google.oauth)) is Status.OK


def test_a_proxy_that_waits_for_silent_hosts_is_alive_and_its_way_out_is_not(google: Google) -> None:
    with faulty.silent() as (_host, port):
        google.oauth = google.fcm = port
        with tinyproxy(port) as proxy:
            answer = seen(google.settings(proxy.url))
    assert answer.status("proxy.service.unreachable") is Status.OK
    assert answer.one("proxy.upstream.failing").evidence["failure_kind"] == "no_answer"
    assert answer.status("proxy.upstream.failing") is Status.CRITICAL


def test_a_frozen_proxy_is_hung_and_google_unknown(google: Google) -> None:
    with tinyproxy(google.oauth, google.fcm) as proxy:
        stop_answering(proxy)
        answer = seen(google.settings(proxy.url))
    finding = answer.one("proxy.service.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.CRITICAL, "no_answer")
    host = answer.one("firebase.host.unreachable", google.subject("firebase", google.oauth))
    assert (host.status, host.evidence["kind"]) == (Status.UNKNOWN, "dependency")


PROXY_FAULTS = {
    "refused": (faulty.refused_port, "refused"),
    "silent": (faulty.silent, "silent"),
    "closing": (faulty.closing, "closed"),
    "garbage": (faulty.garbage, "garbage"),
    "drip": (lambda: faulty.dripping(b"HTTP/1.0 200", 0.2), "no_answer"),
}


@pytest.mark.parametrize("fault", PROXY_FAULTS)
def test_a_broken_proxy_is_told_by_its_kind(google: Google, fault: str) -> None:
    server, kind = PROXY_FAULTS[fault]
    with server() as (host, port):
        answer = seen(google.settings(f"http://{host}:{port}"))
    finding = answer.one("proxy.service.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.CRITICAL, kind)
    google_finding = answer.one("firebase.host.unreachable", google.subject("firebase", google.fcm))
    assert google_finding.evidence["kind"] == "dependency"


def test_an_interception_names_its_issuer_and_is_critical(google: Google, tmp_path: Path) -> None:
    thief, _file = make_authority(tmp_path, "Senelec DSI", "Senelec Proxy CA")
    with tls_server(tmp_path, thief) as intercepted:
        google.fcm = intercepted
        with tinyproxy(google.oauth, intercepted) as proxy:
            answer = seen(google.settings(proxy.url))
    finding = answer.one("firebase.tls.intercepted", google.subject("firebase", intercepted))
    assert finding.status is Status.CRITICAL
    assert finding.evidence["issuer"] == "Senelec DSI / Senelec Proxy CA"
    assert "Senelec Proxy CA" in finding.title
    assert finding.evidence["verify_error"]
    assert answer.status("firebase.tls.intercepted", google.subject("firebase", google.oauth)) is Status.OK
    assert (
        answer.status("firebase.service.failing", google.subject("firebase", intercepted)) is Status.SKIPPED
    )


def test_an_interception_by_a_trusted_authority_is_a_warning(google: Google, tmp_path: Path) -> None:
    thief, ca_file = make_authority(tmp_path, "Senelec DSI", "Senelec Proxy CA")
    with tls_server(tmp_path, thief) as port:
        google.oauth = google.fcm = port
        with tinyproxy(port) as proxy:
            trusted = seen(google.settings(proxy.url, ca_file=ca_file))
            settings = google.settings(proxy.url, ca_file=ca_file, expected_issuers=["Senelec Proxy CA"])
            expected = seen(settings)
    assert trusted.status("firebase.tls.intercepted") is Status.WARNING
    assert trusted.status("firebase.service.failing") is Status.OK
    assert expected.status("firebase.tls.intercepted") is Status.OK


def test_an_unknown_authority_with_googles_name_is_not_trusted_for_it(google: Google, tmp_path: Path) -> None:
    forger, _file = make_authority(tmp_path, GOOGLE, "GTS forged")
    with tls_server(tmp_path, forger) as port:
        google.oauth = google.fcm = port
        answer = seen(google.settings(None))
    finding = answer.one("firebase.tls.intercepted")
    assert finding.status is Status.CRITICAL
    assert "does not verify" in finding.title


def test_a_server_error_of_google_is_critical(google: Google, tmp_path: Path) -> None:
    with tls_server(tmp_path, google.signer, status=503) as port:
        google.fcm = port
        answer = seen(google.settings(None))
    finding = answer.one("firebase.service.failing", google.subject("firebase", port))
    assert (finding.status, finding.value) == (Status.CRITICAL, 503)


DIRECT_FAULTS = {
    "refused": (faulty.refused_port, "refused"),
    "hanging": (faulty.hanging, "no_answer"),
    "closing": (faulty.closing, "closed"),
    "no TLS": (lambda: faulty.garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls"),
}


@pytest.mark.parametrize("fault", DIRECT_FAULTS)
def test_a_broken_host_is_an_outage_of_its_own(google: Google, fault: str) -> None:
    server, kind = DIRECT_FAULTS[fault]
    with server() as (_host, port):
        google.fcm = port
        answer = seen(google.settings(None, timeout=0.7))
    finding = answer.one("firebase.host.unreachable", google.subject("firebase", port))
    assert (finding.status, finding.evidence["kind"]) == (Status.CRITICAL, kind)
    assert answer.status("firebase.host.unreachable", google.subject("firebase", google.oauth)) is Status.OK


def test_a_proxy_alone_is_looked_at_without_firebase() -> None:
    with tinyproxy(443) as proxy:
        answer = look(Settings.model_validate({"proxy": {"url": proxy.url}}), "proxy")
    assert not answer.bad(), answer.summary()
    gone = look(Settings.model_validate({"proxy": {"url": f"http://127.0.0.1:{free_port()}"}}), "proxy")
    assert gone.status("proxy.service.unreachable") is Status.CRITICAL


def test_a_missing_ca_file_is_unknown_and_named(google: Google) -> None:
    answer = seen(google.settings(None, ca_file="/nonexistent/ca.pem"))
    finding = answer.one("firebase.host.unreachable", google.subject("firebase", google.fcm))
    assert finding.status is Status.UNKNOWN
    assert "/nonexistent/ca.pem" in finding.detail
