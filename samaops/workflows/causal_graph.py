"""Show the causal graph as the code has it, and explain one cause of it. Nothing is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache

from samaops.causes.effects import Effect, Effects, OfSite
from samaops.causes.graph import DECLARATIONS
from samaops.causes.root import Declaration
from samaops.causes.unknown import UNKNOWN_FAULT
from samaops.causes.view import OUTAGE, Trigger, View
from samaops.checks.registry import rules
from samaops.config import keys, playbooks
from samaops.config.settings import Settings
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.model.causal_graph import CausalGraph, CauseDescription, CauseNode, Produced, Shown
from samaops.model.cause import Fix
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.model.status import Status
from samaops.site import chosen
from samaops.site.site import Site
from samaops.workflows.troubleshooting.guide import guide_of

# What a finding may hold that a cause asks for, to see which fixes it has: names in capitals for what is not known.
_NAMES = {
    "pid": "PID",
    "root_pid": "PID",
    "slot": "SLOT",
    "path": "/PATH",
    "mount": "/MOUNT",
    "policy": "POLICY",
}
_EVIDENCE: tuple[dict[str, object], ...] = (
    {"exit_code": 1, "limits": ("max-length",), "consumed": ()},
    {"exit_code": 0, "dominant_prefix": "celery-task-meta-", "reason": "MISCONF"},
    {"stage": "slot"},
    {"stage": "login"},
    {"issuer_name": "WR2", "expected_issuers": ("WR2",)},
)


def graph() -> CausalGraph:
    """Return every cause and what explains what."""
    groups = _groups()
    below = _below()
    edges = [
        (key, other)
        for key, explained in below.items()
        for other in explained
        if not any(other in below[between] for between in explained)
    ]
    return CausalGraph(tuple(_node(key, group) for key, group in groups.items()), tuple(edges))


def causes() -> tuple[str, ...]:
    """Return the ids of all causes."""
    return tuple(dict.fromkeys(cause for declared in DECLARATIONS for cause in declared.ids))


def describe(cause: str, site: Site | None = None) -> CauseDescription:
    """Return one cause; raise UsageError that names the nearest ones, and checks, when there is none."""
    known = causes()
    if cause == UNKNOWN_FAULT:
        text = _(
            "Something is critical, and no cause that samaops knows explains it: its area is narrowed down"
        )
        return CauseDescription(cause, text, (), (), (), (), ())
    if cause not in known:
        codes = tuple(rule.code for rule in rules())
        below = [code for code in codes if code.startswith(cause + ".")]
        meant = below or keys.nearest_few(cause, (*known, *codes))
        raise UsageError(
            _("There is no cause {cause!r}").format(cause=cause),
            hint="; ".join(chosen.same(f"samaops explain {name}") for name in meant[:5])
            or "samaops explain --graph",
        )
    site = site or Site(Settings())
    groups = _groups()
    own = {key: group for key, group in groups.items() if cause in group[0].ids}
    explained = _below()
    above = [key for key in groups if set(explained[key]) & set(own)]
    return CauseDescription(
        id=cause,
        meaning=_meaning(cause, site),
        ways=tuple(_node(key, group) for key, group in own.items()),
        explains=_ids((other for key in own for other in explained[key]), groups, cause),
        explained_by=_ids(above, groups, cause),
        distinguished_from=tuple(
            dict.fromkeys(
                other
                for group in own.values()
                for declared in group
                for other in declared.distinguished_from
                if other != cause
            )
        ),
        fixes=tuple(_fixes(cause, site)),
    )


_Groups = dict[str, list[Declaration]]


@cache
def _below() -> dict[str, tuple[str, ...]]:
    """Return by its key which others each cause explains: every declaration against every other."""
    groups = _groups()
    return {key: _explained(key, groups) for key in groups}


@cache
def _groups() -> _Groups:
    """Return the declarations by a key: those of the same causes and rank are one node."""
    groups: _Groups = {}
    for declared in DECLARATIONS:
        groups.setdefault(f"{declared.ids[0]}@{declared.rank.name.lower()}", []).append(declared)
    return groups


def _ids(keys_of: Iterable[str], groups: _Groups, cause: str) -> tuple[str, ...]:
    names = dict.fromkeys(name for key in keys_of for name in groups[key][0].ids)
    return tuple(name for name in names if name != cause)


def _explained(key: str, groups: _Groups) -> tuple[str, ...]:
    """Return the nodes after this one of which it produces what shows them, and not only in part."""
    order = list(groups)
    effects = [effect for declared in groups[key] for effect in _shown_effects(declared) if not effect.when]
    return tuple(
        other
        for other in order[order.index(key) + 1 :]
        if any(
            any(_may_be(effect.pattern, trigger.pattern) for effect in effects)
            for declared in groups[other]
            for trigger in declared.on.triggers
        )
    )


def _may_be(effect: str, trigger: str) -> bool:
    return fnmatchcase(trigger, effect) or fnmatchcase(effect, trigger)


def _shown_effects(declared: Declaration) -> Effects:
    return declared.effects.shown if isinstance(declared.effects, OfSite) else declared.effects


def _node(key: str, group: list[Declaration]) -> CauseNode:
    triggers = [trigger for declared in group for trigger in declared.on.triggers]
    first = group[0]
    return CauseNode(
        key=key,
        ids=first.ids,
        rank=first.rank.name.lower(),
        runbook=first.runbook,
        shown_by=tuple(_shown(trigger) for trigger in triggers),
        produces=tuple(_produced(effect for declared in group for effect in _shown_effects(declared))),
    )


def _shown(trigger: Trigger) -> Shown:
    titles = {rule.code: rule.title for rule in rules()}
    title = titles.get(trigger.pattern, "")
    kinds = () if trigger.kinds == OUTAGE else trigger.kinds
    return Shown(trigger.pattern, _(title) if title else "", kinds)


def _produced(effects: Iterable[Effect]) -> Iterator[Produced]:
    """Yield the effects of each place together; a pattern that a wider one of the same place holds is left out."""
    places: dict[tuple[str, bool], list[str]] = {}
    for effect in effects:
        place = effect.subject or effect.server or ""
        places.setdefault((place, effect.when is not None), []).append(effect.pattern)
    for (place, is_partial), patterns in places.items():
        unique = list(dict.fromkeys(patterns))
        wide = [
            pattern
            for pattern in unique
            if not any(fnmatchcase(pattern, other) for other in unique if other != pattern)
        ]
        yield Produced(tuple(wide), place, is_partial)


def _meaning(cause: str, site: Site) -> str:
    for playbook in playbooks.all_of(site.settings).values():
        if cause in playbook.causes and playbook.causes[cause].meaning:
            return str(playbook.causes[cause].meaning)
    return ""


def _fixes(cause: str, site: Site) -> Iterator[Fix]:
    """Yield the fixes of the playbooks; where they have none, those that the cause has for an example of a finding."""
    has_any = False
    for playbook in playbooks.all_of(site.settings).values():
        if cause in playbook.causes:
            guide = guide_of(playbook, site)
            names = playbook.causes[cause].fixes
            for fix in guide.fixes:
                if fix.id in names:
                    has_any = True
                    yield Fix(fix.id, Risk(fix.risk), fix.title, (fix.command,))
    if not has_any:
        yield from _of_examples(cause, site)


def _of_examples(cause: str, site: Site) -> Iterator[Fix]:
    seen: set[str] = set()
    for declared in DECLARATIONS:
        for finding in _examples(declared, site) if cause in declared.ids else ():
            for candidate in declared.candidates(View((finding, *_company(finding)), site)):
                for fix in candidate.root.fixes if candidate.id == cause else ():
                    if fix.id not in seen:
                        seen.add(fix.id)
                        yield fix


def _examples(declared: Declaration, site: Site) -> Iterator[Finding]:
    codes = tuple(rule.code for rule in rules())
    for trigger in declared.on.triggers:
        for code in (code for code in codes if fnmatchcase(code, trigger.pattern)):
            subject, server = _example_subject(code.partition(".")[0], site)
            for kind in trigger.kinds or (None,):
                for evidence in _EVIDENCE:
                    known = {**_NAMES, **evidence, **({"kind": kind} if kind else {})}
                    yield Finding(code, trigger.statuses[-1], subject, code, server=server, evidence=known)


def _company(finding: Finding) -> tuple[Finding, ...]:
    """Return what some causes must see beside their finding: a server that answers, and whose disk is full."""
    if finding.server is None:
        return ()
    subject = f"servers/{finding.server}"
    return (
        Finding("servers.ssh.unreachable", Status.OK, subject, "", server=finding.server),
        Finding("servers.disk.full", Status.CRITICAL, subject, "", server=finding.server, evidence=_NAMES),
    )


def _example_subject(system: str, site: Site) -> tuple[str, str | None]:
    """Return the subject of an example: of the first service of the system that is configured."""
    services = site.services()
    if system == "docker":
        inside = next((service for service in services if service.container), None)
        return f"docker/{inside.container if inside else 'CONTAINER'}", inside.server if inside else "SERVER"
    placed = next((service for service in services if service.system == system), None)
    return f"{system}/{placed.name if placed else 'NAME'}", placed.server if placed else "SERVER"
