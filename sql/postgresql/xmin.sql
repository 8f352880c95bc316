-- Who holds back cleaning: whoever still sees, or may still see, old rows. Vacuum itself does not.
-- Needs: PostgreSQL 14, pg_monitor (others see neither the states of foreign sessions nor standbys).
SELECT CASE WHEN backend_type NOT IN ('client backend', 'parallel worker') THEN 'background'
            WHEN state LIKE 'idle in transaction%' THEN 'idle in transaction'
            ELSE 'query' END AS kind,
       pid,
       NULL::text AS name,
       datname::text AS database,
       usename::text AS "user",
       application_name AS application,
       host(client_addr) AS client,
       backend_type,
       NULL::bool AS is_active,
       greatest(age(backend_xmin), age(backend_xid))::bigint AS age,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds,
       query
FROM pg_stat_activity
WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
  AND backend_type <> 'walsender' AND leader_pid IS NULL
  AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
UNION ALL
SELECT 'prepared transaction', NULL, gid, database::text, owner::text, NULL, NULL, NULL, NULL,
       age(transaction)::bigint, extract(epoch FROM clock_timestamp() - prepared)::float8, ''
FROM pg_prepared_xacts
UNION ALL
SELECT 'slot', active_pid, slot_name::text, database::text, NULL, NULL, NULL, slot_type, active,
       greatest(age(xmin), age(catalog_xmin))::bigint, NULL, ''
FROM pg_replication_slots
WHERE (xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AND wal_status IS DISTINCT FROM 'lost'
UNION ALL
-- with hot_standby_feedback; behind a slot it is the slot that holds
SELECT 'standby', pid, application_name, NULL, usename::text, application_name, host(client_addr), NULL, NULL,
       age(backend_xmin)::bigint, NULL, ''
FROM pg_stat_replication
WHERE backend_xmin IS NOT NULL
ORDER BY age DESC, seconds DESC NULLS LAST
LIMIT 1000
