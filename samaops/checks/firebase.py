"""Judge Google's OAuth and FCM hosts as the application reaches them."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.firebase import FirebaseFacts
from samaops.facts.proxy import label
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.shell_words import quoted

FIRST_SERVER_ERROR = 500
# Connection, tunnel, handshake and first byte together. No document sets it: a push waits in a queue anyway,
# so a slow way is a warning and never more.
LATENCY_WARNING_MS = 2000


access(
    "firebase.host.unreachable",
    FirebaseFacts,
    title=lambda host: _("{host} is reached in {ms} ms").format(
        host=host.host, ms=round(host.tunnel_ms + host.tls_ms)
    ),
)


@check("firebase.tls.intercepted", FirebaseFacts)
def intercepted(host: FirebaseFacts, context: Context) -> Iterator[Finding]:
    settings = context.site.settings.firebase
    expected = settings.expected_issuers if settings else ()
    is_expected = bool({host.issuer_organisation, host.issuer_name} & set(expected))
    words = {"host": host.host, "issuer": host.issuer, "reason": host.verify_error}
    evidence = {**_certificate(host), "expected_issuers": list(expected)}
    if not host.verify_error and is_expected:
        yield context.ok(_("The certificate of {host} is from {issuer}").format(**words))
    elif not host.verify_error:
        title = _("TLS to {host} is intercepted by {issuer}, an authority that is trusted")
        yield context.warn(title.format(**words), evidence=evidence, hint=_openssl(host, context))
    elif is_expected:
        title = _("The certificate of {host} from {issuer} does not verify: {reason}")
        yield context.crit(title.format(**words), evidence=evidence, hint=_openssl(host, context))
    else:
        title = _("TLS to {host} is intercepted: the certificate is from {issuer} ({reason})")
        yield context.crit(title.format(**words), evidence=evidence, hint=_openssl(host, context))


@check("firebase.service.failing", FirebaseFacts)
def service(host: FirebaseFacts, context: Context) -> Iterator[Finding]:
    if host.status is None:
        yield context.skipped(_("nothing was asked of a host whose certificate is not trusted"))
    elif host.status >= FIRST_SERVER_ERROR:
        title = _("{host} answers with status {status}").format(host=host.host, status=host.status)
        yield context.crit(title, value=host.status, evidence={"host": host.host, "status": host.status})
    else:
        yield context.ok(_("{host} answers (status {status})").format(host=host.host, status=host.status))


@check("firebase.latency.high", FirebaseFacts, warning=LATENCY_WARNING_MS, unit="ms")
def latency(host: FirebaseFacts, context: Context) -> Iterator[Finding]:
    if host.first_byte_ms is None:
        yield context.skipped(_("nothing was asked of a host whose certificate is not trusted"))
        return
    total_ms = round(host.tunnel_ms + host.tls_ms + host.first_byte_ms, 1)
    evidence = {"tunnel_ms": host.tunnel_ms, "tls_ms": host.tls_ms, "first_byte_ms": host.first_byte_ms}
    title = _("{host} answers in {ms} ms").format(host=host.host, ms=total_ms)
    yield context.above(total_ms, title, evidence=evidence)


def _certificate(host: FirebaseFacts) -> Evidence:
    return {
        "host": host.host,
        "issuer": host.issuer,
        "issuer_organisation": host.issuer_organisation,
        "issuer_name": host.issuer_name,
        "certificate_name": host.certificate_name,
        "certificate_ends": host.certificate_ends,
        "verify_error": host.verify_error,
        "through_proxy": host.through_proxy,
    }


def _openssl(host: FirebaseFacts, context: Context) -> str:
    way = ""
    if host.through_proxy and context.site.settings.proxy is not None:
        host_port = context.site.settings.proxy.url.rpartition("@")[2].rpartition("//")[2].rstrip("/")
        way = f"-proxy {quoted(host_port)} "
    target = label(host.host, host.port) if host.port != 443 else f"{host.host}:443"
    return f"openssl s_client {way}-connect {quoted(target)} </dev/null | openssl x509 -noout -issuer -dates"
