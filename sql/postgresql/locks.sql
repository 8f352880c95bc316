-- Every session that waits for a lock, what for, how long, and who stands before it (0 is a prepared transaction).
-- Needs: PostgreSQL 14 (waitstart), any role. At most 200 waiting sessions are looked at.
WITH held AS MATERIALIZED (
    SELECT * FROM pg_locks
), waiting AS (
    SELECT DISTINCT ON (pid) * FROM held WHERE NOT granted ORDER BY pid LIMIT 200
), located AS (
    SELECT waiting.*,
           -- a wait for a transaction names no relation: the row's own lock does, or else what is being written
           coalesce(waiting.relation,
                    (SELECT mine.relation FROM held AS mine
                     WHERE mine.pid = waiting.pid AND mine.granted AND mine.locktype = 'tuple' LIMIT 1),
                    (SELECT mine.relation FROM held AS mine
                     JOIN pg_class ON pg_class.oid = mine.relation AND pg_class.relkind IN ('r', 'p')
                     WHERE mine.pid = waiting.pid AND mine.granted AND mine.locktype = 'relation'
                       AND mine.mode IN ('RowExclusiveLock', 'RowShareLock') LIMIT 1)) AS located_relation
    FROM waiting
)
SELECT located.pid,
       located.locktype,
       located.mode,
       pg_blocking_pids(located.pid) AS blocked_by,
       coalesce(extract(epoch FROM clock_timestamp() - located.waitstart), 0)::float8 AS seconds,
       nspname || '.' || relname AS relation
FROM located
LEFT JOIN pg_class ON pg_class.oid = located.located_relation
    AND coalesce(located.database, 0) IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
LEFT JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
ORDER BY seconds DESC
