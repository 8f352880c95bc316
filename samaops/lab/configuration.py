"""The samaops configuration of the lab, which `samaops --lab` reads: everything as on a production site."""

from __future__ import annotations

import shlex
import sys

from samaops.config.load import load
from samaops.errors import ConfigurationError
from samaops.i18n import _
from samaops.lab import compose, database, pgbouncer, servers, ssh, storage, templating
from samaops.lab import layout as places
from samaops.lab.layout import ADDRESSES, Layout
from samaops.lab.outside.parts import GOOGLE_AUTHORITY
from samaops.lab.outside.places import OAUTH_HOST, Places, google_port
from samaops.lab.outside.sqlserver import ODBC_DRIVER, READER
from samaops.lab.processes import StartError
from samaops.lab.requirements import find_program
from samaops.lab.state import LabState

ROLES = {
    "db": ["postgresql", "pgbouncer", "minio", "backup"],
    "api": ["docker", "api", "rabbitmq"],
    "workers": ["docker", "celery", "redis", "flower"],
}


def write(layout: Layout, state: LabState) -> bool:
    """Write the configuration unless it says all this already; return whether it was written.

    Raises StartError when samaops itself refuses it: a file it names could not be made.
    """
    content = render(layout, state)
    if layout.config_file.exists() and layout.config_file.read_text(encoding="utf-8") == content:
        return False
    templating.write(layout.config_file, content, 0o600)
    try:
        load(layout.config_file)
    except ConfigurationError as error:
        raise StartError(str(error)) from error
    return True


def render(layout: Layout, state: LabState) -> str:
    """Return the text of the configuration."""
    db = servers.of_state(layout, state, "db")
    return templating.render(
        "config.toml",
        servers=[servers.of_state(layout, state, name) for name in servers.NAMES],
        roles=ROLES,
        ssh={"user": ssh.login_user(), "port": places.SSH_PORT, "files": ssh.files(layout)},
        ports=places,
        address=ADDRESSES,
        secrets=layout.secrets(),
        data_directory=str(database.data_directory(db)),
        postgresql_settings=database.SETTINGS,
        pgbouncer_settings=pgbouncer.SETTINGS,
        outside=Places.of(layout),
        odbc_driver=ODBC_DRIVER,
        odbc_options="",
        sqlserver_user=READER,
        google_authority=GOOGLE_AUTHORITY,
        google_port=google_port(),
        oauth_host=OAUTH_HOST,
        balancer_control=f"http://{ADDRESSES['outside']}:{places.BALANCER_CONTROL_PORT}",
        mode=state.mode,
        mode_reason=state.mode_reason,
        containers=compose.CONTAINERS,
        no_monitor=_("the balancer of the lab has no monitor of its own that could tell"),
        no_filter=_("all servers of the lab are on one machine, with no packet filter between them"),
        celery_command=f"{shlex.quote(sys.executable)} -m celery",
        migrate_command=f"{sys.executable} -m alembic",
        lab=layout.directory,
        backup_directory=str(db.data / storage.BACKUPS),
        # Without rclone the lab keeps no copy of its objects.
        objects_directory=str(db.data / storage.OBJECTS) if find_program("rclone") else "",
    )
