"""Judge the proxy: does it answer, does it want a password, does it block or fail to reach Google."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.proxy import ProxyFacts, TunnelFacts, label
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.shell_words import quoted

# 407 asks for a password; tinyproxy answers a wrong one with 401.
PASSWORD_STATUSES = frozenset({401, 407})
# "I could not do it for you": bad gateway, unavailable, gateway timeout, and any other 5xx.
FIRST_SERVER_ERROR = 500


access(
    "proxy.service.unreachable",
    ProxyFacts,
    title=lambda proxy: _("The proxy {address} answers, connected in {ms} ms").format(
        address=proxy.address, ms=round(proxy.connect_ms, 1)
    ),
)


@check("proxy.auth.required", ProxyFacts)
def password(proxy: ProxyFacts, context: Context) -> Iterator[Finding]:
    asked = [tunnel for tunnel in proxy.tunnels if tunnel.status in PASSWORD_STATUSES]
    if not asked:
        yield context.ok(_("The proxy asks for no other password"))
        return
    schemes = sorted({scheme for tunnel in asked for scheme in tunnel.schemes})
    if schemes and "basic" not in map(str.lower, schemes):
        status = Status.CRITICAL
        title = _(
            "The proxy {address} lets in by {schemes} only ({status}): a user and password, all that the application can "
            "send (Basic), it never accepts"
        )
    elif proxy.has_credentials:
        status, title = (
            Status.UNKNOWN,
            _("The proxy {address} refuses the configured user or password ({status})"),
        )
    else:
        status = Status.CRITICAL
        title = _("The proxy {address} wants a password ({status}): nothing gets through to Google")
    yield context.finding(
        status,
        title.format(address=proxy.address, status=asked[0].status, schemes=", ".join(schemes)),
        evidence={
            "credentials_configured": proxy.has_credentials,
            "hosts": [tunnel.host for tunnel in asked],
            "status": asked[0].status,
            "words": asked[0].words,
            "schemes": schemes,
        },
        hint=_curl(proxy, asked[0]),
    )


@check("proxy.host.blocked", ProxyFacts)
def blocked(proxy: ProxyFacts, context: Context) -> Iterator[Finding]:
    for tunnel in proxy.tunnels:
        about, status = _about(tunnel, context), tunnel.status
        if status is None or status >= FIRST_SERVER_ERROR or status in PASSWORD_STATUSES:
            yield about.skipped(_("the proxy did not come so far as to allow or refuse it"))
        elif 200 <= status < 300:
            yield about.ok(_("The proxy lets {host} through").format(host=tunnel.host))
        else:
            title = _("The proxy refuses to connect to {host}: {status} {words}").format(
                host=tunnel.host, status=status, words=tunnel.words
            )
            yield about.crit(title, evidence=_evidence(tunnel), hint=_curl(proxy, tunnel))


@check("proxy.upstream.failing", ProxyFacts)
def upstream(proxy: ProxyFacts, context: Context) -> Iterator[Finding]:
    for tunnel in proxy.tunnels:
        about, status = _about(tunnel, context), tunnel.status
        if status is not None and 300 <= status < FIRST_SERVER_ERROR:
            yield about.skipped(_("the proxy answered {status} before it tried").format(status=status))
        elif status is not None and status < 300:
            yield about.ok(_("The proxy reaches {host}").format(host=tunnel.host))
        elif tunnel.failure_kind == FailureKind.DEADLINE:
            yield about.unknown(_("No time to ask the proxy for {host}").format(host=tunnel.host))
        else:
            answer = tunnel.words if status is None else f"{status} {tunnel.words}"
            title = _("The proxy does not reach {host}: {words}").format(host=tunnel.host, words=answer)
            yield about.crit(title, evidence=_evidence(tunnel), hint=_curl(proxy, tunnel))


def _about(tunnel: TunnelFacts, context: Context) -> Context:
    return context.about(f"proxy/{label(tunnel.host, tunnel.port)}")


def _evidence(tunnel: TunnelFacts) -> Evidence:
    return {
        "host": tunnel.host,
        "port": tunnel.port,
        "status": tunnel.status,
        "words": tunnel.words,
        "failure_kind": tunnel.failure_kind,
        "after_ms": tunnel.after_ms,
    }


def _curl(proxy: ProxyFacts, tunnel: TunnelFacts) -> str:
    host = label(tunnel.host, tunnel.port)
    return f"curl -sv -m 10 -o /dev/null -x {quoted(f'http://{proxy.address}')} {quoted(f'https://{host}/')}"
