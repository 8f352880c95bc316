"""How each item of a checklist is, by what was found, what a person signed and what was measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.checklist.measure import is_for_tests
from samaops.config.checklists import EVERYTHING, OURS, Checklist, Item
from samaops.facts.checklist import FAILED, OK, SEEN, TO_SIGN, UNKNOWN, BookFacts, Entry
from samaops.i18n import _, joined, ngettext
from samaops.model.finding import Finding
from samaops.model.quantities import moment
from samaops.model.report import worst_first
from samaops.model.status import SEVERITY, Status, worst
from samaops.site import guide_servers
from samaops.site.commands import samaops, typed
from samaops.site.site import Site

SIGNED = "signed"
# Items that are closed: nothing is left to do.
WELL = (OK, SIGNED)
# What the meeting decides by: all is closed, something has failed, or nothing has but something is not known or not signed.
GO, NO_GO, NOT_DECIDED = "go", "no_go", "not_decided"
_BAD = (Status.WARNING, Status.CRITICAL)
# What an item that means everything leaves out: these are asked for by name alone, or with --deep.
ON_REQUEST = ("maintenance", "checklist", "network", "sites")


class Seen(Struct, frozen=True):
    """What the items are judged by."""

    site: Site
    findings: tuple[Finding, ...]
    book: BookFacts
    at: datetime


class Judged(Struct, frozen=True):
    """One item now. ``since`` is when it came to be so, ``well_until`` when it ceased to be well, both ISO 8601.

    ``keys`` are the findings by which it failed.
    """

    checklist: str
    section: str
    item: Item
    state: str
    status: Status
    reason: str = ""
    command: str = ""
    since: str = ""
    well_until: str = ""
    signature: Entry | None = None
    keys: tuple[str, ...] = ()

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in WELL


class _Verdict(Struct, frozen=True):
    """What one of the things that close an item says."""

    state: str
    status: Status = Status.OK
    reason: str = ""
    command: str = ""
    keys: tuple[str, ...] = ()


def judge(checklist: Checklist, seen: Seen) -> tuple[Judged, ...]:
    """Return every item, in the order of the list."""
    sections = {item.id: str(part.title) for part in checklist.sections for item in part.items}
    return tuple(_judged(checklist.id, sections[item.id], item, seen) for item in checklist.items())


def changed(items: Iterable[Judged], book: BookFacts) -> list[Entry]:
    """Return what is to be kept: the items that are otherwise than when they were looked at last."""
    entries = []
    for judged in items:
        last = book.of(judged.checklist, judged.item.id, SEEN)[-1:]
        now = (judged.state, judged.status.value, judged.keys)
        if not last or (last[0].state, last[0].status, last[0].keys) != now:
            at = judged.since if not last or last[0].state != judged.state else ""
            entries.append(
                Entry(
                    at, judged.checklist, judged.item.id, SEEN,
                    state=judged.state, status=judged.status.value, reason=judged.reason, keys=judged.keys,
                )
            )  # fmt: skip
    return entries


def remembered(checklist: str, item: Item, book: BookFacts) -> str | None:
    """Return how an item is by what is kept alone, a signature that came or went since the last look with it.

    None where that is not known: nobody has looked at what checks see of it.
    """
    last = next(iter(book.of(checklist, item.id, SEEN)[-1:]), None)
    signature = book.signature(checklist, item.id)
    state = last.state if last is not None else None
    if signature is None:
        is_taken_back = state == SIGNED
        return (None if item.checks else TO_SIGN) if is_taken_back else state
    if state is None:
        return None if item.checks else SIGNED
    is_accepted = (
        last is not None
        and last.status == Status.WARNING.value
        and bool(last.keys)
        and set(signature.keys).issuperset(last.keys)
    )
    return SIGNED if state != FAILED or is_accepted else FAILED


def _judged(checklist: str, section: str, item: Item, seen: Seen) -> Judged:
    signature = seen.book.signature(checklist, item.id)
    verdict = _verdict(checklist, item, seen, signature)
    since, well_until = _times(checklist, item, verdict.state, seen)
    reason = verdict.reason
    if well_until:
        was = _("was well until {moment}").format(moment=said(well_until))
        reason = joined([was, reason]) if reason else was
    return Judged(
        checklist, section, item, verdict.state, verdict.status, reason, verdict.command, since, well_until,
        signature, verdict.keys,
    )  # fmt: skip


def said(at: str) -> str:
    """Return a moment in ISO 8601 as people read it."""
    try:
        return moment(datetime.fromisoformat(at).timestamp())
    except (ValueError, ArithmeticError, OSError):  # no calendar here has it
        return at


def _times(checklist: str, item: Item, state: str, seen: Seen) -> tuple[str, str]:
    """Return since when an item is so, and when it ceased to be well where it was before."""
    now = seen.at.isoformat(timespec="milliseconds")
    past = seen.book.of(checklist, item.id, SEEN)
    since = now
    for entry in reversed(past):
        if entry.state != state:
            break
        since = entry.at
    if state in WELL:
        return since, ""
    well = [number for number, entry in enumerate(past) if entry.state in WELL]
    if not well:
        return since, ""
    after = past[well[-1] + 1 :]
    return since, after[0].at if after else now


def _verdict(checklist: str, item: Item, seen: Seen, signature: Entry | None) -> _Verdict:
    """Join what closes an item: what could not be seen a person can look at, and a warning that was known he can accept."""
    verdicts = [*_by_checks(item, seen), *_by_measurement(checklist, item, seen)]
    failed = [verdict for verdict in verdicts if verdict.state == FAILED]
    if failed and not _is_accepted(failed, signature):
        return replace(
            min(failed, key=lambda verdict: SEVERITY.index(verdict.status)),
            keys=tuple(sorted({key for verdict in failed for key in verdict.keys})),
        )
    open_ones = [verdict for verdict in verdicts if verdict.state != OK]
    if signature is not None:
        return _Verdict(SIGNED, reason=joined([_said(signature), *(verdict.reason for verdict in open_ones)]))
    if open_ones:
        return open_ones[0]
    if item.signed or not verdicts:
        return _to_sign(checklist, item, seen.site)
    return _Verdict(OK, reason=joined(verdict.reason for verdict in verdicts if verdict.reason))


def _is_accepted(failed: Iterable[_Verdict], signature: Entry | None) -> bool:
    """Return whether a person has signed with these very warnings before his eyes; what is critical nobody accepts."""
    known = set(signature.keys) if signature is not None else set()
    return all(
        verdict.status is Status.WARNING and verdict.keys and known.issuperset(verdict.keys)
        for verdict in failed
    )


def _said(signature: Entry) -> str:
    return signed(signature.by, signature.signed_at or signature.at, signature.note)


def signed(by: str, at: str, note: str) -> str:
    """Return whose signature it is, of when, and with which note."""
    text = _("signed by {by}, {moment}: {note}") if note else _("signed by {by}, {moment}")
    return text.format(by=by, moment=said(at), note=note)


def _to_sign(checklist: str, item: Item, site: Site) -> _Verdict:
    helps = _("to look: {command}").format(command=typed(site, item.command)) if item.command else ""
    command = samaops(site, f"checklist sign {checklist} {item.id}")
    return _Verdict(TO_SIGN, Status.WARNING, helps, command)


def _by_measurement(checklist: str, item: Item, seen: Seen) -> list[_Verdict]:
    if item.measured is None:
        return []
    command = samaops(seen.site, f"checklist measure {item.measured}")
    entry = seen.book.measurement(item.measured)
    if entry is None and not is_for_tests(seen.site):  # there it is refused: it was tried elsewhere, or never
        return [_to_sign(checklist, item, seen.site)]
    if entry is None:
        return [_Verdict(TO_SIGN, Status.WARNING, _("not measured yet"), command)]
    text = _("{moment}: {text}").format(moment=said(entry.at), text=entry.reason)
    if entry.state == OK:
        return [_Verdict(OK, reason=text)]
    return [_Verdict(FAILED, Status.CRITICAL, text, command)]


def _by_checks(item: Item, seen: Seen) -> list[_Verdict]:
    verdicts = [_by_code(item, code, seen) for code in item.checks]
    also = [
        _by_code(item, code, seen) for code in item.also if any(code == each.code for each in seen.findings)
    ]
    return [*verdicts, *also]


def _by_code(item: Item, code: str, seen: Seen) -> _Verdict:
    if code == EVERYTHING:
        return _of_findings(
            [finding for finding in seen.findings if finding.system not in ON_REQUEST], code, seen.site
        )
    subjects, servers = (
        _subjects(item, code, seen.site),
        set(guide_servers.servers_at(seen.site, item.server)),
    )
    found = [
        finding
        for finding in seen.findings
        if finding.code == code
        and (subjects is None or finding.subject in subjects)
        and (not item.server or finding.server is None or finding.server in servers)
    ]
    return _of_findings(found, code, seen.site)


def _of_findings(found: Sequence[Finding], code: str, site: Site) -> _Verdict:
    bad = worst_first([finding for finding in found if finding.status in _BAD])
    if bad:
        more = ngettext("and {count} more", "and {count} more", len(bad) - 1).format(count=len(bad) - 1)
        reason = bad[0].title + (f" ({more})" if len(bad) > 1 else "")
        status = worst(finding.status for finding in bad)
        keys = tuple(sorted(finding.key for finding in bad))
        return _Verdict(FAILED, status, reason, bad[0].hint or f"samaops explain {bad[0].code}", keys)
    unknown = [finding for finding in found if finding.status is Status.UNKNOWN]
    looked = [finding for finding in found if finding.status is Status.OK]
    if unknown:
        return _Verdict(
            UNKNOWN, Status.UNKNOWN, unknown[0].title, unknown[0].hint or f"samaops explain {code}"
        )
    if looked:
        return _Verdict(OK)
    look = samaops(site, "config show" if not found else f"diagnose --only {code.partition('.')[0]}")
    if not found:
        return _Verdict(UNKNOWN, Status.UNKNOWN, _not_looked_at(code, site), look)
    # The title of what was not looked at is what would be well: said here it would be a claim.
    return _Verdict(UNKNOWN, Status.UNKNOWN, found[0].detail or found[0].title, look)


def _not_looked_at(code: str, site: Site) -> str:
    """Say that a check found nothing to look at, and which section of the configuration would give it something."""
    section = code.partition(".")[0]
    if section in type(site.settings).model_fields and not site.section(section):
        return _("{code}: [{section}] is not in the configuration").format(code=code, section=section)
    return _("{code}: nothing was looked at").format(code=code)


def _subjects(item: Item, code: str, site: Site) -> frozenset[str] | None:
    """Return the subjects to which an item narrows a check, None for all."""
    if item.of is None or (item.of == OURS and not code.startswith("certificates.")):
        return None
    if item.of == OURS:
        return frozenset(f"certificates/{name}" for name in guide_servers.own_certificates(site))
    which, _of, kind = item.of.partition("_")
    if kind.startswith("member"):
        placed = [("api", member.name, member.container, member.server) for member in site.members()]
    else:
        placed = [
            ("celery", name, worker.container, worker.server) for name, worker in site.workers().items()
        ]
    chosen = placed[:1] if which == "first" else placed[1:]
    names = {f"{system}/{name}" for system, name, _container, _server in chosen}
    containers = [(container, server) for _system, _name, container, server in chosen if container]
    return frozenset(
        {*names, *(f"docker/{container}" for container, _server in containers)}
        | {f"docker/{server}:{container}" for container, server in containers}
    )


def counts(items: Iterable[Judged]) -> Mapping[str, int]:
    """Return how many items are in each state, all of them present."""
    counted = dict.fromkeys((OK, SIGNED, FAILED, UNKNOWN, TO_SIGN), 0)
    for judged in items:
        counted[judged.state] += 1
    return counted


def decision(items: Iterable[Judged]) -> str:
    """Return go where all items are closed, no-go where one has failed, and else not decided."""
    states = {judged.state for judged in items}
    if FAILED in states:
        return NO_GO
    return GO if states <= set(WELL) else NOT_DECIDED
