"""What is observed of the TLS certificates that services show."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cryptography import x509

from samaops.clients import certificates as client
from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import Certificate
from samaops.facts.certificates import CertificateFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

LOOK_SECONDS = 4.0


def watched(site: Site) -> Iterator[Target]:
    """Yield the configured certificates."""
    for certificate in site.settings.certificates:
        yield Target(certificate.name, certificate, None, LOOK_SECONDS + SPARE_SECONDS)


@collects("certificates", CertificateFacts, targets=watched)
def look(certificate: Certificate, _site: Site, probe: Probe) -> CertificateFacts:
    """Read one certificate where it is served."""
    return observe(certificate, probe)


def observe(certificate: Certificate, probe: Probe) -> CertificateFacts:
    """Shake hands and read the certificate that is shown."""
    from cryptography import x509

    probe.stage("TLS handshake")
    server_name = certificate.server_name or certificate.host
    shown = client.look(certificate.host, certificate.port, server_name, certificate.ca_file, LOOK_SECONDS)
    try:
        read = x509.load_der_x509_certificate(shown.der)
        names = _names(read)
    except ValueError as error:
        message = _("the certificate cannot be read: {error}").format(error=error)
        raise ClientError(FailureKind.TLS, message, "certificate") from error
    return CertificateFacts(
        host=certificate.host,
        port=certificate.port,
        server_name=server_name,
        subject=read.subject.rfc4514_string(),
        issuer=read.issuer.rfc4514_string(),
        names=names,
        valid_from=read.not_valid_before_utc.timestamp(),
        valid_until=read.not_valid_after_utc.timestamp(),
        serial=f"{read.serial_number:x}",
        tls_version=shown.tls_version,
        verify_error=shown.verify_error,
        seen_at=time.time(),
    )


def _names(read: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        alternative_names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in alternative_names.get_values_for_type(x509.IPAddress)]
    return (*alternative_names.get_values_for_type(x509.DNSName), *addresses)
