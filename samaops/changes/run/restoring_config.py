"""Put a configuration file of a backup in the place of the one that is there, and that one back."""

from __future__ import annotations

import hashlib
import io
import tarfile

from msgspec import convert

from samaops.changes.restoring.config import BACK, PUT, Putting
from samaops.changes.restoring.work import backup_of
from samaops.changes.run.operations import runs
from samaops.clients import age
from samaops.clients.backup_store import Store
from samaops.clients.config_files import KEPT, ConfigFiles
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import on_server
from samaops.site.shell_words import quoted
from samaops.site.site import Site

ENCRYPTED = ".age"
# A snapshot of Redis is the largest part.
_MOST_BYTES = 64 * 1024 * 1024
_SECONDS = 120.0


def part_of(store: Store, site: Site, identifier: str, part: str, sha256: str = "") -> bytes:
    """Return a part of a backup in the clear, as it lies there with this sum.

    Raises ClientError: MISSING where the key is not here, GARBAGE where the sum is another.
    """
    content = store.content(identifier, part, _MOST_BYTES, _SECONDS)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise ClientError(FailureKind.GARBAGE, _("its checksums are wrong"), "backup")
    if not part.endswith(ENCRYPTED):
        return content
    identity = backup_of(site).drill.identity
    if identity is None:
        raise ClientError(FailureKind.MISSING, _("the key is not here: [backup.drill] identity"), "age")
    return age.decrypted(content, identity.reveal(), _MOST_BYTES)


def members_of(content: bytes) -> dict[str, bytes]:
    """Return the files in an archive of a part. Raises ClientError."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            return {
                member.name: file.read()
                for member in archive
                if member.isreg() and (file := archive.extractfile(member)) is not None
            }
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ClientError(FailureKind.GARBAGE, str(error), "tar") from error


def _put_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Putting)
    place = f"{backup_of(site).directory.rstrip('/')}/samaops/{of.id}/{of.part}"
    keeps = f"cp -p {quoted(of.path)} {KEPT}/{of.now}"
    source = _("# {path} is replaced by {member} of {place}").format(
        path=of.path, member=of.member or of.part.rpartition("/")[2], place=place
    )
    return (*((on_server(site, operation.server, keeps),) if of.now else ()), source)


@runs(PUT, lines=_put_lines)
def put(operation: Operation, site: Site) -> Outcome:
    """Fetch it from the backup, and put it there where the file is still as it was. Raises ClientError."""
    of, backup = convert(operation.arguments, Putting), backup_of(site)
    shells = ShellPool(site.settings)
    try:
        store = Store(shells.of(backup.server), backup, site.settings.site)
        content = part_of(store, site, of.id, of.part)
        if of.member:
            content = members_of(content).get(of.member, b"")
        if hashlib.sha256(content).hexdigest() != of.then:
            text = _("{path} is another in the backup than when it was looked at")
            return Outcome(False, text.format(path=of.path), is_seen=True)
        files = ConfigFiles(shells.of(str(operation.server)))
        files.put(of.path, of.now, of.then, content)
        is_there = _sum(files.read(of.path)) == of.then
    finally:
        shells.close()
    return Outcome(is_there, is_seen=is_there)


def _back_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Putting)
    command = f"cp -p {KEPT}/{of.then} {quoted(of.path)}" if of.then else f"rm {quoted(of.path)}"
    return (on_server(site, operation.server, command),)


@runs(BACK, lines=_back_lines)
def back(operation: Operation, site: Site) -> Outcome:
    """Put back what was kept, where nobody has changed the file since. Raises ClientError."""
    of = convert(operation.arguments, Putting)
    shells = ShellPool(site.settings)
    try:
        files = ConfigFiles(shells.of(str(operation.server)))
        if _sum(files.read(of.path)) != of.then:  # else the step had no effect
            files.back(of.path, of.now, of.then)
        is_there = _sum(files.read(of.path)) == of.then
    finally:
        shells.close()
    return Outcome(is_there, is_seen=is_there)


def _sum(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()
