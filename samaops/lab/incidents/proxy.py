"""The way out: the Senelec proxy is down, refuses, or looks into TLS."""

from __future__ import annotations

import shutil
import socket
import ssl

from samaops.i18n import N_, _
from samaops.lab import processes
from samaops.lab.incidents.firebase import correct_clock, without_tokens
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import CONNECT_SECONDS, refuses
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import traffic
from samaops.lab.layout import OUTSIDE_ADDRESS, PROXY_PORT
from samaops.lab.outside import proxy
from samaops.lab.outside.places import FCM_HOST, OAUTH_HOST
from samaops.lab.outside.proxy import Rules
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

PROXY = (OUTSIDE_ADDRESS, PROXY_PORT)
PROXY_SUBJECT = f"proxy/{OUTSIDE_ADDRESS}:{PROXY_PORT}"
INTERCEPTING = "intercepting_proxy"
OBEYED_SECONDS = 5.0
PASSWORD_RULES = Rules(user="senelec", password="2025-nouveau")  # noqa: S106 - of the stand-in, known to nobody
BLOCKING_RULES = Rules(refused_hosts=(FCM_HOST,))


def _obey(site: Site, status: str, rules: Rules) -> None:
    """Start the proxy with these rules; raise StartError when it does not answer CONNECT with the status.

    tinyproxy 1.11 may crash when it reads its rules again under load, so it is started anew.
    """
    proxy.write_rules(site.places, rules)
    site.stop("proxy")
    site.start("proxy")
    if not wait_until(lambda: _answers(FCM_HOST, status) is not None, OBEYED_SECONDS):
        raise StartError(_("the proxy answers {words}").format(words=_connect_answer(FCM_HOST)))


def _answers(host: str, status: str) -> str | None:
    words = _connect_answer(host)
    if f" {status} " not in f"{words} ":
        return None
    return _("CONNECT {host}:443 through the proxy: {words}").format(host=host, words=words)


def _connect_answer(host: str) -> str:
    """Return the first line of the proxy's answer to CONNECT, empty when it has none."""
    try:
        with socket.create_connection(PROXY, timeout=CONNECT_SECONDS) as connection:
            return _connect(connection, host)
    except OSError:
        return ""


def _connect(connection: socket.socket, host: str) -> str:
    connection.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode("ascii"))
    return connection.recv(4096).split(b"\r\n", 1)[0].decode("latin-1")


def _restore_proxy(site: Site) -> None:
    """Put the proxy back as it belongs, whatever was done to it."""
    intruder = site.record(INTERCEPTING)
    if intruder is not None:
        processes.stop([intruder], 2.0)
    site.states.forget([INTERCEPTING])
    shutil.rmtree(site.places.intercepted, ignore_errors=True)
    _obey(site, "200", Rules())
    traffic.send_again(site)


def _proxy_with(rules: Rules, host: str, status: str) -> Fault:
    """The proxy has other rules: by them it answers CONNECT to a host with another status."""
    return Fault(
        break_=lambda site: _obey(site, status, rules),
        evidence=lambda _site: _answers(host, status),
        heal=_restore_proxy,
    ).then(traffic.fail_some)


def _only_one_host_is_reached(_site: Site) -> str | None:
    lost = _answers(OAUTH_HOST, "502")
    return lost if lost and _answers(FCM_HOST, "200") else None


def _intercept(site: Site) -> None:
    site.stop("proxy")
    site.start(INTERCEPTING)
    traffic.fail_some(site)


def _is_intercepted(site: Site) -> str | None:
    """Look whether TLS through the proxy shows a certificate that the application does not trust."""
    if site.record(INTERCEPTING) is None:
        return None
    context = ssl.create_default_context(cafile=str(site.places.ca_bundle))
    with socket.create_connection(PROXY, timeout=CONNECT_SECONDS) as connection:
        _connect(connection, FCM_HOST)
        try:
            context.wrap_socket(connection, server_hostname=FCM_HOST).close()
        except ssl.SSLCertVerificationError as error:
            text = _("TLS to {host} through the proxy: {reason}")
            return text.format(host=FCM_HOST, reason=error.verify_message)
    return None


INCIDENTS = (
    Incident(
        id="proxy-down",
        runbook="notifications",
        title=N_("The proxy is down"),
        does=N_("The Senelec proxy is stopped; a few notifications are sent, and fail."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-down", PROXY_SUBJECT),
        fault=Fault(
            break_=lambda site: site.stop("proxy"),
            evidence=lambda _site: refuses(*PROXY),
            heal=_restore_proxy,
        ).then(traffic.fail_some),
    ),
    Incident(
        id="proxy-requires-password",
        runbook="notifications",
        title=N_("The proxy wants a password"),
        does=N_("The proxy answers 407 to everybody without a password; a few notifications fail."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-requires-password", PROXY_SUBJECT),
        fault=_proxy_with(PASSWORD_RULES, OAUTH_HOST, "407"),
    ),
    Incident(
        id="proxy-blocks-host",
        runbook="notifications",
        title=N_("The proxy blocks one of Google's hosts"),
        does=N_("The proxy answers 403 for fcm.googleapis.com; oauth2.googleapis.com passes."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-blocks-host", f"proxy/{FCM_HOST}"),
        fault=_proxy_with(BLOCKING_RULES, FCM_HOST, "403"),
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
        fault=Fault(
            break_=lambda site: proxy.write_names(site.places, missing=(OAUTH_HOST,)),
            evidence=_only_one_host_is_reached,
            heal=lambda site: proxy.write_names(site.places),
        )
        .then(without_tokens, correct_clock)
        .then(heal=_restore_proxy),
    ),
    Incident(
        id="proxy-intercepts-tls",
        runbook="notifications",
        title=N_("The proxy looks into TLS"),
        does=N_("A proxy that shows certificates of its own for Google's hosts takes the proxy's place."),
        notice=N_("No notification reaches a phone; the logs say CERTIFICATE_VERIFY_FAILED."),
        root=Root("proxy-intercepts-tls", f"firebase/{FCM_HOST}"),
        fault=Fault(break_=_intercept, evidence=_is_intercepted, heal=_restore_proxy),
    ),
)
