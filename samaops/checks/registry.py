"""How a check is registered, and what it is given to judge with.

A check is a small pure function ``(facts, context) -> findings``. It opens nothing. Its limits stand beside
it and may be overridden in ``[thresholds]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from msgspec import Struct

from samaops.facts.observation import Observation, Snapshot
from samaops.facts.systems import SYSTEMS
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site

Judgement = Callable[[Any, "Context"], Iterable[Finding]]


class Explanation(Struct, frozen=True):
    """What ``samaops explain CODE`` says. Texts are marked with N_; commands are not translated."""

    meaning: str
    confirm: tuple[str, ...]
    fix: str
    avoid: str = ""


class Rule(Struct, frozen=True):
    """One check: its code, what it judges, and its limits.

    ``facts`` is the type it judges; Snapshot means once for the whole run. ``needs`` names the parts of the
    facts without which it cannot look. ``access`` marks the one check per facts type that speaks when the
    whole observation failed.
    """

    code: str
    title: str
    facts: type
    judge: Judgement
    explanation: Explanation
    warning: float | None = None
    critical: float | None = None
    unit: str | None = None
    needs: tuple[str, ...] = ()
    access: bool = False

    @property
    def system(self) -> str:
        """The first word of the code."""
        return self.code.partition(".")[0]


_rules: dict[str, Rule] = {}


def check(
    code: str, *, title: str, facts: type, explain: Explanation, **options: Any
) -> Callable[[Judgement], Judgement]:
    """Register the decorated function as a check; options are the further fields of Rule."""

    def register(judge: Judgement) -> Judgement:
        if code in _rules:
            raise ValueError(f"two checks with the code {code}")
        _rules[code] = Rule(code, title, facts, judge, explain, **options)
        return judge

    return register


def rules(systems: Iterable[str] = SYSTEMS) -> tuple[Rule, ...]:
    """Return all rules of some systems, importing their modules."""
    wanted = tuple(systems)
    for system in wanted:
        import_module(f"samaops.checks.{system}")
    chosen = (rule for rule in _rules.values() if rule.system in wanted)
    return tuple(sorted(chosen, key=lambda rule: (wanted.index(rule.system), not rule.access)))


class Context(Struct, frozen=True):
    """What a check may know besides the facts: settings, limits, and all else that was observed."""

    rule: Rule
    site: Site
    snapshot: Snapshot
    observation: Observation | None = None
    warning: float | None = None
    critical: float | None = None

    @property
    def subject(self) -> str:
        """The subject of the observation that is judged."""
        return self.observation.subject if self.observation else f"{self.rule.system}/all"

    def finding(self, status: Status, title: str, **fields: Any) -> Finding:
        """Make a finding of this rule; subject, server, limits and hint are filled in when not given."""
        fields.setdefault("subject", self.subject)
        fields.setdefault("server", self.observation.server if self.observation else None)
        fields.setdefault("warning", self.warning)
        fields.setdefault("critical", self.critical)
        if fields.get("value") is not None:
            fields.setdefault("unit", self.rule.unit)
        if status in (Status.OK, Status.SKIPPED):
            fields["hint"] = None  # nothing to do: above() and below() are given one before they judge
        else:
            fields.setdefault("hint", f"samaops explain {self.rule.code}")
        return Finding(code=self.rule.code, status=status, title=title, **fields)

    def ok(self, title: str, **fields: Any) -> Finding:
        """Make an ok finding."""
        return self.finding(Status.OK, title, **fields)

    def warn(self, title: str, **fields: Any) -> Finding:
        """Make a warning."""
        return self.finding(Status.WARNING, title, **fields)

    def crit(self, title: str, **fields: Any) -> Finding:
        """Make a critical finding."""
        return self.finding(Status.CRITICAL, title, **fields)

    def unknown(self, title: str, **fields: Any) -> Finding:
        """Make a finding that says we could not look."""
        return self.finding(Status.UNKNOWN, title, **fields)

    def above(self, value: float, title: str, **fields: Any) -> Finding:
        """Judge a value of which more is worse: at the limit counts as over it."""
        return self.finding(self._status(lambda limit: value >= limit), title, value=value, **fields)

    def below(self, value: float, title: str, **fields: Any) -> Finding:
        """Judge a value of which less is worse: at the limit is still good."""
        return self.finding(self._status(lambda limit: value < limit), title, value=value, **fields)

    def _status(self, is_past: Callable[[float], bool]) -> Status:
        if self.critical is not None and is_past(self.critical):
            return Status.CRITICAL
        if self.warning is not None and is_past(self.warning):
            return Status.WARNING
        return Status.OK
