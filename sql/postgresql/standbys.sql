-- Standbys that replay our WAL, and how far behind they are; base backups and WAL receivers are left out.
-- Needs: PostgreSQL 12, pg_monitor (others see the processes only).
SELECT pid,
       application_name AS name,
       host(client_addr) AS client,
       state,
       sync_state,
       pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn
       )::bigint AS lag_bytes,
       extract(epoch FROM replay_lag)::float8 AS lag_seconds,
       age(backend_xmin)::bigint AS xmin_age
FROM pg_stat_replication
WHERE state IS NULL OR replay_lsn IS NOT NULL
