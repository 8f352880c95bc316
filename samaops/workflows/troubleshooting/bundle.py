"""What was seen for a symptom, and what the containers concerned show, in one file for others to read."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from samaops.collect import engine, store
from samaops.collect.docker import evidence
from samaops.facts.docker import EvidenceFacts
from samaops.facts.selection import Selection
from samaops.i18n import _, joined
from samaops.journal import well
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows.troubleshooting import names
from samaops.workflows.troubleshooting.troubleshoot import Diagnosis

# Of the containers that the causes are about: more would not be seen in the time that there is.
_MOST_CONTAINERS = 6
_EVIDENCE = "docker.evidence"


def write(path: Path, site: Site, diagnosis: Diagnosis) -> str:
    """Write the bundle, and say in a sentence what it holds. Raises UsageError where the file cannot be written."""
    concerned = _concerned(site, diagnosis)
    selection = Selection(only=("docker", _EVIDENCE))
    collectors = evidence.collectors(site, concerned)
    kept = engine.observe(collectors, site, selection, evidence.MOST_SECONDS)
    kept = redaction.redacted(kept, site)
    snapshot = replace(
        diagnosis.snapshot, observations=(*diagnosis.snapshot.observations, *kept.observations)
    )
    only = diagnosis.playbook.looks
    store.save(path, snapshot, site, Selection(only=(*only, _EVIDENCE) if only else ()), well.load(site.name))
    seen = [facts for _observation, facts in kept.facts_of(EvidenceFacts)]
    if not seen:
        return _("{path} holds what was seen").format(path=path)
    text = _("{path} holds what was seen, and what {names} showed").format(
        path=path, names=joined(facts.name for facts in seen)
    )
    unseen = sorted({part.name for facts in seen for part in facts.parts if part.failure})
    return _("{text}; not seen: {parts}").format(text=text, parts=joined(unseen)) if unseen else text


def _concerned(site: Site, diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    """Return server and name of each container that a cause is about; of the API's members where there is no cause."""
    servers = {name: server for server, known in site.containers().items() for name in known}
    if not site.settings.docker:
        return ()
    causes = diagnosis.report.causes
    wanted = [names.of_subject(cause, site).get("container") for cause in causes]
    if not causes:
        wanted = [member.container for member in site.members()]
    chosen = dict.fromkeys(name for name in wanted if name in servers)
    return tuple((servers[name], name) for name in chosen if name is not None)[:_MOST_CONTAINERS]
