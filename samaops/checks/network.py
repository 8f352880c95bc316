"""Judge the ways between the parts: open where the matrix says so, closed where it does not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from samaops.checks.registry import Context, access, check
from samaops.facts.network import (
    ANSWER_WORDS,
    DROPPED,
    NAME,
    OPEN,
    OTHER,
    PROXY,
    REFUSED,
    ROUTE,
    UNTRIED,
    Line,
    NetworkFacts,
    TriedLine,
)
from samaops.facts.systems import SYSTEMS
from samaops.i18n import N_, _, joined, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops
from samaops.site.site import Site

# What each says of the way, for whoever has to mend it.
MEANINGS = {
    REFUSED: N_("refused: nothing listens there, or a rule rejects"),
    DROPPED: N_("no answer: a firewall drops, or the machine is down"),
    NAME: N_("the name is not found there"),
    ROUTE: N_("there is no route"),
    PROXY: N_("the proxy does not lead there"),
}

access(
    "network.source",
    NetworkFacts,
    title=lambda facts: ngettext(
        "{count} line was tried from {place}", "{count} lines were tried from {place}", len(facts.lines)
    ).format(count=len(facts.lines), place=facts.place),
    evidence=lambda facts: {"program": facts.program},
)


def status_of(tried: TriedLine) -> Status:
    """Return what an answer means for a line: a port that is open to too many is a warning, nobody feels it yet."""
    if tried.line.not_held:
        return Status.SKIPPED
    if tried.answer in (OTHER, UNTRIED) or (tried.answer == NAME and not tried.line.must_be_open):
        return Status.UNKNOWN
    if (tried.answer == OPEN) is tried.line.must_be_open:
        return Status.OK
    return Status.CRITICAL if tried.line.must_be_open else Status.WARNING


# Whose findings tell of a port that is not a system's own.
_SYSTEM_OF = {"ssh": "servers", "rabbitmq-management": "rabbitmq", "minio-console": "minio"}


def next_command(site: Site, line: Line, reached: Collection[str]) -> str:
    """Return what to type next: whose port it is, where nobody reaches it; else the rules that the matrix asks for there.

    ``reached`` are the addresses that somebody reaches.
    """
    system = _SYSTEM_OF.get(line.system, line.system)
    if line.server is not None and (line.address in reached or system not in SYSTEMS):
        return samaops(site, f"network --rules {line.server}")
    return samaops(site, f"diagnose --only {system}")


def reached_by_somebody(tried: Iterable[TriedLine]) -> set[str]:
    """Return the addresses that were open to at least one."""
    return {each.line.address for each in tried if each.answer == OPEN}


@check("network.open", NetworkFacts)
def must_be_open(facts: NetworkFacts, context: Context) -> Iterator[Finding]:
    reached = _reached(context)
    for tried in facts.lines:
        if tried.line.must_be_open:
            yield _judge(tried, context, _open_title(tried), reached)


@check("network.closed", NetworkFacts)
def must_be_closed(facts: NetworkFacts, context: Context) -> Iterator[Finding]:
    reached = _reached(context)
    for tried in facts.lines:
        if not tried.line.must_be_open:
            yield _judge(tried, context, _closed_title(tried), reached)


def _reached(context: Context) -> set[str]:
    places = (facts for _observation, facts in context.snapshot.facts_of(NetworkFacts))
    return reached_by_somebody(tried for facts in places for tried in facts.lines)


def _judge(tried: TriedLine, context: Context, title: str, reached: Collection[str]) -> Finding:
    line = tried.line
    about = context.about(f"network/{line.place}/{line.service}")
    status = status_of(tried)
    if status is Status.SKIPPED:
        return about.skipped(line.not_held)
    evidence = {
        "from": line.place, "service": line.service, "system": line.system, "address": line.address,
        "answer": tried.answer, "words": tried.words, "server": line.server,
    }  # fmt: skip
    if status is Status.CRITICAL and line.address not in reached and _serves_nobody(line, context):
        text = _("{system} serves nobody, see its own findings: this says nothing of the way there")
        return about.skipped(text.format(system=line.system))
    meaning = _(MEANINGS[tried.answer]) if tried.answer in MEANINGS and status is not Status.OK else ""
    detail = joined(part for part in (meaning, tried.words) if part)
    return about.finding(
        status, title, detail=detail, evidence=evidence, hint=next_command(context.site, line, reached)
    )


def _serves_nobody(line: Line, context: Context) -> bool:
    """Return whether the system itself was looked at in the same run, and did not answer anybody."""
    looks = [look for look in context.snapshot.of_system(line.system) if line.server in (None, look.server)]
    return bool(looks) and all(look.failure is not None for look in looks)


def _open_title(tried: TriedLine) -> str:
    texts = {
        Status.OK: _("{place} reaches {service} ({address})"),
        Status.CRITICAL: _("{place} does not reach {service} ({address}): {answer}"),
    }
    return _title(tried, texts)


def _closed_title(tried: TriedLine) -> str:
    texts = {
        Status.OK: _("{service} ({address}) is closed to {place}: {answer}"),
        Status.WARNING: _("{place} reaches {service} ({address}), which should be closed to it"),
    }
    return _title(tried, texts)


def _title(tried: TriedLine, texts: Mapping[Status, str]) -> str:
    line = tried.line
    text = texts.get(status_of(tried), _("{place} to {service} ({address}): could not tell"))
    return text.format(
        place=line.place, service=line.service, address=line.address, answer=_(ANSWER_WORDS[tried.answer])
    )
