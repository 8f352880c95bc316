-- Purpose: the oldest open transaction that building or dropping an index of a table would wait for: it has
-- used the table, is prepared (no pid), or where asked for holds a snapshot of this database, which a build waits for too.
-- Needs: pg_monitor.
-- Those that began later are not waited for: "began" is when it was asked first.
WITH moment AS (
    SELECT coalesce(%(began)s::timestamptz, clock_timestamp()) AS began
), held AS MATERIALIZED (
    SELECT pid FROM pg_locks
    WHERE locktype = 'relation' AND relation = %(table)s AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT pid,
       coalesce(usename::text, '') AS "user",
       coalesce(application_name, '') AS application,
       coalesce(host(client_addr), '') AS client,
       coalesce(state, backend_type, '') AS state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds,
       began::text AS began
FROM pg_stat_activity, moment
WHERE xact_start < began
  AND pid <> pg_backend_pid()
  AND (pid IN (SELECT pid FROM held)
       OR (%(with_snapshots)s AND backend_xmin IS NOT NULL AND datname = current_database()
           AND backend_type = 'client backend'))
UNION ALL
SELECT NULL, '', '', '', '', NULL, began::text
FROM moment
WHERE EXISTS (SELECT FROM held WHERE pid IS NULL)
ORDER BY seconds DESC NULLS LAST
LIMIT 1
