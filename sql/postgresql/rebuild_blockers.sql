-- Purpose: the transactions for which a rebuild of an index of this table would wait. 0 is a prepared one. Needs: pg_monitor.
SELECT pid,
       xact_start::text AS begun,
       usename AS "user",
       application_name AS application,
       coalesce(host(client_addr), backend_type) AS client,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_stat_activity AS activity
WHERE datname = current_database()
  AND pid <> pg_backend_pid()
  AND xact_start IS NOT NULL
  AND (backend_xmin IS NOT NULL AND query !~* '^\s*(autovacuum: )?vacuum\M'
       OR EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = activity.pid AND relation = %(oid)s AND granted))
UNION ALL
SELECT 0, prepared::text, owner, gid, '', extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_prepared_xacts
WHERE database = current_database()
  AND EXISTS (SELECT FROM pg_locks WHERE pid IS NULL AND relation = %(oid)s
              AND virtualtransaction = '-1/' || pg_prepared_xacts.transaction)
ORDER BY seconds DESC
LIMIT 1000
