"""The connectivity matrix as it is found: each line tried from where its client stands, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from samaops.checks.network import next_command, reached_by_somebody, status_of
from samaops.collect import engine, registry
from samaops.collect.engine import Collector
from samaops.config import consistency
from samaops.errors import UsageError
from samaops.facts.network import ANSWER_WORDS, OTHER, PROXY, UNTRIED, Line, NetworkFacts, TriedLine
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _, joined, ngettext
from samaops.model.status import SEVERITY, Status, worst
from samaops.model.table import Column, Table
from samaops.site import connectivity, redaction
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.lists import table

DEADLINE_SECONDS = 40.0
_MOST_COMMANDS = 3
# Of these the word alone does not tell enough.
_TOLD_IN_WORDS = (PROXY, OTHER, UNTRIED)
_UNSEEN = (OTHER, UNTRIED)


def matrix(site: Site, source: str | None = None) -> Table:
    """Try all lines, or those from one server or place. Raises UsageError for a source that has none."""
    snapshot = _look(site, source)
    tried = list(_tried(site, snapshot))
    tried.sort(key=lambda each: (SEVERITY.index(status_of(each)), each.line.place, each.line.service))
    columns = (
        Column("from", _("from")),
        Column("to", _("to")),
        Column("address", _("address")),
        Column("must", _("must be")),
        Column("is", _("is")),
    )
    statuses = [status_of(each) for each in tried]
    shown = table(
        site, "network", columns, [_row(each) for each in tried], _answer(tried), _notes(tried, snapshot),
        is_whole=Status.UNKNOWN not in statuses,
    )  # fmt: skip
    counts = Counter(status.value for status in statuses)
    return replace(
        shown, commands=_commands(site, tried), figures=dict(counts), status=worst(statuses), judges=True
    )


def _look(site: Site, source: str | None) -> Snapshot:
    collectors = registry.collectors_of("network", site)
    if source is not None:
        collectors = [
            collector for collector in collectors if source in (collector.server, _place(collector))
        ]
    if not collectors:
        known = dict.fromkeys([*site.settings.servers, *(place.name for place in connectivity.places(site))])
        text = _("nothing of the matrix begins there")
        reason = text if source is None or source in known else consistency.not_one_of(source, known)
        raise UsageError(reason, hint="samaops network --help")
    selection = Selection(only=("network",), deep=True)
    snapshot: Snapshot = redaction.redacted(
        engine.observe(collectors, site, selection, DEADLINE_SECONDS), site
    )
    return snapshot


def _tried(site: Site, snapshot: Snapshot) -> Iterator[TriedLine]:
    """Yield each line; those of a place from which nothing could be tried with the reason."""
    untried = {place.name: place.lines for place in connectivity.places(site)}
    for observation in snapshot.observations:
        if isinstance(observation.facts, NetworkFacts):
            yield from observation.facts.lines
        else:
            lines: tuple[Line, ...] = untried[_place(observation)]
            yield from (TriedLine(line, OTHER, _why(observation)) for line in lines)


def _place(of: Observation | Collector) -> str:
    return of.subject.removeprefix("network/")


def _why(observation: Observation) -> str:
    return observation.failure.message if observation.failure else ""


def _row(tried: TriedLine) -> dict[str, Any]:
    line = tried.line
    return {
        "from": line.place,
        "to": line.service,
        "address": line.address,
        "must": _("open") if line.must_be_open else _("closed"),
        "is": _(ANSWER_WORDS[tried.answer]),
        "status": status_of(tried).value,
        "must_be_open": line.must_be_open,
        "answer": tried.answer,
        "words": tried.words or None,
        "server": line.server,
        "system": line.system,
        "proxy": line.proxy or None,
        "not_held": line.not_held or None,
    }


def _answer(tried: list[TriedLine]) -> str:
    """Return how many lines are as they must be, and how many could not be tried."""
    judged = [each for each in tried if status_of(each) in (Status.OK, Status.WARNING, Status.CRITICAL)]
    parts = []
    for must_be_open, text in (
        (True, _("open that must be: {count} of {all}")),
        (False, _("closed that must be: {count} of {all}")),
    ):
        lines = [each for each in judged if each.line.must_be_open is must_be_open]
        well = sum(status_of(each) is Status.OK for each in lines)
        parts += [text.format(count=well, all=len(lines))] if lines else []
    excepted = [each for each in tried if status_of(each) is Status.SKIPPED]
    if excepted:
        text = _("not judged here (exceptions): {count}")
        unseen = sum(each.answer in _UNSEEN for each in excepted)
        if unseen:
            text = _("not judged here (exceptions): {count}, of which {unseen} could not be tried")
        parts.append(text.format(count=len(excepted), unseen=unseen))
    unknown = sum(status_of(each) is Status.UNKNOWN for each in tried)
    parts += [_("could not tell: {count}").format(count=unknown)] if unknown else []
    parts += [] if parts else [_("no line of the matrix holds here")]
    return joined(parts)


def _notes(tried: list[TriedLine], snapshot: Snapshot) -> list[str]:
    notes = []
    for observation in snapshot.observations:
        if observation.facts is None:
            text = _("{place}: could not look from there: {reason}")
            notes.append(text.format(place=_place(observation), reason=_why(observation)))
    unclear = [
        each for each in tried if each.answer in _TOLD_IN_WORDS and each.words and not each.line.not_held
    ]
    text = _("{place} to {service}: {words}")
    seen = {_place(observation) for observation in snapshot.observations if observation.facts is not None}
    notes += [
        text.format(place=each.line.place, service=each.line.service, words=each.words)
        for each in unclear
        if each.line.place in seen
    ]
    for reason, count in Counter(each.line.not_held for each in tried if each.line.not_held).items():
        words = ngettext(
            "{count} line does not hold at this site: {reason}",
            "{count} lines do not hold at this site: {reason}",
            count,
        )
        notes.append(words.format(count=count, reason=reason))
    return [*notes, _("Whether the Internet is kept out can only be tried from outside.")]


def _commands(site: Site, tried: list[TriedLine]) -> tuple[str, ...]:
    """Return what to type next, for the worst lines; else the rules of the first server."""
    bad = [each for each in tried if status_of(each) in (Status.CRITICAL, Status.WARNING)]
    reached = reached_by_somebody(tried)
    proposed = dict.fromkeys(next_command(site, each.line, reached) for each in bad)
    if not proposed:
        servers = (each.line.server for each in tried if each.line.server)
        proposed = dict.fromkeys(f"samaops network --rules {server}" for server in [*servers][:1])
    return tuple(typed(site, words.removeprefix("samaops ").removeprefix("--lab ")) for words in proposed)[
        :_MOST_COMMANDS
    ]
