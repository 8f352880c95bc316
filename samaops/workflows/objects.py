"""Put objects back: compare the storage with what was kept, then plan."""

from __future__ import annotations

from samaops.changes import verbs
from samaops.changes.objects.copying import configured
from samaops.changes.objects.restoring import RUNS, Part, chosen
from samaops.changes.readings import UnreadableError, facts_in
from samaops.changes.run.objects.copying import new_id
from samaops.changes.run.objects.restoring import differences
from samaops.clients.errors import ClientError
from samaops.errors import UnavailableError
from samaops.facts.objects import ObjectCopyFacts, ObjectDifferences
from samaops.facts.observation import Observation
from samaops.i18n import _
from samaops.model.plan import Plan
from samaops.site.site import Site
from samaops.workflows import change


def prepare_restore(site: Site, as_of: str, bucket: str, prefix: str) -> Plan:
    """Plan that objects are put back as of a run or a day.

    Raises as ``change.prepare_verb``, UnavailableError where the storage or the copy could not be read.
    """
    configured(site)
    snapshot = change.LiveWorld(site).look(RUNS)
    try:
        run = chosen(facts_in(snapshot, ObjectCopyFacts).runs, as_of)
        seen = differences(site, run.id, run.started_at, Part(bucket, prefix), new_id())
    except (UnreadableError, ClientError) as error:
        reason = f"{error.stage}: {error.message}" if isinstance(error, ClientError) else str(error)
        text = _("Could not look at what the change needs to know: {reason}")
        raise UnavailableError(text.format(reason=reason)) from error
    observation = Observation("backup", "backup/objects", None, ObjectDifferences.__name__, seen)
    return change.prepare_verb(
        site, verbs.find("restore objects"), (as_of, bucket, prefix), recalled=(observation,)
    )
