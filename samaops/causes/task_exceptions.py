"""What the documented words in a task's exception mean: Google's refusals, and Celery's own.

The words are those of FCM's HTTP v1 API (https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode), of
Google's token endpoint (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes) and of
Celery, and the names that firebase-admin gives the same refusals.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from samaops.i18n import N_
from samaops.model.cause import Verdict
from samaops.model.finding import Finding
from samaops.site.commands import on_server
from samaops.site.shell_words import operands
from samaops.site.site import Site

# One line of JSON may hold the whole file: only the three values that are no secret are shown.
KEY_NAMES = r"""docker exec {container} sh -c 'grep -oE "\"(private_key_id|client_email|project_id)\": *\"[^\"]*\"" """
KEY_NAMES += """"$GOOGLE_APPLICATION_CREDENTIALS"'"""


class Refusal(Struct, frozen=True):
    """One kind of failure: by which words it is known, what it is, and what to do.

    ``in_log`` is the word to look for in a worker's log. ``advice`` is a text to act on or to send; ``look`` runs on
    the server of each worker and changes nothing. ``is_proof`` says that the words are of whoever is at the end
    of the way: everything before it has worked then.
    """

    cause: str
    words: re.Pattern[str]
    in_log: str
    title: str
    advice: str
    look: str = ""
    verdict: Verdict = Verdict.CONFIRMED
    is_proof: bool = True


POISON = Refusal(
    "poison-message",
    re.compile(r"WorkerLostError"),
    "WorkerLostError",
    N_("A task kills the process that runs it: a poison message, or too little memory"),
    N_(
        "Find the task's id and its process's last words in the worker's log. If it is one message that comes back, "
        "park it (samaops queue park); keep the rest of the queue"
    ),
    is_proof=False,
)

REFUSALS = (
    Refusal(
        "clock-skew",
        re.compile(r"short-lived token|Token used too (early|late)"),
        "short-lived token",
        N_("Google refuses the time in our token request: a clock is wrong"),
        N_("Compare these with the right time and let chrony correct the clock; do not change the key"),
        "docker exec {container} date -u +%FT%TZ; chronyc tracking",
        Verdict.PROBABLE,
    ),
    Refusal(
        "wrong-service-account-key",
        re.compile(r"Invalid JWT Signature|[Aa]ccount not found|\binvalid_client\b|account_disabled"),
        "invalid_grant",
        N_("Google does not know our service-account key: it is another's, or was revoked"),
        N_(
            "Send this to the owners of the Firebase project: is the key with this private_key_id still valid? "
            "If not, a new one is needed, mounted in both workers"
        ),
        KEY_NAMES,
    ),
    Refusal(
        "sender-id-mismatch",
        re.compile(r"SENDER_ID_MISMATCH|SenderIdMismatchError|SenderId mismatch"),
        "SENDER_ID_MISMATCH",
        N_("FCM refuses: the key belongs to another Firebase project than the customers' tokens"),
        N_(
            "Send this to the mobile team: does this project_id agree with the google-services.json of the "
            "application in the stores? Keep the tokens, they are good"
        ),
        KEY_NAMES,
    ),
    Refusal(
        "apns-key",
        re.compile(r"THIRD_PARTY_AUTH_ERROR|ThirdPartyAuthError|Auth error from APNS"),
        "THIRD_PARTY_AUTH_ERROR",
        N_("FCM cannot log in at Apple: the APNs key of the Firebase project is missing or has expired"),
        N_(
            "Send this to the mobile team: renew the APNs authentication key in the Firebase console, Project "
            "settings, Cloud Messaging. Android is not concerned"
        ),
    ),
    Refusal(
        "fcm-quota",
        re.compile(r"QUOTA_EXCEEDED|QuotaExceededError|RESOURCE_EXHAUSTED"),
        "QUOTA_EXCEEDED",
        N_("FCM refuses: the quota of messages is exceeded"),
        N_(
            "Wait, then send again: the first delay at least 1 min, doubled each time, with some chance in it. "
            "Spread broadcasts; if the peak is wanted, ask Google for more quota"
        ),
    ),
    Refusal(
        "fcm-unavailable",
        re.compile(r"\bUNAVAILABLE\b|\bUnavailableError\b|'INTERNAL'|temporarily_unavailable"),
        "UNAVAILABLE",
        N_("Google itself says that it is unavailable"),
        N_(
            "Wait, then send again as Retry-After says, doubled each time; follow https://status.firebase.google.com/. "
            "Nothing on our side helps"
        ),
    ),
    Refusal(
        "dead-tokens",
        re.compile(r"\bUNREGISTERED\b|UnregisteredError|Requested entity was not found"),
        "UNREGISTERED",
        N_("Customers' tokens are dead: FCM says UNREGISTERED"),
        N_(
            "Send this to the application's team: remove exactly the tokens that FCM calls UNREGISTERED, one by one "
            "as it says so, never in bulk; each phone gives a new one when the application is opened"
        ),
    ),
    Refusal(
        "task-unregistered",
        re.compile(r"NotRegistered\("),
        "unregistered task",
        N_("The workers do not know a task that is published: they run another version than the API"),
        N_(
            "Compare the images of the API and the workers, deploy the same one everywhere, then send again what "
            "was discarded"
        ),
        "docker inspect -f '{{{{.Config.Image}}}} {{{{.Image}}}}' {container}",
    ),
    POISON,
)


def meaning_of(exception: str) -> Refusal | None:
    """Return what an exception means; None when nobody has documented it."""
    return next((refusal for refusal in REFUSALS if refusal.words.search(exception)), None)


def of(finding: Finding) -> Refusal | None:
    """Return what the most frequent exception of failing tasks means; None when nobody has documented it."""
    return meaning_of(str(finding.evidence.get("exception") or ""))


def seen_in(finding: Finding) -> dict[str, tuple[Refusal, str, int]]:
    """Return by its cause each refusal among the failures: its most frequent words, and how many it is."""
    evidence = finding.evidence
    exceptions = evidence.get("exceptions")
    if not isinstance(exceptions, dict):  # a look of an earlier version has the most frequent only
        exceptions = {str(evidence.get("exception") or ""): evidence.get("exception_count")}
    seen: dict[str, tuple[Refusal, str, int]] = {}
    for exception, count in exceptions.items():  # the most frequent first
        refusal = meaning_of(exception)
        if refusal is not None:
            _refusal, words, before = seen.get(refusal.cause, (refusal, exception, 0))
            seen[refusal.cause] = refusal, words, before + count_of(count)
    return seen


def count_of(value: object) -> int:
    """Return a count of a finding's evidence; 0 for what is none."""
    return value if isinstance(value, int) else 0


# Whose words an exception that nobody has documented has: a fault of another system does not speak so.
_SPEAKERS = {
    "way out": re.compile(r"[Pp]roxy|[Tt]unnel|\b407\b|googleapis|CERTIFICATE_VERIFY_FAILED|SSLError"),
    "database": re.compile(r"psycopg|asyncpg|sqlalchemy|OperationalError|QueuePool|QueryCanceled|pgbouncer"),
    "redis": re.compile(r"[Rr]edis|MISCONF|OOM command|result store"),
    "broker": re.compile(r"kombu|amqp|AMQP"),
}
_SPEAKER_OF = {
    "proxy": "way out",
    "firebase": "way out",
    "postgresql": "database",
    "pgbouncer": "database",
    "redis": "redis",
    "rabbitmq": "broker",
}


def may_be_of(system: str) -> Callable[[Finding], bool]:
    """Return what tells whether the words of failing tasks may be of a system's fault."""

    def speaks(finding: Finding) -> bool:
        exception = str(finding.evidence.get("exception") or "")
        speakers = {name for name, words in _SPEAKERS.items() if words.search(exception)}
        return not speakers or _SPEAKER_OF.get(system) in speakers

    return speaks


def log_speaks_of(system: str) -> Callable[[Finding], bool]:
    """Return what tells whether the trouble in a log is a system's own, or put in the words of its clients."""
    words = _SPEAKERS.get(_SPEAKER_OF.get(system, ""))

    def speaks(finding: Finding) -> bool:
        if words is None:
            return False
        is_its_own = finding.evidence.get("system") == system
        return is_its_own or bool(words.search(str(finding.evidence.get("line") or "")))

    return speaks


def lost_its_process(finding: Finding) -> bool:
    """Return whether tasks fail because the process that ran them was killed; unknown ones may."""
    exception = finding.evidence.get("exception")
    return not exception or meaning_of(str(exception)) is POISON


def looks(refusal: Refusal, site: Site) -> tuple[str, ...]:
    """Return the commands that show it by hand, for each worker that has a container."""
    grep = f"docker logs --since 15m {{container}} 2>&1 | grep -F {operands(refusal.in_log)} | tail -3"
    return tuple(
        on_server(site, worker.server, template.format(container=operands(worker.container)))
        for template in (grep, refusal.look)
        for worker in site.workers().values()
        if template and worker.container
    )
