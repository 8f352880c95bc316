"""What was told of a trouble, what is silenced, and what is worse than something. Moments are in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from samaops.facts.observation import Moment
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding, Value
from samaops.model.status import SEVERITY, Status

# By which silences are asked for; nobody looks at them unless they are.
SILENCES = "maintenance.silences"
# A value is well above another one from half as much again; a percentage from half of what is left to 100.
_TIMES, _WHOLE_PERCENT = 1.5, 100.0


class Seen(Struct, frozen=True):
    """How bad a finding was: its status by its word, and its value where that is a number."""

    status: str
    value: float | None = None


class Silence(Struct, frozen=True):
    """That nobody is told of findings of a code (or of all under it), of one subject or, with "", of all, until a moment.

    ``seen`` is how bad each subject was when it was silenced, or first seen to be bad after that. ``ended_at`` is set where it
    ended before its time: by whom, and why.
    """

    number: int
    code: str
    subject: str
    until: Moment
    reason: str
    by: str
    at: Moment
    seen: Mapping[str, Seen] = field(default_factory=dict)
    ended_at: Moment | None = None
    ended_by: str = ""
    ended_why: str = ""

    def is_active(self, now: Moment) -> bool:
        """Return whether it holds at this moment."""
        return self.ended_at is None and self.at <= now < self.until

    def covers(self, code: str, subject: str) -> bool:
        """Return whether it is about this finding."""
        is_of_code = code == self.code or code.startswith(self.code + ".")
        return is_of_code and self.subject in ("", subject)

    def is_outgrown(self, finding: Finding) -> bool:
        """Return whether a finding is worse than what was silenced."""
        seen = self.seen.get(finding.key)
        return seen is not None and is_worse(seen, finding)


class SilencesFacts(Struct, frozen=True):
    """The silences that the history has, the newest first, and what number the next one gets."""

    taken_at: Moment
    silences: tuple[Silence, ...] = ()
    next_number: int = 1


class Trouble(Struct, frozen=True):
    """What is known of one trouble (``code@subject``): since when, how bad, and what of it was told to whom.

    ``announced`` is how bad it was when it was told, at ``announced_at``; None where nobody was. ``owed`` are the channels by which
    telling failed. ``ended_at`` is set where it is over and that is not told yet.
    """

    code: str
    subject: str
    status: str
    title: str
    since: Moment
    seen_at: Moment
    cause: str = ""
    value: float | None = None
    announced: Seen | None = None
    announced_at: Moment | None = None
    announced_cause: str = ""
    owed: tuple[str, ...] = ()
    ended_at: Moment | None = None

    @property
    def key(self) -> str:
        """Its name: ``code@subject``."""
        return f"{self.code}@{self.subject}"


BAD = (Status.WARNING, Status.CRITICAL, Status.UNKNOWN)


def seen_of(finding: Finding) -> Seen:
    """Return how bad a finding is."""
    return Seen(finding.status.value, number_of(finding.value))


def number_of(value: Value) -> float | None:
    """Return a value where it is a number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def is_worse(before: Seen, finding: Finding) -> bool:
    """Return whether a finding is worse: of a worse status, or as bad with a value well beyond that of then.

    Which way is beyond is told by the limits: a value over its limit is worse above, one under it below. Without a limit
    the status alone counts.
    """
    ranks = [status.value for status in SEVERITY]
    status = finding.status.value
    if before.status in ranks and ranks.index(status) != ranks.index(before.status):
        return ranks.index(status) < ranks.index(before.status)
    value, limits = number_of(finding.value), (finding.critical, finding.warning)
    limit = next((each for each in limits if each is not None), None)
    if value is None or before.value is None or limit is None or value == before.value:
        return False
    is_above = any(each is not None and value >= each for each in limits)
    if not is_above:
        return value <= before.value / _TIMES
    if value < before.value:
        return False
    if finding.unit == "%" and before.value < _WHOLE_PERCENT:
        return value >= before.value + (_WHOLE_PERCENT - before.value) / 2
    return value >= before.value * _TIMES


def silence_of(finding: Finding, silences: Iterable[Silence], now: Moment) -> Silence | None:
    """Return the silence that holds for a finding now, the one that ends last; None where none does."""
    holding = (
        silence
        for silence in silences
        if silence.is_active(now)
        and silence.covers(finding.code, finding.subject)
        and not silence.is_outgrown(finding)
    )
    return max(holding, key=lambda silence: silence.until, default=None)


def silences_of(
    findings: Iterable[Finding], causes: Iterable[Cause], silences: Sequence[Silence], now: Moment
) -> Mapping[str, Silence]:
    """Return the silence of each bad finding: its own, else that of the finding which is the cause of it.

    What a silenced finding brings about is silent with it as long as neither gets worse; so is what it brings about later, where
    that is no worse than what was silenced. A cause that is not sure silences nothing.
    """
    bad = {finding.key: finding for finding in findings if finding.status in BAD}
    own = {
        key: silence
        for key, finding in bad.items()
        if (silence := silence_of(finding, silences, now)) is not None
    }
    held = dict(own)
    for cause in causes:
        root = own.get(cause.explains[0]) if cause.explains else None
        if root is None or cause.verdict is Verdict.INCONCLUSIVE:
            continue
        seen = root.seen.get(cause.explains[0]) or seen_of(bad[cause.explains[0]])
        for key in cause.explains[1:]:
            if key in bad and key not in own and not _goes_beyond(bad[key], root, seen):
                held[key] = root
    return held


def _goes_beyond(symptom: Finding, silence: Silence, root: Seen) -> bool:
    """Return whether a symptom is worse than it was when it was first seen under a silence; a new one, than its root."""
    if symptom.key in silence.seen:
        return silence.is_outgrown(symptom)
    ranks = [status.value for status in SEVERITY]
    return ranks.index(symptom.status.value) < ranks.index(root.status)
