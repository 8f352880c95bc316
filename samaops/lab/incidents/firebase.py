"""Google refuses: its quota, an outage, keys, a clock, dead tokens."""

from __future__ import annotations

import time

from samaops.i18n import N_, _
from samaops.lab.app.push import FCM_URL, GRANT_TYPE, PushError, ServiceAccount, fcm_error, signed_assertion
from samaops.lab.incidents.incident import Evidence, Fault, Incident, Root
from samaops.lab.incidents.mechanisms import setting, sql, switched
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import sessions, traffic
from samaops.lab.layout import OUTSIDE_ADDRESS, PROXY_PORT
from samaops.lab.outside import google_control, service_accounts
from samaops.lab.outside.google_control import Control
from samaops.lab.outside.google_fcm import DEAD_TOKEN_PREFIX
from samaops.lab.processes import StartError

TASKS = "celery/tasks"
ANY_TOKEN = "lab-token-1"  # noqa: S105 - a device's name, not a password
CLOCK = "clock-offset-worker_1"
# More than the five minutes that Google tolerates.
SKEW_SECONDS = "900"
# Access tokens that were given out live for a minute; a worker whose clock has passed it asks for a new one.
TOKEN_SECONDS = "75"  # noqa: S105 - a time, not a password
DEAD_TOKENS = traffic.SENT


def without_tokens(site: Site) -> None:
    """Let notifications fail while the worker believes that the access token it holds has ended."""
    if site.is_alone:
        site.switch("workers", CLOCK).write_text(TOKEN_SECONDS, encoding="ascii")
        try:
            traffic.fail_some(site)
        finally:
            correct_clock(site)


def correct_clock(site: Site) -> None:
    """Set the worker's clock right, also after a break that was cut short; another incident may want it wrong."""
    if site.is_alone:
        site.switch("workers", CLOCK).unlink(missing_ok=True)


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
        id="fcm-quota",
        runbook="notifications",
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
        runbook="notifications",
        title=N_("FCM is out of service"),
        does=N_("FCM answers 503 UNAVAILABLE to every message; a few notifications fail."),
        notice=N_("No notification reaches a phone; API, queues and proxy look fine."),
        root=Root("fcm-unavailable", TASKS),
        fault=_fcm_answers("unavailable", "UNAVAILABLE"),
    ),
    Incident(
        id="sender-id-mismatch",
        runbook="notifications",
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
        runbook="notifications",
        title=N_("The APNs key has expired"),
        does=N_("FCM answers 401 THIRD_PARTY_AUTH_ERROR to every message; a few notifications fail."),
        notice=N_("iPhones get nothing; here everybody is taken for one."),
        root=Root("apns-key", TASKS),
        fault=_fcm_answers("third_party_auth", "THIRD_PARTY_AUTH_ERROR"),
    ),
    Incident(
        id="wrong-service-account-key",
        runbook="notifications",
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
        .then(without_tokens, correct_clock)
        .then(heal=traffic.send_again),
    ),
    Incident(
        id="clock-skew",
        runbook="notifications",
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
        runbook="notifications",
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
