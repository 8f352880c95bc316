"""Runbook notifications, on the way out: the Senelec proxy is down, refuses, or looks into TLS."""

from __future__ import annotations

import shutil

from samaops.i18n import N_, _
from samaops.lab import processes
from samaops.lab.incidents import google, looks, traffic
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.layout import OUTSIDE_ADDRESS, PROXY_PORT
from samaops.lab.outside import parts, proxy
from samaops.lab.outside.places import FCM_HOST, OAUTH_HOST, Places
from samaops.lab.outside.proxy import Rules
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

PROXY = (OUTSIDE_ADDRESS, PROXY_PORT)
PROXY_SUBJECT = f"proxy/{OUTSIDE_ADDRESS}:{PROXY_PORT}"
INTERCEPTING = "intercepting_proxy"
OBEYED_SECONDS = 5.0
PASSWORD_RULES = Rules(user="senelec", password="2025-nouveau")  # noqa: S106 - of the stand-in, known to nobody
BLOCKING_RULES = Rules(refused_hosts=(FCM_HOST,))


def _stop_proxy(site: Site) -> None:
    site.stop("proxy")
    traffic.fail_some(site)


def _proxy_is_down(_site: Site) -> str | None:
    return looks.refuses(*PROXY)


def _restore_proxy(site: Site) -> None:
    """Put the proxy back as it belongs, whatever was done to it."""
    intruder = site.record(INTERCEPTING)
    if intruder is not None:
        processes.stop([intruder], 2.0)
    site.end(INTERCEPTING)
    site.states.forget([INTERCEPTING])
    shutil.rmtree(Places.of(site.layout).intercepted, ignore_errors=True)
    _obey_rules(site, Rules(), " 200 ")
    traffic.send_again(site)


def _obey_rules(site: Site, rules: Rules, answer: str) -> None:
    """Start the proxy with these rules; raise StartError when it does not obey them.

    tinyproxy 1.11 may crash when it reads its rules again under load, so it is started anew.
    """
    places = Places.of(site.layout)
    proxy.write_rules(places, rules)
    site.stop("proxy")
    site.start(parts.proxy_spec(places))
    if not wait_until(lambda: answer in f"{looks.connect_answer(PROXY, FCM_HOST)} ", OBEYED_SECONDS):
        raise StartError(_("the proxy answers {words}").format(words=looks.connect_answer(PROXY, FCM_HOST)))


def _require_password(site: Site) -> None:
    _obey_rules(site, PASSWORD_RULES, " 407 ")
    traffic.fail_some(site)


def _password_is_required(_site: Site) -> str | None:
    return _answers(OAUTH_HOST, "407")


def _answers(host: str, status: str) -> str | None:
    words = looks.connect_answer(PROXY, host)
    if f" {status} " not in f"{words} ":
        return None
    return _("CONNECT {host}:443 through the proxy: {words}").format(host=host, words=words)


def _block_host(site: Site) -> None:
    _obey_rules(site, BLOCKING_RULES, " 403 ")
    traffic.fail_some(site)


def _host_is_blocked(_site: Site) -> str | None:
    return _answers(FCM_HOST, "403")


def _lose_host(site: Site) -> None:
    """Take one of Google's names away from the proxy; those who have a token still go on for a minute."""
    proxy.write_names(Places.of(site.layout), missing=(OAUTH_HOST,))
    google.without_tokens(site, lambda: traffic.fail_some(site))


def _host_is_lost(_site: Site) -> str | None:
    found = _answers(OAUTH_HOST, "502")
    return found if found and _answers(FCM_HOST, "200") else None


def _find_host(site: Site) -> None:
    proxy.write_names(Places.of(site.layout))
    _restore_proxy(site)


def _intercept(site: Site) -> None:
    site.stop("proxy")
    site.start(parts.intercepting_proxy(site.layout))
    traffic.fail_some(site)


def _tls_is_intercepted(site: Site) -> str | None:
    if site.record(INTERCEPTING) is None:
        return None
    reason = looks.distrust_through(PROXY, FCM_HOST, Places.of(site.layout).ca_bundle)
    return (
        _("TLS to {host} through the proxy: {reason}").format(host=FCM_HOST, reason=reason)
        if reason
        else None
    )


INCIDENTS = (
    Incident(
        id="proxy-down",
        runbook="notifications",
        title=N_("The proxy is down"),
        does=N_("The Senelec proxy is stopped; a few notifications are sent, and fail."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-down", PROXY_SUBJECT),
        break_=_stop_proxy,
        is_live=_proxy_is_down,
        heal=_restore_proxy,
    ),
    Incident(
        id="proxy-requires-password",
        runbook="notifications",
        title=N_("The proxy wants a password"),
        does=N_("The proxy answers 407 to everybody without a password; a few notifications fail."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-requires-password", PROXY_SUBJECT),
        break_=_require_password,
        is_live=_password_is_required,
        heal=_restore_proxy,
    ),
    Incident(
        id="proxy-blocks-host",
        runbook="notifications",
        title=N_("The proxy blocks one of Google's hosts"),
        does=N_("The proxy answers 403 for fcm.googleapis.com; oauth2.googleapis.com passes."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-blocks-host", f"proxy/{FCM_HOST}"),
        break_=_block_host,
        is_live=_host_is_blocked,
        heal=_restore_proxy,
    ),
    Incident(
        id="google-host-unreachable",
        runbook="notifications",
        title=N_("The proxy reaches only one of Google's hosts"),
        does=N_(
            "The proxy cannot resolve oauth2.googleapis.com and answers 502; fcm.googleapis.com passes. A few "
            "notifications fail."
        ),
        notice=N_("No notification reaches a phone as soon as the access tokens have ended."),
        root=Root("google-host-unreachable", f"proxy/{OAUTH_HOST}"),
        break_=_lose_host,
        is_live=_host_is_lost,
        heal=_find_host,
    ),
    Incident(
        id="proxy-intercepts-tls",
        runbook="notifications",
        title=N_("The proxy looks into TLS"),
        does=N_("A proxy that shows certificates of its own for Google's hosts takes the proxy's place."),
        notice=N_("No notification reaches a phone; the logs say CERTIFICATE_VERIFY_FAILED."),
        root=Root("proxy-intercepts-tls", f"firebase/{FCM_HOST}"),
        break_=_intercept,
        is_live=_tls_is_intercepted,
        heal=_restore_proxy,
    ),
)
