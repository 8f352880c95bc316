-- Every session: who, what state, what it waits for, for how long.
-- Needs: PostgreSQL 14, pg_monitor (others see '<insufficient privilege>' in place of foreign queries).
SELECT pid,
       leader_pid,
       pid = pg_backend_pid() AS is_ours,
       datname AS database,
       usename AS "user",
       application_name AS application,
       host(client_addr) AS client,
       backend_type,
       state,
       wait_event_type,
       wait_event,
       extract(epoch FROM clock_timestamp() - backend_start)::float8 AS session_seconds,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_seconds,
       extract(epoch FROM clock_timestamp() - query_start)::float8 AS query_seconds,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_seconds,
       age(backend_xmin)::bigint AS xmin_age,
       query_id,
       -- octets, not characters: the text may be in another database's encoding
       CASE WHEN state = 'idle' THEN '' ELSE query END AS query
FROM pg_stat_activity
