"""Roots on the way out: the proxy, TLS interception, Google, SQL Server."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.causes.candidate import OUTAGE, Candidate, View, any_of, codes, letter
from samaops.causes.topology import effects_on_dependents
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk


def candidates(view: View) -> Iterator[Candidate]:
    """Yield what is wrong between SamaConso and the systems of others."""
    yield from _proxy_refuses(view)
    yield from _intercepted(view)
    yield from _google(view)
    yield from _sqlserver(view)


def _network_team(view: View, text: str, *confirm: str) -> tuple[Fix, ...]:
    """Ask the network team: first the command that writes the letter, then those that confirm it by hand."""
    return (Fix("network.team", Risk.SAFE, text, (letter(view), *confirm)),)


def _proxy_refuses(view: View) -> Iterator[Candidate]:
    for code, cause_id in (
        ("proxy.auth.required", "proxy-requires-password"),
        ("proxy.host.blocked", "proxy-blocks-host"),
    ):
        for finding in view.bad(code):
            yield _proxy(view, finding, cause_id, (_("the proxy itself answers"),))
    yield from _upstream(view)


def _upstream(view: View) -> Iterator[Candidate]:
    """Yield the host that the proxy does not reach; when it reaches the other one, its own way out is well."""
    reached = view.ok("proxy.upstream.failing")
    for finding in view.bad("proxy.upstream.failing"):
        if not reached:
            yield _proxy(view, finding, "proxy-upstream-failing", (_("the proxy itself answers"),))
            continue
        text = _("the same proxy reaches {host}: it answers, and its own way out is well")
        yield _proxy(
            view, finding, "google-host-unreachable", tuple(text.format(host=_host(one)) for one in reached)
        )


def _proxy(view: View, finding: Finding, cause_id: str, speaks_for: tuple[str, ...]) -> Candidate:
    url = view.site.settings.proxy.url if view.site.settings.proxy else "?"
    return Candidate(
        id=cause_id,
        rank=5,
        runbook="notifications",
        subject=finding.subject,
        title=finding.title,
        triggers=(finding,),
        effects=any_of(codes("proxy.*"), effects_on_dependents("proxy")),
        speaks_for=(finding.detail or finding.title, *speaks_for),
        fixes=_network_team(
            view,
            _("Send this to the network team: {words}").format(words=finding.title),
            f"curl -sv -x {shlex.quote(url)} {shlex.quote(f'https://{_refused_host(finding)}/')}",
        ),
    )


def _refused_host(finding: Finding) -> str:
    """Return the host the proxy refused; when it refuses everybody, the one tokens come from."""
    return str(finding.evidence.get("host") or "oauth2.googleapis.com")


def _intercepted(view: View) -> Iterator[Candidate]:
    findings = view.bad("firebase.tls.intercepted")
    if not findings:
        return
    issuer = str(findings[0].evidence.get("issuer", "?"))
    yield Candidate(
        id="proxy-intercepts-tls",
        rank=5,
        runbook="notifications",
        subject=findings[0].subject,
        title=_("The proxy intercepts TLS to Google: certificates are issued by {issuer}").format(
            issuer=issuer
        ),
        triggers=findings,
        effects=any_of(codes("firebase.*", "proxy.*"), effects_on_dependents("firebase")),
        speaks_for=tuple(one.detail or one.title for one in findings),
        speaks_against=(),
        fixes=(
            Fix(
                "network.team",
                Risk.SAFE,
                _(
                    "Ask the network team to exempt Google's hosts from inspection, or for its CA to add to the containers' bundle. Never switch verification off"
                ),
                (
                    letter(view),
                    *(
                        f"openssl s_client -proxy {shlex.quote(_host_port(view))} "
                        f"-connect {shlex.quote(_host(one))}:443 </dev/null"
                        for one in findings[:1]
                    ),
                ),
            ),
        ),
    )


def _host(finding: Finding) -> str:
    return finding.subject.partition("/")[2]


def _host_port(view: View) -> str:
    return view.site.settings.proxy.url.rpartition("//")[2].rstrip("/") if view.site.settings.proxy else "?"


def _google(view: View) -> Iterator[Candidate]:
    failed = view.kind("firebase.host.unreachable", *OUTAGE) + view.bad("firebase.service.failing")
    reached = view.ok("firebase.host.unreachable")
    if not failed:
        return
    only_one = bool(reached)
    yield Candidate(
        id="google-host-unreachable" if only_one else "google-unreachable",
        rank=6,
        runbook="notifications",
        subject=failed[0].subject,
        title=_("{host} cannot be reached, the proxy answers").format(host=_host(failed[0])),
        triggers=failed,
        effects=any_of(codes("firebase.*"), effects_on_dependents("firebase")),
        verdict=Verdict.PROBABLE,
        speaks_for=tuple(one.detail or one.title for one in failed),
        speaks_against=tuple(_("{host} is reached").format(host=_host(one)) for one in reached),
        fixes=_network_team(
            view,
            _("Check both hosts through the proxy; HTTPS_PROXY must cover the token host too"),
            *(
                f"curl -sv -x {shlex.quote(view.site.settings.proxy.url)} {shlex.quote(f'https://{_host(one)}/')}"
                for one in failed
                if view.site.settings.proxy
            ),
        ),
    )


def _sqlserver(view: View) -> Iterator[Candidate]:
    for pattern in ("sqlserver.server.unreachable", "sqlserver.query.failing"):
        for finding in view.bad(pattern):
            yield Candidate(
                id="sqlserver-unavailable",
                rank=6,
                runbook="api-down",
                subject=finding.subject,
                title=finding.title,
                triggers=(finding,),
                effects=codes("sqlserver.*", subject=finding.subject),
                speaks_for=(finding.detail or finding.title,),
                fixes=(
                    Fix(
                        "sqlserver.team",
                        Risk.SAFE,
                        _("Send this to the SQL Server team: {words}").format(
                            words=finding.detail or finding.title
                        ),
                    ),
                ),
            )
