"""Runbook notifications, on the way out: the Senelec proxy refuses or looks into TLS, or Google refuses."""

from __future__ import annotations

import shutil
import socket
import ssl
import time

from samaops.i18n import N_, _
from samaops.lab import processes
from samaops.lab.app.push import FCM_URL, GRANT_TYPE, PushError, ServiceAccount, fcm_error, signed_assertion
from samaops.lab.incidents import sessions, traffic
from samaops.lab.incidents.incident import Evidence, Fault, Incident, Root
from samaops.lab.incidents.mechanisms import CONNECT_SECONDS, refuses, setting, sql, switched
from samaops.lab.incidents.site import Site
from samaops.lab.layout import OUTSIDE_ADDRESS, PROXY_PORT
from samaops.lab.outside import google_control, proxy, service_accounts
from samaops.lab.outside.google_control import Control
from samaops.lab.outside.google_fcm import DEAD_TOKEN_PREFIX
from samaops.lab.outside.places import FCM_HOST, OAUTH_HOST
from samaops.lab.outside.proxy import Rules
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

RUNBOOK = "notifications"
PROXY = (OUTSIDE_ADDRESS, PROXY_PORT)
PROXY_SUBJECT = f"proxy/{OUTSIDE_ADDRESS}:{PROXY_PORT}"
INTERCEPTING = "intercepting_proxy"
OBEYED_SECONDS = 5.0
PASSWORD_RULES = Rules(user="senelec", password="2025-nouveau")  # noqa: S106 - of the stand-in, known to nobody
BLOCKING_RULES = Rules(refused_hosts=(FCM_HOST,))
TASKS = "celery/tasks"
ANY_TOKEN = "lab-token-1"  # noqa: S105 - a device's name, not a password
CLOCK = "clock-offset-worker_1"
# More than the five minutes that Google tolerates.
SKEW_SECONDS = "900"
# Access tokens that were given out live for a minute; a worker whose clock has passed it asks for a new one.
TOKEN_SECONDS = "75"  # noqa: S105 - a time, not a password
DEAD_TOKENS = traffic.SENT


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


def _without_tokens(site: Site) -> None:
    """Let notifications fail while the worker believes that the access token it holds has ended."""
    if site.is_alone:
        site.switch("workers", CLOCK).write_text(TOKEN_SECONDS, encoding="ascii")
        try:
            traffic.fail_some(site)
        finally:
            _correct_clock(site)


def _correct_clock(site: Site) -> None:
    """Set the worker's clock right, also after a break that was cut short; another incident may want it wrong."""
    if site.is_alone:
        site.switch("workers", CLOCK).unlink(missing_ok=True)


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


def _refusal(site: Site, token: str = ANY_TOKEN) -> str:
    """Return with which words Google refuses a message that is only to be validated, empty when it accepts it.

    It is asked as the application asks: with its key, its worker's clock, through the proxy; no phone rings.
    """
    places, clock = site.places, site.switch("workers", CLOCK)
    now = int(time.time() + (float(clock.read_text(encoding="ascii")) if clock.exists() else 0.0))
    way = {"proxies": {"https": f"http://{OUTSIDE_ADDRESS}:{PROXY_PORT}"}, "verify": str(places.ca_bundle)}
    try:
        account = ServiceAccount.load(places.service_account)
    except PushError as error:
        raise StartError(str(error)) from error
    form = {"grant_type": GRANT_TYPE, "assertion": signed_assertion(account, now)}
    granted = traffic.request("POST", account.token_uri, data=form, **way)
    if not granted.ok:
        return f"{granted.json().get('error')}: {granted.json().get('error_description')}"
    sent = traffic.request(
        "POST",
        FCM_URL.format(project=account.project_id),
        headers={"Authorization": f"Bearer {granted.json()['access_token']}"},
        json={"validate_only": True, "message": {"token": token}},
        **way,
    )
    return "" if sent.ok else str(fcm_error(sent.status_code, sent.json()))


def _refuses(words: str) -> Evidence:
    def evidence(site: Site) -> str | None:
        answer = _refusal(site)
        return _("Google answers: {words}").format(words=answer) if words in answer else None

    return evidence


def _fcm_answers(mode: google_control.Mode, words: str) -> Fault:
    """FCM answers every message with one of its documented errors."""

    def control(site: Site, _name: str, value: google_control.Mode) -> None:
        google_control.write(site.places.google / "control.json", Control(mode=value))

    fault = setting(control, "mode", bad=mode, good="ok", evidence=_refuses(words))
    return fault.then(traffic.fail_some, traffic.send_again)


def _half_fail(site: Site) -> None:
    """Send to as many customers with dead tokens as to others, and see how each task ends."""

    def send() -> dict[str, str]:
        sent = traffic.notify_many("urgent", 2 * DEAD_TOKENS)
        return {**dict.fromkeys(sent[1::2], "FAILURE"), **dict.fromkeys(sent[::2], "SUCCESS")}

    if site.is_alone:
        traffic.prove(site, send, _("not exactly the dead tokens are refused"))


def _tokens_are_dead(site: Site) -> str | None:
    token, count = sessions.run(site, "dead_token", {"prefix": DEAD_TOKEN_PREFIX})
    answer = _refusal(site, token) if count else ""
    if "UNREGISTERED" not in answer:
        return None
    return _("{count} customers have dead tokens; Google answers: {words}").format(count=count, words=answer)


INCIDENTS = (
    Incident(
        id="proxy-down",
        runbook=RUNBOOK,
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
        runbook=RUNBOOK,
        title=N_("The proxy wants a password"),
        does=N_("The proxy answers 407 to everybody without a password; a few notifications fail."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-requires-password", PROXY_SUBJECT),
        fault=_proxy_with(PASSWORD_RULES, OAUTH_HOST, "407"),
    ),
    Incident(
        id="proxy-blocks-host",
        runbook=RUNBOOK,
        title=N_("The proxy blocks one of Google's hosts"),
        does=N_("The proxy answers 403 for fcm.googleapis.com; oauth2.googleapis.com passes."),
        notice=N_("No notification reaches a phone; the API and the queues look fine."),
        root=Root("proxy-blocks-host", f"proxy/{FCM_HOST}"),
        fault=_proxy_with(BLOCKING_RULES, FCM_HOST, "403"),
    ),
    Incident(
        id="google-host-unreachable",
        runbook=RUNBOOK,
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
        .then(_without_tokens, _correct_clock)
        .then(heal=_restore_proxy),
    ),
    Incident(
        id="proxy-intercepts-tls",
        runbook=RUNBOOK,
        title=N_("The proxy looks into TLS"),
        does=N_("A proxy that shows certificates of its own for Google's hosts takes the proxy's place."),
        notice=N_("No notification reaches a phone; the logs say CERTIFICATE_VERIFY_FAILED."),
        root=Root("proxy-intercepts-tls", f"firebase/{FCM_HOST}"),
        fault=Fault(break_=_intercept, evidence=_is_intercepted, heal=_restore_proxy),
    ),
    Incident(
        id="fcm-quota",
        runbook=RUNBOOK,
        title=N_("FCM's quota is exceeded"),
        does=N_(
            "FCM answers 429 QUOTA_EXCEEDED with Retry-After to every message; a few notifications fail."
        ),
        notice=N_("No notification reaches a phone; API, queues and proxy look fine."),
        root=Root("fcm-quota", TASKS),
        fault=_fcm_answers("quota", "QUOTA_EXCEEDED"),
    ),
    Incident(
        id="fcm-unavailable",
        runbook=RUNBOOK,
        title=N_("FCM is out of service"),
        does=N_("FCM answers 503 UNAVAILABLE to every message; a few notifications fail."),
        notice=N_("No notification reaches a phone; API, queues and proxy look fine."),
        root=Root("fcm-unavailable", TASKS),
        fault=_fcm_answers("unavailable", "UNAVAILABLE"),
    ),
    Incident(
        id="sender-id-mismatch",
        runbook=RUNBOOK,
        title=N_("The key is of another Firebase project than the tokens"),
        does=N_("FCM answers 403 SENDER_ID_MISMATCH to every message; a few notifications fail."),
        notice=N_(
            "No notification reaches a phone since the key was changed; API, queues and proxy look fine."
        ),
        root=Root("sender-id-mismatch", TASKS),
        fault=_fcm_answers("sender_id_mismatch", "SENDER_ID_MISMATCH"),
    ),
    Incident(
        id="apns-key",
        runbook=RUNBOOK,
        title=N_("The APNs key has expired"),
        does=N_("FCM answers 401 THIRD_PARTY_AUTH_ERROR to every message; a few notifications fail."),
        notice=N_("iPhones get nothing; here everybody is taken for one."),
        root=Root("apns-key", TASKS),
        fault=_fcm_answers("third_party_auth", "THIRD_PARTY_AUTH_ERROR"),
    ),
    Incident(
        id="wrong-service-account-key",
        runbook=RUNBOOK,
        title=N_("The service-account key was revoked"),
        does=N_(
            "A key that Google does not know takes the place of the mounted one; a few notifications fail. "
            "Access tokens that are already out live on for a minute."
        ),
        notice=N_("No notification reaches a phone; the worker's log says invalid_grant."),
        root=Root("wrong-service-account-key", TASKS),
        fault=Fault(
            break_=lambda site: service_accounts.mount_key(site.places, known=False),
            evidence=_refuses("Invalid JWT Signature"),
            heal=lambda site: service_accounts.mount_key(site.places, known=True),
        )
        .then(_without_tokens, _correct_clock)
        .then(heal=traffic.send_again),
    ),
    Incident(
        id="clock-skew",
        runbook=RUNBOOK,
        title=N_("The clock of a worker is wrong"),
        does=N_("worker1 believes it to be 15 minutes later; a few notifications fail."),
        notice=N_("Urgent notifications reach no phone; the worker's log says invalid_grant."),
        root=Root("clock-skew", TASKS),
        fault=switched("workers", {CLOCK: SKEW_SECONDS}, _refuses("short-lived token")).then(
            traffic.fail_some, traffic.send_again
        ),
    ),
    Incident(
        id="dead-tokens",
        runbook=RUNBOOK,
        title=N_("Tokens of customers are dead"),
        does=N_(
            "The tokens of ten customers are ones that FCM calls UNREGISTERED; half of what is sent fails."
        ),
        notice=N_("Some customers get nothing, always the same ones; the others do."),
        root=Root("dead-tokens", TASKS),
        fault=sql(
            "kill_tokens",
            "revive_tokens",
            evidence=_tokens_are_dead,
            prefix=DEAD_TOKEN_PREFIX,
            count=DEAD_TOKENS,
        ).then(_half_fail, traffic.send_again),
    ),
)
