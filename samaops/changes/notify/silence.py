"""Silence findings of a code until a moment and with a reason; and end a silence before its time.

A silence concerns who is told: what is found, how bad it is, and the exit code stay as they are.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import facts_in, reading
from samaops.changes.verbs import verb
from samaops.errors import UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.telling import SILENCES, Seen, Silence, SilencesFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.model.quantities import duration, moment
from samaops.model.typed import ready
from samaops.site.commands import typed
from samaops.site.site import Site

SILENCE = "notify.silence"
STATE = "notify.silenced"
# The lock that it holds: what is silenced while a change goes on is mostly that change.
LOCK = "silence"
_CODES = (SILENCES,)
_LONGEST_REASON, _LONGEST_SUBJECT = 200, 500
# Nothing that is to be silent longer is a silence: its limit is set in [thresholds].
LONGEST = timedelta(days=31)
# One that is asked for again ends some moments later, which is no other one.
_SAME_SECONDS = 60.0


class Silencing(Struct, frozen=True):
    """A silence that is to hold, or is to end (``is_over``); ``seen`` is how bad each finding (``code@subject``) is now."""

    number: int
    code: str
    subject: str
    until: str
    reason: str
    is_over: bool = False
    seen: dict[str, Seen] = field(default_factory=dict)


def _typed(code: str, subject: str, until: str, reason: str, _seen: str = "") -> tuple[str, ...]:
    return (code, *([subject] if subject else []), "--until", until, "--reason", reason)


@verb("silence", looks=_CODES, typed=_typed)
def plan_silence(
    snapshot: Snapshot, site: Site, code: str, subject: str, until: str, reason: str, seen: str = "{}"
) -> Plan:
    """Plan that nobody is told of findings of a code until a moment (ISO 8601); ``seen`` is JSON: how bad each is now."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > _LONGEST_REASON:
        text = _("--reason: why nobody is told of it, in at most {count} characters")
        raise UsageError(text.format(count=_LONGEST_REASON))
    if len(subject) > _LONGEST_SUBJECT:
        raise UsageError(_("no subject is as long as this"))
    ends = datetime.fromisoformat(until).astimezone(timezone.utc)
    facts = facts_in(snapshot, SilencesFacts)
    if ends <= facts.taken_at:
        text = _("{moment} lies in the past: a silence ends later")
        raise UsageError(text.format(moment=moment(ends.timestamp())), hint="--for 4h")
    if ends > facts.taken_at + LONGEST:
        raise UsageError(_("a silence ends within the next 31 days"), hint="--for 4h")
    about = _about(code, subject)
    title = _("Tell nobody of {finding} until {moment}: {reason}").format(
        finding=about, moment=moment(ends.timestamp()), reason=reason
    )
    plan = Plan("silence", (code, subject, until, reason, seen), title, target=about, lock=LOCK)
    same = next(
        (each for each in facts.silences if _is_same(each, code, subject, ends, facts.taken_at)), None
    )
    if same is not None:
        text = _("it is silenced so already, until {moment}: {command}")
        command = typed(site, f"silence end {same.number}")
        return replace(
            plan, nothing_to_do=text.format(moment=moment(same.until.timestamp()), command=command)
        )
    wanted = Silencing(
        facts.next_number, code, subject, _text(ends), reason,
        seen=msgspec.json.decode(seen.encode(), type=ready(dict[str, Seen])),
    )  # fmt: skip
    notes = (
        _("It stays in samaops diagnose, in reports and in the exit code; it ends early when it gets worse."),
        _("end it before: {command}").format(command=typed(site, f"silence end {wanted.number}")),
    )
    return replace(plan, steps=(_step("notify.silence", title, wanted, "", _written(wanted)),), notes=notes)


@verb("silence end", looks=_CODES)
def plan_end(snapshot: Snapshot, _site: Site, number: str) -> Plan:
    """Plan that a silence ends now."""
    facts = facts_in(snapshot, SilencesFacts)
    known = next((each for each in facts.silences if str(each.number) == number), None)
    if known is None:
        raise UsageError(
            _("There is no silence {number}").format(number=number[:20]), hint="samaops silence list"
        )
    about = _about(known.code, known.subject)
    title = _("Tell of {finding} again: silence {number} of {user} ends").format(
        finding=about, number=number, user=known.by
    )
    plan = Plan("silence end", (number,), title, target=about, lock=LOCK)
    if not known.is_active(facts.taken_at):
        return replace(plan, nothing_to_do=_("silence {number} is over").format(number=number))
    left = (known.until - facts.taken_at).total_seconds()
    wanted = Silencing(
        known.number, known.code, known.subject, _text(known.until), known.reason, True, dict(known.seen)
    )
    notes = (_("it would have held for {duration} more").format(duration=duration(left)),)
    before = _written(replace(wanted, is_over=False))
    return replace(plan, steps=(_step("notify.silence_end", title, wanted, before, ""),), notes=notes)


def _step(name: str, title: str, wanted: Silencing, before: str, after: str) -> Step:
    back = replace(wanted, is_over=not wanted.is_over)
    return Step(
        name,
        title,
        Risk.SAFE,
        Operation(SILENCE, to_builtins(wanted)),
        before=(_is(wanted.number, before),),
        after=(_is(wanted.number, after),),
        undo=Operation(SILENCE, to_builtins(back)),
        servers=(),
        about=f"maintenance/silence-{wanted.number}",
    )


def _is(number: int, value: str) -> Condition:
    text = _("silence {number} holds: {value}") if value else _("silence {number} does not hold")
    return Condition(STATE, (number,), value, text.format(number=number, value=value))


@reading(STATE, codes=_CODES)
def silenced(snapshot: Snapshot, number: int | str) -> str:
    """Return until when a silence holds, of what and why; "" when it does not."""
    facts = facts_in(snapshot, SilencesFacts)
    known = next((each for each in facts.silences if str(each.number) == str(number)), None)
    if known is None or not known.is_active(facts.taken_at):
        return ""
    return _said(known.until, known.code, known.subject, known.reason)


def _written(wanted: Silencing) -> str:
    return _said(datetime.fromisoformat(wanted.until), wanted.code, wanted.subject, wanted.reason)


def _said(until: datetime, *words: Any) -> str:
    return " ".join((_text(until), *(str(word) for word in words if word)))


def _is_same(silence: Silence, code: str, subject: str, until: datetime, now: datetime) -> bool:
    is_as_long = (until - silence.until).total_seconds() <= _SAME_SECONDS
    is_of_same = (silence.code, silence.subject) == (code, subject)
    return silence.is_active(now) and is_of_same and is_as_long


def _about(code: str, subject: str) -> str:
    return f"{code}@{subject}" if subject else code


def _text(moment_: datetime) -> str:
    return moment_.astimezone(timezone.utc).isoformat(timespec="seconds")
