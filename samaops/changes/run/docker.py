"""Restart a container, once what it shows is kept: afterwards nobody could learn why it failed."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct, convert

from samaops.changes.docker.restart import EVIDENCE_SECONDS, RESTART, Restarting, evidence_directory
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.changes.run.shell import run_in_shell
from samaops.collect import engine, registry, store
from samaops.collect.docker import evidence
from samaops.errors import SamaopsError, reason_of
from samaops.facts.docker import EvidenceFacts
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.model.plan import Operation, Outcome, shell
from samaops.site import redaction
from samaops.site.commands import on_server
from samaops.site.site import Site

# Of the newest so many restarts.
MOST_FILES = 50
_NAME = re.compile(r"[^\w.-]")


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    return (on_server(site, operation.server, operation.command),)


class Kept(Struct, frozen=True):
    """Where a look was kept, and which parts of it nobody could see."""

    path: Path
    unseen: tuple[str, ...]


class UnkeptError(Exception):
    """What a container shows could not be kept: why, in a sentence."""


@runs(RESTART, lines=_lines)
def restart(operation: Operation, site: Site) -> Outcome:
    """Keep what the container shows, then restart it. Without a file nothing is done. Raises ClientError."""
    of, server = convert(operation.arguments, Restarting), str(operation.server)
    try:
        kept = keep_first(site, server, of.container)
    except UnkeptError as error:
        return Outcome(False, str(error), is_seen=True)
    progress.tell(_("restarting {name}").format(name=of.container))
    outcome = run_in_shell(shell(of.command, server, operation.timeout_seconds - EVIDENCE_SECONDS), site)
    if not outcome.is_ok:
        return outcome
    text = _("what it showed is kept in {path}").format(path=kept.path)
    if kept.unseen:
        unseen = ", ".join(map(evidence.words_of, kept.unseen))
        text = _("{text}; not seen: {parts}").format(text=text, parts=unseen)
    return Outcome(True, text, measured={"evidence": str(kept.path), "not_seen": list(kept.unseen)})


def keep_first(site: Site, server: str, container: str) -> Kept:
    """Keep what a container shows before it is restarted or replaced. Raises UnkeptError: then it stays as it is."""
    progress.tell(_("keeping what {name} shows").format(name=container))
    try:
        snapshot = seen(site, server, container)
        path = keep(site, snapshot, container)
    except (OSError, SamaopsError) as error:
        words = error.message if isinstance(error, SamaopsError) else reason_of(error)
        text = _("what it shows could not be kept, so it stays as it is: {reason}")
        raise UnkeptError(text.format(reason=words)) from error
    parts = (
        part.name
        for _observation, facts in snapshot.facts_of(EvidenceFacts)
        for part in facts.parts
        if part.failure
    )
    return Kept(path, tuple(parts))


def seen(site: Site, server: str, container: str) -> Snapshot:
    """Look at a container, at its engine and at the API, side by side; as long as there is time."""
    collectors = [
        *evidence.collectors(site, ((server, container),)),
        *(each for each in registry.collectors_of("docker", site) if each.server == server),
        *registry.collectors_of("api", site),
    ]
    snapshot = engine.observe(collectors, site, _selection(server), EVIDENCE_SECONDS)
    redacted: Snapshot = redaction.redacted(snapshot, site)
    return redacted


def _selection(server: str) -> Selection:
    return Selection(only=(f"docker@{server}", "api"))


def keep(site: Site, snapshot: Snapshot, container: str) -> Path:
    """Write a look to a file of its own, which `diagnose --from` reads, and remove the oldest. Raises OSError, UsageError."""
    directory = Path(evidence_directory())
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path = directory / f"{stamp}-{_NAME.sub('_', container)}.json"
    server = next((observation.server for observation in snapshot.observations if observation.server), "")
    store.save(path, snapshot, site, _selection(str(server)))
    for old in sorted(directory.glob("*.json"))[:-MOST_FILES]:
        old.unlink(missing_ok=True)
    return path
