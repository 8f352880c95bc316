"""Describe the checks: what each finding means, how to confirm it by hand, the least risky fix."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.checks import texts
from samaops.checks.registry import Rule, rules
from samaops.config import keys, playbooks
from samaops.config.settings import Settings
from samaops.errors import UsageError
from samaops.facts.selection import Selection, split
from samaops.facts.systems import SYSTEMS
from samaops.i18n import _, joined
from samaops.model.description import CheckDescription
from samaops.site import chosen
from samaops.site.commands import samaops
from samaops.site.explained import filled_in
from samaops.site.site import Site
from samaops.workflows.troubleshooting.guide import guide_of


def describe(code: str, site: Site | None = None) -> CheckDescription:
    """Return one check by its code, its commands with the addresses of a configuration when one is given.

    Raises UsageError that names the nearest codes.
    """
    system = code.partition(".")[0]
    for rule in rules((system,)) if system in SYSTEMS else ():
        if rule.code == code:
            description = _description(rule)
            commands = tuple(filled_in(site or Site(Settings()), line) for line in description.confirm)
            return replace(description, confirm=commands)
    if ".hop." in code and (hop := _hop(code, site or Site(Settings()))) is not None:
        return hop
    known = tuple(rule.code for rule in rules())
    below = [other for other in known if other.startswith(code + ".")]
    meant = below or keys.nearest_few(code, known)
    raise UsageError(
        _("There is no check {code!r}").format(code=code),
        hint="; ".join(chosen.same(f"samaops explain {other}") for other in meant[:5])
        or "samaops diagnose --list-checks",
    )


def _hop(code: str, site: Site) -> CheckDescription | None:
    """Return a hop of a playbook's way: ``troubleshoot`` makes its finding of a count and of what checks found."""
    name, _dot, wanted = code.partition(".hop.")
    playbook = playbooks.all_of(site.settings).get(name)
    for hop in guide_of(playbook, site).hops if playbook else ():
        if hop.id == wanted:
            return CheckDescription(
                code=code,
                title=hop.title,
                system=name,
                meaning=hop.meaning,
                confirm=hop.commands,
                fix=_("Follow the finding that it comes of; the causes and their fixes: {command}").format(
                    command=samaops(site, f"troubleshoot {name}")
                ),
            )
    return None


def all_checks(selection: Selection) -> tuple[CheckDescription, ...]:
    """Return the selected checks, in the order of the systems."""
    return tuple(_description(rule) for rule in rules() if selection.includes(rule.code))


def require_known(selection: Selection) -> None:
    """Raise UsageError when a name of ``--only`` or ``--skip`` is no system, no check and no group of checks."""
    for name in (*selection.only, *selection.skip):
        asked, server = split(name)
        if not asked and server:  # all of one server
            continue
        system = asked.partition(".")[0]
        known = (
            tuple(rule.code for rule in rules((system,))) if "." in asked and system in SYSTEMS else SYSTEMS
        )
        if not any(code == asked or code.startswith(asked + ".") for code in known):
            text = _("There is no system or check {name!r}").format(name=name)
            raise UsageError(joined((text, _meant(asked, known))), hint="samaops diagnose --list-checks")


def _meant(name: str, known: tuple[str, ...]) -> str:
    meant = keys.nearest(name, known)
    if meant is not None:
        return _("did you mean {meant}?").format(meant=meant)
    return _("known systems: {names}").format(names=", ".join(SYSTEMS))


def _description(rule: Rule) -> CheckDescription:
    text = texts.of(rule.code)
    return CheckDescription(
        code=rule.code,
        title=str(text.title),
        system=rule.system,
        warning=rule.warning,
        critical=rule.critical,
        unit=rule.unit,
        meaning=str(text.meaning),
        confirm=text.confirm,
        fix=str(text.fix),
        avoid=str(text.avoid or ""),
    )
