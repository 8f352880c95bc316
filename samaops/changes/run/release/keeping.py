"""Keep a release on a server, let it go, make a container of it."""

from __future__ import annotations

import shlex
import time
from datetime import datetime, timezone

from msgspec import convert, json

from samaops.changes.release.keeping import DROP, KEEP, SEEN, Keeping
from samaops.changes.release.rolling import BAKE, RECREATE, Baking, Recreating
from samaops.changes.run import docker as restarting
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.release_keeper import Composed, Kept, ReleaseKeeper
from samaops.clients.shell import Shell
from samaops.clients.shells import ShellPool
from samaops.collect import engine, registry
from samaops.collect.release import migrations
from samaops.facts.api import ApiFacts
from samaops.facts.release import Recorded, keep_tag, short
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import on_server
from samaops.site.site import Site

_INSPECT = (
    '{{.Created}}|{{index .Config.Labels "org.opencontainers.image.version"}}|'
    '{{index .Config.Labels "org.opencontainers.image.revision"}}|'
    '{{index .Config.Labels "org.opencontainers.image.created"}}'
)
_SHORT_SECONDS = 20.0


def _kept(keeping: Keeping, site: Site) -> Kept:
    return Kept(keeping.image, keeping.repository, site.settings.release.directory)


def _keep_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    keeping = convert(operation.arguments, Keeping)
    kept = _kept(keeping, site)
    tag = keep_tag(keeping.repository, keeping.image)
    place = site.settings.release.migrations
    read = [f"docker cp {kept.holder}:{shlex.quote(place)} -"] if place else []
    lines = [
        f"docker tag {short(keeping.image)} {tag}",
        f"docker create --name {kept.holder} --network none {tag} true",
        *read,
        f"docker save {tag} | gzip -1 > {shlex.quote(kept.file)}",
    ]
    return tuple(on_server(site, operation.server, line) for line in lines)


@runs(KEEP, lines=_keep_lines)
def keep(operation: Operation, site: Site) -> Outcome:
    """Name and hold an image, read its revisions, write its record and its file. Raises ClientError."""
    keeping = convert(operation.arguments, Keeping)
    kept, rules = _kept(keeping, site), site.settings.release
    shells = ShellPool(site.settings)
    try:
        shell = shells.of(str(operation.server))
        keeper = ReleaseKeeper(shell)
        progress.tell(_("reading the revisions of {image}").format(image=kept.tag))
        archive = keeper.hold(kept, rules.migrations, migrations.MOST_BYTES, operation.timeout_seconds)
        record = _record(keeping, shell, archive)
        progress.tell(_("writing {file}").format(file=kept.file))
        keeper.write(
            kept, json.encode(record) + b"\n", operation.timeout_seconds, runs=bool(keeping.containers)
        )
    finally:
        shells.close()
    return Outcome(True)


def _record(keeping: Keeping, shell: Shell, archive: bytes | None) -> Recorded:
    """Return what is to be written of a release. Raises ClientError."""
    command = f"docker image inspect --format {shlex.quote(_INSPECT)} {keeping.image}"
    done = shell.run(f"{command} 2>/dev/null || sudo -n -- {command}", _SHORT_SECONDS)
    built, version, source, labelled = (*done.stdout.strip().split("|"), "", "", "", "")[:4]
    if done.exit_code:
        raise ClientError(FailureKind.ERROR, done.reason(), "docker image inspect")
    try:
        found = None if archive is None else migrations.read(archive)
    except ValueError as error:
        text = _("its migrations cannot be read: {reason}").format(reason=error)
        raise ClientError(FailureKind.GARBAGE, text, "migrations") from error
    digest = ""
    if keeping.files:
        files = shlex.join(keeping.files)
        place = shlex.quote(keeping.directory or "/")
        digest = shell.run(f"cd {place} && cat -- {files} | sha256sum", _SHORT_SECONDS).stdout.partition(" ")[
            0
        ]
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Recorded(
        image=keeping.image,
        repository=keeping.repository,
        version=version,
        built_at=labelled or built,
        source=source,
        recorded_at=now,
        compose=digest,
        containers=keeping.containers,
        migrations=found,
        name=keeping.name,
    )


def _drop_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    kept = _kept(convert(operation.arguments, Keeping), site)
    place = shlex.quote(f"{kept.directory}/{kept.name}")
    lines = (f"docker rm {kept.holder}", f"docker rmi {kept.tag}", f"rm -f {place}.tar {place}.json")
    return tuple(on_server(site, operation.server, line) for line in lines)


@runs(DROP, lines=_drop_lines)
def drop(operation: Operation, site: Site) -> Outcome:
    """Keep a release no longer. Raises ClientError."""
    kept = _kept(convert(operation.arguments, Keeping), site)
    shells = ShellPool(site.settings)
    try:
        ReleaseKeeper(shells.of(str(operation.server))).drop(kept, operation.timeout_seconds)
    finally:
        shells.close()
    return Outcome(True)


def _seen_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    kept = _kept(convert(operation.arguments, Keeping), site)
    line = f"touch -c {shlex.quote(f'{kept.directory}/{kept.name}.json')}"
    return (on_server(site, operation.server, line),)


@runs(SEEN, lines=_seen_lines)
def seen(operation: Operation, site: Site) -> Outcome:
    """Note that a release runs now. Raises ClientError."""
    kept = _kept(convert(operation.arguments, Keeping), site)
    shells = ShellPool(site.settings)
    try:
        ReleaseKeeper(shells.of(str(operation.server))).seen((kept,), operation.timeout_seconds)
    finally:
        shells.close()
    return Outcome(True)


def _recreate_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Recreating)
    files = " ".join(f"-f {shlex.quote(name)}" for name in of.files)
    image = _("# with the image {tag} for {service}:").format(
        service=of.service, tag=keep_tag(of.repository, of.image)
    )
    words = f"-p {shlex.quote(of.project)} {files} up -d --no-deps --force-recreate -t {of.stop_seconds}"
    line = f"cd {shlex.quote(of.directory)}; docker compose {words} {shlex.quote(of.service)}"
    return (image, on_server(site, operation.server, line))


@runs(RECREATE, lines=_recreate_lines)
def recreate(operation: Operation, site: Site) -> Outcome:
    """Replace a container by one of a release; what is begun goes on also when we are gone. Raises ClientError."""
    of = convert(operation.arguments, Recreating)
    kept = Kept(of.image, of.repository, site.settings.release.directory)
    if any(service.system == "api" for service in site.services_in(of.container)):
        try:
            restarting.keep_first(site, str(operation.server), of.container)
        except restarting.UnkeptError as error:
            return Outcome(False, str(error), is_seen=True)
    shells = ShellPool(site.settings)
    progress.tell(_("replacing {name}").format(name=of.container))
    try:
        ReleaseKeeper(shells.of(str(operation.server))).recreate(
            kept,
            Composed(of.project, of.directory, of.files, of.service),
            of.stop_seconds,
            operation.timeout_seconds,
        )
    finally:
        shells.close()
    return Outcome(True)


def _bake_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Baking)
    member = site.member(of.member)
    url = f"{member.url}{site.settings.api.health_path}" if member and site.settings.api else of.member
    return (_("# for {seconds:g} s, each second: curl {url}").format(seconds=of.seconds, url=url),)


@runs(BAKE, lines=_bake_lines)
def bake(operation: Operation, site: Site) -> Outcome:
    """Look at a member each second; the first look that finds it not serving fails it."""
    of = convert(operation.arguments, Baking)
    expected, asked = site.healthy_status(), 0
    mine = [each for each in registry.collectors_of("api", site) if each.subject == f"api/{of.member}"]
    ends_at = time.monotonic() + of.seconds
    while True:
        progress.tell(
            _("{member} has {seconds:.0f} s more to serve").format(
                member=of.member, seconds=max(0.0, ends_at - time.monotonic())
            )
        )
        snapshot = engine.observe(mine, site, Selection(only=("api",)), _SHORT_SECONDS)
        asked += 1
        if not any(facts.answer.serves(expected) for _seen, facts in snapshot.facts_of(ApiFacts)):
            text = _("{member} did not serve when it was asked for the {count}. time")
            return Outcome(False, text.format(member=of.member, count=asked))
        if time.monotonic() >= ends_at:
            return Outcome(True)
        time.sleep(1.0)
