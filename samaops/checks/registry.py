"""How a check is registered, and what it is given to judge with.

A check is a small pure function ``(facts, context) -> findings``. It opens nothing. Its limits stand beside it and
may be overridden in ``[thresholds]``; what people read of it stands in ``playbooks/checks/<system>.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from samaops.checks import texts
from samaops.facts.observation import Snapshot
from samaops.facts.systems import SYSTEMS
from samaops.i18n import _
from samaops.model.finding import NO_EVIDENCE, Finding, Value
from samaops.model.status import Status
from samaops.site.commands import on_server
from samaops.site.site import Site

FactsT = TypeVar("FactsT")
RowT = TypeVar("RowT")
Evidence = Mapping[str, Any]
Judgement = Callable[[FactsT, "Context"], Iterable[Finding]]


class Rule(Struct, frozen=True):
    """One check: its code, what it judges, and its limits.

    ``facts`` is the type it judges; Snapshot means once for the whole run. ``needs`` names the parts of the
    facts without which it cannot look. ``access`` marks the one check per facts type that speaks when the
    whole observation failed, ``less_is_worse`` one whose limits are lower ones.
    """

    code: str
    facts: type
    judge: Judgement[Any]
    warning: float | None = None
    critical: float | None = None
    unit: str | None = None
    needs: tuple[str, ...] = ()
    access: bool = False
    less_is_worse: bool = False

    @property
    def system(self) -> str:
        """The first word of the code."""
        return self.code.partition(".")[0]

    @property
    def title(self) -> str:
        """What it looks whether, in the language in use."""
        return str(texts.of(self.code).title)


_rules: dict[str, Rule] = {}


def _register(rule: Rule) -> None:
    if rule.code in _rules:
        raise ValueError(f"two checks with the code {rule.code}")
    _rules[rule.code] = rule


def check(
    code: str,
    facts: type[FactsT],
    *,
    needs: tuple[str, ...] = (),
    warning: float | None = None,
    critical: float | None = None,
    unit: str | None = None,
    less_is_worse: bool = False,
) -> Callable[[Judgement[FactsT]], Judgement[FactsT]]:
    """Register the decorated function as a check of these facts."""

    def register(judge: Judgement[FactsT]) -> Judgement[FactsT]:
        _register(Rule(code, facts, judge, warning, critical, unit, needs, less_is_worse=less_is_worse))
        return judge

    return register


def access_check(
    code: str,
    facts: type[FactsT],
    *,
    warning: float | None = None,
    unit: str | None = None,
    less_is_worse: bool = False,
) -> Callable[[Judgement[FactsT]], Judgement[FactsT]]:
    """Register the decorated function as the check that speaks when facts of this type could not be observed."""

    def register(judge: Judgement[FactsT]) -> Judgement[FactsT]:
        _register(Rule(code, facts, judge, warning, unit=unit, access=True, less_is_worse=less_is_worse))
        return judge

    return register


def access(
    code: str,
    facts: type[FactsT],
    *,
    title: Callable[[FactsT], str],
    value: Callable[[FactsT], Value] = lambda _facts: None,
    evidence: Callable[[FactsT], Evidence] = lambda _facts: NO_EVIDENCE,
) -> None:
    """Register the access check of facts that are well when they could be observed: it then says ``title``."""

    def answers(seen: FactsT, context: Context) -> Iterator[Finding]:
        yield context.ok(title(seen), value=value(seen), evidence=evidence(seen))

    _register(Rule(code, facts, answers, access=True))


def rules(systems: Iterable[str] = SYSTEMS) -> tuple[Rule, ...]:
    """Return all rules of some systems, importing their modules."""
    wanted = tuple(systems)
    for system in wanted:
        import_module(f"samaops.checks.{system}")
    chosen = (rule for rule in _rules.values() if rule.system in wanted)
    return tuple(sorted(chosen, key=lambda rule: (wanted.index(rule.system), not rule.access)))


class Context(Struct, frozen=True):
    """What a check may know besides the facts, and what its findings are about.

    ``subject`` and ``server`` are those of the observation, or of the part of it that ``about`` names.
    """

    rule: Rule
    site: Site
    snapshot: Snapshot
    subject: str
    server: str | None = None
    warning: float | None = None
    critical: float | None = None
    unit: str | None = None

    def about(
        self,
        subject: str | None = None,
        *,
        server: str | None = None,
        unit: str | None = None,
        warning: float | None = None,
    ) -> Context:
        """Return the context for one part of what is judged: a queue, a container, a disk."""
        return replace(
            self,
            subject=subject or self.subject,
            server=server or self.server,
            unit=unit or self.unit,
            warning=self.warning if warning is None else warning,
        )

    def on_server(self, command: str) -> str:
        """Return the command line that runs ``command`` on the server of what is judged."""
        return on_server(self.site, self.server, command)

    def finding(
        self,
        status: Status,
        title: str,
        *,
        value: Value = None,
        detail: str = "",
        evidence: Evidence = NO_EVIDENCE,
        hint: str | None = None,
    ) -> Finding:
        """Make a finding of this rule. Where there is something to do, the hint is at least its explanation."""
        is_well = status in (Status.OK, Status.SKIPPED)
        return Finding(
            code=self.rule.code,
            status=status,
            subject=self.subject,
            title=title,
            server=self.server,
            detail=detail,
            value=value,
            unit=None if value is None else self.unit,
            warning=self.warning,
            critical=self.critical,
            evidence=evidence,
            hint=None if is_well else hint or f"samaops explain {self.rule.code}",
        )

    def ok(
        self, title: str, *, value: Value = None, detail: str = "", evidence: Evidence = NO_EVIDENCE
    ) -> Finding:
        """Make an ok finding."""
        return self.finding(Status.OK, title, value=value, detail=detail, evidence=evidence)

    def warn(
        self,
        title: str,
        *,
        value: Value = None,
        detail: str = "",
        evidence: Evidence = NO_EVIDENCE,
        hint: str | None = None,
    ) -> Finding:
        """Make a warning."""
        return self.finding(Status.WARNING, title, value=value, detail=detail, evidence=evidence, hint=hint)

    def crit(
        self,
        title: str,
        *,
        value: Value = None,
        detail: str = "",
        evidence: Evidence = NO_EVIDENCE,
        hint: str | None = None,
    ) -> Finding:
        """Make a critical finding."""
        return self.finding(Status.CRITICAL, title, value=value, detail=detail, evidence=evidence, hint=hint)

    def unknown(
        self,
        title: str,
        *,
        value: Value = None,
        detail: str = "",
        evidence: Evidence = NO_EVIDENCE,
        hint: str | None = None,
    ) -> Finding:
        """Make a finding that says we could not look."""
        return self.finding(Status.UNKNOWN, title, value=value, detail=detail, evidence=evidence, hint=hint)

    def not_given(self, *names: str, why: str = "") -> Finding:
        """Make a finding that says that the system did not give what is judged: unknown, never 0, false or ok."""
        title = _("{title}: could not look").format(title=self.rule.title)
        detail = _("the answer has no {names}").format(names=", ".join(names))
        return self.unknown(
            title, detail=f"{detail}: {why}" if why else detail, evidence={"absent": list(names)}
        )

    def skipped(self, reason: str) -> Finding:
        """Make a finding that says why there was nothing to judge."""
        title = _("{title}: not judged").format(title=self.rule.title)
        return self.finding(Status.SKIPPED, title, detail=reason)

    def above(
        self,
        value: float,
        title: str,
        *,
        detail: str = "",
        evidence: Evidence = NO_EVIDENCE,
        hint: str | None = None,
    ) -> Finding:
        """Judge a value of which more is worse: at the limit counts as over it."""
        status = self.status_above(value)
        return self.finding(status, title, value=value, detail=detail, evidence=evidence, hint=hint)

    def below(
        self,
        value: float,
        title: str,
        *,
        detail: str = "",
        evidence: Evidence = NO_EVIDENCE,
        hint: str | None = None,
    ) -> Finding:
        """Judge a value of which less is worse: at the limit is still good."""
        status = self.status_below(value)
        return self.finding(status, title, value=value, detail=detail, evidence=evidence, hint=hint)

    def worst(
        self,
        rows: Iterable[RowT],
        *,
        by: Callable[[RowT], float],
        title: Callable[[RowT], str],
        evidence: Callable[[list[RowT]], Evidence],
        none: str,
        hint: str | None = None,
    ) -> Finding:
        """Judge the row with the most ``by``; all rows, the worst first, give the evidence.

        Without any row ``none`` is the title of an ok finding.
        """
        ranked = sorted(rows, key=by, reverse=True)
        if not ranked:
            return self.ok(none, value=0)
        return self.above(by(ranked[0]), title(ranked[0]), evidence=evidence(ranked), hint=hint)

    def status_above(self, value: float) -> Status:
        """Return what a value of which more is worse means for the status."""
        return self._status(lambda limit: value >= limit)

    def status_below(self, value: float) -> Status:
        """Return what a value of which less is worse means for the status."""
        return self._status(lambda limit: value < limit)

    def _status(self, is_past: Callable[[float], bool]) -> Status:
        if self.critical is not None and is_past(self.critical):
            return Status.CRITICAL
        if self.warning is not None and is_past(self.warning):
            return Status.WARNING
        return Status.OK
