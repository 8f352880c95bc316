"""Runbook notifications, at the end of the way: Google is reached and refuses, each time for another reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg

from samaops.i18n import N_, _
from samaops.lab.incidents import google_probe, sessions, traffic
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.outside import google_control, service_accounts
from samaops.lab.outside.google_control import Control, Mode
from samaops.lab.outside.google_fcm import DEAD_TOKEN_PREFIX
from samaops.lab.outside.places import Places

RUNBOOK = "notifications"
TASKS = "celery/tasks"
# More than the five minutes that Google tolerates.
SKEW_SECONDS = 900
# Access tokens that were given out live for a minute; a worker whose clock has passed it asks for a new one.
TOKEN_SECONDS = 75
DEAD_TOKENS = traffic.SENT


def _answer(mode: Mode, site: Site) -> None:
    google_control.write(_control_file(site), Control(mode=mode))
    traffic.fail_some(site)


def _control_file(site: Site) -> Path:
    return Places.of(site.layout).google / "control.json"


def _refuses(words: str, site: Site) -> str | None:
    said = google_probe.refusal(site)
    return _("Google answers: {words}").format(words=said) if words in said else None


def _answer_well(site: Site) -> None:
    google_control.write(_control_file(site), Control())
    traffic.send_again(site)


def _install_revoked_key(site: Site) -> None:
    service_accounts.mount_key(Places.of(site.layout), known=False)
    without_tokens(site, lambda: traffic.fail_some(site))


def _install_good_key(site: Site) -> None:
    service_accounts.mount_key(Places.of(site.layout), known=True)
    traffic.send_again(site)


def without_tokens(site: Site, work: Callable[[], None]) -> None:
    """Do something while the worker believes that the access token it holds has ended."""
    _set_clock(site, TOKEN_SECONDS)
    try:
        work()
    finally:
        _correct_clock(site)


def _set_clock(site: Site, seconds: int) -> None:
    google_probe.clock_file(site).write_text(str(seconds), encoding="ascii")


def _correct_clock(site: Site) -> None:
    google_probe.clock_file(site).unlink(missing_ok=True)


def _skew_clock(site: Site) -> None:
    _set_clock(site, SKEW_SECONDS)
    traffic.fail_some(site)


def _heal_clock(site: Site) -> None:
    _correct_clock(site)
    traffic.send_again(site)


def _kill_tokens(site: Site) -> None:
    """Let half of what is sent go to customers who have removed the application."""
    with sessions.administrator(site) as session:
        session.execute(sessions.sql("kill_tokens"), {"prefix": DEAD_TOKEN_PREFIX, "count": DEAD_TOKENS})
    if not site.is_alone:
        return
    traffic.prove(site, _send_to_both, _("not exactly the dead tokens are refused"))


def _send_to_both() -> dict[str, str]:
    """Send to as many customers with dead tokens as to others; return how each task is to end."""
    sent = traffic.notify_many("urgent", 2 * DEAD_TOKENS)
    return {**dict.fromkeys(sent[1::2], "FAILURE"), **dict.fromkeys(sent[::2], "SUCCESS")}


def _tokens_are_dead(site: Site) -> str | None:
    try:
        with sessions.administrator(site) as session:
            row = session.execute(sessions.sql("dead_token"), {"prefix": DEAD_TOKEN_PREFIX}).fetchone()
    except psycopg.Error:
        return None
    said = google_probe.refusal(site, row[0]) if row and row[1] else ""
    if "UNREGISTERED" not in said:
        return None
    return _("{count} customers have dead tokens; Google answers: {words}").format(count=row[1], words=said)


def _revive_tokens(site: Site) -> None:
    with sessions.administrator(site) as session:
        session.execute(sessions.sql("revive_tokens"), {"prefix": DEAD_TOKEN_PREFIX})
    traffic.send_again(site)


def _answering(mode: Mode, words: str, root: str, title: str, does: str, notice: str) -> Incident:
    """Describe an incident in which FCM answers every message with one of its documented errors."""
    return Incident(
        id=root,
        runbook=RUNBOOK,
        title=title,
        does=does,
        notice=notice,
        root=Root(root, TASKS),
        break_=partial(_answer, mode),
        is_live=partial(_refuses, words),
        heal=_answer_well,
    )


INCIDENTS = (
    _answering(
        "quota",
        "QUOTA_EXCEEDED",
        "fcm-quota",
        N_("FCM's quota is exceeded"),
        N_("FCM answers 429 QUOTA_EXCEEDED with Retry-After to every message; a few notifications fail."),
        N_("No notification reaches a phone; API, queues and proxy look fine."),
    ),
    _answering(
        "unavailable",
        "UNAVAILABLE",
        "fcm-unavailable",
        N_("FCM is out of service"),
        N_("FCM answers 503 UNAVAILABLE to every message; a few notifications fail."),
        N_("No notification reaches a phone; API, queues and proxy look fine."),
    ),
    _answering(
        "sender_id_mismatch",
        "SENDER_ID_MISMATCH",
        "sender-id-mismatch",
        N_("The key is of another Firebase project than the tokens"),
        N_("FCM answers 403 SENDER_ID_MISMATCH to every message; a few notifications fail."),
        N_("No notification reaches a phone since the key was changed; API, queues and proxy look fine."),
    ),
    _answering(
        "third_party_auth",
        "THIRD_PARTY_AUTH_ERROR",
        "apns-key",
        N_("The APNs key has expired"),
        N_("FCM answers 401 THIRD_PARTY_AUTH_ERROR to every message; a few notifications fail."),
        N_("iPhones get nothing; here everybody is taken for one."),
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
        break_=_install_revoked_key,
        is_live=partial(_refuses, "Invalid JWT Signature"),
        heal=_install_good_key,
    ),
    Incident(
        id="clock-skew",
        runbook=RUNBOOK,
        title=N_("The clock of a worker is wrong"),
        does=N_("worker1 believes it to be 15 minutes later; a few notifications fail."),
        notice=N_("Urgent notifications reach no phone; the worker's log says invalid_grant."),
        root=Root("clock-skew", TASKS),
        break_=_skew_clock,
        is_live=partial(_refuses, "short-lived token"),
        heal=_heal_clock,
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
        break_=_kill_tokens,
        is_live=_tokens_are_dead,
        heal=_revive_tokens,
    ),
)
