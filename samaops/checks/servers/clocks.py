"""Judge the servers' clocks against each other and against this machine's."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.failures import describe
from samaops.checks.registry import Context, check
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.servers import ServerFacts
from samaops.i18n import _
from samaops.model.finding import Finding

# Clocks that NTP holds differ by less; far below the limit of the check.
TOLERANCE_SECONDS = 0.2


# Google refuses a token signed minutes away from its own time ("invalid_grant", Google's OAuth documentation for
# service accounts); Celery discards by time and warns about drift. NTP holds well under 0.1 s: 1 s is a dead NTP.
@check("servers.clock.skewed", Snapshot, warning=1, critical=30, unit="s")
def clocks(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    read = list(snapshot.facts_of(ServerFacts))
    for observation in snapshot.of_system("servers"):
        if observation.facts_type == ServerFacts.__name__ and observation.failure is not None:
            yield _not_read(observation, context)
    reference = _agreed([(facts.clock_low, facts.clock_high) for _seen, facts in read])
    offsets = {seen.subject.partition("/")[2]: _middle(facts) - reference for seen, facts in read}
    for observation, facts in read:
        about = context.about(observation.subject, server=observation.server)
        yield _judge(facts, reference, offsets, about)
    if read and abs(reference) >= (context.warning or 1):
        yield context.about("servers/this-machine").warn(
            _("This machine's own clock is {offset:.1f} s away from the servers', which agree").format(
                offset=abs(reference)
            ),
            value=round(abs(reference), 3),
            evidence={"offset_seconds": round(-reference, 3), "offsets": _rounded(offsets)},
            hint="timedatectl",
        )


def _agreed(bounds: list[tuple[float, float]]) -> float:
    """Return the time that most clocks agree on, in seconds from ours (Marzullo's algorithm, as NTP uses it).

    This machine has a vote too, and the last word when there is no majority.
    """
    votes = [(low - TOLERANCE_SECONDS, high + TOLERANCE_SECONDS) for low, high in [(0.0, 0.0), *bounds]]
    candidates = [0.0, *(edge for vote in votes for edge in vote)]
    return max(candidates, key=lambda time: (sum(low <= time <= high for low, high in votes), -abs(time)))


def _judge(facts: ServerFacts, reference: float, offsets: dict[str, float], context: Context) -> Finding:
    low, high = facts.clock_low - reference, facts.clock_high - reference
    proved = max(0.0, low, -high)  # how far it is away at least, whatever the network's delay was
    name = context.server
    evidence = {"offset_low": round(low, 3), "offset_high": round(high, 3), "offsets": _rounded(offsets)}
    if not 0 <= high - low <= (context.critical or 0):
        title = _("The clock of {name}: between {low:.1f} and {high:.1f} s away, which tells nothing").format(
            name=name, low=min(low, high), high=max(low, high)
        )
        detail = _("the answer took too long, or the clock of this machine was set meanwhile")
        return context.unknown(title, detail=detail, evidence=evidence, hint="timedatectl")
    title = _("The clock of {name} is right within {bound:.2f} s").format(
        name=name, bound=max(abs(low), abs(high))
    )
    if proved >= (context.warning or 0):
        side = _("ahead") if low > 0 else _("behind")
        title = _("The clock of {name} is {offset:.1f} s {side}").format(name=name, offset=proved, side=side)
    return context.above(
        round(proved, 3),
        title,
        evidence=evidence,
        hint=context.on_server("timedatectl; chronyc tracking"),
    )


def _not_read(observation: Observation, context: Context) -> Finding:
    detail = _("not looked at, see {code}").format(code=f"servers.ssh.unreachable@{observation.subject}")
    assert observation.failure is not None
    about = context.about(observation.subject, server=observation.server)
    return about.skipped(f"{detail} ({describe(observation.failure)})")


def _middle(facts: ServerFacts) -> float:
    return (facts.clock_low + facts.clock_high) / 2


def _rounded(offsets: dict[str, float]) -> dict[str, float]:
    return {name: round(offset, 3) for name, offset in offsets.items()}
