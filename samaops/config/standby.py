"""What can be configured of a standby of the database: ``[[postgresql.standbys]]``."""

from __future__ import annotations

from samaops.config.fields import Host, Port, Section


class StandbyServer(Section):
    """A PostgreSQL that follows the one of [postgresql]; it is asked as the same user, with the same password."""

    # How it is called in findings; that of its server, as a rule.
    name: str
    server: str
    host: Host | None = None  # the server's address when absent
    port: Port = 5432
