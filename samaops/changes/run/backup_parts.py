"""What a bad day needs besides the dump: gathered one by one; what cannot be had is left out, with the reason.

What must not be read (passwords, ``.env``) goes encrypted to the public recipient, on the backup's server, and never lies
there in the clear.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import shlex
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct

from samaops.changes.run import progress
from samaops.clients import backup_dump
from samaops.clients.as_user import as_user
from samaops.clients.backup_dump import Database
from samaops.clients.backup_store import Store
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.clients.redis import RedisClient
from samaops.clients.server_job import ServerJob
from samaops.clients.shell import program
from samaops.clients.shells import ShellPool
from samaops.errors import reason_of
from samaops.facts.backup_run import Part
from samaops.i18n import _
from samaops.journal import history
from samaops.model.failure import FailureKind
from samaops.model.quantities import size
from samaops.site import redaction
from samaops.site.site import Site

# The file of the columns by which a table's newest row is told; it is gone before the sums are made.
MOMENTS = ".moments"
_FILES_PROGRAM = Path(__file__).with_name("backup_files.sh")
_MOST_FILE_BYTES = 512 * 1024
_MOST_FILES_BYTES = 8 * 1024 * 1024
_MOST_HISTORY_BYTES = 256 * 1024 * 1024
# What Redis holds is a cache; a fork of much more may cost it its place in memory.
_MOST_REDIS_BYTES = 32 * 1024 * 1024
_SECONDS = 60.0
_MARK = "samaops-files: archive"
# A line that gives a secret a value, and not the name of a variable that has it.
_SECRET_LINE = re.compile(
    rb"(?im)^[^#\n]*(password|passwd|secret|token|api_?key|access_?key)\w*[\"']?\s*[:=]\s*[\"']?(?!\$\{?\w+\}?[\"']?\s*$)[^\s\"'#]"
)
_WITH_PASSWORD = re.compile(rb"://[^/\s:@]+:[^$@/\s][^@/\s]*@")


class Gathered(Struct, frozen=True):
    """A part, and why it or some of it is left out; ``is_failure``: it should have been had."""

    part: Part
    left_out: str = ""
    is_failure: bool = False


class _Where(Struct, frozen=True):
    """With what the parts are gathered, and into which run."""

    job: ServerJob
    database: Database
    store: Store
    run: str
    site: Site
    about: Mapping[str, Any]
    shells: ShellPool

    @property
    def directory(self) -> str:
        """Where the run writes."""
        return shlex.quote(self.store.partial_path(self.run))

    @property
    def recipient(self) -> str:
        """To whom is encrypted what must not be read; "" where nobody is named."""
        return self.store.backup.recipient or ""

    def put(self, path: str, content: bytes) -> str:
        """Write a file of the backup and return its path."""
        self.store.put(self.run, path, content)
        return path

    def encrypt(self, path: str, content: bytes) -> str:
        """Write a file that only the recipient can read and return its path."""
        self.store.encrypt(self.run, f"{path}.age", content, self.recipient)
        return f"{path}.age"


def gather(
    job: ServerJob,
    database: Database,
    store: Store,
    run: str,
    site: Site,
    about: Mapping[str, Any],
    shells: ShellPool,
) -> Iterator[Gathered]:
    """Gather all parts into the directory of a run; each that fails costs itself only."""
    where = _Where(job, database, store, run, site, about, shells)
    parts: list[tuple[str, Callable[[_Where], Iterator[Gathered]]]] = [
        ("globals", _globals),
        ("postgresql", _postgresql),
        *((f"files of {server}", _files_of(server)) for server in site.settings.servers),
        ("rabbitmq", _rabbitmq),
        ("redis", _redis),
        ("configuration", _configuration),
        ("history", _history),
    ]
    for name, make in parts:
        progress.tell(_("what is kept besides: {name}").format(name=name))
        try:
            yield from make(where)
        except (ClientError, OSError, ValueError, sqlite3.Error) as error:
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            if isinstance(error, ClientError):
                reason = error.message
            reason = str(redaction.redacted(reason, site))[:300]
            yield Gathered(Part(name, left_out=reason), reason, is_failure=True)


def sha256(content: bytes) -> str:
    """Return the sum of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _globals(where: _Where) -> Iterator[Gathered]:
    """Roles and tablespaces; with the roles' passwords, where the user who reads may see them."""
    program = f"{where.database.program('pg_dumpall')} -w --globals-only"
    environment, file = where.database.environment(), f"{where.directory}/globals.sql"
    done = where.job.run(f"{environment}exec {program} -f {file}", _SECONDS)
    if done.exit_code == 0:
        yield Gathered(Part("globals", ("globals.sql",)))
        return
    done = where.job.run(f"{environment}exec {program} --no-role-passwords -f {file}", _SECONDS)
    if done.exit_code:
        raise ClientError(FailureKind.ERROR, backup_dump.last_words(done.stderr), "pg_dumpall")
    words = _("without the passwords of the roles: whoever reads it may not see them")
    yield Gathered(Part("globals", ("globals.sql",), words), words, is_failure=True)


def _postgresql(where: _Where) -> Iterator[Gathered]:
    """The settings in force, and the files that they are from."""
    paths = []
    where.put(
        "postgresql/pg_settings.tsv",
        backup_dump.ask(where.job, where.database, "backup_settings").encode("utf-8"),
    )
    paths.append("postgresql/pg_settings.tsv")
    left_out = []
    for name, path in sorted(where.about["files"].items()):
        if not path:
            left_out.append(name)
            continue
        done = where.job.run(
            f"cp -L -- {shlex.quote(path)} {where.directory}/postgresql/{shlex.quote(name)}", _SECONDS
        )
        if done.exit_code:
            left_out.append(f"{name}: {backup_dump.last_words(done.stderr)}")
        else:
            paths.append(f"postgresql/{name}")
    words = "; ".join(left_out)
    yield Gathered(Part("postgresql", tuple(paths), words), words, is_failure=bool(left_out))


def _files_of(server: str) -> Callable[[_Where], Iterator[Gathered]]:
    def make(where: _Where) -> Iterator[Gathered]:
        configured = where.site.settings.servers[server]
        if configured.ssh == "none":
            yield _not(f"files of {server}", _("samaops does not log in there"))
            return
        shell = where.shells.of(server)
        arguments = (str(_MOST_FILE_BYTES), str(_MOST_FILES_BYTES))
        done = shell.run(as_user("root", program(_FILES_PROGRAM), *arguments), _SECONDS)
        if done.exit_code:  # without sudo, what everybody may read
            done = shell.run(shlex.join(["sh", "-c", program(_FILES_PROGRAM), "sh", *arguments]), _SECONDS)
        head, mark, packed = done.stdout.partition(_MARK)
        if not mark:
            raise ClientError(FailureKind.ERROR, backup_dump.last_words(done.stderr), "files")
        left_out = [
            line.removeprefix("left out ") for line in head.splitlines() if line.startswith("left out ")
        ]
        yield from _sorted(where, server, _unpacked(packed.strip()), left_out)

    return make


def _sorted(
    where: _Where, server: str, files: Mapping[str, bytes], left_out: list[str]
) -> Iterator[Gathered]:
    """Write those without a secret as they are, the others encrypted in one archive."""
    is_failure = bool(left_out)
    closed = {path: content for path, content in files.items() if _is_secret(where, path, content)}
    paths = [
        where.put(f"servers/{server}/{path.lstrip('/')}", content)
        for path, content in sorted(files.items())
        if path not in closed
    ]
    if closed and where.recipient:
        paths.append(where.encrypt(f"servers/{server}.tar.gz", _packed(closed)))
    elif closed:
        names = ", ".join(sorted(closed))
        text = _("no [backup] recipient to encrypt them to: {names}")
        left_out.append(text.format(names=names))
    name, words = f"files of {server}", "; ".join(left_out)[:2000]
    yield Gathered(Part(name, tuple(paths), words), words, is_failure=is_failure)


def _is_secret(where: _Where, path: str, content: bytes) -> bool:
    name = path.rpartition("/")[2]
    if name.startswith(".env") or name.endswith(".env") or name == "userlist.txt":
        return True
    text = content.decode("utf-8", "replace")
    if _SECRET_LINE.search(content) or _WITH_PASSWORD.search(content):
        return True
    return bool(redaction.redacted(text, where.site) != text)


def _rabbitmq(where: _Where) -> Iterator[Gathered]:
    """Users, rights, exchanges, queues, policies: with the hashes of passwords."""
    settings = where.site.settings.rabbitmq
    if settings is None:
        return
    if not where.recipient:
        yield _not("rabbitmq", _no_recipient())
        return
    with ManagementApi(where.site.host_of(settings), settings) as api:
        definitions = json.dumps(api.get("definitions"), indent=1).encode("utf-8")
    yield Gathered(Part("rabbitmq", (where.encrypt("rabbitmq/definitions.json", definitions),)))


def _redis(where: _Where) -> Iterator[Gathered]:
    """All that Redis holds, where that is little: it forks for it. What it is nobody knows: sessions, results, a cache."""
    settings = where.site.settings.redis
    if settings is None:
        return
    if not where.recipient:
        yield _not("redis", _no_recipient())
        return
    patient = settings.model_copy(update={"timeout": _SECONDS})
    with closing(RedisClient(where.site.host_of(settings), patient)) as client:
        client.connect()
        used = int(client.info("memory")["used_memory"])
        if used > _MOST_REDIS_BYTES:
            text = _("it holds {size}; more than {most} is not taken: its server would fork for it")
            yield _not("redis", text.format(size=size(used), most=size(_MOST_REDIS_BYTES)))
            return
        if not client.config_get("save").get("save") and not int(client.info("persistence")["aof_enabled"]):
            yield _not("redis", _("it keeps nothing on its disk: a file would come back at its next start"))
            return
        content = client.snapshot(_MOST_REDIS_BYTES)
    yield Gathered(Part("redis", (where.encrypt("redis/dump.rdb", content),)))


def _configuration(where: _Where) -> Iterator[Gathered]:
    """The configuration of samaops itself: it may hold secrets."""
    path = where.site.configuration
    if path is None:
        return
    if not where.recipient:
        yield _not("configuration", _no_recipient())
        return
    yield Gathered(Part("configuration", (where.encrypt("samaops/config.toml", path.read_bytes()),)))


def _history(where: _Where) -> Iterator[Gathered]:
    """The journal of samaops, where it is a file of this machine; secrets are masked before they get there."""
    if where.site.settings.history.url is not None:
        yield _not("history", _("it is in a PostgreSQL of its own ([history] url)"))
        return
    path = history.default_file()
    if not path.is_file():
        return
    if path.stat().st_size > _MOST_HISTORY_BYTES:
        yield _not(
            "history", _("{path} has more than {bytes} bytes").format(path=path, bytes=_MOST_HISTORY_BYTES)
        )
        return
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "history.sqlite"
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        packed = gzip.compress(copy.read_bytes(), 6)
    yield Gathered(Part("history", (where.put("samaops/history.sqlite.gz", packed),)))


def _not(name: str, reason: str) -> Gathered:
    return Gathered(Part(name, left_out=reason), reason)


def _no_recipient() -> str:
    return _("no [backup] recipient to encrypt it to")


def _unpacked(words: str) -> dict[str, bytes]:
    if not words:
        return {}
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(words)), mode="r:gz") as archive:
            for member in archive:
                stream = (
                    archive.extractfile(member)
                    if member.isreg() and member.size <= _MOST_FILE_BYTES
                    else None
                )
                if stream is not None:
                    files[member.name] = stream.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ClientError(FailureKind.GARBAGE, str(error), "files") from error
    return files


def _packed(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
