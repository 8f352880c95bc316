"""Judge the proxy: does it answer, does it want a password, does it block or fail to reach Google."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.proxy import ProxyFacts, TunnelFacts, label
from samaops.i18n import N_, _
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status

CURL = "curl -sv -m 10 -o /dev/null -x http://<proxy>:8080 https://oauth2.googleapis.com/"
# 407 asks for a password; tinyproxy answers a wrong one with 401.
PASSWORD_STATUSES = frozenset({401, 407})
# "I could not do it for you": bad gateway, unavailable, gateway timeout, and any other 5xx.
FIRST_SERVER_ERROR = 500


@check(
    "proxy.service.unreachable",
    title=N_("The proxy answers"),
    facts=ProxyFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "The only way to Google is closed: no push notification can be sent, whatever the workers do."
        ),
        confirm=(CURL, "nc -vz -w 3 <proxy> 8080"),
        fix=N_("Call the team that runs the proxy; the tasks will retry by themselves once it is back."),
        avoid=N_("Do not restart workers or purge queues: what waits there is sent when the proxy is back."),
    ),
)
def answers(proxy: ProxyFacts, context: Context) -> Iterator[Finding]:
    milliseconds = round(proxy.connect_ms, 1)
    title = _("The proxy {address} answers, connected in {ms} ms").format(
        address=proxy.address, ms=milliseconds
    )
    yield context.ok(title)


@check(
    "proxy.auth.required",
    title=N_("The proxy lets us through without another password"),
    facts=ProxyFacts,
    explain=Explanation(
        meaning=N_(
            "The proxy answers 407: it wants a user and password. The guide's containers go through it "
            "without one, so no notification leaves."
        ),
        confirm=(CURL, "ssh <serveur workers> docker exec samaconso_celery_worker_1 printenv HTTPS_PROXY"),
        fix=N_(
            "Ask the proxy's team what changed; put the credentials into HTTP_PROXY and HTTPS_PROXY if they stay."
        ),
        avoid=N_("Do not write the password on a command line: it can be read in the process list."),
    ),
)
def password(proxy: ProxyFacts, context: Context) -> Iterator[Finding]:
    asked = [one for one in proxy.tunnels if one.status in PASSWORD_STATUSES]
    evidence: dict[str, Any] = {"credentials_configured": proxy.has_credentials}
    if asked:
        evidence |= {"hosts": [one.host for one in asked], "status": asked[0].status, "words": asked[0].words}
    if not asked:
        yield context.ok(_("The proxy asks for no other password"))
    elif proxy.has_credentials:
        title = _("The proxy {address} refuses the configured user or password ({status})")
        yield context.unknown(
            title.format(address=proxy.address, status=asked[0].status),
            evidence=evidence,
            hint=_curl(proxy, asked[0]),
        )
    else:
        title = _("The proxy {address} wants a password ({status}): nothing gets through to Google")
        yield context.crit(
            title.format(address=proxy.address, status=asked[0].status),
            evidence=evidence,
            hint=_curl(proxy, asked[0]),
        )


@check(
    "proxy.host.blocked",
    title=N_("The proxy lets Google's hosts through"),
    facts=ProxyFacts,
    explain=Explanation(
        meaning=N_(
            "The proxy answers, but refuses to open the way to this host (403, 405 or another refusal): a "
            "filter rule or a closed port. One blocked host of the two is enough to stop every notification."
        ),
        confirm=(CURL,),
        fix=N_(
            "Ask the proxy's team to allow CONNECT to oauth2.googleapis.com:443 and fcm.googleapis.com:443."
        ),
        avoid=N_(
            "Do not send the application around the proxy: the firewall will stop it and hide the reason."
        ),
    ),
)
def blocked(proxy: ProxyFacts, context: Context) -> Iterator[Finding]:
    for one in proxy.tunnels:
        subject = f"proxy/{label(one.host, one.port)}"
        if one.status is None or one.status >= FIRST_SERVER_ERROR or one.status in PASSWORD_STATUSES:
            detail = _("the proxy did not come so far as to allow or refuse it")
            yield context.finding(Status.SKIPPED, _(context.rule.title), subject=subject, detail=detail)
        elif 200 <= one.status < 300:
            yield context.ok(_("The proxy lets {host} through").format(host=one.host), subject=subject)
        else:
            title = _("The proxy refuses to connect to {host}: {status} {words}").format(
                host=one.host, status=one.status, words=one.words
            )
            yield context.crit(title, subject=subject, evidence=_evidence(one), hint=_curl(proxy, one))


@check(
    "proxy.upstream.failing",
    title=N_("The proxy reaches Google's hosts"),
    facts=ProxyFacts,
    explain=Explanation(
        meaning=N_(
            "The proxy itself lives but cannot reach this host: its name server, its way to the internet, or "
            "the host fails."
        ),
        confirm=(CURL,),
        fix=N_("Ask the proxy's team for its state to the internet; nothing can be done on the application."),
        avoid=N_("Do not restart workers or purge queues."),
    ),
)
def upstream(proxy: ProxyFacts, context: Context) -> Iterator[Finding]:
    for one in proxy.tunnels:
        subject = f"proxy/{label(one.host, one.port)}"
        if one.status is not None and one.status < FIRST_SERVER_ERROR:
            if one.status >= 300:
                detail = _("the proxy answered {status} before it tried").format(status=one.status)
                yield context.finding(Status.SKIPPED, _(context.rule.title), subject=subject, detail=detail)
            else:
                yield context.ok(_("The proxy reaches {host}").format(host=one.host), subject=subject)
        elif one.failure_kind == FailureKind.DEADLINE:
            yield context.unknown(
                _("No time to ask the proxy for {host}").format(host=one.host), subject=subject
            )
        else:
            said = f"{one.status} {one.words}" if one.status is not None else one.words
            title = _("The proxy does not reach {host}: {words}").format(host=one.host, words=said)
            yield context.crit(title, subject=subject, evidence=_evidence(one), hint=_curl(proxy, one))


def _evidence(one: TunnelFacts) -> dict[str, Any]:
    return {
        "host": one.host,
        "port": one.port,
        "status": one.status,
        "words": one.words,
        "failure_kind": one.failure_kind,
        "after_ms": one.after_ms,
    }


def _curl(proxy: ProxyFacts, one: TunnelFacts) -> str:
    host = label(one.host, one.port)
    return f"curl -sv -m 10 -o /dev/null -x {shlex.quote(f'http://{proxy.address}')} {shlex.quote(f'https://{host}/')}"
