-- Clients' sessions, counted by what they are: how many, how long the longest is idle, or open in a transaction.
-- Needs: PostgreSQL 12, pg_monitor (others see users and applications, but neither states nor clients).
SELECT coalesce(state, '') AS state,
       usename::text AS "user",
       coalesce(host(client_addr), 'local') AS client,
       coalesce(application_name, '') AS application,
       datname::text AS database,
       query = '<insufficient privilege>' AS is_hidden,
       count(*) AS connections,
       max(extract(epoch FROM clock_timestamp() - state_change)) FILTER (WHERE state = 'idle')::float8 AS idle_seconds,
       max(extract(epoch FROM clock_timestamp() - xact_start))::float8 AS transaction_seconds
FROM pg_stat_activity
WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usename IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY connections DESC
LIMIT 5000
