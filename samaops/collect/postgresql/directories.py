"""How much room is left where a server keeps its data: it says where, the machine itself how much."""

from __future__ import annotations

import shlex

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.collect.engine import Probe
from samaops.facts.postgresql_changes import DataDirectory
from samaops.i18n import _
from samaops.model.failure import FailureKind

_SECONDS = 4.0


def directories(client: PostgresClient, probe: Probe, server: str) -> tuple[DataDirectory, ...]:
    """Return each tablespace with the bytes that are free there. Raises ClientError."""
    rows = client.read("data_directories")
    paths = list(dict.fromkeys(row["path"] for row in rows))
    command = "LC_ALL=C df -P -B1 -- " + " ".join(map(shlex.quote, paths))
    completed = probe.shell(server).run(command, min(_SECONDS, probe.remaining()))
    lines = [line.split() for line in completed.stdout.splitlines()[1:]]
    if completed.exit_code or len(lines) != len(paths) or any(len(line) < 6 for line in lines):
        text = _("on {server} it cannot be seen how much room is left in {path}: {reason}")
        reason = completed.stderr.strip() or completed.stdout.strip()
        raise ClientError(
            FailureKind.MISSING, text.format(server=server, path=", ".join(paths), reason=reason[:200])
        )
    free = {path: int(line[3]) for path, line in zip(paths, lines, strict=True)}
    return tuple(DataDirectory(row["name"], row["path"], free[row["path"]]) for row in rows)
