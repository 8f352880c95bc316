"""A site's own command as a change: planned, asked for, journaled and verified as any other."""

from __future__ import annotations

from collections.abc import Sequence

from samaops.changes.verbs import Verb
from samaops.config.playbooks import PlaybookFix
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Plan, Risk, Step, shell
from samaops.site.site import Site


def _destroyed(fix: PlaybookFix) -> str:
    """Return what is lost by a command that loses data, in the words of its playbook."""
    if fix.risk is not Risk.DESTRUCTIVE:
        return ""
    return str(fix.destroys) if fix.destroys else _("its playbook does not say what")


def verb_of(name: str, fix: PlaybookFix, title: str, target: str, fill: Sequence[str]) -> Verb:
    """Return the verb of a playbook's command. ``fill`` holds its server, command and undo, filled in.

    What it is good for is known only from the finding that asked for it: that must be gone afterwards.
    """
    server, command, undo = fill

    def plan(_snapshot: Snapshot, _site: Site, *arguments: str) -> Plan:
        step = Step(
            id=name,
            title=title,
            risk=fix.risk,
            operation=shell(command, server, fix.timeout),
            before=(),
            after=(),
            undo=shell(undo, server, fix.timeout) if undo else None,
            no_undo=fix.no_undo or "",
            destroys=_destroyed(fix),
            servers=(),
        )
        return Plan(f"troubleshoot {name}", arguments, title, target, (step,))

    return Verb(f"troubleshoot {name}", (), plan)
