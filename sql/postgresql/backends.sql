-- Every session with what decides whether it may be ended: what it is, whose, since when, who waits for it.
-- Needs: PostgreSQL 14, pg_monitor (others see '<insufficient privilege>' in place of foreign queries).
SELECT pid,
       leader_pid,
       backend_start::text AS started,  -- with its microseconds: the same process number may serve somebody else later
       pid = pg_backend_pid() AS is_ours,
       backend_type AS type,
       datname AS database,
       usename AS "user",
       coalesce(rolsuper, false) AS is_superuser,
       -- NULL: of a background process, which belongs to nobody
       pg_has_role(usesysid, 'MEMBER') OR pg_has_role('pg_signal_backend', 'MEMBER') AS may_signal,
       application_name AS application,
       host(client_addr) AS client,
       state,
       coalesce(query_start::text, '') AS query_started,  -- which statement it is that was shown
       wait_event_type,
       wait_event,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_seconds,
       extract(epoch FROM clock_timestamp() - query_start)::float8 AS query_seconds,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_seconds,
       age(backend_xmin)::bigint AS xmin_age,
       CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END AS blocked_by,
       CASE WHEN state = 'idle' THEN '' ELSE query END AS query
FROM pg_stat_activity
LEFT JOIN pg_roles ON pg_roles.oid = usesysid
