-- Purpose: the oldest transaction that has used a table and is open for longer than everyday ones. Needs: pg_monitor.
SELECT pid,
       coalesce(usename::text, '') AS "user",
       coalesce(application_name, '') AS application,
       coalesce(host(client_addr), '') AS client,
       coalesce(state, backend_type, '') AS state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_stat_activity
WHERE xact_start < clock_timestamp() - interval '2 seconds'
  AND pid IN (SELECT pid FROM pg_locks
              WHERE locktype = 'relation' AND relation = %(table)s AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY xact_start
LIMIT 1
