-- Purpose: how many bytes of WAL an inactive slot keeps. Needs: pg_monitor.
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
FROM pg_replication_slots
WHERE slot_name = %(slot)s AND NOT active
