"""Judge the TLS certificates: still valid, trusted, and for the right name."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.certificates import CertificateFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import moment
from samaops.site.shell_words import quoted

DAY_SECONDS = 86400.0


def _evidence(certificate: CertificateFacts) -> Evidence:
    return {
        "host": certificate.host,
        "port": certificate.port,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "valid_from": certificate.valid_from,
        "valid_until": certificate.valid_until,
        "serial": certificate.serial,
        "verify_error": certificate.verify_error,
    }


access(
    "certificates.endpoint.unreachable",
    CertificateFacts,
    title=lambda certificate: _("{subject} shows a certificate over {version}").format(
        subject=f"{certificate.host}:{certificate.port}", version=certificate.tls_version
    ),
    evidence=_evidence,
)


# 30 days to order a new one from the authority, 7 when it becomes an incident to come.
@check("certificates.expiry.near", CertificateFacts, warning=30, critical=7, unit="d", less_is_worse=True)
def expiry(certificate: CertificateFacts, context: Context) -> Iterator[Finding]:
    days = round((certificate.valid_until - certificate.seen_at) / DAY_SECONDS, 1)
    date = moment(certificate.valid_until)
    title = _("The certificate is valid for {days} more days, until {date}").format(days=days, date=date)
    if days < 0:
        title = _("The certificate ended {days} days ago, on {date}").format(days=-days, date=date)
    if certificate.valid_from > certificate.seen_at:
        starts = moment(certificate.valid_from)
        title = _("The certificate is not valid before {date}: it is too new, or a clock is wrong").format(
            date=starts
        )
        yield context.crit(title, value=days, evidence=_evidence(certificate), hint=_look(certificate))
        return
    yield context.below(days, title, evidence=_evidence(certificate), hint=_look(certificate))


@check("certificates.chain.untrusted", CertificateFacts)
def chain(certificate: CertificateFacts, context: Context) -> Iterator[Finding]:
    evidence = _evidence(certificate)
    if certificate.verify_error is None:
        yield context.ok(_("Signed by {issuer}").format(issuer=certificate.issuer), evidence=evidence)
        return
    title = _("The certificate is not trusted: {reason} (issuer {issuer})").format(
        reason=certificate.verify_error, issuer=certificate.issuer
    )
    yield context.crit(title, evidence=evidence, hint=_look(certificate))


@check("certificates.name.mismatch", CertificateFacts)
def name(certificate: CertificateFacts, context: Context) -> Iterator[Finding]:
    wanted = certificate.server_name
    evidence = {"server_name": wanted, "names": list(certificate.names)[:50], "subject": certificate.subject}
    if _is_for(certificate.names, wanted):
        yield context.ok(_("The certificate is for {name}").format(name=wanted), evidence=evidence)
        return
    names = ", ".join(certificate.names[:5]) or certificate.subject
    title = _("The certificate is not for {name} but for {names}").format(name=wanted, names=names)
    yield context.crit(title, evidence=evidence, hint=_look(certificate))


def _is_for(names: tuple[str, ...], wanted: str) -> bool:
    """Return whether a certificate with these names is for a host, by RFC 6125: one leftmost ``*`` at most."""
    try:
        ip_address(wanted)
    except ValueError:
        wanted = wanted.rstrip(".").lower()
        parent = wanted.partition(".")[2]
        known = {name.lower() for name in names}
        return wanted in known or (bool(parent) and f"*.{parent}" in known)
    return wanted in names


def _look(certificate: CertificateFacts) -> str:
    return (
        f"openssl s_client -connect {quoted(f'{certificate.host}:{certificate.port}')} "
        f"-servername {quoted(certificate.server_name)} "
        "</dev/null | openssl x509 -noout -subject -issuer -dates"
    )
