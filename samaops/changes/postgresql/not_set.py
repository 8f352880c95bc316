"""Settings that `db set` does not touch, and why: one wrong value loses data, or locks everybody out."""

from __future__ import annotations

from samaops.i18n import N_

_LOSES = N_("a wrong value loses or spoils data at the next crash, without a word until then")
_HIDES = N_("damaged data would be taken for good, or for nothing")
_LOCKS_OUT = N_("a wrong value keeps everybody out, us too")
_RUNS = N_("what stands there is run or loaded as the server's own user")
_REPLICATION = N_("standbys, backups and the WAL that they need hang on it")
_WEAKENS = N_("it decides how log-ins and connections are protected")
_LOGS = N_("whoever reads the log, samaops too, would look in the wrong place")
_TURNS_OFF = N_("it turns off triggers and foreign keys")
_NAMES = N_("it is a list of names, in which the whole value would be taken for one name")
_CRASHES = N_("it is for developers of PostgreSQL: it can end the server or fill its log")
_READ_ONLY = N_("the application could write nothing any more")

# A name, or with * at its end all that begin so.
_REASONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_LOSES, ("fsync", "full_page_writes", "wal_sync_method", "data_sync_retry", "recovery_*", "allow_in_place_tablespaces")),
    (_HIDES, ("zero_damaged_pages", "ignore_checksum_failure", "ignore_invalid_pages", "ignore_system_indexes")),
    (
        _LOCKS_OUT,
        (
            "listen_addresses", "port", "hba_file", "ident_file", "data_directory", "config_file", "unix_socket_*",
            "max_connections", "superuser_reserved_connections", "reserved_connections", "authentication_timeout",
            "external_pid_file", "pre_auth_delay", "post_auth_delay",
        ),
    ),
    (
        _RUNS,
        (
            "archive_command", "archive_cleanup_command", "archive_library", "restore_command", "recovery_end_command",
            "ssl_passphrase_command*", "shared_preload_libraries", "session_preload_libraries", "local_preload_libraries",
            "dynamic_library_path", "extension_control_path", "jit_provider",
        ),
    ),
    (
        _REPLICATION,
        (
            "archive_mode", "archive_timeout", "wal_level", "primary_conninfo", "primary_slot_name", "promote_trigger_file",
            "synchronous_standby_names", "synchronized_standby_slots", "sync_replication_slots", "hot_standby",
            "max_slot_wal_keep_size", "idle_replication_slot_timeout", "max_wal_senders", "max_replication_slots",
        ),
    ),
    (_WEAKENS, ("ssl", "ssl_*", "password_encryption", "scram_iterations", "krb_*", "gss_*", "db_user_namespace", "row_security")),
    (_LOGS, ("log_destination", "log_directory", "log_filename", "log_file_mode", "logging_collector", "syslog_*")),
    (_TURNS_OFF, ("session_replication_role",)),
    (_NAMES, ("search_path", "temp_tablespaces")),
    (_CRASHES, ("debug_*", "trace_*", "restart_after_crash", "exit_on_error", "remove_temp_files_after_crash", "wal_consistency_checking")),
    (_READ_ONLY, ("default_transaction_read_only",)),
)  # fmt: skip
# Values of settings that may be set otherwise.
_VALUES: dict[tuple[str, str], str] = {
    ("synchronous_commit", "off"): N_(
        "a crash would lose transactions that the application was told are kept"
    ),
    ("autovacuum", "off"): N_(
        "tables would grow, and in the end the server stops to save itself from wraparound"
    ),
    ("track_counts", "off"): N_("autovacuum would not know what to do: tables would grow"),
}
_OFF = ("off", "false", "no", "0", "f", "n", "of", "fa", "fal", "fals")


def reason_against(name: str, value: str) -> str:
    """Return why a setting is not given this value, or none at all; empty where nothing speaks against it."""
    name, value = name.lower(), value.strip().lower()
    for reason, patterns in _REASONS:
        for pattern in patterns:
            if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
                return reason
    return _VALUES.get((name, "off" if value in _OFF else value), "")
