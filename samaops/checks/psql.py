"""The psql command lines that hints show: exact, read-only, to be pasted as they are."""

from __future__ import annotations

import shlex

from samaops.checks.registry import Context

# For explanations, which know no configuration.
PSQL = 'psql -h <serveur db> -p 5432 -U samaops -d samaconso -c "{}"'
CONSOLE = 'psql -h <serveur db> -p 6432 -U postgres -d pgbouncer -c "{}"'


def direct(context: Context, statement: str) -> str:
    """Return the command that runs a statement on PostgreSQL itself."""
    section = context.settings.postgresql
    if section is None:
        return f"samaops explain {context.rule.code}"
    words = ("psql", "-h", context.settings.host_of(section), "-p", str(section.port), "-U", section.user)
    return f'{shlex.join((*words, "-d", section.database, "-c"))} "{statement}"'


def console(context: Context, command: str) -> str:
    """Return the command that runs a SHOW on PgBouncer's admin console."""
    section = context.settings.pgbouncer
    if section is None:
        return f"samaops explain {context.rule.code}"
    words = (
        "psql",
        "-h",
        context.settings.host_of(section),
        "-p",
        str(section.port),
        "-U",
        section.admin_user,
    )
    return f'{shlex.join((*words, "-d", "pgbouncer", "-c"))} "{command}"'
