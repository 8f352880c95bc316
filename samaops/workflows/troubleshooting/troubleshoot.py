"""From one symptom to its cause and to the plan of a fix, as a playbook says."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from samaops.causes.unknown import UNKNOWN_FAULT
from samaops.changes import site_commands, verbs
from samaops.changes.run import operations
from samaops.changes.verbs import Verb
from samaops.checks.registry import rules
from samaops.config import consistency, playbooks
from samaops.config.playbooks import Playbook, PlaybookFix
from samaops.errors import ConfigurationError, SamaopsError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _, joined
from samaops.journal import well
from samaops.model.cause import Cause, Fix
from samaops.model.finding import Finding
from samaops.model.plan import Plan, Risk
from samaops.model.report import Footprint, Report, worst_first
from samaops.model.status import Status
from samaops.site.commands import samaops, typed
from samaops.site.site import Site
from samaops.workflows import change, diagnose, since_well
from samaops.workflows.troubleshooting import (
    disk_counts,
    hops,
    memory_counts,
    message_counts,
    names,
    own_playbooks,
    query_counts,
    request_counts,
    symptoms,
)
from samaops.workflows.troubleshooting.hops import SeenHop

_RISKS = list(Risk)
# What counts as not quiet yet after a repair; what could not be looked at says nothing.
_SEEN = (Status.CRITICAL, Status.WARNING)
# What counts at the hops of a playbook from what was observed; messages are counted by the broker besides.
_COUNTED: Mapping[str, Callable[..., SeenHop]] = {
    "db-slow": query_counts.count,
    "redis-full": memory_counts.count,
    "api-down": request_counts.count,
    "disk-full": disk_counts.count,
}
# Clients come back after a pause of their own, and RabbitMQ's management API shows what was every five seconds.
_SETTLE_LOOKS, _SETTLE_PAUSE_SECONDS = 4, 5.0


class Offer(Struct, frozen=True):
    """One fix that would help now, and the cause that asks for it.

    ``text`` is what to send to others, where the fix is not in our hands; ``refusal`` says why it cannot be made.
    ``names`` holds what its templates speak of.
    """

    id: str
    fix: PlaybookFix
    cause: Cause
    title: str
    text: str = ""
    refusal: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


class Diagnosis(Struct, frozen=True):
    """What was found for one symptom, what can be done, and what was observed for it."""

    playbook: Playbook
    report: Report
    offers: tuple[Offer, ...]
    snapshot: Snapshot

    def offered(self, fix: str) -> Offer | None:
        """Return the offer of a fix: of the worst cause, when several ask for it."""
        return next((offer for offer in self.offers if offer.id == fix), None)


def find(site: Site, name: str) -> Playbook:
    """Return a playbook. Raises UsageError that names the nearest one."""
    known = playbooks.all_of(site.settings)
    if name == symptoms.ALL:
        return symptoms.all_of_them()
    if name not in known:
        faults = playbooks.faults(site.settings)
        if faults:  # it may be in one of these
            raise ConfigurationError("\n".join(faults), hint="samaops config check")
        text = _("There is no playbook {name!r}").format(name=name)
        raise UsageError(
            joined((text, consistency.not_one_of(name, known))), hint="samaops troubleshoot list"
        )
    return known[name]


def run(site: Site, name: str) -> Diagnosis:
    """Look at what concerns a symptom, name the cause, and say what can be done; nothing is changed."""
    playbook = playbooks.whole(find(site, name), playbooks.all_of(site.settings))
    looks = tuple(look for look in playbook.looks if not own_playbooks.fault_of_look(look, site))
    # With what the broker itself counts: a fix of a queue is planned from that alone.
    selection = Selection(only=looks, counts=True)
    snapshot = diagnose.observe(site, selection)
    report = diagnose.judge(snapshot, site, selection)
    report = since_well.compared(report, snapshot, site, well.load(site.name))
    causes = sorted(report.causes, key=lambda cause: cause.id not in playbook.causes)
    offers = [
        offer
        for cause in causes
        for offer in _offers(playbook, cause, names.of(cause, report, snapshot, site))
    ]
    planned = [_planned(playbook, offer, snapshot, site) for offer in offers]
    way = hops.counted(playbook.hops, report.findings, _counter(playbook, snapshot, site))
    titles = {hop.id: str(hop.title) for hop in playbook.hops}
    on_the_way = hops.findings(playbook.id, way, titles)
    shown = tuple(_with_fixes(cause, planned, playbook) for cause in causes)
    report = replace(
        report,
        command=f"troubleshoot {playbook.id}",
        causes=_explaining(shown, on_the_way),
        findings=worst_first((*report.findings, *on_the_way)),
        answer=_answer(report, on_the_way),
    )
    return Diagnosis(playbook, report, tuple(offer for offer, _fix in planned), snapshot)


def prepare(site: Site, offer: Offer) -> Plan:
    """Plan the fix that was offered, from fresh facts; the finding that asks for it must be gone afterwards.

    Raises RefusedError when a guard forbids it.
    """
    verb, arguments = _verb(offer, site)
    asked_by = () if offer.fix.relief else offer.cause.explains[:1]
    return change.prepare_verb(site, verb, arguments, asked_by)


def _counter(playbook: Playbook, snapshot: Snapshot, site: Site) -> Callable[[str], SeenHop]:
    """Return what counts at the hops of a playbook; those of a site's own are as their findings say."""
    if playbook.id == "notifications":
        return partial(message_counts.count, counts=message_counts.observe(snapshot, site))
    if playbook.id in _COUNTED:
        return partial(_COUNTED[playbook.id], snapshot=snapshot, site=site)
    return lambda hop: SeenHop(hop, None)


def _answer(report: Report, on_the_way: tuple[Finding, ...]) -> str:
    published = next((hop.value for hop in on_the_way if hop.subject == "notifications/published"), None)
    if report.causes or report.status is not Status.OK or published != 0:
        return ""
    return _("Nothing is broken on the way, and nothing was published in the last 10 minutes")


def _explaining(causes: tuple[Cause, ...], on_the_way: tuple[Finding, ...]) -> tuple[Cause, ...]:
    """Fold each hop under the cause that its own finding has."""
    folded: list[Cause] = []
    for cause in causes:
        because = set(cause.explains)
        keys = [hop.key for hop in on_the_way if because & set(hop.evidence.get("because", ()))]
        taken = {key for other in folded for key in other.explains}
        folded.append(replace(cause, explains=(*cause.explains, *(key for key in keys if key not in taken))))
    return tuple(folded)


def _offers(playbook: Playbook, cause: Cause, known: Mapping[str, str]) -> Iterator[Offer]:
    described = playbook.causes.get(cause.id)
    fixes = [(name, playbook.fixes[name]) for name in (described.fixes if described else ())]
    for name, fix in sorted(fixes, key=lambda item: _RISKS.index(item[1].risk)):
        if _needed(fix) <= known.keys():
            title, text = (str(template or "").format(**known) for template in (fix.title, fix.text))
            yield Offer(name, fix, cause, title, text, names=known)


def _needed(fix: PlaybookFix) -> set[str]:
    templates = (fix.title, *fix.arguments, fix.command, fix.server, fix.undo, fix.text)
    return {name for name in playbooks.NAMES if any(f"{{{name}}}" in str(template) for template in templates)}


def _verb(offer: Offer, site: Site) -> tuple[Verb, tuple[str, ...]]:
    known, fix = offer.names, offer.fix
    if fault := own_playbooks.fault_of_fix(fix, site):
        raise UsageError(fault)
    if fix.verb is not None:
        return verbs.find(fix.verb), tuple(argument.format(**known) for argument in fix.arguments)
    quoted = {key: shlex.quote(value) for key, value in known.items()}
    command, undo = ((template or "").format(**quoted) for template in (fix.command, fix.undo))
    server = (fix.server or "").format(**known)
    if server not in site.settings.servers:
        text = _("The fix {fix} names the server {server!r}, which is not configured")
        raise UsageError(text.format(fix=offer.id, server=server))
    verb = site_commands.verb_of(offer.id, fix, offer.title, known["subject"], (server, command, undo))
    return verb, (known["subject"],)


def _planned(playbook: Playbook, offer: Offer, snapshot: Snapshot, site: Site) -> tuple[Offer, Fix]:
    """Plan an offer from what was seen, to show its exact commands; a guard that forbids it is part of the answer."""
    how = samaops(site, f"troubleshoot {playbook.id} --apply {offer.id}")
    if offer.text:
        return offer, Fix(offer.id, offer.fix.risk, offer.title, (how,), text=offer.text)
    try:
        verb, arguments = _verb(offer, site)
        snapshot = _complete(snapshot, playbook, tuple(verb.codes(site, arguments)), site)
        plan = verb.plan(snapshot, site, arguments)
    except SamaopsError as error:
        return _not_now(offer, error.message)
    if not plan.steps:
        return _not_now(offer, plan.nothing_to_do)
    commands = tuple(line for step in plan.steps for line in operations.lines(step.operation, site))
    undos = (step.undo for step in plan.steps if step.undo)
    undo = tuple(line for operation in undos for line in operations.lines(operation, site))
    return offer, Fix(offer.id, plan.risk, offer.title, (how, *commands), undo)


def _complete(snapshot: Snapshot, playbook: Playbook, codes: tuple[str, ...], site: Site) -> Snapshot:
    """Look at what a fix needs to know and a diagnosis does not: such as what images lie about, or each session."""
    looks = Selection(only=playbook.looks)
    missing = tuple(code for code in codes if not looks.touches(code) or not _is_checked(code))
    if not missing:
        return snapshot
    more = diagnose.observe(site, Selection(only=missing, counts=True))
    return replace(snapshot, observations=(*more.observations, *snapshot.observations))


def _is_checked(code: str) -> bool:
    """Return whether a diagnosis reads what stands under a code; some of it is read for changes alone."""
    return any(rule.code == code or rule.code.startswith(f"{code}.") for rule in rules())


def _not_now(offer: Offer, reason: str) -> tuple[Offer, Fix]:
    title = _("{title}: not now: {reason}").format(title=offer.title, reason=reason)
    return replace(offer, refusal=reason), Fix(offer.id, offer.fix.risk, title)


def with_change(
    site: Site, diagnosis: Diagnosis, done: Report, sleep: Callable[[float], None] = time.sleep
) -> Report:
    """Return one report of a diagnosis and of the change that was made after it, or planned, or refused.

    The causes are those that asked for the change. Where something was run, the findings are looked at once more:
    they are what is so now, and a cause that is still there, or new, is told with them. What a repaired cause has
    explained may need a moment: it is waited for, and named when it is not quiet by then.
    """
    before = diagnosis.report
    causes, findings, answer = before.causes, before.findings, done.answer
    if any(action.journal for action in done.actions):
        after = _look_again(site, diagnosis)
        for _look in range(_SETTLE_LOOKS - 1):
            if not _settling(before, after):
                break
            sleep(_SETTLE_PAUSE_SECONDS)
            after = _look_again(site, diagnosis)
        known = {(cause.id, cause.subject) for cause in causes}
        causes = (*causes, *(cause for cause in after.causes if (cause.id, cause.subject) not in known))
        findings = after.findings
        answer = _with_settling(answer, _settling(before, after), site)
    return replace(
        before,
        findings=findings,
        causes=causes,
        actions=done.actions,
        errors=done.errors,
        answer=answer,
        duration_ms=before.duration_ms + done.duration_ms,
        footprint=_sum(before.footprint, done.footprint),
    )


def _look_again(site: Site, diagnosis: Diagnosis) -> Report:
    """Return what is so now. What a repaired cause explained and is not quiet yet is no fault that nobody knows."""
    after = run(site, diagnosis.playbook.id).report
    explained = {key for cause in diagnosis.report.causes for key in cause.explains}
    lasting = [
        cause for cause in after.causes if cause.id == UNKNOWN_FAULT and explained.issuperset(cause.explains)
    ]
    keys = {key for cause in lasting for key in cause.explains}
    return replace(
        after,
        causes=tuple(cause for cause in after.causes if cause not in lasting),
        findings=tuple(
            replace(finding, cause=None) if finding.key in keys else finding for finding in after.findings
        ),
    )


def _settling(before: Report, after: Report) -> tuple[Finding, ...]:
    """Return what is still bad though the cause that explained it is gone, and no other explains it now."""
    present = {(cause.id, cause.subject) for cause in after.causes}
    gone = [cause for cause in before.causes if (cause.id, cause.subject) not in present]
    effects = {key for cause in gone for key in cause.explains}
    effects -= {key for cause in after.causes for key in cause.explains}
    return tuple(finding for finding in after.findings if finding.status in _SEEN and finding.key in effects)


def _with_settling(answer: str, settling: tuple[Finding, ...], site: Site) -> str:
    if not settling:
        return answer
    text = _("The cause is gone; not quiet yet: {findings}. Look again: {command}").format(
        findings=joined(finding.title for finding in settling),
        command=typed(site, "diagnose --wait 60"),
    )
    return f"{answer}. {text}" if answer else text


def _sum(first: Footprint, second: Footprint) -> Footprint:
    return Footprint(
        first.connections + second.connections,
        first.bytes_read + second.bytes_read,
        first.commands + second.commands,
        first.writes + second.writes,
    )


def _with_fixes(cause: Cause, planned: list[tuple[Offer, Fix]], playbook: Playbook) -> Cause:
    """Put the playbook's fixes before a cause's own, of which those stay that it says nothing of."""
    fixes = tuple(fix for offer, fix in planned if offer.cause is cause)
    described, has_request = {fix.id for fix in fixes}, any(fix.text for fix in fixes)
    own = (
        fix
        for fix in cause.fixes
        if fix.id not in described and not (has_request and fix.id.endswith(".team"))
    )
    return replace(cause, fixes=(*fixes, *own), runbook=playbook.id) if fixes else cause
