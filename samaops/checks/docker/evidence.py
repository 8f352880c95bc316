"""Judge what was kept of a container before a restart: that it is there, what it does not hold, who waits to be accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from samaops.checks.registry import Context, access_check
from samaops.facts.docker import EvidenceFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding


# More than this waits only where nobody accepts: a loop that turns takes all that there is at each turn.
@access_check("docker.evidence.backlog", EvidenceFacts, warning=1, unit="connections")
def backlog(evidence: EvidenceFacts, context: Context) -> Iterator[Finding]:
    about = context.about(f"docker/{evidence.name}")
    unseen = {part.name: part.failure for part in evidence.parts if part.failure}
    shown = {
        "taken_at": evidence.taken_at,
        "seen": list(evidence.seen),
        "not_seen": unseen,
        "waiting": dict(evidence.waiting),
    }
    if "sockets" in unseen:
        title = _("Who waits to be accepted by {name} was not seen: {reason}")
        yield about.skipped(title.format(name=evidence.name, reason=unseen["sockets"]))
        return
    count = sum(_of_member(evidence, context).values())
    title = ngettext(
        "{count} connection waited to be accepted by {name} at {time}",
        "{count} connections waited to be accepted by {name} at {time}",
        count,
    )
    title = title.format(count=count, name=evidence.name, time=evidence.taken_at)
    yield about.above(count, title, evidence=shown)


def _of_member(evidence: EvidenceFacts, context: Context) -> Mapping[str, int]:
    """Return who waits at the port of the member in this container; at all ports where it is none of the API's."""
    urls = [member.url for member in context.site.members() if member.container == evidence.name]
    ports = {str(urlsplit(url).port) for url in urls}
    return {
        address: count
        for address, count in evidence.waiting.items()
        if not ports or address.rpartition(":")[2] in ports
    }
