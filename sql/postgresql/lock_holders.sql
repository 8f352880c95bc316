-- Purpose: who holds a lock on a table beside which no vacuum works. Needs: PostgreSQL 12, any role (pg_monitor for the names).
SELECT coalesce(activity.pid, 0) AS pid,
       activity.usename AS "user",
       activity.application_name AS application,
       coalesce(host(client_addr), backend_type, 'prepared') AS client,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_locks
LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE relation = %(oid)s
  AND locktype = 'relation'
  AND pid IS DISTINCT FROM pg_backend_pid()
  AND mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY xact_start
LIMIT 1
