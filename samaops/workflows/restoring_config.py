"""Compare the configuration files of a backup with those of the servers, and plan which come back."""

from __future__ import annotations

import difflib
import hashlib
import re
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase

from msgspec import Struct

from samaops.changes import verbs
from samaops.changes.backup.work import named, section
from samaops.changes.restoring.config import NAME
from samaops.changes.restoring.work import configured
from samaops.changes.run.restoring_config import ENCRYPTED, members_of, part_of
from samaops.clients import shells
from samaops.clients.backup_store import Store
from samaops.clients.config_files import ConfigFiles
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.errors import RefusedError, UsageError
from samaops.facts.backup_run import GUIDE, WHOLE, Manifest, Run, epoch_of
from samaops.facts.config_files import ConfigFacts, ConfigFile
from samaops.facts.observation import Observation
from samaops.i18n import _
from samaops.model.plan import Plan
from samaops.site import redaction
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.backup import store_of

_SERVERS, _POSTGRESQL = "servers/", "postgresql/"
_SETTINGS = "postgresql/pg_settings.tsv"
# What is taken on a server is put back there; a path of anything else in a backup is not one of ours.
_PLACES = (
    "/etc/crontab",
    "/etc/cron.d/*",
    "/var/spool/cron/crontabs/*",
    "/etc/pgbouncer/*.ini",
    "/etc/pgbouncer/*.txt",
    "*compose*.yml",
    "*compose*.yaml",
    "*/.env*",
    "*.env",
)
_NAMES = {"postgresql.conf": "config_file", "pg_hba.conf": "hba_file", "pg_ident.conf": "ident_file"}
_KEY = re.compile(r"\s*[\"']?([\w.-]+)[\"']?\s*[:=\s]")


class _Kept(Struct, frozen=True):
    """A file as it lies in a backup."""

    server: str
    path: str
    part: str
    member: str
    content: bytes

    @property
    def is_secret(self) -> bool:
        """Whether its values are shown to nobody."""
        return self.part.endswith(ENCRYPTED)


def plan(site: Site, wanted: str, server: str = "", paths: tuple[str, ...] = ()) -> Plan:
    """Look and plan. Raises UsageError, RefusedError, UnavailableError."""
    verb, arguments = verbs.find(NAME), (wanted, server, *paths)
    verb.codes(site, arguments)
    if server and server not in site.settings.servers:
        raise UsageError(_("There is no server {name!r}").format(name=server), hint="samaops config show")
    with shells.kept():
        seen = _seen(site, wanted, server, paths)
        where = section(site).server
        observed = Observation("restore", f"restore/{where}", where, ConfigFacts.__name__, seen)
        return change.prepare_verb(site, verb, arguments, recalled=(observed,))


def manifest_of(site: Site, store: Store, wanted: str) -> tuple[Run, Manifest]:
    """Return a whole backup of ours and its manifest. Raises UsageError, RefusedError, ClientError."""
    run = named(store.survey(configured(site).port), wanted)
    if run.engine == GUIDE or run.state != WHOLE:
        text = _("{id} holds nothing besides the database, or is not whole")
        raise RefusedError(text.format(id=run.id), hint=typed(site, "backup list"))
    raw = store.manifest_bytes(run.id)
    if run.manifest_sha256 and hashlib.sha256(raw).hexdigest() != run.manifest_sha256:
        text = _("the manifest of {id} is not as it was written")
        raise RefusedError(text.format(id=run.id), hint=typed(site, f"backup verify {run.id}"))
    return run, store.decoded_manifest(run.id, raw)


def _seen(site: Site, wanted: str, server: str, paths: tuple[str, ...]) -> ConfigFacts:
    left_out: list[tuple[str, str]] = []
    with store_of(site) as store:
        run, manifest = manifest_of(site, store, wanted)
        kept = [
            each
            for each in _kept(site, store, manifest, left_out)
            if server in ("", each.server) and (not paths or each.path in paths)
        ]
    files, same = [], 0
    pool = ShellPool(site.settings)
    try:
        for each in kept:
            try:
                now = ConfigFiles(pool.of(each.server)).read(each.path)
            except ClientError as error:
                left_out.append((f"{each.server}:{each.path}", error.message))
                continue
            if now == each.content:
                same += 1
            else:
                files.append(_compared(site, each, now))
    finally:
        pool.close()
    return ConfigFacts(run.id, epoch_of(run.started_at), time.time(), tuple(files), same, tuple(left_out))


def _kept(site: Site, store: Store, manifest: Manifest, left_out: list[tuple[str, str]]) -> Iterator[_Kept]:
    """Yield the files of servers in a backup; of a part that cannot be read, or is damaged, why."""
    sums = {file.path: file.sha256 for file in manifest.files}
    places = _paths_of_postgresql(store, manifest) if _SETTINGS in sums else {}
    for part, digest in sums.items():
        name = part.rpartition("/")[2]
        if part.startswith(_POSTGRESQL) and name in places:
            where, path = configured(site).server, places[name]
        elif part.startswith(_SERVERS):
            where, _slash, rest = part.removeprefix(_SERVERS).partition("/")
            path = f"/{rest}" if rest else ""
            where = where.removesuffix(".tar.gz.age")
        else:
            continue
        try:
            content = part_of(store, site, manifest.id, part, digest)
        except ClientError as error:
            left_out.append((part, error.message))
            continue
        found = {path: ("", content)} if path else _members(part, content, left_out)
        for target, (member, text) in found.items():
            is_ours = part.startswith(_POSTGRESQL) or any(fnmatchcase(target, each) for each in _PLACES)
            if where not in site.settings.servers or not is_ours:
                left_out.append((f"{where}:{target}", _("it is no file that samaops puts back")))
            else:
                yield _Kept(where, target, part, member, text)


def _members(part: str, content: bytes, left_out: list[tuple[str, str]]) -> dict[str, tuple[str, bytes]]:
    try:
        return {f"/{name.lstrip('/')}": (name, text) for name, text in members_of(content).items()}
    except ClientError as error:
        left_out.append((part, error.message))
        return {}


def _paths_of_postgresql(store: Store, manifest: Manifest) -> dict[str, str]:
    """Return where PostgreSQL had its files, by their names in a backup."""
    lines = store.read(manifest.id, _SETTINGS, 3 * 1024 * 1024).decode("utf-8", "replace").splitlines()
    found = dict(line.split("\t")[:2] for line in lines if line.count("\t") > 1)
    return {name: found[setting] for name, setting in _NAMES.items() if found.get(setting)}


def _compared(site: Site, kept: _Kept, now: bytes | None) -> ConfigFile:
    return ConfigFile(
        kept.server,
        kept.path,
        kept.part,
        kept.member,
        "" if now is None else hashlib.sha256(now).hexdigest(),
        hashlib.sha256(kept.content).hexdigest(),
        kept.is_secret,
        tuple(redaction.redacted(line, site) for line in _difference(kept, now or b"")),
    )


def _difference(kept: _Kept, now: bytes) -> Iterator[str]:
    """Yield the lines that go and come; of a secret file only the names of what is another."""
    before, after = (text.decode("utf-8", "replace").splitlines() for text in (now, kept.content))
    if kept.is_secret:
        values = [dict(_keyed(lines)) for lines in (before, after)]
        for key in sorted({*values[0], *values[1]}):
            if values[0].get(key) != values[1].get(key):
                sign = "+" if key not in values[0] else "-" if key not in values[1] else "~"
                yield f"{sign} {key} = ***"
        return
    for line in difflib.unified_diff(before, after, lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield line[:160]


def _keyed(lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        found = _KEY.match(line)
        if line.strip() and not line.lstrip().startswith("#"):
            yield (found[1] if found else _("line {number}").format(number=number)), line
