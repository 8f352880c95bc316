-- Replication slots, as a change must know them: whose, what each holds back, and whether we may drop it.
-- Needs: PostgreSQL 13, pg_monitor (for the time of the WAL that a slot holds back).
WITH wal AS MATERIALIZED (
    SELECT name, modification FROM pg_ls_waldir()
), us AS (
    SELECT rolsuper OR rolreplication AS may_drop FROM pg_roles WHERE rolname = current_user
)
SELECT slot_name::text AS name,
       slot_type AS type,
       database::text AS database,
       database IS NULL OR database = current_database() AS is_here,
       active_pid,
       wal_status,
       pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
       )::bigint AS retained_bytes,
       greatest(age(xmin), age(catalog_xmin))::bigint AS xmin_age,
       -- when the last file was written that its reader has read to the end or had begun
       CASE WHEN NOT pg_is_in_recovery() THEN
           (SELECT extract(epoch FROM clock_timestamp() - modification)::float8
            FROM wal WHERE wal.name = pg_walfile_name(restart_lsn))
       END AS wal_seconds,
       slot_name::text = ANY(regexp_split_to_array(
           regexp_replace(current_setting('synchronous_standby_names'), '["()]', ' ', 'g'), '[\s,]+'
       )) AS is_synchronous,
       (SELECT may_drop FROM us) AS may_drop
FROM pg_replication_slots
ORDER BY slot_name
LIMIT 1000
