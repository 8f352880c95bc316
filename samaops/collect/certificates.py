"""What is observed of the TLS certificates that services show."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cryptography import x509

from samaops.clients import certificates as client
from samaops.clients.certificates import Place
from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.facts.certificates import CertificateFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

LOOK_SECONDS = 4.0


def watched(site: Site) -> Iterator[Target]:
    """Yield the configured certificates, and those of the services that are reached over TLS."""
    for certificate in site.settings.certificates:
        name = certificate.server_name or certificate.host
        place = Place(certificate.host, certificate.port, name, certificate.ca_file)
        yield Target(certificate.name, place, None, LOOK_SECONDS + SPARE_SECONDS)
    for name, place in _of_services(site):
        yield Target(name, place, None, LOOK_SECONDS + SPARE_SECONDS)


def _of_services(site: Site) -> Iterator[tuple[str, Place]]:
    settings = site.settings
    for system, protocol in (
        ("postgresql", "postgresql"),
        ("pgbouncer", "postgresql"),
        ("redis", ""),
        ("rabbitmq", ""),
    ):
        section = site.section(system)
        if section is not None and section.tls is not None:
            host = site.host_of(section)
            name = section.tls.server_name or host
            yield system, Place(host, section.port, name, section.tls.ca_file, protocol)
    broker, mail = settings.rabbitmq, settings.notify.mail
    if broker is not None and broker.management_tls:
        host = site.host_of(broker)
        ca_file = broker.tls.ca_file if broker.tls else None
        yield "rabbitmq-management", Place(host, broker.management_port, host, ca_file)
    if mail is not None and mail.encryption != "none":
        protocol = "smtp" if mail.encryption == "starttls" else ""
        yield "mail", Place(mail.host, mail.port, mail.host, mail.ca_file, protocol)


@collects("certificates", CertificateFacts, targets=watched)
def look(place: Place, _site: Site, probe: Probe) -> CertificateFacts:
    """Read one certificate where it is served."""
    return observe(place, probe)


def observe(place: Place, probe: Probe) -> CertificateFacts:
    """Shake hands and read the certificate that is shown."""
    from cryptography import x509

    probe.stage("TLS handshake")
    shown = client.look(place, LOOK_SECONDS)
    try:
        read = x509.load_der_x509_certificate(shown.der)
        names = _names(read)
    except ValueError as error:
        message = _("the certificate cannot be read: {error}").format(error=error)
        raise ClientError(FailureKind.TLS, message, "certificate") from error
    return CertificateFacts(
        host=place.host,
        port=place.port,
        server_name=place.server_name,
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
