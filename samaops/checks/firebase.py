"""Judge Google's OAuth and FCM hosts as the application reaches them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.firebase import FirebaseFacts
from samaops.facts.proxy import label
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.model.status import Status

CURL = "curl -sv -m 10 -o /dev/null -x http://<proxy>:8080 https://fcm.googleapis.com/"
OPENSSL = "openssl s_client -proxy <proxy>:8080 -connect oauth2.googleapis.com:443 </dev/null"
FIRST_SERVER_ERROR = 500
# Connection, tunnel, handshake and first byte together. No document sets it: a push waits in a queue anyway,
# so a slow way is a warning and never more.
LATENCY_WARNING_MS = 2000


@check(
    "firebase.host.unreachable",
    title=N_("Google's host is reached"),
    facts=FirebaseFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "Both hosts are needed: oauth2.googleapis.com gives the token, fcm.googleapis.com takes the "
            "message. With one of them out of reach no notification is sent."
        ),
        confirm=(CURL, "curl -sv -m 10 -o /dev/null -x http://<proxy>:8080 https://oauth2.googleapis.com/"),
        fix=N_("Look at the proxy first; when it is well, ask the network team for the way to this host."),
        avoid=N_("Do not purge the queues: what waits there is sent when the way is open again."),
    ),
)
def reached(host: FirebaseFacts, context: Context) -> Iterator[Finding]:
    title = _("{host} is reached in {ms} ms")
    yield context.ok(title.format(host=host.host, ms=round(host.tunnel_ms + host.tls_ms)))


@check(
    "firebase.tls.intercepted",
    title=N_("Google's host shows Google's own certificate"),
    facts=FirebaseFacts,
    explain=Explanation(
        meaning=N_(
            "Somebody on the way, usually the proxy, opens the TLS connection and shows a certificate of his "
            "own. Where the application does not know that authority every send fails with "
            "CERTIFICATE_VERIFY_FAILED."
        ),
        confirm=(OPENSSL,),
        fix=N_(
            "Ask the proxy's team to exempt Google's hosts from inspection, or add the proxy's authority to the "
            "containers' bundle (REQUESTS_CA_BUNDLE) and to [firebase] ca_file and expected_issuers."
        ),
        avoid=N_("Never switch certificate verification off: every connection would trust anyone."),
    ),
)
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


@check(
    "firebase.service.failing",
    title=N_("Google's host answers without a server error"),
    facts=FirebaseFacts,
    explain=Explanation(
        meaning=N_("Google itself (or who answers in its name) says that it cannot serve: an outage there."),
        confirm=(CURL, "curl -s https://status.firebase.google.com/incidents.json"),
        fix=N_(
            "Wait and let the tasks retry with growing pauses; Google asks for at least a minute after a 503."
        ),
        avoid=N_("Do not retry in a tight loop: Google then answers 429 for longer."),
    ),
)
def service(host: FirebaseFacts, context: Context) -> Iterator[Finding]:
    if host.status is None:
        detail = _("nothing was asked of a host whose certificate is not trusted")
        yield context.finding(Status.SKIPPED, _(context.rule.title), detail=detail)
    elif host.status >= FIRST_SERVER_ERROR:
        title = _("{host} answers with status {status}").format(host=host.host, status=host.status)
        yield context.crit(title, value=host.status, evidence={"host": host.host, "status": host.status})
    else:
        yield context.ok(_("{host} answers (status {status})").format(host=host.host, status=host.status))


@check(
    "firebase.latency.high",
    title=N_("Google's host answers in time"),
    facts=FirebaseFacts,
    warning=LATENCY_WARNING_MS,
    unit="ms",
    explain=Explanation(
        meaning=N_("The way to Google is slow, so each task takes longer and the queues grow under load."),
        confirm=(
            "curl -s -o /dev/null -x http://<proxy>:8080 "
            "-w '%{time_connect} %{time_appconnect} %{time_starttransfer}\\n' https://fcm.googleapis.com/",
        ),
        fix=N_(
            "See which step is slow (tunnel, TLS, first byte): the tunnel is the proxy's, the rest Google's."
        ),
    ),
)
def latency(host: FirebaseFacts, context: Context) -> Iterator[Finding]:
    if host.first_byte_ms is None:
        detail = _("nothing was asked of a host whose certificate is not trusted")
        yield context.finding(Status.SKIPPED, _(context.rule.title), detail=detail)
        return
    total_ms = round(host.tunnel_ms + host.tls_ms + host.first_byte_ms, 1)
    evidence = {"tunnel_ms": host.tunnel_ms, "tls_ms": host.tls_ms, "first_byte_ms": host.first_byte_ms}
    title = _("{host} answers in {ms} ms").format(host=host.host, ms=total_ms)
    yield context.above(total_ms, title, evidence=evidence)


def _certificate(host: FirebaseFacts) -> dict[str, Any]:
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
        way = f"-proxy {shlex.quote(host_port)} "
    target = label(host.host, host.port) if host.port != 443 else f"{host.host}:443"
    return f"openssl s_client {way}-connect {shlex.quote(target)} </dev/null | openssl x509 -noout -issuer -dates"
