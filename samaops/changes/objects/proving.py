"""See that the objects of a run lie in the copy as they were kept."""

from __future__ import annotations

from msgspec import Struct, to_builtins

from samaops.changes.objects.copying import configured
from samaops.changes.readings import facts_in
from samaops.facts.objects import WHOLE, ObjectCopyFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Risk, Step
from samaops.model.quantities import size
from samaops.site.site import Site

VERIFY = "objects.verify"


class Proving(Struct, frozen=True):
    """The run whose objects are read."""

    run: str


def step(snapshot: Snapshot, site: Site, run: str) -> Step | None:
    """Return the step that reads all objects of a run, None where it has none. Raises UnreadableError."""
    backup, _objects = configured(site)
    copied = facts_in(snapshot, ObjectCopyFacts)
    found = next((each for each in copied.runs if each.id == run and each.state == WHOLE), None)
    if found is None:
        return None
    title = _("Check the sums of the {count} objects of {run} ({size})")
    return Step(
        VERIFY,
        title.format(count=found.objects, run=run, size=size(found.bytes)),
        Risk.SAFE,
        operation=Operation(VERIFY, to_builtins(Proving(run)), backup.server, backup.timeout),
        before=(),
        after=(),
        no_undo=_("nothing is changed by it"),
        servers=(),
        about=f"backup/{run}",
    )
