"""What is wrong with a site's own playbooks: it costs them alone, and is told with the file or the name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from samaops.changes import verbs
from samaops.config import consistency, playbooks
from samaops.config.playbooks import PlaybookFix
from samaops.errors import UsageError
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.site.site import Site
from samaops.workflows import diagnose, explain


def problems(site: Site) -> Iterator[str]:
    """Yield a sentence for each fault: the files that cannot be used, and what names nothing in the others."""
    yield from playbooks.faults(site.settings)
    for playbook in playbooks.all_of(site.settings).values():
        for look in playbook.looks:
            if fault := fault_of_look(look, site):
                yield _("playbook {id}: {key}: {reason}").format(id=playbook.id, key="looks", reason=fault)
        for name, fix in playbook.fixes.items():
            if fault := fault_of_fix(fix, site):
                key = f"fixes.{name}"
                yield _("playbook {id}: {key}: {reason}").format(id=playbook.id, key=key, reason=fault)


def fault_of_look(look: str, site: Site) -> str:
    """Return why something cannot be looked at, "" when it can."""
    selection = Selection(only=(look,))
    try:
        explain.require_known(selection)
        diagnose.require_possible(site, selection)
    except UsageError as error:
        return error.message
    return ""


def fault_of_fix(fix: PlaybookFix, site: Site) -> str:
    """Return why a fix cannot be made whatever is found, "" when it can."""
    if fix.verb is not None:
        if fix.verb not in verbs.names():
            return consistency.not_one_of(fix.verb, verbs.names())
        try:
            inspect.signature(verbs.find(fix.verb).planner).bind(None, None, *fix.arguments)
        except TypeError:
            return _("{verb} does not take {count} arguments").format(verb=fix.verb, count=len(fix.arguments))
    if fix.server and "{" not in fix.server and fix.server not in site.settings.servers:
        return consistency.not_a_server(fix.server, site.settings)
    return ""
