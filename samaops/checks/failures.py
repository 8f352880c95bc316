"""What it means for the findings when something could not be observed."""

from __future__ import annotations

from samaops.checks.registry import Context, Evidence, rules
from samaops.facts.observation import Observation
from samaops.i18n import N_, _
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status

_TITLES = {
    FailureKind.REFUSED: N_("{subject} refuses connections: nothing listens there"),
    FailureKind.SILENT: N_("{subject} does not answer at all: down, or a firewall drops"),
    FailureKind.NO_ANSWER: N_("{subject} accepts connections but does not answer: hung"),
    FailureKind.CLOSED: N_("{subject} hangs up before it answers"),
    FailureKind.GARBAGE: N_("{subject} answers, but not in its protocol: something else listens there"),
    FailureKind.TLS: N_("{subject}: the TLS connection failed"),
    FailureKind.UNAVAILABLE: N_("{subject} answers that it cannot serve now"),
    FailureKind.NAME: N_("{subject}: its name does not resolve"),
    FailureKind.AUTHENTICATION: N_("{subject} refuses our user or password"),
    FailureKind.NO_AUTHENTICATION: N_("{subject} has no password set, and turns away who gives one"),
    FailureKind.SCHEME: N_("{subject} wants another way to log in than a user and password"),
    FailureKind.PERMISSION: N_("{subject}: we are not allowed to look"),
    FailureKind.MISSING: N_("{subject}: what is needed to look is missing"),
    FailureKind.ABSENT: N_("{subject}: this site has none"),
    FailureKind.HOST_KEY: N_("{subject}: the SSH host key is unknown or has changed"),
    FailureKind.DEPENDENCY: N_("{subject} could not be looked at: the way to it is broken"),
    FailureKind.DEADLINE: N_("{subject} could not be looked at in time"),
    FailureKind.ERROR: N_("{subject} could not be looked at"),
}
# Of a log-in that we ended ourselves: the stage that clients.errors has as IN_CLEAR.
_IN_CLEAR = N_("{subject} asks for our password in clear, and was not given it")


def of_observation(observation: Observation, failure: Failure, context: Context) -> Finding:
    """Say why a whole observation failed: the access rule speaks, the other rules are skipped."""
    if context.rule.access:
        status = Status.CRITICAL if failure.is_outage else Status.UNKNOWN
        words = title(failure, observation.subject)
        return context.finding(status, words, detail=describe(failure), evidence=evidence_of(failure))
    access = access_code(observation)
    return context.skipped(_("not looked at, see {code}").format(code=f"{access}@{observation.subject}"))


def of_part(part: str, failure: Failure, context: Context) -> Finding:
    """Say that one part could not be looked at: unknown, never ok and never critical."""
    words = _("{title}: could not look").format(title=context.rule.title)
    return context.unknown(words, detail=describe(failure), evidence={"part": part, **evidence_of(failure)})


def title(failure: Failure, subject: str) -> str:
    """Return in one sentence why a subject could not be looked at."""
    words = _IN_CLEAR if failure.stage == "clear" else _TITLES[failure.kind]
    return _(words).format(subject=subject)


def of_check(error: Exception, context: Context) -> Finding:
    """Say that a check could not judge what was seen, by a fault of its own: unknown, whatever it was."""
    title = _("{title}: could not judge").format(title=context.rule.title)
    detail = _("this is a bug in samaops ({kind}); its log has the details").format(kind=type(error).__name__)
    return context.unknown(title, detail=detail, evidence={"error": type(error).__name__})


def describe(failure: Failure) -> str:
    """Return a failure as one line: what was being done, and the other side's own words."""
    return f"{failure.stage}: {failure.message}" if failure.stage else failure.message


def evidence_of(failure: Failure) -> Evidence:
    """Return a failure as evidence of a finding."""
    return {"kind": failure.kind.value, "stage": failure.stage, "after_ms": failure.after_ms}


def access_code(observation: Observation) -> str:
    """Return the code of the rule that speaks when this kind of observation fails."""
    for rule in rules((observation.system,)):
        if rule.access and rule.facts.__name__ == observation.facts_type:
            return rule.code
    raise LookupError(f"no access rule for {observation.facts_type}")
