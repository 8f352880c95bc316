-- Replication slots: who is connected, how much WAL and how old rows each of them holds back.
-- Needs: PostgreSQL 13 (wal_status), any role.
SELECT slot_name AS name,
       slot_type AS type,
       active AS is_active,
       wal_status,
       pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
       )::bigint AS retained_bytes,
       greatest(age(xmin), age(catalog_xmin))::bigint AS xmin_age,
       safe_wal_size AS safe_bytes
FROM pg_replication_slots
ORDER BY retained_bytes DESC NULLS FIRST
LIMIT 50
