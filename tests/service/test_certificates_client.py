"""Certificates that real TLS servers show: good, foreign, expired, and servers that are none."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from samaops.config.settings import Certificate, Settings
from samaops.facts.certificates import CertificateFacts
from samaops.model.status import Status
from tests.service import faulty
from tests.service.looking import Look, look

pytestmark = pytest.mark.service


class Authority:
    """A certificate authority of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Authority [red]")])
        self.file = directory / "ca.pem"
        certificate = self._build(self.name, self.key, 3650).add_extension(
            x509.BasicConstraints(True, None), True
        )
        self.file.write_bytes(
            certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def issue(self, days: float, *names: str) -> Path:
        """Issue a certificate; key and certificate are in the file that is returned."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        signed = (
            self._build(subject, key, days).add_extension(alternatives, False).sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self.directory / f"{names[0]}-{days}.pem"
        file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
        return file

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: float
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=100))
            .not_valid_after(now + datetime.timedelta(days=days))
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextlib.contextmanager
def serving(file: Path) -> Iterator[tuple[str, int]]:
    """Serve TLS with this certificate; each connection ends after its handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _address = listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as secured:
                secured.recv(1)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def seen(address: tuple[str, int], name: str = "api.test", ca_file: Path | None = None) -> Look:
    certificate = Certificate(name="vip", host=address[0], port=address[1], server_name=name, ca_file=ca_file)
    return look(Settings(certificates=(certificate,)), "certificates")


def test_a_good_certificate_is_ok_in_every_respect(authority: Authority) -> None:
    with serving(authority.issue(90, "api.test")) as address:
        found = seen(address, ca_file=authority.file)
    assert found.bad() == set(), found.summary()
    facts = next(facts for _one, facts in found.snapshot.facts_of(CertificateFacts))
    assert facts.names == ("api.test",)
    assert facts.issuer == "CN=Test Authority [red]"
    assert 89 < (facts.valid_until - facts.seen_at) / 86400 < 90.1


def test_a_foreign_authority_a_wrong_name_and_an_end_are_told_apart(authority: Authority) -> None:
    with serving(authority.issue(90, "api.test")) as address:
        assert seen(address).bad() == {"certificates.chain.untrusted@certificates/vip"}
        wrong = seen(address, "other.test", authority.file)
        assert wrong.bad() == {"certificates.name.mismatch@certificates/vip"}
    with serving(authority.issue(-2, "api.test")) as address:
        ended = seen(address, ca_file=authority.file)
        assert ended.bad() == {"certificates.expiry.near@certificates/vip"}
    with serving(authority.issue(10, "api.test")) as address:
        assert seen(address, ca_file=authority.file).status("certificates.expiry.near") is Status.WARNING


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faulty.refused_port, "refused"),
        (faulty.silent, "silent"),
        (faulty.hanging, "no_answer"),
        (faulty.closing, "closed"),
        (faulty.garbage, "garbage"),
    ],
)
def test_a_server_that_is_none_says_which(
    fault: contextlib.AbstractContextManager[tuple[str, int]], kind: str
) -> None:
    with fault() as address:  # type: ignore[operator]
        started = time.monotonic()
        found = seen(address).one("certificates.endpoint.unreachable")
    assert found.status is Status.CRITICAL
    assert found.evidence["kind"] == kind
    assert time.monotonic() - started < 6


def test_a_dripping_server_costs_no_more_than_the_timeout() -> None:
    with faulty.dripping(b"\x16\x03\x03\x40\x00", every_seconds=0.3) as address:
        started = time.monotonic()
        found = seen(address).one("certificates.endpoint.unreachable")
    assert found.evidence["kind"] == "no_answer"
    assert time.monotonic() - started < 6


def test_a_ca_file_that_is_not_there_is_unknown(authority: Authority) -> None:
    with serving(authority.issue(90, "api.test")) as address:
        found = seen(address, ca_file=authority.directory / "none")
    assert found.status("certificates.endpoint.unreachable") is Status.UNKNOWN
