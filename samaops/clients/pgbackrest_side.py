"""A cluster that pgBackRest recovers beside the live one: in a directory of its own, that nobody else reaches.

It never listens to the network, archives nothing, preloads nothing, replicates nothing, and runs no command that the live
cluster's settings name: what it recovers is a copy of the live one, and must not act as it.
"""

from __future__ import annotations

import shlex

from samaops.clients import pgbackrest
from samaops.config.backup_settings import Backup

# It has no network; the number only names its socket, and must not be the one of a cluster that serves.
PORT = 1
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "unix_socket_group": "",
    "archive_mode": "off",
    "archive_command": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "external_pid_file": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "max_logical_replication_workers": "0",
    "autovacuum": "off",
    # Then nothing of the live cluster must be as large here: those settings are compared for a standby only.
    "hot_standby": "off",
    "max_connections": "40",
    "max_prepared_transactions": "200",
    "max_locks_per_transaction": "512",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    "ssl": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "cluster_name": "samaops recovery",
    "restart_after_crash": "off",
}


def restore_script(backup: Backup, place: str, label: str, repository: int, target: str) -> str:
    """Return what has pgBackRest lay a backup out below ``place``, to be recovered to a moment, or to its own end."""
    until = ["--type=time", f"--target={target}"] if target else ["--type=immediate"]
    command = pgbackrest.command(
        backup,
        f"--pg1-path={place}/cluster",
        f"--repo={repository}",
        f"--set={label}",
        *until,
        "--target-action=promote",
        "--archive-mode=off",
        f"--tablespace-map-all={place}/tablespaces",
        "restore",
    )
    where = shlex.quote(place)
    return (
        f"mkdir -p -m 700 -- {where} && cd {where} && mkdir -m 700 cluster tablespaces || exit 1\n"
        # Its socket lies in a directory of mode 700: whoever gets there is the owner of the data.
        "echo 'local all all trust' >hba.conf && : >ident.conf && : >postgresql.conf || exit 1\n"
        f"exec nice -n 10 {command}"
    )


def serve_script(backup: Backup, place: str, programs: str) -> str:
    """Return what recovers the cluster and then serves, until it is ended; what it says is in ``place``/log."""
    # Not as its configuration may have it: asynchronous, by the lock and the spool with which the live cluster archives.
    fetch = pgbackrest.command(backup, f"--pg1-path={place}/cluster", "--no-archive-async", "archive-get")
    settings = {
        **_SETTINGS,
        "restore_command": f'{fetch} %f "%p"',
        "port": str(PORT),
        "unix_socket_directories": place,
        "config_file": f"{place}/postgresql.conf",
        "hba_file": f"{place}/hba.conf",
        "ident_file": f"{place}/ident.conf",
    }
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = shlex.join((f"{programs}/postgres", "-D", f"{place}/cluster", *words))
    return f"cd {shlex.quote(place)} || exit 1\nexec nice -n 10 {command} >log 2>&1"


def is_ready_script(place: str, programs: str) -> str:
    """Return what ends with 0 once the cluster has been recovered and takes statements that write."""
    psql = shlex.join((f"{programs}/psql", "-X", "-A", "-t", "-q", "-w", "-d", "postgres", "-c"))
    return (
        f"PGHOST={shlex.quote(place)} PGPORT={PORT} PGCONNECT_TIMEOUT=5; export PGHOST PGPORT PGCONNECT_TIMEOUT\n"
        f'[ "$({psql} "SELECT pg_is_in_recovery()")" = f ]'
    )


def reason_script(place: str) -> str:
    """Return what shows why it did not come up."""
    return f"grep -E 'FATAL|PANIC|ERROR' {shlex.quote(place)}/log | grep -v 'not accepting connections' | tail -n 2"


def end_script(place: str, programs: str) -> str:
    """Return what ends the cluster at once: nothing of it is kept."""
    stop = shlex.join((f"{programs}/pg_ctl", "stop", "-m", "immediate", "-s", "-D", f"{place}/cluster"))
    return f"{stop} || :"


def remove_script(place: str) -> str:
    """Return what removes all of it."""
    return f"rm -rf -- {shlex.quote(place)}"
