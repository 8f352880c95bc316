"""Roots on the way out: the proxy, TLS interception, Google, SQL Server."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.causes.effects import codes, name_of, same_subject
from samaops.causes.root import Rank, Root, each, root, safe, team_request, together, words_of
from samaops.causes.topology import effects_on_dependents, ways_of
from samaops.causes.view import View, failed
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.site.commands import on_server
from samaops.site.shell_words import quoted

_PROXY_SUFFERS = (*codes("proxy.*"), *ways_of("firebase"), *effects_on_dependents("proxy", hangs=False))


def _network_team(view: View, text: str, *confirm: str) -> Fix:
    """Ask the network team: first the command that writes the request, then those that confirm it by hand."""
    return safe("network.team", text, team_request(view.site), *confirm)


def _proxy(finding: Finding, view: View, *speaks_for: str, cause_id: str | None = None) -> Root:
    url = view.site.settings.proxy.url if view.site.settings.proxy else "?"
    # When it refuses everybody, the host that tokens come from stands for all.
    host = str(finding.evidence.get("host") or "oauth2.googleapis.com")
    confirm = f"curl -sv -x {quoted(url)} {quoted(f'https://{host}/')}"
    text = _("Send this to the network team: {words}").format(words=finding.title)
    return Root(
        fixes=(_network_team(view, text, confirm),),
        id=cause_id,
        speaks_for=(words_of(finding), *speaks_for),
    )


@root(
    "proxy-requires-password",
    "proxy-takes-no-password",
    on="proxy.auth.required",
    rank=Rank.STATE,
    runbook="notifications",
    effects=_PROXY_SUFFERS,
)
def proxy_requires_password(finding: Finding, view: View) -> Root:
    """The proxy wants a user that the application does not have, or a log-in that it cannot do."""
    schemes = [str(scheme).lower() for scheme in finding.evidence.get("schemes") or ()]
    is_other = bool(schemes) and "basic" not in schemes
    cause_id = "proxy-takes-no-password" if is_other else None
    return _proxy(finding, view, _("the proxy itself answers"), cause_id=cause_id)


@root(
    "proxy-blocks-host",
    on="proxy.host.blocked",
    rank=Rank.STATE,
    runbook="notifications",
    effects=_PROXY_SUFFERS,
)
def proxy_blocks_host(finding: Finding, view: View) -> Root:
    """The proxy answers, and refuses a host."""
    return _proxy(finding, view, _("the proxy itself answers"))


@root(
    "proxy-upstream-failing",
    "google-host-unreachable",
    on="proxy.upstream.failing",
    rank=Rank.STATE,
    runbook="notifications",
    effects=_PROXY_SUFFERS,
    distinguished_from=("proxy-upstream-failing", "google-host-unreachable"),
)
def proxy_upstream_failing(finding: Finding, view: View) -> Root:
    """The proxy does not reach a host; when it reaches the other one, its own way out is well."""
    reached = view.ok("proxy.upstream.failing")
    if not reached:
        return _proxy(finding, view, _("the proxy itself answers"))
    text = _("the same proxy reaches {host}: it answers, and its own way out is well")
    witnesses = [text.format(host=name_of(other)) for other in reached]
    return _proxy(finding, view, *witnesses, cause_id="google-host-unreachable")


@root(
    "proxy-intercepts-tls",
    "google-certificate-invalid",
    on=together("firebase.tls.intercepted"),
    rank=Rank.STATE,
    runbook="notifications",
    effects=(*codes("firebase.*", "proxy.*"), *effects_on_dependents("firebase", hangs=False)),
    distinguished_from=("google-certificate-invalid", "proxy-intercepts-tls"),
)
def proxy_intercepts_tls(finding: Finding, view: View) -> Root:
    """Somebody on the way shows certificates of his own; or Google's own does not verify here."""
    findings = view.bad("firebase.tls.intercepted")
    proxy = view.site.settings.proxy
    address = proxy.url.rpartition("//")[2].rstrip("/") if proxy else "?"
    confirm = f"openssl s_client -proxy {quoted(address)} -connect {quoted(name_of(finding))}:443 </dev/null"
    issuer = finding.evidence.get("issuer", "?")
    if all(_is_of_google(host) for host in findings):
        title = _("The certificate of {host} from {issuer} does not verify: nobody intercepts TLS")
        text = _(
            "Read the reason: expired or not yet valid asks for the clocks first, an unknown authority for the bundle of "
            "the application. Never switch verification off"
        )
        return Root(
            title.format(host=name_of(finding), issuer=issuer),
            (safe("tls.reason", text, f"{confirm} | openssl x509 -noout -issuer -dates", "date -u"),),
            id="google-certificate-invalid",
            triggers=findings,
            speaks_for=(
                *(words_of(host) for host in findings),
                _("the issuer is the one that is expected"),
            ),
        )
    title = _("The proxy intercepts TLS to Google: certificates are issued by {issuer}")
    text = _(
        "Ask the network team to exempt Google's hosts from inspection, or for its CA to add to the containers' bundle. Never switch verification off"
    )
    return Root(
        title.format(issuer=issuer),
        (_network_team(view, text, confirm),),
        triggers=findings,
        speaks_for=tuple(words_of(host) for host in findings),
    )


def _is_of_google(host: Finding) -> bool:
    evidence = host.evidence
    names = {evidence.get("issuer_organisation"), evidence.get("issuer_name")}
    return bool(names & set(evidence.get("expected_issuers") or ()))


_GOOGLE = together(failed("firebase.host.unreachable"), "firebase.service.failing")


@root(
    "google-unreachable",
    "google-host-unreachable",
    on=_GOOGLE,
    rank=Rank.PART,
    runbook="notifications",
    effects=(*codes("firebase.*"), *ways_of("firebase"), *effects_on_dependents("firebase")),
)
def google_unreachable(finding: Finding, view: View) -> Root:
    """The proxy answers, and Google or one of its two hosts does not."""
    missed, reached = view.matching(*_GOOGLE.triggers), view.ok("firebase.host.unreachable")
    proxy = view.site.settings.proxy
    confirm = [
        f"curl -sv -x {quoted(proxy.url)} {quoted(f'https://{name_of(host)}/')}" for host in missed if proxy
    ]
    text = _("Check both hosts through the proxy; HTTPS_PROXY must cover the token host too")
    return Root(
        _("{host} cannot be reached, the proxy answers").format(host=name_of(finding)),
        (_network_team(view, text, *confirm),),
        Verdict.PROBABLE,
        id="google-host-unreachable" if reached else None,
        triggers=missed,
        speaks_for=tuple(words_of(host) for host in missed),
        speaks_against=tuple(_("{host} is reached").format(host=name_of(host)) for host in reached),
    )


@root(
    "sqlserver-unavailable",
    on=each("sqlserver.server.unreachable", "sqlserver.database.unavailable", "sqlserver.query.failing"),
    rank=Rank.PART,
    runbook="api-down",
    effects=same_subject("sqlserver.*"),
)
def sqlserver_unavailable(finding: Finding, _view: View) -> Root:
    """A server of another team does not answer our queries."""
    text = _("Send this to the SQL Server team: {words}").format(words=words_of(finding))
    return Root(fixes=(safe("sqlserver.team", text),))


@root("way-blocked", on=each("network.open"), rank=Rank.PART, runbook="api-down", effects=())
def way_blocked(finding: Finding, view: View) -> Iterator[Root]:
    """A line of the matrix that must be open is not: one cause of all that miss the same place."""
    address, service = finding.evidence.get("address"), finding.evidence.get("service")
    alike = [other for other in view.bad("network.open") if other.evidence.get("address") == address]
    if alike[0].key != finding.key:
        return
    reached = [other for other in view.ok("network.open") if other.evidence.get("address") == address]
    sources = ", ".join(str(other.evidence.get("from")) for other in alike)
    if reached:
        text = _("{sources} cannot reach {service} ({address}), others do: the way from there is cut")
    else:
        text = _("{service} ({address}) is reached from nowhere that should reach it")
    server = finding.evidence.get("server")
    known = server in view.site.settings.servers
    look = on_server(view.site, str(server), "nft list ruleset; ss -ltn") if known else ""
    advice = _("See which rule is on the way, on the server and in the network team's firewall")
    yield Root(
        text.format(sources=sources, service=service, address=address),
        (
            safe(
                "network.rules", advice, *([look] if look else []), *([finding.hint] if finding.hint else [])
            ),
        ),
        Verdict.CONFIRMED if reached else Verdict.PROBABLE,
        triggers=tuple(alike),
        speaks_for=tuple(words_of(other) for other in alike),
        speaks_against=tuple(other.title for other in reached[:3]),
    )
